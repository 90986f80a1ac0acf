#!/usr/bin/env bash
# What knowledge distillation costs: time of an update of sequence_kd over that of ctc_cross_entropy, models in a training file's size.
#   bash recipes/kd_cost.sh DATA TRAINING_FILE MODEL_FILE... [-- FAIRSEQ_TRAIN_ARGUMENT...]
# as in  bash recipes/kd_cost.sh data/st-en-de recipes/training/digits_study.sh recipes/models/row{1,2,3,4,5,6}_*.sh
# Prints a line of JSON per model file. Any folder that speechllm prepare made will do: no teacher is needed.
set -euo pipefail
recipes=$(cd "$(dirname "$0")" && pwd)
[[ $# -ge 3 && ${1:-} != -* ]] || { sed -n '2,/^set -/s/^# //p' "$0"; exit 2; }
data=$1 training=$2 models=()
shift 2
while (($#)) && [[ $1 != -- ]]; do models+=("$1") && shift; done
shift $(($# > 0))

source "$recipes/environment.sh"
source "$recipes/pipeline.sh"
source "$training"
for model in "${models[@]}"; do
  words=$(experiments model-args "$model" "$training")
  mapfile -t MODEL_ARGS <<<"$words"
  printf '%s ' "$(basename "$model" .sh)"
  python3 "$recipes/kd_cost.py" "$data" "${plugin_args[@]}" "${optimizer_args[@]}" "${MODEL_ARGS[@]}" "${TRAINING_ARGS[@]}" "$@"
done
