# Row 6 at reduced width, of Conformer layers: as many as give it the size of row 5.
source "$(dirname "${BASH_SOURCE[0]}")/reduced_row6_decoder_only_20.sh"
MODEL_ARGS+=(--decoder-layer conformer --decoder-layers 11)
