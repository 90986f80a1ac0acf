# Row 5 at reduced width, with rotary positions that go through speech and text.
source "$(dirname "${BASH_SOURCE[0]}")/reduced_row5_dfp_conformer.sh"
MODEL_ARGS+=(--decoder-positions rope --prefix-positions continued)
