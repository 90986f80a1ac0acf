#!/usr/bin/env bash
# Do 16 bits, kernels and CUDA graphs learn what plain operations learn in float32? On a GPU, from the repository's root:
#
#   bash tests/sixteen_bits.sh CORPUS OUT [FAIRSEQ_TRAIN_ARGUMENT...]
#
# CORPUS: the spoken digits as MuST-C is laid out (recipes/mustc/README.md). Rows 4 and 5.1 with the sizes of recipes/training/digits_study.sh, but
# heads of 32 channels, which fused attention takes; seeds 1, 2, 3; 1,300 updates of 8,000 frames. All twelve trainings run side by side, shared out
# among the GPUs; the last three checkpoints are averaged and decode tst-COMMON in float32. OUT/scores.md has the table. The same command again does
# what is missing. SEEDS="1" and ROWS="4" take fewer.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
corpus=${1:?CORPUS, the spoken digits in the layout of MuST-C} out=${2:?OUT, a folder for all that is made}
shift 2
mkdir -p "$out/plain_operations"
out=$(cd "$out" && pwd) plugin=$root/speechllm_plugin
declare -A VOCAB_SIZE=()
source "$root/recipes/training/digits_study.sh"
num_gpus=$(python3 -c "import torch; print(torch.cuda.device_count())")
((num_gpus)) || [[ " $* " == *" --cpu "* ]] || { echo "sixteen_bits.sh: there is no GPU: tried out with --cpu, both kinds run plain operations" >&2; exit 1; }

# A user directory of its own, which leaves the kernels out.
cat >"$out/plain_operations/__init__.py" <<'PYTHON'
import speechllm_plugin
from speechllm_plugin.models import kernels

kernels.HAS_TRITON = False
PYTHON
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
graphs=(--bf16 --cuda-graphs 64)
[[ " $* " != *" --cpu "* ]] || graphs=(--bf16)
declare -A user_dir=([plain]=$out/plain_operations [fast]=$plugin)
declare -A model_file=([4]=row4_xattn_conformer [5.1]=row5.1_dfp_conformer_compressed)

[[ -f $out/data/config.yaml ]] || python3 -m speechllm_plugin.commands.cli prepare mustc --root "$corpus" --source-lang en --target-lang de --task asr \
  --out "$out/data" --vocab-size 48 --transcript-vocab-size 48 "${PREPARE_ARGS[@]}"

train_and_score() {  # KIND ROW SEED FAIRSEQ_TRAIN_ARGUMENT...
  local kind=$1 row=$2 run=$out/$1-row$2-seed$3 flags=() model=() cpu=() fast=()
  [[ ! -f $run/score.json ]] || return 0
  mkdir -p "$run"
  mapfile -t model < <(python3 -c "import sys; from speechllm_plugin.experiments.training_file import main; main(*sys.argv[1:])" \
    "$root/recipes/models/${model_file[$row]}.sh" "$root/recipes/training/digits_study.sh")
  [[ $kind == plain ]] || fast=("${graphs[@]}")
  [[ " $* " != *" --cpu "* ]] || cpu=(--cpu)
  fairseq-train "$out/data" --user-dir "${user_dir[$kind]}" --task speechllm_speech_to_text --criterion ctc_cross_entropy --clip-norm 10 "${model[@]}" \
    --encoder-attention-heads 3 --decoder-attention-heads 3 --optimizer speechllm_adam --adam-betas "(0.9, 0.98)" --lr-scheduler inverse_sqrt --lr 1e-3 \
    --warmup-updates 250 --max-tokens 8000 --num-batch-buckets 16 "${fast[@]}" --max-update 1300 --valid-subset dev --disable-validation --num-workers 1 \
    --save-interval-updates 100 --keep-interval-updates 3 --no-epoch-checkpoints --no-save-optimizer-state --log-format json --log-interval 100 --seed "$3" \
    --save-dir "$run" --distributed-world-size 1 "${@:4}"
  python3 -m speechllm_plugin.commands.cli average --inputs "$run" --num 3 --by updates --output "$run/average.pt"
  fairseq-generate "$out/data" --user-dir "$plugin" --task speechllm_speech_to_text --path "$run/average.pt" --gen-subset tst-COMMON --results-path "$run" \
    --beam 5 "${GENERATION_ARGS[@]}" "${cpu[@]}"
  python3 -m speechllm_plugin.commands.cli score --hypotheses "$run/generate-tst-COMMON.txt" --manifest "$out/data/tst-COMMON.tsv" --metrics wer --json "$run/score.json"
}

pids=() number=0
for row in ${ROWS:-4 5.1}; do
  for kind in plain fast; do
    for seed in ${SEEDS:-1 2 3}; do
      mkdir -p "$out/$kind-row$row-seed$seed"
      gpu=${CUDA_VISIBLE_DEVICES:-}
      ((num_gpus < 2)) || gpu=$((number++ % num_gpus))
      (set -e; [[ -z $gpu ]] || export CUDA_VISIBLE_DEVICES=$gpu; train_and_score "$kind" "$row" "$seed" "$@") >"$out/$kind-row$row-seed$seed/log" 2>&1 &
      pids+=($!)
    done
  done
done
trap 'kill "${pids[@]}" 2>/dev/null || true' INT TERM
failed=0
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
((!failed)) || { echo "sixteen_bits.sh: not all trainings ended; see the end of $out/*/log" >&2; tail -qn 1 "$out"/*/log >&2; exit 1; }
python3 - "$out" <<'PYTHON' | tee "$out/scores.md"
import json
import re
import statistics
import sys
from pathlib import Path

scores = {}
for path in sorted(Path(sys.argv[1]).glob("*-row*-seed*/score.json")):
    kind, row = re.fullmatch(r"(plain|fast)-row(.*)-seed\d+", path.parent.name).groups()
    scores.setdefault(row, {}).setdefault(kind, []).append(json.loads(path.read_text())["metrics"]["wer"]["score"])
print("| row | plain operations, float32 | kernels, `--bf16 --cuda-graphs 64` |\n|---|---|---|")
for row, kinds in scores.items():
    cells = [f"{', '.join(f'{wer:.1f}' for wer in kinds[kind])} (mean {statistics.mean(kinds[kind]):.1f})" for kind in ("plain", "fast")]
    print(f"| {row} | {cells[0]} | {cells[1]} |")
PYTHON
