#!/usr/bin/env bash
# Sequence-level knowledge distillation (Kim and Rush 2016, arXiv:1606.07947): students learn from a teacher's translations of the transcripts.
#   source recipes/environment.sh; source recipes/pipeline.sh; source recipes/experiment.sh; source recipes/training/T.sh     TEACHER_ARGS=(...)
#   distill FOLDER TEACHER MODE SPLIT        sets kd_name, kd_data: the data folder FOLDER/data distilled, and adds what the mode needs to TRAINING_ARGS
# TEACHER is one of
#   own          a text translation model, trained here on the transcripts and translations of FOLDER/data; scored on SPLIT
#   nllb[:NAME]  a pretrained model by `speechllm translate`: NAME on the Hugging Face Hub or a folder     [facebook/nllb-200-3.3B, the paper's]
#   FILE         its translations of the training set: a KD file, or the output of fairseq-generate
# MODE is one of those of `speechllm distill` that change the training set, or sequence_kd: both texts of every utterance in one criterion.

distill() {
  local folder=$1 teacher=$2 mode=$3 split=$4 translations model inputs=() k=1
  [[ $mode != kbest && $mode != interpolate ]] || k=5
  case $teacher in
    own)
      train_teacher "$folder/data" "$folder/teacher" "$split" || return
      kd_name=own inputs=("$folder/teacher/average.pt") translations=(--teacher "$folder/teacher/average.pt" --beam 5) ;;
    nllb | nllb:*)
      model=facebook/nllb-200-3.3B
      [[ $teacher == nllb ]] || model=${teacher#nllb:}
      kd_name=$(basename "$model") translations=(--teacher-output "$folder/translations/$(basename "$model")-$k.tsv")
      inputs=("${translations[1]}")
      translate "$folder/data" "$model" "$k" "${translations[1]}" || return ;;
    *) kd_name=$(basename "${teacher%.*}") inputs=("$teacher") translations=(--teacher-output "$teacher") ;;
  esac
  kd_name=kd-$kd_name-$mode kd_data=$folder/data-$kd_name
  if [[ $mode == sequence_kd ]]; then
    mode=columns
    TRAINING_ARGS+=(--criterion sequence_kd --kd-weight 0.5)
  fi
  run_stage distill "$kd_data" "$kd_data.log" "$kd_data.done" "${translations[*]} $k" "$folder/data/.prepare.done" "${inputs[@]}" -- \
    show_all "${speechllm[@]}" distill --data "$folder/data" --split train "${translations[@]}" --mode "$mode" --kbest "$k" --empty reference \
    --report "$kd_data" --out "$kd_data"
}

# train_teacher DATA OUT SPLIT: OUT/average.pt, and its scores on SPLIT.
train_teacher() {
  local plugin_args=(--user-dir "$pipeline_root/speechllm_plugin" --task speechllm_text_to_text) MODEL_ARGS=() TRAINING_ARGS=("${TEACHER_ARGS[@]}")
  local optimizer_args=(
    --criterion label_smoothed_cross_entropy --label-smoothing 0.1 --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 10
    --log-format json --log-interval 50
  )
  # shellcheck disable=SC2086  # one word per metric
  run_pipeline "$1" "$2" "$3" ${metrics[st]}
}

# translate DATA MODEL K FILE: FILE gets the K best translations of every transcript of the training set.
translate() {
  local gpus
  gpus=$(python3 -c 'import torch; print(torch.cuda.device_count())')
  [[ -n $dry_run ]] || mkdir -p "$(dirname "$4")"
  run_stage translate "$4" "${4%.tsv}.log" "${4%.tsv}.done" "$2" "$1/.prepare.done" -- \
    show_all "${speechllm[@]}" translate --data "$1" --split train --model "$2" --beam 5 --kbest "$3" --gpus "$gpus" --out "$4"
}
