#!/usr/bin/env bash
# The benchmark: every model gets the same minutes of training for every seed; then a report with intervals and paired tests. A second run goes on.
#
#   bash recipes/fillets/benchmark.sh [OPTION...] [MODEL_FILE...] [-- FAIRSEQ_TRAIN_ARGUMENT...]
#   bash recipes/fillets/benchmark.sh --gpu --minutes 5 --jobs 18          dry_run=1 before it lists every command
#
#   MODEL_FILE              of recipes/models, the first being what others are compared with      [reduced rows 5, 4, 5.1, 3, fairseq's Conformer, its Transformer]
#   --task asr|st           st starts every encoder from that of asr with the same --out, model and seed                          [asr]
#   --source LANGUAGE, --target LANGUAGE                                                            [cs, en]
#   --minutes M             of training each, as fairseq counts them (--stop-time-hours); may be 2.5                              [5]
#   --seeds N,...                                                                                   [1,2,3]
#   --jobs N                trainings at a time; they share the GPU, and their minutes. They start in rounds of the same size: the largest
#                           up to N that divides them, all models of a seed together if N allows. Decodings: N at a time as well  [1]
#   --uneven                train what has failed alone, though the others of its round were trained side by side
#   --stop-after SECONDS    begin no round that would not end by then, and stop then: status 75, and the same command goes on     [0: never]
#   --gpu                   bfloat16 for all; CUDA graphs and the flat Adam for the models that have them
#   --flags-of FILE         lines MODEL FLAG...: more training arguments of a model, as the search's best.txt                     [none]
#   --ctc-decoding-weight W  decode models that have a CTC head a second time, by it and the decoder together: systems MODEL-ctc; asr only   [none]
#   --root DIR              what recipes/fillets/get.sh unpacked                                    [corpora/fillets]
#   --training FILE         one of recipes/training                                                 [recipes/training/fillets.sh]
#   --hold-out COLUMN=VALUE  leave these rows out of training and development; the folder below is then TASK-SOURCE-TARGET-without-VALUE  [none]
#   --out DIR               DIR/fillets/TASK-SOURCE-TARGET/{data,MODEL-seedN,report.html,tables}, and if there is a model of fairseq's, the same
#                           with the first of them before all others: report-peer.html, tables-peer      [experiments]
set -euo pipefail
recipes=$(cd "$(dirname "$0")/.." && pwd)
source "$recipes/help.sh"
source "$recipes/environment.sh"
source "$recipes/pipeline.sh"
source "$recipes/side_by_side.sh"
root=corpora/fillets task=asr source=cs target=en minutes=5 seeds=1,2,3 jobs=1 training=$recipes/training/fillets.sh out=experiments
gpu='' uneven='' stop_after=0 flags_of=/dev/null hold_out='' ctc_decoding_weight='' models=() more=()
while (($#)); do
  case $1 in
    --root | --task | --source | --target | --minutes | --seeds | --jobs | --training | --out | --stop-after | --flags-of | --hold-out | --ctc-decoding-weight)
      [[ -n ${2:-} ]] || { stage_error "$1 needs a value"; exit 2; }
      option=${1#--} && declare "${option//-/_}=$2" && shift 2 ;;
    --gpu | --uneven) declare "${1#--}=yes" && shift ;;
    --) shift && more=("$@") && break ;;
    -*) stage_error "unknown option $1; --help lists them" && exit 2 ;;
    *) models+=("$1") && shift ;;
  esac
done
((${#models[@]})) || models=("$recipes"/models/{reduced_row5_dfp_conformer,reduced_row4_xattn_conformer,reduced_row5.1_dfp_conformer_compressed,reduced_row3_decoder_only_12,fairseq_s2t_conformer,fairseq_s2t_transformer_s}.sh)
case $task in asr) metrics=(wer cer) ;; st) metrics=(bleu chrf) ;; *) stage_error "--task must be asr or st, but is $task"; exit 2 ;; esac
[[ -z $ctc_decoding_weight || $task == asr ]] || { stage_error "--ctc-decoding-weight is for --task asr, where both vocabularies are of the transcripts"; exit 2; }
check_numbers
for file in "$training" "${models[@]}"; do
  [[ -f $file ]] || { stage_error "$file: no such file"; exit 2; }
