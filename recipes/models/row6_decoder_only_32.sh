# Row 6: decoder-only, 32 layers. Sizes that are not named here are the flags' defaults, which are the paper's.
MODEL_ARGS=(
  --arch dfp_transformer
  --encoder none
  --decoder-layers 32
)
