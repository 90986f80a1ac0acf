#!/usr/bin/env bash
# Trainings of one comparison side by side, under equal conditions. pipeline.sh must be sourced before. Several visible GPUs are dealt out: each has as
# many trainings of a round, and of each model in turn (--jobs counts those on all of them).
#   begin SECONDS                            the clock runs from the script's start: after SECONDS what runs is stopped, and the script ends with
#                                            status 75, as the same command goes on; 0 = never
#   at_once JOBS MODELS TIMES                trainings of a round, where each of MODELS is trained TIMES times: the largest number up to JOBS of
#                                            which all rounds have as many; whole sets of MODELS if JOBS allows
#   train_in_rounds SIZE SECONDS             train_one 0, train_one 1, ... of all `folders`; SIZE start together, and the next when all have ended.
#                                            Sets waiting=yes where a round of SECONDS no longer fits before the stop
#   decode_side_by_side JOBS                 decode_one NUMBER of every folder that is trained; the next as soon as one ends
#   set_model_args MODEL_FILE [ARGUMENT...]  MODEL_ARGS, and TRAINING_ARGS from `common`, `minutes` and `gpu`; ARGUMENTs come last
#   end_with_failures                        an error that names what failed, if anything did
# The caller sets the arrays folders (of all models for the first seed or setting, then for the next) and models, and the functions train_one and
# decode_one, which take a number in folders.
seconds_to_start=60  # of a round beside its minutes: Python, data, CUDA graphs, the last validation
stop_at=0 waiting='' alarm='' gpus=() failures=$(mktemp)
trap 'rm -f "$failures"' EXIT
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}  # else each process takes all cores for what the CPU computes

stop_all() {
  local job
  trap '' ALRM
  for job in $(jobs -rp); do kill -TERM -- "-$job" 2>/dev/null || true; done
  wait
  stage_error "stopped after $SECONDS s; the same command goes on from here"
  exit "$1"
}

begin() {
  mapfile -t gpus < <(visible_gpus)
  set -m  # a process group for each, so that it can be stopped as a whole
  trap 'rm -f "$failures"; [[ -z $alarm ]] || kill -- "-$alarm" 2>/dev/null || true' EXIT
  trap 'stop_all 130' INT TERM
  trap 'stop_all 75' ALRM
  (($1)) || return 0
  stop_at=$1
  (sleep "$(($1 > SECONDS ? $1 - SECONDS : 0))" && kill -ALRM $$) >/dev/null 2>&1 &
  alarm=$!
  disown "$alarm"
}

at_once() {
  local jobs=$1 models=$2 times=$3 size
  size=$((jobs < models * times ? jobs : models * times))
  until ((size >= models ? size % models == 0 && times % (size / models) == 0 : models % size == 0)); do size=$((size - 1)); done
  echo "$size"
}

