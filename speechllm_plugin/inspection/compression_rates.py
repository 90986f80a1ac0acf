"""The rates by which a model's CTC compression shortens the utterances of a split."""

import numpy as np
import torch

from speechllm_plugin.inspection.trained_model import load_rows

MAX_FRAMES = 12_000  # of a batch, padding included: two minutes of speech


@torch.no_grad()
def compression_rates(model, task, split: str) -> np.ndarray | None:
    """The (rows,) float32 speech states before / after compression, in the manifest's row order; None if the model does not compress.

    Utterances longer than --max-source-positions allows are no error: the encoder takes them.
    """
    if not model.encoder.compresses:
        return None
    dataset, encoder = load_rows(task, split), model.eval().encoder.up_to_compression()
    device = next(model.parameters()).device
    rates = np.full(len(dataset), np.nan, dtype=np.float32)
    longest = int(dataset.num_frames.max())
    for rows in dataset.batch_by_size(dataset.ordered_indices(), max_tokens=max(MAX_FRAMES, longest)):
        batch = dataset.collater([dataset[row] for row in rows])
        features, lengths = (batch["net_input"][name].to(device) for name in ("src_tokens", "src_lengths"))
        ctc = encoder(features, lengths).ctc
        rates[batch["id"].numpy()] = (ctc.lengths / ctc.compressed_lengths).cpu().numpy()
    return rates
