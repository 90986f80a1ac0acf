# Row 6 at reduced width: decoder-only, with as many layers as give it the size of row 5 at reduced width.
source "$(dirname "${BASH_SOURCE[0]}")/row6_decoder_only_32.sh"
source "$(dirname "${BASH_SOURCE[0]}")/sizes/reduced.sh"
MODEL_ARGS+=(--decoder-layers 20)
