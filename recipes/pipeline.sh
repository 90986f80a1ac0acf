#!/usr/bin/env bash
# Stages of one experiment; each can be repeated: done with the same options and inputs = skipped, interrupted = resumed or redone.
# One process at a time makes a product; a second one ends with an error.
#   source recipes/environment.sh; source recipes/pipeline.sh
#   source recipes/models/M.sh               MODEL_ARGS=(...)
#   source recipes/training/T.sh             PREPARE_ARGS=(...) TRAINING_ARGS=(...) GENERATION_ARGS=(...) AVERAGE_LAST=N
#                                            MACHINE_ARGS=(...) are more training arguments, which may be others when a training goes on elsewhere
#   prepare DATA COMMAND...                  runs COMMAND, which fills the folder DATA; log in DATA/prepare.log
#   train DATA OUT                           OUT/checkpoints, OUT/train.log; other options or data than before are an error
#   average OUT                              OUT/average.pt
#   generate DATA OUT SPLIT                  OUT/generate-SPLIT.txt, OUT/generate-SPLIT.log
#   score DATA OUT SPLIT METRIC...           OUT/score-SPLIT.json, OUT/score-SPLIT.log
#   silence DATA                             DATA/silence.tsv, a test set without speech (SILENCE_ARGS=(--num N)); decode it by: generate DATA OUT silence
#   check_metrics DATA SPLIT METRIC...       an error before the training if the metrics cannot be computed here
#   run_pipeline DATA OUT SPLIT METRIC...    check_metrics, train, average, generate, score (SCORE_ARGS=(--by COLUMN) adds scores per value)
#   report HTML [NAME=]OUT[,OUT...]...       compares finished experiments in one page (REPORT_ARGS=(--split SPLIT)); a comma joins training seeds
#   summary SPLIT OUT...                     the table (parameters, scores, speeds) and where every file went
# With dry_run=1 the stages print the commands that they would run, and how much training is to be expected.
set -euo pipefail
held_lock=  # of the stage that runs
dry_run=${dry_run:-} expected_frames=${expected_frames:-0}  # frames of a training set that a dry run does not find, if they are known
SCORE_ARGS=() SILENCE_ARGS=() REPORT_ARGS=() MACHINE_ARGS=()
declare -A VOCAB_SIZE=()  # of training files for recipes/study.sh

pipeline_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
speechllm=(python3 -m speechllm_plugin.commands.cli)

# What every experiment of the study shares (recipes/training holds what depends on the corpus and the machine).
plugin_args=(--user-dir "$pipeline_root/speechllm_plugin" --task speechllm_speech_to_text)
optimizer_args=(
  --criterion ctc_cross_entropy --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 10
  --log-format json --log-interval 50
)
decoding_args=(--beam 5 --no-repeat-ngram-size 5 --unkpen 10000)

# experiments COMMAND...: what is planned and tabulated in Python.
experiments() {
  python3 -m speechllm_plugin.experiments "$@"
}

prepare() {
  local data=$1
  shift
  [[ -n $dry_run ]] || mkdir -p "$data"
  run_stage prepare "$data" "$data/prepare.log" "$data/.prepare.done" "$(one_option_a_line "$@")" -- show_all "$@"
}

# show_all COMMAND...: its output goes to run_stage's log and to the console (3); progress bars only to a terminal.
show_all() {
  [[ -t 3 ]] || local -x TQDM_DISABLE=1
  "$@" 2>&1 | tee_until_end
}

# show_results COMMAND...: as show_all, but what it says on stderr goes to the log only.
show_results() {
  "$@" | tee_until_end
}

# tee_until_end: what comes in goes to $log and to the console (3), also after Ctrl-C: the last words of a command explain its end.
tee_until_end() {
  trap '' INT TERM
  exec tee -a "$log" >&3
}

