# Row 5.1: decoder-prepend Conformer with CTC compression. Sizes that are not named here are the flags' defaults, which are the paper's.
MODEL_ARGS=(
  --arch dfp_transformer
  --causal-prefix
  --encoder conformer
  --encoder-layers 12
  --ctc-layer 8
  --ctc-compression avg
  --decoder-layers 6
)
