# Row 4 at reduced width, with rotary positions in the decoder.
source "$(dirname "${BASH_SOURCE[0]}")/reduced_row4_xattn_conformer.sh"
MODEL_ARGS+=(--decoder-positions rope)
