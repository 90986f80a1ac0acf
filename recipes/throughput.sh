#!/usr/bin/env bash
# How fast this machine trains and decodes the rows of the study, and in how much GPU memory: on noise with MuST-C's lengths, at full size.
#   bash recipes/throughput.sh OUT MODEL_FILE... [-- FAIRSEQ_TRAIN_ARGUMENT...]       as in -- --bf16
# Writes OUT/throughput.md: a line per model, with the hours that 100,000 updates of 320,000 frames take at this speed.
set -euo pipefail
recipes=$(cd "$(dirname "$0")" && pwd)
[[ $# -ge 2 && ${1:-} != -* ]] || { sed -n '2,/^set -/s/^# //p' "$0"; exit 2; }
out=$1 models=() updates=40
shift
while (($#)) && [[ $1 != -- ]]; do models+=("$1") && shift; done
shift $(($# > 0))

source "$recipes/environment.sh"
source "$recipes/pipeline.sh"
source "$recipes/training/paper.sh"
data=$out/data
[[ -e $data/config.yaml ]] || python3 "$recipes/synthetic_data.py" "$data"
mkdir -p "$out"
experiments throughput >"$out/throughput.md"
for model in "${models[@]}"; do
  source "$model"
  name=$(basename "$model" .sh)
  log=$out/$name.log
  fairseq-train "$data" --disable-validation --save-dir "$out/$name" --no-epoch-checkpoints "${plugin_args[@]}" "${optimizer_args[@]}" "${MODEL_ARGS[@]}" \
    "${TRAINING_ARGS[@]}" --update-freq 1 --max-update $updates --log-interval 10 "$@" >"$log" 2>&1
  fairseq-generate "$data" --path "$out/$name/checkpoint_last.pt" --gen-subset dev "${plugin_args[@]}" "${decoding_args[@]}" --max-tokens 80000 \
    --min-len 25 --max-len-b 25 >>"$log" 2>&1
  rm -r "${out:?}/$name"
  experiments throughput "$log" "$name" "$*" >>"$out/throughput.md"
  tail -n 1 "$out/throughput.md"
done
