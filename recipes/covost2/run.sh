#!/usr/bin/env bash
# Train and score one model on CoVoST2; a second run goes on where the first ended, with other models the data is made once.
#
#   bash recipes/covost2/run.sh [OPTION...] SOURCES TARGETS MODEL_FILE [-- FAIRSEQ_TRAIN_ARGUMENT...]
#   bash recipes/covost2/run.sh --root corpora/covost2 ca+de+es+fr en recipes/models/row5_dfp_conformer.sh
#
#   SOURCES TARGETS         languages, as in de en, en de, or ca+de+es+fr en: one model for all of them
#   MODEL_FILE              one of recipes/models
#   --root DIR              DIR/LANGUAGE/{clips/*.mp3,validated.tsv,covost_v2.SOURCE_TARGET.tsv}      [corpora/covost2]
#   --task asr|st|joint     transcribe, translate, or both in one model by tag                            [st]
#   --training FILE         one of recipes/training                              [recipes/training/paper_covost2.sh]
#   --out DIR               holds DIR/TASK-SOURCES-TARGETS/data, and a folder per model beside it   [experiments/covost2]
#   --name NAME             folder of this experiment                                          [the model file's name]
#   --average-last N        checkpoints to average                                           [as in the training file]
#   --kd own|nllb[:MODEL]|FILE  train on a teacher's translations of the training set as well: of a text model trained first, of a
#                           pretrained one (NLLB-200 3.3B), or in a file of `speechllm translate` or fairseq-generate          [none]
#   --kd-mode MODE          append them to the original texts, replace these, kbest, interpolate, or sequence_kd: both at once   [append]
#   --vocab-size N, --transcript-vocab-size N, --transcript-vocab-from DIR, --features stored|online, --workers N, --sampling-alpha A
#                           as `speechllm prepare covost2`
#   --hold-out COLUMN=VALUE leave rows with this value of a column of the manifests out of training and development, as in
#                           --hold-out "accent=other: Greek"; may stand several times. Such data need an --out of their own     [none]
#   --silence               decode a test set without speech as well (`speechllm silence`)
#   FAIRSEQ_TRAIN_ARGUMENT  replaces or adds to the training file's, as in: -- --init-encoder-from ASR/average.pt
set -euo pipefail
recipes=$(cd "$(dirname "$0")/.." && pwd)
source "$recipes/help.sh"
source "$recipes/environment.sh"
exec python3 -m speechllm_plugin.experiments run covost2 "$@"
