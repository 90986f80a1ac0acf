#!/usr/bin/env bash
# The search for settings of small data: every model with the same settings, scored on dev; the test set is not decoded. A second run goes on.
#
#   bash recipes/fillets/search.sh [OPTION...] MODEL_FILE... [-- FAIRSEQ_TRAIN_ARGUMENT...]
#   bash recipes/fillets/search.sh --gpu --minutes 3 --jobs 12 --first 4 recipes/models/{reduced_row{4,5}_*,fairseq_s2t_conformer}.sh
#
#   MODEL_FILE              one of recipes/models; with the ten settings of the file, three models are 30 trainings
#   --root DIR              what recipes/fillets/get.sh unpacked                            [corpora/fillets]
#   --task asr|st                                                                           [asr]
#   --source LANGUAGE, --target LANGUAGE                                                    [cs, en]
#   --training FILE         settings that those of the search replace                       [recipes/training/fillets.sh]
#   --settings FILE         lines VOCAB_SIZE NAME FLAG... [-- PREPARE_FLAG...]              [recipes/fillets/search.txt]
#   --first N               settings of the file; those that matter most stand first         [all]
#   --minutes M, --jobs N, --uneven, --stop-after SECONDS, --gpu      as recipes/fillets/benchmark.sh, which says more    [as many updates as FILE has, 1]
#   --out DIR               DIR/vocab-SIZE/{data,MODEL-NAME}, DIR/vocab-SIZE-NAME/... where there are PREPARE_FLAGs; DIR/best.txt, the best
#                           flags of each model, among the lines with the data of the first [experiments/fillets-search]
set -euo pipefail
recipes=$(cd "$(dirname "$0")/.." && pwd)
source "$recipes/help.sh"
source "$recipes/environment.sh"
source "$recipes/pipeline.sh"
source "$recipes/side_by_side.sh"
root=corpora/fillets task=asr source=cs target=en training=$recipes/training/fillets.sh settings=$recipes/fillets/search.txt out=experiments/fillets-search
first=1000000 minutes='' jobs=1 gpu='' uneven='' stop_after=0 models=() more=()
while (($#)); do
  case $1 in
    --root | --task | --source | --target | --training | --settings | --first | --out | --minutes | --jobs | --stop-after)
      [[ -n ${2:-} ]] || { stage_error "$1 needs a value"; exit 2; }
      option=${1#--} && declare "${option//-/_}=$2" && shift 2 ;;
    --gpu | --uneven) declare "${1#--}=yes" && shift ;;
    --) shift && more=("$@") && break ;;
    -*) stage_error "unknown option $1; --help lists them" && exit 2 ;;
    *) models+=("$1") && shift ;;
  esac
done
((${#models[@]})) || { stage_error "give one or more files of recipes/models"; exit 2; }
case $task in asr) metrics=(wer cer) ;; st) metrics=(bleu chrf) ;; *) stage_error "--task must be asr or st, but is $task"; exit 2 ;; esac
check_numbers
[[ $first =~ ^[1-9][0-9]*$ ]] || { stage_error "--first must be a positive number, but is $first"; exit 2; }
for file in "$training" "$settings" "${models[@]}"; do
  [[ -f $file ]] || { stage_error "$file: no such file"; exit 2; }
done
source "$training"
common=("${TRAINING_ARGS[@]}") folders=() model_of=() flags_of=() candidates=()
for file in "${models[@]}"; do set_model_args "$file"; done  # an error in a file ends it here
while read -r size name flags; do
  [[ -n $size && $size != "#" ]] || continue
  ((first)) || break
  first=$((first - 1))
  prepare_flags=() data=$out/vocab-$size
  if [[ $flags == *"-- "* && " $flags" == *" -- "* ]]; then
    read -r -a prepare_flags <<<"${flags##*-- }"
    flags=${flags%%-- *} data+=-$name
  fi
  prepare "$data/data" "${speechllm[@]}" prepare fillets --root "$root" --task "$task" --source-lang "$source" --target-lang "$target" --out "$data/data" \
    "${PREPARE_ARGS[@]}" --vocab-size "$size" --transcript-vocab-size "$size" "${prepare_flags[@]}" </dev/null
  for model in "${models[@]}"; do
    folders+=("$data/$(basename "$model" .sh)-$name") model_of+=("$model") flags_of+=("$flags")
    [[ $data != "$(dirname "${folders[0]}")" ]] || candidates+=("$(basename "$model" .sh)" "$flags" "${folders[-1]}")
  done
done <"$settings"
((${#folders[@]})) || { stage_error "$settings: has no line VOCAB_SIZE NAME FLAG..."; exit 2; }

# train_one NUMBER
train_one() {
  local flags
  read -r -a flags <<<"${flags_of[$1]}"
  set_model_args "${model_of[$1]}" "${flags[@]}" "${more[@]}" && train "$(dirname "${folders[$1]}")/data" "${folders[$1]}"
}

# decode_one NUMBER
decode_one() {
  decode "${folders[$1]}" "$(dirname "${folders[$1]}")/data" dev "${metrics[@]}"
}

begin "$stop_after"
train_in_rounds "$(at_once "$jobs" "${#models[@]}" $((${#folders[@]} / ${#models[@]})))" "$round_seconds"
decode_side_by_side "$jobs"
end_with_failures
[[ -z $dry_run ]] || exit 0
summary dev "${folders[@]}"
experiments best dev "${metrics[0]}" "${candidates[@]}" >"$out/best.txt"
echo "$out/best.txt, for benchmark.sh --flags-of:"
cat "$out/best.txt"
