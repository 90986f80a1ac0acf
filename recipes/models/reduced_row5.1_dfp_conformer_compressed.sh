# Row 5.1 at reduced width: decoder-prepend Conformer with CTC compression.
source "$(dirname "${BASH_SOURCE[0]}")/row5.1_dfp_conformer_compressed.sh"
source "$(dirname "${BASH_SOURCE[0]}")/sizes/reduced.sh"
MODEL_ARGS+=(--ctc-layer 6)
