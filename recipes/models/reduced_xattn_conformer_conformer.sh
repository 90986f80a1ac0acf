# Row 4 at reduced width, with Conformer layers in the decoder as well.
source "$(dirname "${BASH_SOURCE[0]}")/reduced_row4_xattn_conformer.sh"
MODEL_ARGS+=(--decoder-layer conformer)
