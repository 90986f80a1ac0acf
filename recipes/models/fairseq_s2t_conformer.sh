# fairseq's own s2t_conformer with relative positions, without CTC, in the sizes of the reduced rows, as their peer: it trains on the same batches.
MODEL_ARGS=(
  --criterion label_smoothed_cross_entropy --label-smoothing 0.1
  --arch s2t_conformer --attn-type espnet --pos-enc-type rel_pos
  --max-target-positions 4000  # of two minutes; fairseq stores no positions of text, so that it costs no parameter
  --encoder-layers 8
  --encoder-embed-dim 256
  --encoder-ffn-embed-dim 1024
  --encoder-attention-heads 4
  --conv-channels 256
  --decoder-layers 4
  --decoder-embed-dim 256
  --decoder-ffn-embed-dim 1024
  --decoder-attention-heads 4
)
