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
echo "| model | training arguments | frames/s | hours for 100,000 updates | GPU GiB in training | decoding sentences/s |
|---|---|---|---|---|---|" >"$out/throughput.md"
for model in "${models[@]}"; do
  source "$model"
  name=$(basename "$model" .sh)
  log=$out/$name.log
  fairseq-train "$data" --disable-validation --save-dir "$out/$name" --no-epoch-checkpoints "${plugin_args[@]}" "${optimizer_args[@]}" "${MODEL_ARGS[@]}" \
    "${TRAINING_ARGS[@]}" --update-freq 1 --max-update $updates --log-interval 10 "$@" >"$log" 2>&1
  fairseq-generate "$data" --path "$out/$name/checkpoint_last.pt" --gen-subset dev "${plugin_args[@]}" "${decoding_args[@]}" --max-tokens 80000 \
    --min-len 25 --max-len-b 25 >>"$log" 2>&1
  rm -r "${out:?}/$name"
  python3 - "$log" "$name" "$*" >>"$out/throughput.md" <<'PY'
import json, re, statistics, sys

path, name, arguments = sys.argv[1:]
log = open(path, encoding="utf-8").read()
steps = [json.loads(line) for line in re.findall(r"train_inner \| (\{.*\})", log)]
speeds = [float(step["frames_per_second"]) for step in steps]  # of ten updates each, the first ones warming up
total = re.search(r"total memory = ([\d.]+) GB", log)
memory = f"{float(total[1]) - min(float(step['gb_free']) for step in steps):.1f}" if total else "-"
speed = statistics.median(speeds[len(speeds) // 2 :])
decoding = re.findall(r"([\d.]+) sentences/s", log)[-1]
print(f"| {name} | {arguments or 'float32'} | {speed:,.0f} | {100_000 * 320_000 / speed / 3600:,.0f} | {memory} | {float(decoding):.1f} |")
PY
  tail -n 1 "$out/throughput.md"
done
