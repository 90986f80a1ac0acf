#!/usr/bin/env bash
# One experiment = a corpus, a task, languages and a model; what mustc/run.sh, covost2/run.sh and study.sh share.
#   source recipes/environment.sh; source recipes/pipeline.sh; source recipes/experiment.sh
#   source recipes/training/T.sh                           PREPARE_ARGS TRAINING_ARGS GENERATION_ARGS AVERAGE_LAST
#                                                          [SIZE_ARGS LAYERS_DIVIDED_BY VOCAB_SIZE]
#   experiment_folder OUT TASK SOURCES TARGETS             prints OUT/TASK-SOURCES-TARGETS
#   prepare_corpus CORPUS ROOT TASK SOURCES TARGETS DATA [PREPARE_ARGUMENT...]
#   use_model MODEL_FILE                                   MODEL_ARGS, with the sizes of the training file if it has any: flags in SIZE_ARGS,
#                                                          layers divided by LAYERS_DIVIDED_BY and rounded up
#   share_among_gpus N                                     TRAINING_ARGS, meant for one GPU, with as many frames an update on N
#   evaluate TASK SOURCES TARGETS DATA OUT SPLIT           decodes and scores the test set, or both of a joint model; with with_silence=1
#                                                          decodes a set without speech as well, which `silence DATA` makes
# TASK is asr, st or joint (one model for both, by tag); SOURCES and TARGETS are languages joined by +, as in de+fr.

declare -A metrics=([asr]="wer cer" [st]="bleu chrf")
declare -A test_split=([mustc]=tst-COMMON [covost2]=test)
with_silence=${with_silence:-}
SIZE_ARGS=() LAYERS_DIVIDED_BY=1
declare -A VOCAB_SIZE=()  # of a training file for study.sh: by task, and [transcript]; none is the paper's

experiment_folder() {
  echo "$1/$2-$3-$4"
}

# prepare_command CORPUS ROOT TASK SOURCES TARGETS DATA [PREPARE_ARGUMENT...]: the command, one word a line.
prepare_command() {
  local sources targets
  IFS=+ read -ra sources <<<"$4"
  IFS=+ read -ra targets <<<"$5"
  printf '%s\n' "${speechllm[@]}" prepare "$1" --root "$2" --task "$3" --source-lang "${sources[@]}" --target-lang "${targets[@]}" --out "$6" \
    "${PREPARE_ARGS[@]}" "${@:7}"
}

prepare_corpus() {
  local command
  mapfile -t command < <(prepare_command "$@")
  prepare "$6" "${command[@]}"
}

use_model() {
  local index
  source "$1"
  for index in "${!MODEL_ARGS[@]}"; do
    case ${MODEL_ARGS[index]} in
      --encoder-layers | --ctc-layer | --decoder-layers)
        MODEL_ARGS[index + 1]=$(((MODEL_ARGS[index + 1] + LAYERS_DIVIDED_BY - 1) / LAYERS_DIVIDED_BY)) ;;
    esac
  done
  MODEL_ARGS+=("${SIZE_ARGS[@]}")
}

visible_gpus() {
  python3 -c 'import torch; print(max(1, torch.cuda.device_count()))'
}

share_among_gpus() {
  local gpus=$1 update_freq
  update_freq=$(last_value --update-freq 1)
  ((gpus > 1)) || return 0
  ((update_freq % gpus == 0)) || {
    stage_error "--update-freq $update_freq cannot be shared among $gpus GPUs: let CUDA_VISIBLE_DEVICES name a number of them that divides it"
    return 1
  }
  TRAINING_ARGS+=(--update-freq $((update_freq / gpus)))
}

evaluate() {
  local task=$1 sources=$2 targets=$3 data=$4 out=$5 split=$6 SCORE_ARGS=()
  [[ $sources != *+* ]] || SCORE_ARGS=(--by src_lang)
  [[ $targets != *+* ]] || SCORE_ARGS=(--by tgt_lang)
  if [[ $task == joint ]]; then
    evaluate_split "$data" "$out" "${split}_asr" asr || return
    task=st
  fi
  evaluate_split "$data" "$out" "$split" "$task" || return
  [[ -z $with_silence ]] || generate "$data" "$out" silence
}

evaluate_split() {
  local data=$1 out=$2 split=$3 task=$4
  # shellcheck disable=SC2086  # one word per metric
  generate "$data" "$out" "$split" && score "$data" "$out" "$split" ${metrics[$task]}
}
