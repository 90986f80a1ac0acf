# Row 4 at reduced width: cross-attention Conformer with CTC.
source "$(dirname "${BASH_SOURCE[0]}")/row4_xattn_conformer.sh"
source "$(dirname "${BASH_SOURCE[0]}")/sizes/reduced.sh"
MODEL_ARGS+=(--ctc-layer 6)