# fairseq-train itself resumes from OUT/checkpoints/checkpoint_last.pt.
train() {
  local data=$1 out=$2 options started=$2/.train.options
  options=$(one_option_a_line "${plugin_args[@]:2}" "${optimizer_args[@]}" "${MODEL_ARGS[@]}" "${TRAINING_ARGS[@]}")
  [[ -n $dry_run && ! -e $data/train.tsv ]] || options+=$'\n'"data $(cat "$data/train.tsv" "$data/config.yaml" | cksum)"
  if [[ -f $started && $(<"$started") != "$options" ]]; then  # also in a dry run
    diff "$started" - <<<"$options" >&2 || true
    stage_error "train: $out was begun with other options or data (< then, > now); give another folder, or remove $started to go on with these"
    return 1
  fi
  [[ -n $dry_run ]] || { mkdir -p "$out" && echo "$options" >"$started"; }
  run_stage train "$out" "$out/train.log" "$out/.train.done" "$options" -- \
    show_validations fairseq-train "$data" --valid-subset dev --save-dir "$out/checkpoints" "${plugin_args[@]}" "${optimizer_args[@]}" "${MODEL_ARGS[@]}" "${TRAINING_ARGS[@]}" "${MACHINE_ARGS[@]}"
}

# show_validations COMMAND...: its output goes to run_stage's log; the console (3) sees a short line per validation.
show_validations() {
  [[ -z ${MACHINE_ARGS[*]} ]] || echo "          for the GPUs here: ${MACHINE_ARGS[*]}" >&3
  "$@" 2>&1 | experiments show-validations
}

average() {
  local out=$1
  run_stage average "$out/average.pt" "$out/average.log" "$out/.average.done" "last $AVERAGE_LAST" "$out/.train.done" -- \
    "${speechllm[@]}" average --inputs "$out/checkpoints" --num "$AVERAGE_LAST" --output "$out/average.pt"
}

generate() {
  local data=$1 out=$2 split=$3 options
  options=$(one_option_a_line "${decoding_args[@]}" "${GENERATION_ARGS[@]}")
  run_stage generate "$out/generate-$split.txt" "$out/generate-$split.log" "$out/.generate-$split.done" "$options" "$out/average.pt" "$data/$split.tsv" -- \
    fairseq-generate "$data" --path "$out/average.pt" --gen-subset "$split" --results-path "$out" "${plugin_args[@]}" "${decoding_args[@]}" "${GENERATION_ARGS[@]}"
}

score() {
  local data=$1 out=$2 split=$3
  shift 3
  run_stage score "$out/score-$split.json" "$out/score-$split.log" "$out/.score-$split.done" "$* ${SCORE_ARGS[*]}" "$out/.generate-$split.done" -- \
    show_all "${speechllm[@]}" score --hypotheses "$out/generate-$split.txt" --manifest "$data/$split.tsv" --json "$out/score-$split.json" \
    --metrics "$@" "${SCORE_ARGS[@]}"
}

silence() {
  local data=$1
  run_stage silence "$data/silence.tsv" "$data/silence.log" "$data/.silence.done" "${SILENCE_ARGS[*]}" "$data/train.tsv" -- \
    show_all "${speechllm[@]}" silence --data "$data" "${SILENCE_ARGS[@]}"
}

report() {
  local html=$1 stamp inputs
  shift
  stamp=$(dirname "$html")/.$(basename "$html" .html).done
  mapfile -d "" -t inputs < <(report_inputs "$@" "${REPORT_ARGS[@]}")
  [[ -n $dry_run ]] || mkdir -p "$(dirname "$html")"
  run_stage report "$html" "${html%.html}.log" "$stamp" "$* ${REPORT_ARGS[*]}" "${inputs[@]}" -- \
    show_results "${speechllm[@]}" report "$@" --out "$html" "${REPORT_ARGS[@]}"
}

# report_inputs ARGUMENT...: the files among the arguments, and those that say when an experiment among them was decoded, a zero byte behind each.
report_inputs() {
  local argument path paths
  for argument in "$@"; do
    IFS=, read -r -d "" -a paths < <(printf '%s\0' "${argument#*=}")
    for path in "${paths[@]}"; do
      if [[ -f $path ]]; then printf '%s\0' "$path"; fi
      if [[ -d $path ]]; then find "$path" -maxdepth 1 -name '.generate-*.done' -print0; fi
    done
  done
}

