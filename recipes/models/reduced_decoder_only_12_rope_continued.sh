# Row 3 at reduced width, with rotary positions that go through speech and text, and no others.
source "$(dirname "${BASH_SOURCE[0]}")/reduced_row3_decoder_only_12.sh"
MODEL_ARGS+=(--decoder-positions rope --prefix-positions continued)
