# Small decoder-prepend Conformer with CTC, for hours of speech on a CPU.
MODEL_ARGS=(
  --arch dfp_transformer
  --causal-prefix
  --encoder conformer
  --encoder-layers 4
  --encoder-embed-dim 144
  --encoder-ffn-embed-dim 576
  --encoder-attention-heads 4
  --conv-channels 144
  --depthwise-conv-kernel-size 15
  --ctc-layer 4
  --decoder-layers 2
  --decoder-embed-dim 144
  --decoder-ffn-embed-dim 576
  --decoder-attention-heads 4
  --dropout 0.15
)