done
[[ -r $flags_of ]] || { stage_error "$flags_of: no such file; give --flags-of one, or leave it out"; exit 2; }
source "$training"
common=("${TRAINING_ARGS[@]}")
for file in "${models[@]}"; do set_model_args "$file"; done  # an error in a file ends it here
IFS=, read -r -a seeds <<<"$seeds"
without=${hold_out:+-without-${hold_out#*=}}
folder=$out/fillets/$task-$source-$target$without asr=$out/fillets/asr-$source-$target$without vocabulary=() folders=() model_of=() seed_of=()
for seed in "${seeds[@]}"; do
  for model in "${models[@]}"; do
    folders+=("$folder/$(basename "$model" .sh)-seed$seed") model_of+=("$model") seed_of+=("$seed")
  done
done

# train_one NUMBER
train_one() {
  local model=${model_of[$1]} seed=${seed_of[$1]} name own start
  name=$(basename "$model" .sh)
  start=$asr/$name-seed$seed/average.pt
  read -r -a own < <(awk -v name="$name" '$1 == name { $1 = ""; print }' "$flags_of") || own=()
  set_model_args "$model" "${own[@]}" --seed "$seed" || return
  if [[ $task == st ]]; then
    [[ -n $dry_run || -f $start || -f ${folders[$1]}/.train.done ]] || { stage_error "$start: no such file; run --task asr with the same --out, models and seeds first"; return 1; }
    if is_fairseqs_own; then TRAINING_ARGS+=(--load-pretrained-encoder-from "$start"); else TRAINING_ARGS+=(--init-encoder-from "$start"); fi
    [[ " ${MODEL_ARGS[*]} " != *" --encoder none "* ]] || TRAINING_ARGS+=(--init-decoder-from "$start")
  fi
  TRAINING_ARGS+=("${more[@]}")
  train "$folder/data" "${folders[$1]}"
}

# decode_one NUMBER
decode_one() {
  local out=${folders[$1]} joint file GENERATION_ARGS=("${GENERATION_ARGS[@]}")
  decode "$out" "$folder/data" test "${metrics[@]}" || return
  is_decoded_jointly "${model_of[$1]}" || return 0
  joint=$(joint_name "$out")
  [[ -n $dry_run ]] || mkdir -p "$joint"
  for file in train.log .train.done average.log average.pt; do [[ -n $dry_run ]] || ln -sfn "../$(basename "$out")/$file" "$joint/$file"; done
  ! was_scored_elsewhere "$joint" || return 0
  GENERATION_ARGS+=(--ctc-decoding-weight "$ctc_decoding_weight")
  generate "$folder/data" "$joint" test && score "$folder/data" "$joint" test "${metrics[@]}"
}

is_decoded_jointly() {
  [[ -n $ctc_decoding_weight ]] && set_model_args "$1" && has_ctc
}

# joint_name FOLDER: MODEL-ctc-seedN of MODEL-seedN
joint_name() {
  echo "${1%-seed*}-ctc-seed${1##*-seed}"
}

# short_name MODEL: row5_dfp of reduced_row5_dfp_conformer, for the report
short_name() {
  sed -E 's/^reduced_//; s/^(row[0-9.]+_[a-z]+)_.*/\1/; s/^fairseq_s2t_/fairseq_/' <<<"$1"
}

[[ $task == asr ]] || vocabulary=(--transcript-vocab-from "$asr/data")
[[ -z $hold_out ]] || PREPARE_ARGS+=(--hold-out "$hold_out")
prepare "$folder/data" "${speechllm[@]}" prepare fillets --root "$root" --task "$task" --source-lang "$source" --target-lang "$target" --out "$folder/data" \
  "${PREPARE_ARGS[@]}" "${vocabulary[@]}"
begin "$stop_after"
check_metrics "$folder/data" test "${metrics[@]}"
train_in_rounds "$(at_once "$jobs" "${#models[@]}" "${#seeds[@]}")" "$round_seconds"
decode_side_by_side "$jobs"
end_with_failures
systems=() others=() peer=''
for model in "${models[@]}"; do
  name=$(basename "$model" .sh)
  runs=("${seeds[@]/#/$folder/$name-seed}") joint=("${seeds[@]/#/$folder/$name-ctc-seed}")
  shown=$(short_name "$name")
  own=("$shown=$(IFS=, && echo "${runs[*]}")")
  ! is_decoded_jointly "$model" || own+=("$shown-ctc=$(IFS=, && echo "${joint[*]}")")
  systems+=("${own[@]}")
  set_model_args "$model"
  if [[ -z $peer ]] && is_fairseqs_own; then peer=${own[0]}; else others+=("${own[@]}"); fi
done
declare -A language=([cs]=Czech [nl]=Dutch)
report_metrics=(--metrics chrf bleu)  # BLEU of 223 short and free translations says little, above all of their slices
[[ $task == st ]] || report_metrics=()
title="Fish Fillets, ${language[$source]:-$source} $([[ $task == asr ]] && echo recognition || echo "into ${target}")${hold_out:+, training without ${hold_out#*=}}, $minutes minutes of training each"
# compare HTML TABLES SYSTEM...
compare() {
  local REPORT_ARGS=(--title "$title" --split test --data "$folder/data" --tables "$2" --no-audio --no-checkpoints --no-words --examples 0 "${report_metrics[@]}")
  report "$1" "${@:3}"
}
compare "$folder/report.html" "$folder/tables" "${systems[@]}"
[[ -z $peer || ${#others[@]} -eq 0 ]] || compare "$folder/report-peer.html" "$folder/tables-peer" "$peer" "${others[@]}"