check_metrics() {
  local data=$1 split=$2
  shift 2
  [[ -n $dry_run ]] || "${speechllm[@]}" score --check --manifest "$data/$split.tsv" --metrics "$@" >/dev/null || { stage_error "score: $* cannot be computed (above)"; return 1; }
}

run_pipeline() {
  local data=$1 out=$2 split=$3
  shift 3
  check_metrics "$data" "$split" "$@" && train "$data" "$out" && average "$out" && generate "$data" "$out" "$split" && score "$data" "$out" "$split" "$@"
}

summary() {
  [[ -n $dry_run ]] || experiments summary "$@"
}

# run_stage NAME PRODUCT LOG STAMP OPTIONS [INPUT...] -- COMMAND...
# Runs COMMAND unless STAMP says that it ended well with the same OPTIONS after the last change of every INPUT.
run_stage() {
  local name=$1 product=$2 log=$3 stamp=$4 options=$5 start=$SECONDS inputs=()
  shift 5
  while [[ $1 != -- ]]; do inputs+=("$1") && shift; done
  shift
  printf '%-8s  %s' "$name" "$product"
  if is_done "$product" "$stamp" "$options" "${inputs[@]}"; then
    echo "  (done before)"
    return
  fi
  echo
  if [[ -n $dry_run ]]; then
    [[ $1 != show_* ]] || shift
    printf '          $'
    printf ' %q' "$@"
    printf '\n'
    [[ $name != train ]] || echo "          # $(experiments expected-work "$2" "$expected_frames" "${TRAINING_ARGS[@]}")"
    return
  fi
  local lock=${stamp%.done}.lock held
  hold "$lock" "$product" || return 1
  rm -f "$stamp"
  [[ $1 == show_* ]] && echo "\$ ${*:2}" >>"$log" || echo "\$ $*" >>"$log"
  if ! "$@" 3>&1 >>"$log" 2>&1; then
    [[ $1 == show_all ]] || end_of "$log" >&2  # else it stands on the console
    stage_error "$name: failed (see above; log: $log); the same command goes on from here"
    release "$lock"
    return 1
  fi
  echo "$options" >"$stamp"
  release "$lock"
  echo "          done in $((SECONDS - start)) s"
}

# hold LOCK PRODUCT: one stage at a time makes PRODUCT. The lock ends with this shell and the commands that it started, however they end.
# Sets $held to its file descriptor.
hold() {
  local lock=$1 product=$2
  while true; do
    exec {held}>>"$lock"
    if ! flock --nonblock "$held"; then
      stage_error "$product: is being made by $(cat "$lock"), or by what that started; wait until it ends"
      exec {held}>&-
      return 1
    fi
    [[ ! $lock -ef /dev/fd/$held ]] || break  # else whoever had it has removed it meanwhile
    exec {held}>&-
  done
  echo "process $$ on $(hostname), since $(date '+%F %T')" >"$lock"
  held_lock=$lock
}

release() {
  rm -f "$1"
  held_lock=
  exec {held}>&-
}

# end_of LOG: the error of the command that ran last, where that is the one line of a command of ours or of fairseq's; else what may explain it.
end_of() {
  local said
  said=$(awk '/^\$ / { number = 0; next } { lines[number++] = $0 } END { for (i = (number > 15 ? number - 15 : 0); i < number; i++) print lines[i] }' "$1")
  grep -E '^[a-z-]+: error: ' <<<"$said" || echo "$said"
}

is_done() {  # PRODUCT STAMP OPTIONS [INPUT...]
  local product=$1 stamp=$2 options=$3 input
  shift 3
  [[ -e $product && -f $stamp && $(<"$stamp") == "$options" ]] || return 1
  for input in "$@"; do
    [[ ! $input -nt $stamp ]] || return 1
  done
}

one_option_a_line() {
  local all="$*"
  printf '%s\n' "${all// --/$'\n'--}"
}

stage_error() {
  echo "pipeline: error: $*" >&2
}
