# Cross-attention; differs from dfp.sh in the architecture only.
MODEL_ARGS=(
  --arch xattn_transformer
  --encoder conformer
  --encoder-layers 3
  --encoder-embed-dim 128
  --encoder-ffn-embed-dim 256
  --encoder-attention-heads 4
  --conv-channels 128
  --depthwise-conv-kernel-size 15
  --ctc-layer 3
  --decoder-layers 2
  --decoder-embed-dim 128
  --decoder-ffn-embed-dim 256
  --decoder-attention-heads 4
  --attention-dropout 0
  --activation-dropout 0
)
