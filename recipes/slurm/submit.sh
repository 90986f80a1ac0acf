#!/usr/bin/env bash
# Submit the study to SLURM: one job prepares, one array trains recognition, one array translation, one job writes the table.
#   bash recipes/slurm/submit.sh CORPUS_ROOT... [OPTION...]       arguments of recipes/study.sh
# SBATCH_ARGS="--partition gpu --account speech" adds arguments to every sbatch; recipes/slurm/job.sbatch asks for one GPU per experiment.
set -euo pipefail
slurm=$(cd "$(dirname "$0")" && pwd)
study=$slurm/../study.sh
read -ra more <<<"${SBATCH_ARGS:-}"

# submit NAME DEPENDENCY ARRAY ARGUMENT...: prints the id of the job; an empty DEPENDENCY or ARRAY is none.
submit() {
  local options=(--parsable --job-name "$1")
  [[ -z $2 ]] || options+=(--dependency "$2")
  [[ -z $3 ]] || options+=(--array "$3")
  sbatch "${options[@]}" "${more[@]}" "$slurm/job.sbatch" "$study" "${@:4}"
}

last=$(submit study-prepare "" "" "$@" --stage prepare)
for stage in asr st; do
  number=$(bash "$study" "$@" --stage "$stage" --list | wc -l)
  ((number)) || continue
  # One experiment that fails must not stop the others: afterany, and each says itself what it lacks.
  last=$(submit "study-$stage" "after$([[ $stage == asr ]] && echo ok || echo any):$last" "0-$((number - 1))" "$@" --stage "$stage")
  echo "$stage: job $last, $number experiments"
done
echo "table: job $(submit study-table "afterany:$last" "" "$@" --stage table)"
