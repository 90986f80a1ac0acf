# Row 3 at reduced width, with feed-forward networks of its own for speech.
source "$(dirname "${BASH_SOURCE[0]}")/reduced_row3_decoder_only_12.sh"
MODEL_ARGS+=(--speech-ffn)
