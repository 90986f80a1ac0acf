# Row 5 at reduced width: decoder-prepend Conformer with CTC.
source "$(dirname "${BASH_SOURCE[0]}")/row5_dfp_conformer.sh"
source "$(dirname "${BASH_SOURCE[0]}")/sizes/reduced.sh"
MODEL_ARGS+=(--ctc-layer 6)
