# The text translation model that teaches small models (recipes/distillation.sh): a minute or two on a CPU core for a few thousand sentences.
TEACHER_ARGS=(
  --arch transformer --encoder-layers 3 --decoder-layers 3 --encoder-embed-dim 128 --decoder-embed-dim 128 --encoder-ffn-embed-dim 512 --decoder-ffn-embed-dim 512
  --encoder-attention-heads 4 --decoder-attention-heads 4 --encoder-normalize-before --decoder-normalize-before --share-decoder-input-output-embed --dropout 0.2
  --lr-scheduler polynomial_decay --lr 2e-3 --warmup-updates 150 --total-num-update 2000
  --max-tokens 1000
  --max-update 2000
  --no-epoch-checkpoints --validate-interval 1000 --save-interval-updates 100 --validate-interval-updates 100 --keep-interval-updates 5
  --num-workers 0 --seed 1
)
