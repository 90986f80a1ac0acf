# The study's settings for MuST-C: 320,000 frames an update on one GPU. On N GPUs the recipes divide --update-freq by N, and join as many of the
# batches as the GPUs' memory holds, with GPU_ARGS.
PREPARE_ARGS=()
TRAINING_ARGS=(
  --lr-scheduler inverse_sqrt --lr 2e-3 --warmup-updates 25000
  --max-tokens 40000 --update-freq 8 --length-noise 0.02
  --max-update 100000 --patience 10 --best-checkpoint-metric nll_loss  # the whole loss would stop rows with and without CTC by different measures
  --keep-last-epochs 5
  --num-workers 4 --seed 1
)
GPU_ARGS=(--optimizer speechllm_adam --num-batch-buckets 64 --cuda-graphs 96 --ddp-backend legacy_ddp)
AVERAGE_LAST=5
# Not of the paper, which distills from NLLB-200 3.3B: fairseq's base Transformer with what is usual for a few hundred thousand sentences.
TEACHER_ARGS=(
  --arch transformer --encoder-normalize-before --decoder-normalize-before --share-decoder-input-output-embed --dropout 0.3
  --lr-scheduler inverse_sqrt --lr 7e-4 --warmup-updates 4000 --weight-decay 1e-4
  --max-tokens 8000 --update-freq 2
  --max-update 50000 --patience 10 --best-checkpoint-metric nll_loss
  --keep-last-epochs 5
  --num-workers 2 --seed 1
)
GENERATION_ARGS=(--max-tokens 80000)
