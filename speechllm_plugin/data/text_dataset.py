"""Transcripts and their translations as fairseq batches: what a text translation model reads and learns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from speechllm_plugin.data.row_dataset import RowDataset, padded
from speechllm_plugin.data.sent_batches import sent_together


@dataclass(frozen=True)
class TextExample:
    """One row of a batch: source (W,) and target (U,), both with end of sentence."""

    index: int
    source: torch.Tensor
    target: torch.Tensor | None


class TextDataset(RowDataset):
    """Source and target texts of a manifest's rows. A row counts as the longer of its two texts.

    Args:
        ids: name of every row, for errors.
        sources: (W,) token ids per row, with end of sentence.
        targets: (U,) token ids per row, or None where there are none.
        dictionary: of the targets; fairseq's transformer pads the sources with the same id.
    """

    unit = "tokens"

    def __init__(
        self,
        ids: Sequence[str],
        sources: Sequence[np.ndarray],
        targets: Sequence[np.ndarray] | None,
        dictionary,
        has_tags: bool = False,
        repeats: np.ndarray | None = None,
        shuffle: bool = False,
        length_noise: float = 0.0,
    ):
        self.ids, self.sources, self.targets = ids, sources, targets
        self.num_sources = np.array([len(source) for source in sources], dtype=np.int64)
        self.num_targets = np.array([len(target) for target in targets or [[]] * len(sources)], dtype=np.int64)
        self.pad, self.eos = dictionary.pad(), dictionary.eos()
        self.has_tags, self.repeats, self.shuffle, self.length_noise = has_tags, repeats, shuffle, length_noise

    def __len__(self):
        return len(self.sources)

    def __getitem__(self, index) -> TextExample:
        row = index % len(self)
        target = None if self.targets is None else torch.as_tensor(self.targets[row])
        return TextExample(row, torch.as_tensor(self.sources[row]), target)

    def collater(self, samples: list[TextExample]) -> dict:
        """A batch: net_input {src_tokens (B, W), src_lengths (B,), prev_output_tokens (B, U)}, target (B, U), id (B,) rows, counts.

        With tags: tag (B,), which stands in prev_output_tokens, and is padding in the target, so that no loss counts it.
        """
        if not samples:
            return {}
        source, lengths = padded([example.source for example in samples], self.pad)
        batch = {
            "id": torch.tensor([example.index for example in samples]),
            "net_input": {"src_tokens": source, "src_lengths": lengths},
            "nsentences": len(samples),
            "ntokens": int(lengths.sum()),
            "target": None,
        }
        if self.targets is not None:
            previous, batch["target"], batch["target_lengths"], batch["ntokens"] = self.learnt([example.target for example in samples])
            batch["net_input"]["prev_output_tokens"] = previous
            if self.has_tags:
                batch["tag"] = previous[:, 1].clone()
        return sent_together(batch)

    def place(self, index: int) -> str:
        row = index % len(self)
        return f"row {row} (utterance {self.ids[row]})"

    def source_lengths(self, indices):
        return self.num_sources[indices % len(self)]

    def num_tokens_vec(self, indices):
        return np.maximum(self.source_lengths(indices), self.num_targets[indices % len(self)])
