# Row 1: cross-attention Transformer. Sizes that are not named here are the flags' defaults, which are the paper's.
MODEL_ARGS=(
  --arch xattn_transformer
  --encoder transformer
  --encoder-layers 12
  --decoder-layers 6
)
