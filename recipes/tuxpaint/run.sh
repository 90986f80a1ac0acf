#!/usr/bin/env bash
# Train and score one model on Tux Paint's stamps; a second run goes on where the first ended, with other models the data is made once.
#
#   bash recipes/tuxpaint/run.sh [OPTION...] SOURCES TARGETS MODEL_FILE [-- FAIRSEQ_TRAIN_ARGUMENT...]
#   bash recipes/tuxpaint/run.sh be+bg+ca+da+el+es+fr+ro+ru en recipes/models/reduced_row5_dfp_conformer.sh --sampling-alpha 0.5
#
#   SOURCES                 spoken: be bg ca da el es fr ro ru, several joined by + for one model of all
#   TARGETS                 written: en, or another language of the stamps' texts; with --task asr it only says whose texts are read beside: en
#   MODEL_FILE              one of recipes/models
#   --root DIR              what recipes/tuxpaint/get.sh unpacked                                 [corpora/tuxpaint]
#   --task asr|st|joint     transcribe, translate, or both in one model by tag                            [st]
#   --training FILE         one of recipes/training                                         [recipes/training/fillets.sh]
#   --out DIR               holds DIR/TASK-SOURCES-TARGETS/data, and a folder per model beside it  [experiments/tuxpaint]
#   --name NAME             folder of this experiment                                          [the model file's name]
#   --average-last N        checkpoints to average                                           [as in the training file]
#   --kd own|nllb[:MODEL]|FILE  train on a teacher's translations of the training set as well: of a text model trained first, of a
#                           pretrained one (NLLB-200 3.3B), or in a file of `speechllm translate` or fairseq-generate          [none]
#   --kd-mode MODE          append them to the original texts, replace these, kbest, interpolate, or sequence_kd: both at once   [append]
#   --vocab-size N, --transcript-vocab-size N, --transcript-vocab-from DIR, --features stored|online, --workers N, --sampling-alpha A
#                           as `speechllm prepare tuxpaint`
#   --hold-out COLUMN=VALUE leave rows with this value of a column of the manifests out of training and development, as in
#                           --hold-out sample_rate=8000; may stand several times. Such data need an --out of their own     [none]
#   --silence               decode a test set without speech as well (`speechllm silence`)
#   FAIRSEQ_TRAIN_ARGUMENT  replaces or adds to the training file's, as in: -- --init-encoder-from ASR/average.pt
set -euo pipefail
recipes=$(cd "$(dirname "$0")/.." && pwd)
source "$recipes/help.sh"
source "$recipes/environment.sh"
exec python3 -m speechllm_plugin.experiments run tuxpaint "$@"
