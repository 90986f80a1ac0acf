# Two minutes for 20 minutes of speech on one CPU core.
PREPARE_ARGS=(--specaugment freq_mask_N=1 time_mask_p=0.15)  # the study's time masks of up to a second would cover most of an utterance
TRAINING_ARGS=(
  --lr-scheduler polynomial_decay --lr 2e-3 --warmup-updates 200 --total-num-update 1100
  --max-tokens 1400 --required-batch-size-multiple 1
  --max-epoch 12 --validate-interval 2
  --keep-last-epochs 3
  --num-workers 0 --seed 1
)
AVERAGE_LAST=3
GENERATION_ARGS=(--max-tokens 8000)
