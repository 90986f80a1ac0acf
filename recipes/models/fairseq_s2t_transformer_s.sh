# fairseq's own s2t_transformer_s as it is, without CTC, as a peer of the reduced rows: it trains on the same batches.
MODEL_ARGS=(
  --criterion label_smoothed_cross_entropy --label-smoothing 0.1
  --arch s2t_transformer_s
  --max-target-positions 4000  # of two minutes; fairseq stores no positions of text, so that it costs no parameter
)
