# Row 4.1: cross-attention Conformer with CTC compression. Sizes that are not named here are the flags' defaults, which are the paper's.
MODEL_ARGS=(
  --arch xattn_transformer
  --encoder conformer
  --encoder-layers 12
  --ctc-layer 8
  --ctc-compression avg
  --decoder-layers 6
)
