# Row 4.1 at reduced width: cross-attention Conformer with CTC compression.
source "$(dirname "${BASH_SOURCE[0]}")/row4.1_xattn_conformer_compressed.sh"
source "$(dirname "${BASH_SOURCE[0]}")/sizes/reduced.sh"
MODEL_ARGS+=(--ctc-layer 6)
