# Row 5 at reduced width, with Conformer layers in the decoder as well.
source "$(dirname "${BASH_SOURCE[0]}")/reduced_row5_dfp_conformer.sh"
MODEL_ARGS+=(--decoder-layer conformer)
