#!/usr/bin/env bash
# Train and score one model on Fish Fillets NG; a second run goes on where the first ended, with other models the data is made once.
#
#   bash recipes/fillets/run.sh [OPTION...] SOURCES TARGETS MODEL_FILE [-- FAIRSEQ_TRAIN_ARGUMENT...]
#   bash recipes/fillets/run.sh --task asr cs en recipes/models/reduced_row5_dfp_conformer.sh
#
#   SOURCES                 spoken: cs, nl, or cs+nl
#   TARGETS                 written: en de sv bg ru pl it fr es cs nl, several joined by + for one model of all; with --task asr it only
#                           says whose texts are read beside: en
#   MODEL_FILE              one of recipes/models
#   --root DIR              what recipes/fillets/get.sh unpacked                                   [corpora/fillets]
#   --task asr|st|joint     transcribe, translate, or both in one model by tag                            [st]
#   --training FILE         one of recipes/training                                         [recipes/training/fillets.sh]
#   --out DIR               holds DIR/TASK-SOURCES-TARGETS/data, and a folder per model beside it   [experiments/fillets]
#   --name NAME             folder of this experiment                                          [the model file's name]
#   --average-last N        checkpoints to average                                           [as in the training file]
#   --kd own|nllb[:MODEL]|FILE  train on a teacher's translations of the training set as well: of a text model trained first, of a
#                           pretrained one (NLLB-200 3.3B), or in a file of `speechllm translate` or fairseq-generate          [none]
#   --kd-mode MODE          append them to the original texts, replace these, kbest, interpolate, or sequence_kd: both at once   [append]
#   --vocab-size N, --transcript-vocab-size N, --transcript-vocab-from DIR, --features stored|online, --workers N, --sampling-alpha A
#                           as `speechllm prepare fillets`
#   --hold-out COLUMN=VALUE leave rows with this value of a column of the manifests out of training and development, as in
#                           --hold-out speaker=cs-small; may stand several times. Such data need an --out of their own     [none]
#   --silence               decode a test set without speech as well (`speechllm silence`)
#   FAIRSEQ_TRAIN_ARGUMENT  replaces or adds to the training file's, as in: -- --init-encoder-from ASR/average.pt
set -euo pipefail
recipes=$(cd "$(dirname "$0")/.." && pwd)
source "$recipes/help.sh"
source "$recipes/environment.sh"
exec python3 -m speechllm_plugin.experiments run fillets "$@"
