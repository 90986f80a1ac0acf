# The same with feed-forward networks of its own for speech: more parameters, the same operations.
source "$(dirname "${BASH_SOURCE[0]}")/reduced_decoder_only_11_conformer.sh"
MODEL_ARGS+=(--speech-ffn)
