# Half of the channels and two thirds of the layers of the paper, for hours of speech on one GPU. Sourced by reduced_*.sh behind a row.
MODEL_ARGS+=(
  --encoder-layers 8
  --encoder-embed-dim 256
  --encoder-ffn-embed-dim 1024
  --encoder-attention-heads 4
  --conv-channels 512
  --decoder-layers 4
  --decoder-embed-dim 256
  --decoder-ffn-embed-dim 1024
  --decoder-attention-heads 4
)
