#!/usr/bin/env bash
# The parts of study.sh: which experiments there are, what each depends on, and how they are run. It reads the variables that study.sh sets.
# An experiment's name is its folder below --out: mustc/st-en-de/row5_dfp_conformer-seed1.

declare -A root_of=() frames_of=() details=()
folders=() experiments=() model_files=()

plan() {
  local root corpus task
  for root in "${roots[@]}"; do
    corpus=$(corpus_at "$root")
    [[ -z ${root_of[$corpus]:-} ]] || study_error "$root and ${root_of[$corpus]} are both laid out as $corpus; give one of each"
    root_of[$corpus]=$root
  done
  read_rows
  for corpus in "${!root_of[@]}"; do
    for task in ${tasks//,/ }; do
      [[ $task != */* || -n ${root_of[${task%%/*}]:-} ]] || study_error "--tasks $task needs the corpus ${task%%/*}, but its root is not given"
    done
  done
  for corpus in mustc covost2; do
    [[ -z ${root_of[$corpus]:-} ]] || plan_corpus "$corpus"
  done
  ((${#experiments[@]})) || study_error "--tasks $tasks names no task for the corpora given"
}

corpus_at() {
  local found=() candidate
  for candidate in "$1"/*-*/data; do [[ -d $candidate ]] && found=(mustc) && break; done
  for candidate in "$1"/*/covost_v2.*_*.tsv; do [[ -f $candidate ]] && found+=(covost2) && break; done
  [[ ${#found[@]} == 1 ]] ||
    study_error "$1 must hold en-de/data and so on (MuST-C) or de/covost_v2.de_en.tsv and so on (CoVoST2), but holds ${found[*]:-neither}"
  echo "${found[0]}"
}

read_rows() {
  local row found
  rows=${rows/table1/1,2,3,4,4.1,5,5.1,6}
  for row in ${rows//,/ }; do
    case $row in
      table3) found=("$recipes"/models/table3_*.sh) ;;
      [0-9]*) found=("$recipes/models/row${row}"_*.sh) ;;
      *) found=("$recipes/models/$row.sh") ;;
    esac
    [[ -f ${found[0]} ]] || study_error "--rows $row: there is no ${found[0]#"$recipes/"}"
    model_files+=("${found[@]}")
  done
}

# The directions of a corpus, SOURCE:TARGET, one a line.
directions() {
  local path name
  if [[ $1 == mustc ]]; then
    for path in "${root_of[mustc]}"/*-*/data; do name=${path%/data} && name=${name##*/} && echo "${name%%-*}:${name#*-}"; done
  else
    for path in "${root_of[covost2]}"/*/covost_v2.*_*.tsv; do name=${path##*/covost_v2.} && name=${name%.tsv} && echo "${name%%_*}:${name#*_}"; done
  fi
}

plan_corpus() {
  local corpus=$1 task all languages kind sources targets recognition chosen=asr,st-multi
  mapfile -t all < <(directions "$corpus")
  [[ $corpus == covost2 ]] || chosen=asr,st-es,st-de,st-multi
  chosen=${tasks:-$chosen}
  for task in ${chosen//,/ }; do
    [[ $task != */* || $task == "$corpus"/* ]] || continue
    task=${task#*/} kind=${task%%-*} languages='' recognition=''
    [[ $task != *-* ]] || languages=${task#*-}
    [[ $kind == asr || $kind == st || $kind == joint ]] || study_error "--tasks: a task is asr, st-LANGUAGES or joint-LANGUAGES, but is $task"
    [[ $kind == asr || -n $languages ]] || study_error "--tasks: $kind needs languages, as in $kind-de"
    resolve "$corpus" "$kind" "$languages" "${all[@]}"
    [[ $kind != st ]] || add_recognition "$corpus" "$sources" "$targets"
    add_experiments "$corpus" "$kind" "$sources" "$targets" "$recognition"
  done
}

# resolve CORPUS KIND LANGUAGES DIRECTION...: sets sources and targets, joined by +.
resolve() {
  local corpus=$1 kind=$2 languages=$3 source target
  shift 3
  if [[ $languages == *:* ]]; then
    sources=${languages%%:*} targets=${languages#*:}
  elif [[ $corpus == mustc ]]; then
    sources=${1%%:*} targets=${languages:-${1#*:}}
    [[ $languages != multi ]] || targets=$(joined "${@#*:}")
    [[ $kind != asr ]] || targets=${targets%%+*}
  else
    sources=${languages:-multi} targets=en
    if [[ $sources == multi ]]; then
      local into_english=()
      for source in "$@"; do [[ $source != *:en ]] || into_english+=("${source%%:*}"); done
      sources=$(joined "${into_english[@]}")
      [[ -n $sources || $kind != asr || -n $languages ]] || sources=${1%%:*} targets=${1#*:}
    fi
  fi
  for source in ${sources//+/ }; do
    for target in ${targets//+/ }; do
      [[ " $* " == *" $source:$target "* ]] ||
        study_error "--tasks $corpus/$kind${languages:+-$languages} needs the direction $source-$target, but ${root_of[$corpus]} has only ${*//:/-}"
    done
  done
  [[ -n $sources ]] ||
    study_error "--tasks $corpus/$kind${languages:+-$languages}: no source into English in ${root_of[$corpus]}, which has ${*//:/-}; name SOURCES:TARGETS"
}

joined() {
  local IFS=+
  echo "$*"
}

# The recognition that a translation starts from: of the same sources, whatever else is planned. Sets recognition, its folder.
add_recognition() {
  local corpus=$1 sources=$2 targets=$3 folder
  for folder in "${folders[@]}"; do
    [[ $folder != "$out/$corpus/asr-$sources-"* ]] || { recognition=$folder && return; }
  done
  add_experiments "$corpus" asr "$sources" "${targets%%+*}" ''
  recognition=$out/$corpus/asr-$sources-${targets%%+*}
}

# folders: CORPUS KIND SOURCES TARGETS and, for a translation, the folder of its recognition, by folder in `details`.
add_experiments() {
  local corpus=$1 kind=$2 sources=$3 targets=$4 recognition=$5 folder seed model
  folder=$(experiment_folder "$out/$corpus" "$kind" "$sources" "$targets")
  [[ -z ${details[$folder]:-} ]] || return 0
  folders+=("$folder")
  [[ $kind == st ]] || recognition=''
  details[$folder]="$corpus $kind $sources $targets $recognition"
  for model in "${model_files[@]}"; do
    for seed in ${seeds//,/ }; do
      [[ $seed =~ ^[0-9]+$ ]] || study_error "--seeds must be numbers separated by commas, but is $seeds"
      experiments+=("${folder#"$out/"}/$(basename "$model" .sh)-seed$seed")
    done
  done
}

# In the order of dependencies: joint models depend on nothing and run with recognition.
list_experiments() {
  local experiment wave
  for wave in asr st; do
    [[ $1 == all || $1 == "$wave" ]] || continue
    for experiment in "${experiments[@]}"; do
      [[ $(wave_of "$experiment") != "$wave" ]] || echo "$experiment"
    done
  done
}

wave_of() {
  [[ $1 == */st-* ]] && echo st || echo asr
}

# use_training CORPUS: the settings of its experiments.
use_training() {
  local paper=$recipes/training/paper.sh
  [[ $1 == mustc ]] || paper=$recipes/training/paper_covost2.sh
  source "${training:-$paper}"
}

# data_command FOLDER [check]: `speechllm prepare` for it, one word a line; a check does not need what an earlier experiment makes.
data_command() {
  local corpus kind sources targets recognition more=() size
  read -r corpus kind sources targets recognition <<<"${details[$1]}"
  use_training "$corpus"
  read -ra more <<<"$prepare_arguments"
  size=${VOCAB_SIZE[$kind]:-}
  [[ -z $size ]] || more+=(--vocab-size "$size")
  if [[ ${2:-} == check ]]; then
    more+=(--check)
  elif [[ -n $recognition ]]; then
    more+=(--transcript-vocab-from "$recognition/data")
  elif [[ -n ${VOCAB_SIZE[transcript]:-} ]]; then
    more+=(--transcript-vocab-size "${VOCAB_SIZE[transcript]}")
  fi
  more+=("${hold_out[@]}")
  prepare_command "$corpus" "${root_of[$corpus]}" "$kind" "$sources" "$targets" "$1/data" "${more[@]}"
}

# Reads all texts and looks for all sound files before anything is written or trained.
check_inputs() {
  local folder command report
  for folder in "${folders[@]}"; do
    [[ ! -e $folder/data/.prepare.done ]] || continue
    mapfile -t command < <(data_command "$folder" check)
    report=$("${command[@]}") || exit 1
    echo "check     $folder/data"
    sed '/^$/d; s/^/          /' <<<"$report"
    frames_of[$folder/data]=$(awk '$1 == "train" && $3 ~ /^[0-9.]+$/ { printf "%d", $3 * 360000 }' <<<"$report")
  done
}

expected_frames() {
  echo "${frames_of[$1]:-}"
}

prepare_all() {
  local folder command
  for folder in "${folders[@]}"; do
    mapfile -t command < <(data_command "$folder")
    prepare "$folder/data" "${command[@]}"
    [[ -z $with_silence ]] || silence "$folder/data"
  done
}

# gpus: those that are visible; gpus_of_one: those of one experiment, all of them unless several run at a time.
count_gpus() {
  gpus=$(visible_gpus)
  gpus_of_one=$((jobs == 1 ? gpus : 1))
}

# run_experiment NAME: trains, averages, decodes and scores.
run_experiment() {
  local experiment=$1 folder model seed corpus kind sources targets recognition start
  [[ " ${experiments[*]} " == *" $experiment "* ]] || study_error "--only $experiment is none of the experiments that --list names"
  folder=$out/${experiment%/*} model=${experiment##*/} seed=${experiment##*-seed}
  read -r corpus kind sources targets recognition <<<"${details[$folder]}"
  use_training "$corpus"
  use_model "$recipes/models/${model%-seed*}.sh"
  share_among_gpus "$gpus_of_one" || return
  TRAINING_ARGS+=(--seed "$seed")
  if [[ -n $recognition ]]; then
    start=$recognition/$model/average.pt
    [[ -n $dry_run || -f $start ]] || { stage_error "$experiment: starts from $start, which is not there: run that experiment first" && return 1; }
    TRAINING_ARGS+=(--init-encoder-from "$start")
    [[ " ${MODEL_ARGS[*]} " != *" --encoder none "* ]] || TRAINING_ARGS+=(--init-decoder-from "$start")
  fi
  train "$folder/data" "$out/$experiment" && average "$out/$experiment" &&
    evaluate "$kind" "$sources" "$targets" "$folder/data" "$out/$experiment" "${test_split[$corpus]}"
}

# run_wave asr|st: all experiments of a wave, --jobs at a time; one that fails does not stop the others.
run_wave() {
  local experiment started=0 pids=() names=() index devices=()
  IFS=, read -ra devices <<<"${CUDA_VISIBLE_DEVICES:-$(seq -s , 0 $((gpus - 1)))}"
  while read -r experiment; do
    if ((jobs == 1 || ${#dry_run})); then
      echo "== $experiment"
      run_experiment "$experiment" || failed+=("$experiment")
      continue
    fi
    while (($(jobs -rp | wc -l) >= jobs)); do wait -n || true; done
    mkdir -p "$out/$experiment"
    (
      export CUDA_VISIBLE_DEVICES=${devices[started % ${#devices[@]}]} OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
      run_experiment "$experiment" >"$out/$experiment/study.log" 2>&1
    ) &
    pids+=($!) names+=("$experiment") started=$((started + 1))
    echo "started   $experiment"
  done < <(list_experiments "$1")
  for index in "${!pids[@]}"; do
    wait "${pids[index]}" && echo "ended     ${names[index]}" && continue
    tail -n 3 "$out/${names[index]}/study.log" >&2
    failed+=("${names[index]}")
  done
}

write_table() {
  local arguments=(--out "$out" --seeds "$seeds" "${model_files[@]}")
  [[ -z $training ]] || arguments+=(--not-the-papers "$training")
  if [[ -n $dry_run ]]; then
    echo "table     $out/table.md"
    echo "In all: ${expected_total[0]} trainings, at most $(grouped "${expected_total[1]}") updates, $(grouped "${expected_total[2]}") frames."
  else
    python3 "$recipes/study_table.py" "${arguments[@]}"
  fi
}
