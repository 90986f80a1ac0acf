# All rows of the study on the spoken digits at reduced width: 64 channels instead of 512, layers as in the rows. For recipes/study.sh.
PREPARE_ARGS=(--specaugment freq_mask_N=1 time_mask_N=1 time_mask_p=0.2)  # masks of up to a second would cover most of an utterance
VOCAB_SIZE=([asr]=48 [st]=100 [joint]=120 [transcript]=48)
SIZE_ARGS=(
  --encoder-embed-dim 64 --encoder-ffn-embed-dim 256 --encoder-attention-heads 4 --conv-channels 128 --depthwise-conv-kernel-size 15
  --decoder-embed-dim 64 --decoder-ffn-embed-dim 256 --decoder-attention-heads 4
)
TRAINING_ARGS=(
  --lr-scheduler polynomial_decay --lr 2e-3 --warmup-updates 150 --total-num-update 1000
  --max-tokens 16000
  --max-update 1000
  --no-epoch-checkpoints --validate-interval 1000 --save-interval-updates 100 --validate-interval-updates 100 --keep-interval-updates 5
  --num-workers 1 --seed 1
)
AVERAGE_LAST=5
GENERATION_ARGS=(--max-tokens 20000)
