# Table 3, row 2 without the causal mask on the speech. Sizes that are not named here are the flags' defaults, which are the paper's.
MODEL_ARGS=(
  --arch dfp_transformer
  --encoder transformer
  --encoder-layers 12
  --decoder-layers 6
)
