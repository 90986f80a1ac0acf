# All rows of the study on the spoken digits, on two CPU cores: 96 channels instead of 512, a third of the layers. For recipes/study.sh.
PREPARE_ARGS=(--specaugment freq_mask_N=1 time_mask_N=1 time_mask_p=0.2)  # masks of up to a second would cover most of an utterance
VOCAB_SIZE=([asr]=48 [st]=100 [joint]=120 [transcript]=48)
LAYERS_DIVIDED_BY=3
SIZE_ARGS=(
  --encoder-embed-dim 96 --encoder-ffn-embed-dim 384 --encoder-attention-heads 4 --conv-channels 96 --depthwise-conv-kernel-size 15
  --decoder-embed-dim 96 --decoder-ffn-embed-dim 384 --decoder-attention-heads 4
)
TRAINING_ARGS=(
  --lr-scheduler polynomial_decay --lr 1e-3 --warmup-updates 250 --total-num-update 2500
  --max-tokens 4000
  --max-update 2500
  --no-epoch-checkpoints --validate-interval 1000 --save-interval-updates 250 --validate-interval-updates 250 --keep-interval-updates 5
  --num-workers 1 --seed 1
)
AVERAGE_LAST=5
GENERATION_ARGS=(--max-tokens 20000)
source "$(dirname "${BASH_SOURCE[0]}")/small_teacher.sh"
