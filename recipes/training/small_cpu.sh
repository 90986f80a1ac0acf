# One to a few hours of short utterances on two CPU cores, for the models recipes/models/small_*.sh.
PREPARE_ARGS=(--specaugment freq_mask_N=1 time_mask_N=1 time_mask_p=0.2)  # masks of up to a second would cover most of an utterance
TRAINING_ARGS=(
  --lr-scheduler polynomial_decay --lr 1e-3 --warmup-updates 150 --total-num-update 2000
  --max-tokens 4000
  --max-update 2000
  --no-epoch-checkpoints --validate-interval 1000 --save-interval-updates 100 --validate-interval-updates 100 --keep-interval-updates 5
  --num-workers 1 --seed 1
)
AVERAGE_LAST=5
GENERATION_ARGS=(--max-tokens 20000)
source "$(dirname "${BASH_SOURCE[0]}")/small_teacher.sh"
