# Row 5: decoder-prepend Conformer with CTC. Sizes that are not named here are the flags' defaults, which are the paper's.
MODEL_ARGS=(
  --arch dfp_transformer
  --causal-prefix
  --encoder conformer
  --encoder-layers 12
  --ctc-layer 8
  --decoder-layers 6
)
