#!/usr/bin/env bash
# Train and score one model on MuST-C; a second run goes on where the first ended, with other models the data is made once.
#
#   bash recipes/mustc/run.sh [OPTION...] LANGUAGES MODEL_FILE [-- FAIRSEQ_TRAIN_ARGUMENT...]
#   bash recipes/mustc/run.sh --root corpora/mustc de recipes/models/row5_dfp_conformer.sh
#
#   LANGUAGES               target language: the folder SOURCE-LANGUAGE of the corpus, also for asr; de+fr is one model for both
#   MODEL_FILE              one of recipes/models
#   --root DIR              corpus in MuST-C's layout: DIR/en-de/data/{train,dev,tst-COMMON}/{wav,txt}    [corpora/mustc]
#   --task asr|st|joint     transcribe, translate, or both in one model by tag                            [st]
#   --training FILE         one of recipes/training                                      [recipes/training/paper.sh]
#   --out DIR               holds DIR/TASK-SOURCE-LANGUAGES/data, and a folder per model beside it    [experiments/mustc]
#   --name NAME             folder of this experiment                                          [the model file's name]
#   --source-lang LANGUAGE                                                                                [en]
#   --average-last N        checkpoints to average                                           [as in the training file]
#   --kd own|nllb[:MODEL]|FILE  train on a teacher's translations of the training set as well: of a text model trained first, of a
#                           pretrained one (NLLB-200 3.3B), or in a file of `speechllm translate` or fairseq-generate          [none]
#   --kd-mode MODE          append them to the original texts, replace these, kbest, interpolate, or sequence_kd: both at once   [append]
#   --vocab-size N, --transcript-vocab-size N, --transcript-vocab-from DIR, --features stored|online, --workers N
#                           as `speechllm prepare mustc`
#   --hold-out COLUMN=VALUE leave rows with this value of a column of the manifests out of training and development, as in
#                           --hold-out speaker=spk.3; may stand several times. Such data need an --out of their own         [none]
#   --silence               decode a test set without speech as well (`speechllm silence`)
#   FAIRSEQ_TRAIN_ARGUMENT  replaces or adds to the training file's, as in: -- --init-encoder-from ASR/average.pt
set -euo pipefail
recipes=$(cd "$(dirname "$0")/.." && pwd)
source "$recipes/help.sh"
source "$recipes/environment.sh"
exec python3 -m speechllm_plugin.experiments run mustc "$@"
