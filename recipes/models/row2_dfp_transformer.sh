# Row 2: decoder-prepend Transformer. Sizes that are not named here are the flags' defaults, which are the paper's.
MODEL_ARGS=(
  --arch dfp_transformer
  --causal-prefix
  --encoder transformer
  --encoder-layers 12
  --decoder-layers 6
)
