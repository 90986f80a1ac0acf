# Row 3 at reduced width: decoder-only, with as many layers as give it the size of row 2 at reduced width.
source "$(dirname "${BASH_SOURCE[0]}")/row3_decoder_only_18.sh"
source "$(dirname "${BASH_SOURCE[0]}")/sizes/reduced.sh"
MODEL_ARGS+=(--decoder-layers 12)
