#!/usr/bin/env bash
# The study in small: synthesises speech, trains both models for recognition (asr) and translation (st), decodes, scores, prints one table,
# and compares the models in a report of each task.
#   bash examples/demo/run.sh [OUT]      OUT: folder of everything that is made [out, beside this file]
# Does all set-up itself, then takes minutes. What an earlier run finished is not done again.
set -euo pipefail
[[ ${1:-} != -* ]] || { sed -n '2,/^set -/s/^# //p' "$0"; exit 2; }
demo=$(dirname "$0")
recipes=$demo/../../recipes
out=${1:-$demo/out}

EXTRAS="demo report"
source "$recipes/environment.sh"
source "$recipes/pipeline.sh"
source "$demo/training.sh"  # PREPARE_ARGS TRAINING_ARGS AVERAGE_LAST GENERATION_ARGS
REPORT_ARGS=(--split tst-COMMON --speakers "$out/corpus/speakers.tsv" --native "$demo/native.yaml")
declare -A vocab_size=([asr]=90 [st]=96) metrics=([asr]="wer" [st]="bleu")

# Both models of a task at a time, one core each: at these sizes a second thread would hardly speed one up.
export OMP_NUM_THREADS=1
trap 'kill 0' INT  # background jobs would survive Ctrl-C

run_experiment() {
  local task=$1 model=$2
  source "$demo/models/$model.sh"  # MODEL_ARGS
  {
    run_pipeline "$out/$task/data" "$out/$task/$model" tst-COMMON "${metrics[$task]}" && generate "$out/$task/data" "$out/$task/$model" silence
  } 2>&1 | while IFS= read -r line; do printf '%-9s %s\n' "$task/$model" "$line"; done
}

if [[ ! -e $out/corpus/speakers.tsv ]]; then
  echo "synthesise  $out/corpus"
  mkdir -p "$out"
  python3 "$demo/synthesise.py" "$out/corpus"
fi
for task in asr st; do
  prepare "$out/$task/data" "${speechllm[@]}" prepare mustc --root "$out/corpus" --source-lang en --target-lang de --task "$task" \
    --out "$out/$task/data" --vocab-size "${vocab_size[$task]}" --transcript-vocab-size "${vocab_size[asr]}" "${PREPARE_ARGS[@]}"
  silence "$out/$task/data"
  experiments=() failed=0
  for model in dfp xattn; do
    run_experiment "$task" "$model" &
    experiments+=($!)
  done
  for experiment in "${experiments[@]}"; do
    wait "$experiment" || failed=1
  done
  ((!failed))
done
summary tst-COMMON "$out"/{asr,st}/{dfp,xattn}
for task in asr st; do
  report "$out/report-$task.html" dfp="$out/$task/dfp" xattn="$out/$task/xattn"
done