# start FUNCTION NUMBER: in the background, on one GPU; what fails is noted.
start() {
  (
    ((${#gpus[@]} < 2)) || export CUDA_VISIBLE_DEVICES=${gpus[($2 % ${#models[@]} + $2 / ${#models[@]}) % ${#gpus[@]}]}
    "$1" "$2" || echo "${folders[$2]}" >>"$failures"
  ) &
}

# start_when_free JOBS FUNCTION NUMBER: as start, when less than JOBS run.
start_when_free() {
  while (($(jobs -rp | wc -l) >= $1)); do wait -n || true; done
  start "${@:2}"
}

visible_gpus() {
  if [[ -n ${CUDA_VISIBLE_DEVICES+set} ]]; then tr , '\n' <<<"$CUDA_VISIBLE_DEVICES"; else nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null || true; fi
}

train_in_rounds() {
  local size=$1 seconds=$2 first number done_before begun never_begun
  [[ -z $dry_run ]] || size=1
  for ((first = 0; first < ${#folders[@]}; first += size)); do
    done_before=0 begun=0 never_begun=()
    for ((number = first; number < first + size; number++)); do
      if [[ -f ${folders[number]}/.train.done ]]; then done_before=$((done_before + 1))
      elif [[ -f ${folders[number]}/checkpoints/checkpoint_last.pt ]]; then begun=$((begun + 1))
      else never_begun+=("${folders[number]}"); fi
    done
    if ((size > 1 && done_before + begun && ${#never_begun[@]})) && [[ -z $uneven ]]; then
      stage_error "${never_begun[*]}: not begun, but $((done_before + begun)) others of its round of $size are trained or begun:" \
        "it would have the GPU for itself; remove the folders of that round to train all of it again, or add --uneven to train the rest alone"
      return 1
    fi
    if ((stop_at && done_before < size && SECONDS + seconds + seconds_to_start > stop_at)); then
      waiting=yes
      return 0
    fi
    ((size == 1 || done_before == size)) || echo "round $((first / size + 1)) of $((${#folders[@]} / size)): $size trainings side by side"
    for ((number = first; number < first + size; number++)); do
      ! was_scored_elsewhere "${folders[number]}" || continue
      forget_cut_off "${folders[number]}"
      start train_one "$number"
    done
    wait
  done
}

# forget_cut_off OUT: removes the checkpoints of a training that was cut off and kept no last one to go on from: the new one may end before them.
forget_cut_off() {
  [[ -z $dry_run && -d $1/checkpoints && ! -f $1/.train.done && ! -f $1/checkpoints/checkpoint_last.pt ]] || return 0
  [[ ! -e $1/.train.lock ]] || flock --nonblock "$1/.train.lock" true || return 0  # runs elsewhere: train says so
  echo "train     $1  (was cut off, and begins again)"
  rm -r "$1/checkpoints"
}

decode_side_by_side() {
  local jobs=$1 number
  [[ -z $dry_run ]] || jobs=1
  for ((number = 0; number < ${#folders[@]}; number++)); do
    [[ -n $dry_run || -f ${folders[number]}/.train.done ]] || continue
    start_when_free "$jobs" decode_one "$number"
  done
  wait
}

set_model_args() {
  local model_args
  model_args=$(experiments model-args "$1" "$training") || return
  mapfile -t MODEL_ARGS <<<"$model_args"
  TRAINING_ARGS=("${common[@]}")
  # Elsewhere than in C, some awk write a comma.
  [[ -z $minutes ]] || TRAINING_ARGS+=(--max-update 1000000 --stop-time-hours "$(LC_ALL=C awk "BEGIN { printf \"%.5f\", $minutes / 60 }")")
  [[ -z $gpu ]] || TRAINING_ARGS+=(--bf16)
  [[ -z $gpu ]] || is_fairseqs_own || TRAINING_ARGS+=(--optimizer speechllm_adam --num-batch-buckets 32 --cuda-graphs 64)
  TRAINING_ARGS+=("${@:2}")
}

# has_ctc: whether MODEL_ARGS are of a model with a CTC head.
has_ctc() {
  [[ " ${MODEL_ARGS[*]}" =~ \ --ctc-layer\ [1-9] ]]
}

# is_fairseqs_own: whether MODEL_ARGS are of a model of fairseq's, which reads padding off the longest row and cannot be recorded as a graph.
is_fairseqs_own() {
  [[ " ${MODEL_ARGS[*]} " == *" --arch s2t_"* ]]
}

# was_scored_elsewhere OUT: whether it was brought here without weights and checkpoints, so that its scores are taken as they are.
was_scored_elsewhere() {
  [[ -f $1/.train.done && ! -e $1/average.pt && ! -e $1/checkpoints ]] && compgen -G "$1/.score-*.done" >/dev/null
}

# decode OUT DATA SPLIT METRIC...: average, generate, score.
decode() {
  local out=$1 data=$2 split=$3
  shift 3
  if was_scored_elsewhere "$out"; then
    echo "scored    $out  (elsewhere: it has no weights here)"
    return
  fi
  local saved
  saved=$(num_at_end "$out/checkpoints")
  if [[ -n $minutes && -z $dry_run ]] && ((saved && saved < AVERAGE_LAST)); then
    echo "average   $out  (checkpoints in its last fifth: $saved, not $AVERAGE_LAST: of these)"
    local AVERAGE_LAST=$saved
  fi
  average "$out" && generate "$data" "$out" "$split" && score "$data" "$out" "$split" "$@"
}

# num_at_end CHECKPOINTS: how many are of the last fifth of the updates. A slow model saves few: it is not averaged with what it was in the middle.
num_at_end() {
  { find "$1" -name 'checkpoint_*_*.pt' 2>/dev/null || true; } | sed 's/.*_\([0-9]*\)\.pt/\1/' | sort -rn \
    | LC_ALL=C awk 'NR == 1 { last = $1 } $1 > 0.8 * last { number++ } END { print number + 0 }'
}

end_with_failures() {
  [[ ! -s $failures ]] || { stage_error "failed (above): $(paste -sd, "$failures"); the same command goes on from here"; exit 1; }
  [[ -z $waiting ]] || { stage_error "the next round does not fit before --stop-after $stop_at; the same command goes on from here"; exit 75; }
}

# check_numbers: of the options that both scripts have.
check_numbers() {
  [[ $jobs =~ ^[1-9][0-9]*$ ]] || { stage_error "--jobs must be a positive number, but is $jobs"; exit 2; }
  [[ -z $minutes || $minutes =~ ^([0-9]+\.?[0-9]*|\.[0-9]+)$ ]] || { stage_error "--minutes must be a number, but is $minutes"; exit 2; }
  [[ $stop_after =~ ^[0-9]+$ ]] || { stage_error "--stop-after must be whole seconds, but is $stop_after"; exit 2; }
  round_seconds=$(LC_ALL=C awk "BEGIN { printf \"%d\", ${minutes:-0} * 60 }")
  ((stop_after == 0 || round_seconds + seconds_to_start <= stop_after)) || {
    stage_error "--minutes $minutes and $seconds_to_start s to start do not fit into --stop-after $stop_after: no round would begin"
    exit 2
  }
}
