# The study's settings for CoVoST2: 256,000 frames an update on one GPU. Where it differs from paper.sh:
source "$(dirname "${BASH_SOURCE[0]}")/paper.sh"
TRAINING_ARGS+=(
  --max-tokens 32000 --update-freq 8
  --max-update 60000
)
