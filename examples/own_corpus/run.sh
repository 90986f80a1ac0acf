#!/usr/bin/env bash
# A corpus of one's own, end to end: synthesises a few dozen utterances and their TSVs, prepares, trains for seconds, decodes, scores.
#   bash examples/own_corpus/run.sh [OUT]      OUT: folder of everything that is made [out, beside this file]
# Does all set-up itself. What an earlier run finished is not done again.
set -euo pipefail
[[ ${1:-} != -* ]] || { sed -n '2,/^set -/s/^# //p' "$0"; exit 2; }
example=$(dirname "$0")
recipes=$example/../../recipes
demo=$example/../demo
out=${1:-$example/out}

EXTRAS="demo"
source "$recipes/environment.sh"
source "$recipes/pipeline.sh"
source "$demo/models/xattn.sh"  # MODEL_ARGS
PREPARE_ARGS=(--vocab-size 80 --transcript-vocab-size 70 --specaugment freq_mask_N=1 time_mask_p=0.15)
TRAINING_ARGS=(
  --lr-scheduler polynomial_decay --lr 1e-3 --warmup-updates 20 --total-num-update 100
  --max-tokens 1400 --required-batch-size-multiple 1
  --max-epoch 8 --validate-interval 4 --keep-last-epochs 2
  --num-workers 0 --seed 1
)
AVERAGE_LAST=2
GENERATION_ARGS=(--max-tokens 8000 --max-len-b 50)
export OMP_NUM_THREADS=1

if [[ ! -d $out/corpus ]]; then
  echo "synthesise  $out/corpus"
  mkdir -p "$out"
  PYTHONPATH=$demo python3 "$example/make_corpus.py" "$out/corpus"
fi
prepare "$out/data" "${speechllm[@]}" prepare tsv --root "$out/corpus" --source-lang en --target-lang de --task st \
  --out "$out/data" "${PREPARE_ARGS[@]}"
run_pipeline "$out/data" "$out/st" test bleu chrf
summary test "$out/st"
