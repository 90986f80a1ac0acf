#!/usr/bin/env bash
# The benchmark: every model gets the same minutes of training for every seed; then a report with intervals and paired tests. A second run goes on.
#
#   bash recipes/fillets/benchmark.sh [OPTION...] [MODEL_FILE...] [-- FAIRSEQ_TRAIN_ARGUMENT...]
#   bash recipes/fillets/benchmark.sh --gpu --minutes 5                    dry_run=1 before it lists every command
#
#   MODEL_FILE              of recipes/models, the first being what others are compared with      [reduced rows 5, 4, 5.1, 3, fairseq's Conformer, its Transformer]
#   --task asr|st           st starts every encoder from that of asr with the same --out, model and seed                          [asr]
#   --source LANGUAGE, --target LANGUAGE                                                            [cs, en]
#   --minutes M             of training each, as fairseq counts them (--stop-time-hours)            [5]
#   --seeds N,...                                                                                   [1,2,3]
#   --jobs N                trainings at a time; they share the GPU, and their minutes              [1]
#   --gpu                   bfloat16 for all; CUDA graphs and the flat Adam for the models that have them
#   --root DIR              what recipes/fillets/get.sh unpacked                                    [corpora/fillets]
#   --training FILE         one of recipes/training                                                 [recipes/training/fillets.sh]
#   --out DIR               DIR/fillets/TASK-SOURCE-TARGET/{data,MODEL-seedN,report.html,tables}    [experiments]
set -euo pipefail
recipes=$(cd "$(dirname "$0")/.." && pwd)
source "$recipes/help.sh"
source "$recipes/environment.sh"
source "$recipes/pipeline.sh"
root=corpora/fillets task=asr source=cs target=en minutes=5 seeds=1,2,3 jobs=1 training=$recipes/training/fillets.sh out=experiments gpu=
models=() more=()
while (($#)); do
  case $1 in
    --root | --task | --source | --target | --minutes | --seeds | --jobs | --training | --out)
      [[ $# -gt 1 ]] || { stage_error "$1 needs a value"; exit 2; }
      declare "${1#--}=$2" && shift 2 ;;
    --gpu) gpu=yes && shift ;;
    --) shift && more=("$@") && break ;;
    -*) stage_error "unknown option $1; --help lists them" && exit 2 ;;
    *) models+=("$1") && shift ;;
  esac
done
((${#models[@]})) || models=("$recipes"/models/{reduced_row5_dfp_conformer,reduced_row4_xattn_conformer,reduced_row5.1_dfp_conformer_compressed,reduced_row3_decoder_only_12,fairseq_s2t_conformer,fairseq_s2t_transformer_s}.sh)
case $task in asr) metrics=(wer cer) ;; st) metrics=(bleu chrf) ;; *) stage_error "--task must be asr or st, but is $task"; exit 2 ;; esac
[[ $jobs =~ ^[1-9][0-9]*$ ]] || { stage_error "--jobs must be a positive number, but is $jobs"; exit 2; }
[[ $minutes =~ ^([0-9]+\.?[0-9]*|\.[0-9]+)$ ]] || { stage_error "--minutes must be a number, but is $minutes"; exit 2; }
for file in "$training" "${models[@]}"; do
  [[ -f $file ]] || { stage_error "$file: no such file"; exit 2; }
done
source "$training"
hours=$(awk "BEGIN { printf \"%.5f\", $minutes / 60 }") common=("${TRAINING_ARGS[@]}")
IFS=, read -r -a seeds <<<"$seeds"
folder=$out/fillets/$task-$source-$target asr=$out/fillets/asr-$source-$target vocabulary=()
[[ $task == asr ]] || vocabulary=(--transcript-vocab-from "$asr/data")
prepare "$folder/data" "${speechllm[@]}" prepare fillets --root "$root" --task "$task" --source-lang "$source" --target-lang "$target" --out "$folder/data" \
  "${PREPARE_ARGS[@]}" "${vocabulary[@]}"

# train_one MODEL_FILE SEED
train_one() {
  local name model_args start
  name=$(basename "$1" .sh)-seed$2 start=$asr/$(basename "$1" .sh)-seed$2/average.pt
  model_args=$(experiments model-args "$1" "$training")
  mapfile -t MODEL_ARGS <<<"$model_args"
  TRAINING_ARGS=("${common[@]}" --max-update 1000000 --stop-time-hours "$hours" --seed "$2")
  [[ -z $gpu ]] || TRAINING_ARGS+=(--bf16)
  [[ $task == asr || -n $dry_run || -f $start ]] || { stage_error "$start: no such file; run --task asr with the same --out, models and seeds first"; return 1; }
  if [[ $model_args == *$'--arch\ns2t_'* ]]; then
    [[ $task == asr ]] || TRAINING_ARGS+=(--load-pretrained-encoder-from "$start")
  else
    [[ -z $gpu ]] || TRAINING_ARGS+=(--optimizer speechllm_adam --num-batch-buckets 32 --cuda-graphs 64)
    [[ $task == asr ]] || TRAINING_ARGS+=(--init-encoder-from "$start")
    [[ $task == asr || $model_args != *$'--encoder\nnone'* ]] || TRAINING_ARGS+=(--init-decoder-from "$start")
  fi
  TRAINING_ARGS+=("${more[@]}")
  run_pipeline "$folder/data" "$folder/$name" test "${metrics[@]}"
}

# stop_trainings: each has a process group of its own, which neither Ctrl-C nor the end of this shell would reach.
stop_trainings() {
  local job
  for job in $(jobs -rp); do kill -TERM -- "-$job" 2>/dev/null || true; done
  wait
  stage_error "stopped; the same command goes on from here"
  exit 130
}

systems=() failures=$(mktemp)
set -m
trap 'rm -f "$failures"' EXIT
trap stop_trainings INT TERM
for model in "${models[@]}"; do
  runs=()
  for seed in "${seeds[@]}"; do
    while (($(jobs -rp | wc -l) >= jobs)); do wait -n || true; done
    (train_one "$model" "$seed" || echo "$(basename "$model") with seed $seed" >>"$failures") &
    runs+=("$folder/$(basename "$model" .sh)-seed$seed")
  done
  systems+=("$(basename "$model" .sh)=$(IFS=, && echo "${runs[*]}")")
done
wait
[[ ! -s $failures ]] || { stage_error "failed (above): $(paste -sd, "$failures"); the same command goes on from here"; exit 1; }
REPORT_ARGS=(--split test --data "$folder/data" --tables "$folder/tables" --no-audio --no-checkpoints --examples 0)
report "$folder/report.html" "${systems[@]}"
