#!/usr/bin/env bash
# Train and score one model on one MuST-C direction; a second run goes on where the first ended, with other models the data is made once.
#
#   bash recipes/mustc/run.sh [OPTION...] LANGUAGE MODEL_FILE [-- FAIRSEQ_TRAIN_ARGUMENT...]
#   bash recipes/mustc/run.sh --root corpora/mustc de recipes/models/row5_dfp_conformer.sh
#
#   LANGUAGE                target language: the folder SOURCE-LANGUAGE of the corpus, also for asr
#   MODEL_FILE              one of recipes/models
#   --root DIR              corpus in MuST-C's layout: DIR/en-de/data/{train,dev,tst-COMMON}/{wav,txt}    [corpora/mustc]
#   --task asr|st           transcribe or translate                                                       [st]
#   --training FILE         one of recipes/training                                      [recipes/training/paper.sh]
#   --out DIR               holds DIR/TASK-SOURCE-LANGUAGE/data, and a folder per model beside it     [experiments/mustc]
#   --name NAME             folder of this experiment                                          [the model file's name]
#   --source-lang LANGUAGE                                                                                [en]
#   --average-last N        checkpoints to average                                           [as in the training file]
#   --vocab-size N, --transcript-vocab-size N, --features stored|online, --workers N      as `speechllm prepare mustc`
#   FAIRSEQ_TRAIN_ARGUMENT  replaces or adds to the training file's, as in: -- --max-update 200
set -euo pipefail
recipes=$(cd "$(dirname "$0")/.." && pwd)

usage_error() {
  echo "mustc/run.sh: error: $*; \`bash recipes/mustc/run.sh --help\` describes the arguments" >&2
  exit 2
}

root=corpora/mustc task=st training=$recipes/training/paper.sh experiments=experiments/mustc source_lang=en
name='' average_last='' prepare_args=() positional=() extra_training_args=()
while (($#)); do
  case $1 in
    -h | --help) sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p;}' "$0" && exit ;;
    --) shift && extra_training_args=("$@") && break ;;
    --*) [[ $# -gt 1 ]] || usage_error "$1 needs a value" ;;&
    --root) root=$2 && shift 2 ;;
    --task) task=$2 && shift 2 ;;
    --training) training=$2 && shift 2 ;;
    --out) experiments=$2 && shift 2 ;;
    --name) name=$2 && shift 2 ;;
    --source-lang) source_lang=$2 && shift 2 ;;
    --average-last) average_last=$2 && shift 2 ;;
    --vocab-size | --transcript-vocab-size | --features | --workers) prepare_args+=("$1" "$2") && shift 2 ;;
    -*) usage_error "unknown option $1" ;;
    *) positional+=("$1") && shift ;;
  esac
done
[[ ${#positional[@]} == 2 ]] || usage_error "LANGUAGE and MODEL_FILE are needed, but ${#positional[@]} arguments were given: ${positional[*]:-}"
language=${positional[0]} model=${positional[1]}
[[ $task == asr || $task == st ]] || usage_error "--task must be asr or st, but is $task"
for file in "$model" "$training"; do [[ -f $file ]] || usage_error "$file is no file"; done

source "$recipes/environment.sh"
source "$recipes/pipeline.sh"
source "$training"  # PREPARE_ARGS TRAINING_ARGS GENERATION_ARGS AVERAGE_LAST
source "$model"     # MODEL_ARGS
TRAINING_ARGS+=("${extra_training_args[@]}")
AVERAGE_LAST=${average_last:-$AVERAGE_LAST}

declare -A metrics=([asr]="wer cer" [st]="bleu chrf")
data=$experiments/$task-$source_lang-$language/data
out=$experiments/$task-$source_lang-$language/${name:-$(basename "$model" .sh)}
prepare "$data" "${speechllm[@]}" prepare mustc --root "$root" --source-lang "$source_lang" --target-lang "$language" \
  --task "$task" --out "$data" "${PREPARE_ARGS[@]}" "${prepare_args[@]}"
# shellcheck disable=SC2086  # one word per metric
run_pipeline "$data" "$out" tst-COMMON ${metrics[$task]}
summary tst-COMMON "$out"
