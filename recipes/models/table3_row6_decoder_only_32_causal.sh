# Table 3, row 6 with the causal mask on the speech. Sizes that are not named here are the flags' defaults, which are the paper's.
MODEL_ARGS=(
  --arch dfp_transformer
  --causal-prefix
  --encoder none
  --decoder-layers 32
)
