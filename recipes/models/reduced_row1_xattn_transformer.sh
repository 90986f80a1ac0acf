# Row 1 at reduced width: cross-attention Transformer.
source "$(dirname "${BASH_SOURCE[0]}")/row1_xattn_transformer.sh"
source "$(dirname "${BASH_SOURCE[0]}")/sizes/reduced.sh"
