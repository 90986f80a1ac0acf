# The same with as many layers as give it the size of row 5.
source "$(dirname "${BASH_SOURCE[0]}")/reduced_decoder_only_11_conformer_speech_ffn.sh"
MODEL_ARGS+=(--decoder-layers 6)
