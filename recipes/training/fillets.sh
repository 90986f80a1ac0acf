# An hour or two of short recordings (recipes/fillets, recipes/tuxpaint), for the reduced rows on one GPU; on one with Triton add
#   -- --bf16 --optimizer speechllm_adam --num-batch-buckets 32 --cuda-graphs 64
# Dropout and learning rate are what recipes/fillets/search.sh found for rows 4 and 5 (docs/benchmark.md).
PREPARE_ARGS=(
  --speed-perturbation 0.9 1.0 1.1
  --specaugment freq_mask_N=2 freq_mask_F=27 time_mask_N=2 time_mask_T=40 time_mask_p=0.3
)
TRAINING_ARGS=(
  --lr-scheduler linear_to_zero --lr 1e-3 --warmup-updates 500 --weight-decay 1e-6
  --dropout 0.2 --max-tokens 20000 --length-noise 0.02
  --max-update 6000
  --no-epoch-checkpoints --validate-interval 1000 --save-interval-updates 250 --validate-interval-updates 250 --keep-interval-updates 5
  --num-workers 2 --seed 1
)
AVERAGE_LAST=5
GENERATION_ARGS=(--max-tokens 40000)
source "$(dirname "${BASH_SOURCE[0]}")/small_teacher.sh"
