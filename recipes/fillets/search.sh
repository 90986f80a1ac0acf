#!/usr/bin/env bash
# The search for settings of small data: every model with the same settings, scored on dev; the test set is not decoded. A second run goes on.
#
#   bash recipes/fillets/search.sh [OPTION...] MODEL_FILE... [-- FAIRSEQ_TRAIN_ARGUMENT...]
#   bash recipes/fillets/search.sh recipes/models/reduced_row{4,5}_*.sh -- --stop-time-hours 0.05
#
#   MODEL_FILE              one of recipes/models; with the eight settings below, three models are 24 trainings
#   --root DIR              what recipes/fillets/get.sh unpacked                            [corpora/fillets]
#   --task asr|st                                                                           [asr]
#   --source LANGUAGE, --target LANGUAGE                                                    [cs, en]
#   --training FILE         settings that those of the search replace                       [recipes/training/fillets.sh]
#   --settings FILE         lines VOCAB_SIZE NAME FLAG...                                   [recipes/fillets/search.txt]
#   --out DIR               DIR/vocab-SIZE/{data,MODEL-NAME}                                [experiments/fillets-search]
set -euo pipefail
recipes=$(cd "$(dirname "$0")/.." && pwd)
source "$recipes/help.sh"
source "$recipes/environment.sh"
source "$recipes/pipeline.sh"
root=corpora/fillets task=asr source=cs target=en training=$recipes/training/fillets.sh settings=$recipes/fillets/search.txt out=experiments/fillets-search
models=() more=()
while (($#)); do
  case $1 in
    --root | --task | --source | --target | --training | --settings | --out)
      [[ $# -gt 1 ]] || { stage_error "$1 needs a value"; exit 2; }
      declare "${1#--}=$2" && shift 2 ;;
    --) shift && more=("$@") && break ;;
    -*) stage_error "unknown option $1; --help lists them" && exit 2 ;;
    *) models+=("$1") && shift ;;
  esac
done
((${#models[@]})) || { stage_error "give one or more files of recipes/models"; exit 2; }
case $task in asr) metrics=(wer cer) ;; st) metrics=(bleu chrf) ;; *) stage_error "--task must be asr or st, but is $task"; exit 2 ;; esac
for file in "$training" "$settings" "${models[@]}"; do
  [[ -f $file ]] || { stage_error "$file: no such file"; exit 2; }
done
source "$training"
common=("${TRAINING_ARGS[@]}") finished=()
while read -r size name flags; do
  [[ -n $size && $size != "#" ]] || continue
  data=$out/vocab-$size/data
  prepare "$data" "${speechllm[@]}" prepare fillets --root "$root" --task "$task" --source-lang "$source" --target-lang "$target" --out "$data" \
    "${PREPARE_ARGS[@]}" --vocab-size "$size" --transcript-vocab-size "$size"
  read -r -a flags <<<"$flags"
  TRAINING_ARGS=("${common[@]}" "${flags[@]}" "${more[@]}")
  for model in "${models[@]}"; do
    model_args=$(experiments model-args "$model" "$training")
    mapfile -t MODEL_ARGS <<<"$model_args"
    folder=$out/vocab-$size/$(basename "$model" .sh)-$name
    run_pipeline "$data" "$folder" dev "${metrics[@]}"
    finished+=("$folder")
  done
done <"$settings"
summary dev "${finished[@]}"
