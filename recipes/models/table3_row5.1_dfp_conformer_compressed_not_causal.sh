# Table 3, row 5.1 without the causal mask on the speech. Sizes that are not named here are the flags' defaults, which are the paper's.
MODEL_ARGS=(
  --arch dfp_transformer
  --encoder conformer
  --encoder-layers 12
  --ctc-layer 8
  --ctc-compression avg
  --decoder-layers 6
)
