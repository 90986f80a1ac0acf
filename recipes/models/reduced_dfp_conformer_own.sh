# Row 5 at reduced width, with sinusoids for the speech in the decoder as well.
source "$(dirname "${BASH_SOURCE[0]}")/reduced_row5_dfp_conformer.sh"
MODEL_ARGS+=(--prefix-positions own)
