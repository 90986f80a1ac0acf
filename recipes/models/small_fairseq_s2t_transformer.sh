# fairseq's own speech Transformer, without CTC, as a peer of the small models: it trains on the same batches.
MODEL_ARGS=(
  --criterion label_smoothed_cross_entropy --label-smoothing 0.1
  --arch s2t_transformer
  --encoder-layers 4
  --encoder-embed-dim 144
  --encoder-ffn-embed-dim 576
  --encoder-attention-heads 4
  --conv-channels 144
  --decoder-layers 2
  --decoder-embed-dim 144
  --decoder-ffn-embed-dim 576
  --decoder-attention-heads 4
  --dropout 0.2
)
