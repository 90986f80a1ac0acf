#!/usr/bin/env bash
# What mustc/run.sh and covost2/run.sh do; they set `corpus` and `recipes`, source this, and say what their positional arguments are.

declare -A default_training=([mustc]=paper.sh [covost2]=paper_covost2.sh)
root=corpora/$corpus task=st training=$recipes/training/${default_training[$corpus]} experiments=experiments/$corpus source_lang=en
name='' average_last='' kd='' kd_mode='' with_silence='' prepare_args=() positional=() extra_training_args=()

usage_error() {
  echo "$corpus/run.sh: error: $*; \`bash recipes/$corpus/run.sh --help\` describes the arguments" >&2
  exit 2
}

# parse_arguments "NAME..." ARGUMENT...: NAMEs of the positional arguments.
parse_arguments() {
  local expected=$1 file names
  shift
  while (($#)); do
    case $1 in
      -h | --help) sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p;}' "$0" && exit ;;
      --silence) with_silence=1 && shift ;;
      --) shift && extra_training_args=("$@") && break ;;
      --*) [[ $# -gt 1 ]] || usage_error "$1 needs a value" ;;&
      --root) root=$2 && shift 2 ;;
      --task) task=$2 && shift 2 ;;
      --training) training=$2 && shift 2 ;;
      --out) experiments=$2 && shift 2 ;;
      --name) name=$2 && shift 2 ;;
      --source-lang) source_lang=$2 && shift 2 ;;
      --average-last) average_last=$2 && shift 2 ;;
      --kd) kd=$2 && shift 2 ;;
      --kd-mode) kd_mode=$2 && shift 2 ;;
      --vocab-size | --transcript-vocab-size | --transcript-vocab-from | --features | --workers | --sampling-alpha | --hold-out)
        prepare_args+=("$1" "$2") && shift 2 ;;
      -*) usage_error "unknown option $1" ;;
      *) positional+=("$1") && shift ;;
    esac
  done
  read -ra names <<<"$expected"
  [[ ${#positional[@]} == "${#names[@]}" ]] ||
    usage_error "$expected are needed, but ${#positional[@]} arguments were given: ${positional[*]:-}"
  [[ $task == asr || $task == st || $task == joint ]] || usage_error "--task must be asr, st or joint, but is $task"
  [[ -z $kd_mode || -n $kd ]] || usage_error "--kd-mode needs --kd"
  [[ ${kd_mode:=append} =~ ^(append|replace|kbest|interpolate|sequence_kd)$ ]] ||
    usage_error "--kd-mode must be append, replace, kbest, interpolate or sequence_kd, but is $kd_mode"
  [[ -z $kd || $task == st ]] || usage_error "--kd distills translations: it needs --task st, but --task is $task"
  [[ $kd =~ ^(own|nllb|nllb:.+|)$ || -f $kd ]] || usage_error "--kd must be own, nllb, nllb:MODEL or a file of translations, but is $kd"
  for file in "${positional[-1]}" "$training"; do [[ -f $file ]] || usage_error "$file is no file"; done
}

# Uses what parse_arguments set, and `source_lang`, `targets` and `model`.
run_one() {
  local folder data out split
  source "$recipes/environment.sh"
  source "$recipes/pipeline.sh"
  source "$recipes/experiment.sh"
  source "$recipes/distillation.sh"
  source "$training"
  use_model "$model"
  share_among_gpus "$(visible_gpus)"
  AVERAGE_LAST=${average_last:-$AVERAGE_LAST}
  folder=$(experiment_folder "$experiments" "$task" "$source_lang" "$targets")
  data=$folder/data out=$folder/${name:-$(basename "$model" .sh)} split=${test_split[$corpus]}
  prepare_corpus "$corpus" "$root" "$task" "$source_lang" "$targets" "$data" "${prepare_args[@]}"
  if [[ -n $kd ]]; then
    distill "$folder" "$kd" "$kd_mode" "$split"
    data=$kd_data out=$out-$kd_name
  fi
  [[ -z $with_silence ]] || silence "$data"
  TRAINING_ARGS+=("${extra_training_args[@]}")
  train "$data" "$out"
  average "$out"
  evaluate "$task" "$source_lang" "$targets" "$data" "$out" "$split"
  [[ $task != joint ]] || summary "${split}_asr" "$out"
  summary "$split" "$out"
}
