# Row 2 at reduced width: decoder-prepend Transformer.
source "$(dirname "${BASH_SOURCE[0]}")/row2_dfp_transformer.sh"
source "$(dirname "${BASH_SOURCE[0]}")/sizes/reduced.sh"
