# Row 5 as the study's code computes it, for its published checkpoints and figures.
source "$(dirname "${BASH_SOURCE[0]}")/../row5_dfp_conformer.sh"
MODEL_ARGS+=(
  # One relative position for each state, so that lags into the future read wrong queries; scores divided by the root of the model's width.
  --relative-positions legacy
  # In training, the mean and variance of batch norm count padding.
  --legacy-batch-norm
)
