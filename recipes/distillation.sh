#!/usr/bin/env bash
# Stages of sequence-level knowledge distillation (Kim and Rush 2016, arXiv:1606.07947): students learn from a teacher's translations of
# the transcripts. Like those of pipeline.sh, which must be sourced before.
#   train_teacher DATA OUT SPLIT METRIC...       a text translation model, by TEACHER_ARGS=(...) of a training file: OUT/average.pt, scored on SPLIT;
#                                                it learns from DATA/train.tsv, and DATA/texts.tsv where prepare found texts without recording
#   translate DATA MODEL K GPUS FILE             the K best translations of every transcript of the training set, by a pretrained model
#   distill DATA OUT MODE K --teacher CHECKPOINT [ARGUMENT...]       the data folder OUT, with the translations of a model or of a file;
#   distill DATA OUT MODE K --teacher-output FILE                    MODE is one of `speechllm distill`
# recipes/CORPUS/run.sh --kd runs them in their order (speechllm_plugin/experiments/distillation_plan.py).

train_teacher() {
  local plugin_args=(--user-dir "$pipeline_root/speechllm_plugin" --task speechllm_text_to_text) MODEL_ARGS=() TRAINING_ARGS=("${TEACHER_ARGS[@]}")
  [[ ! -f $1/texts.tsv ]] || TRAINING_ARGS+=(--train-subset train,texts)  # those that nobody recorded are parallel text, too
  local MACHINE_ARGS=(${MACHINE_ARGS:+--distributed-world-size 1})  # its updates are meant for one GPU, which has enough to do with them for minutes
  local optimizer_args=(
    --criterion label_smoothed_cross_entropy --label-smoothing 0.1 --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 10
    --log-format json --log-interval 50
  )
  run_pipeline "$@"
}

translate() {
  local data=$1 model=$2 k=$3 gpus=$4 file=$5
  [[ -n $dry_run ]] || mkdir -p "$(dirname "$file")"
  run_stage translate "$file" "${file%.tsv}.log" "${file%.tsv}.done" "$model" "$data/.prepare.done" -- \
    show_all "${speechllm[@]}" translate --data "$data" --split train --model "$model" --beam 5 --kbest "$k" --gpus "$gpus" --out "$file"
}

distill() {
  local data=$1 out=$2 mode=$3 k=$4 input=$6
  run_stage distill "$out" "$out.log" "$out.done" "${*:5} $k" "$data/.prepare.done" "$input" -- \
    show_all "${speechllm[@]}" distill --data "$data" --split train "${@:5}" --mode "$mode" --kbest "$k" --empty reference --report "$out" --out "$out"
}
