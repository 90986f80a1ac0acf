# Row 5.1 at reduced width, with states of blanks dropped in place of runs that are averaged.
source "$(dirname "${BASH_SOURCE[0]}")/reduced_row5.1_dfp_conformer_compressed.sh"
MODEL_ARGS+=(--ctc-compression drop_blank_states)
