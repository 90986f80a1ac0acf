"""The subject of the checks: a trained model, its task, and some real utterances."""

from functools import cached_property

import numpy as np
import torch

from speechllm_plugin.checking.reading import Reading, read
from speechllm_plugin.inspection.trained_model import load, load_rows

NUM_LATER_TOKENS = 4


class Subject:
    """A model in eval mode and some utterances of a data set, the longest first.

    Args:
        rows: of the data set.
        arch: fairseq-train's --arch.

    Attributes:
        first: Reading of the shortest utterance, before the model has read anything else.
    """

    def __init__(self, model, task, dataset, rows, arch: str = ""):
        self.model, self.task, self.dataset, self.arch = model.eval(), task, dataset, arch
        self.device = next(model.parameters()).device
        self.examples = sorted((dataset[row] for row in rows), key=lambda example: -len(example.features))
        [self.first] = self.read(self.batch([len(self.examples) - 1]))

    @classmethod
    def load(cls, checkpoint, data, split: str, num_utterances: int, device) -> "Subject":
        """Load a checkpoint and choose utterances of a split: the shortest, the longest, and equally many between any two.

        Raises:
            FileNotFoundError, ValueError: see inspection.trained_model.load; or no utterance has a length that the model takes.
        """
        model, task, arch = load(checkpoint, data, device)
        dataset = load_rows(task, split)
        fitting, _ = dataset.filter_indices_by_size(np.arange(len(dataset)), task.max_positions())
        if not len(fitting):
            limits = "--max-source-positions {} and --max-target-positions {}".format(*task.max_positions())
            raise ValueError(f"{split}: all {len(dataset):,} utterances are longer than the checkpoint's {limits}: give another split")
        return cls(model, task, dataset, spread(fitting, dataset.num_frames, num_utterances), arch)

    @property
    def ids(self) -> list[str]:
        return [self.dataset.ids[example.index] for example in self.examples]

    @property
    def few(self) -> list[int]:
        """Positions of the longest, a middle and the shortest utterance, for what takes long."""
        return sorted({0, len(self.examples) // 2, len(self.examples) - 1})

    def batch(self, positions=None, num_extra_frames: int = 0, garbage=(0.0,)) -> dict:
        """A batch of the utterances at these positions (None: all), in their order, as fairseq-generate gets it on the model's device.

        Args:
            num_extra_frames: of padding behind the longest.
            garbage: numbers that fill the padding, by turns.
        """
        positions = range(len(self.examples)) if positions is None else positions
        batch = self.dataset.collater([self.examples[position] for position in positions])
        speech, lengths = batch["net_input"]["src_tokens"], batch["net_input"]["src_lengths"]
        wide = speech.new_tensor(garbage).repeat(len(speech), speech.size(1) + num_extra_frames, -(-speech.size(2) // len(garbage)))
        wide = wide[:, :, : speech.size(2)].contiguous()
        for row, length in enumerate(lengths.tolist()):
            wide[row, :length] = speech[row, :length]
        batch["net_input"]["src_tokens"] = wide
        return moved(batch, self.device)

    def random_tokens(self, shape, draw: torch.Generator):
        """The same on every device; no special symbols."""
        dictionary = self.task.target_dictionary
        return torch.randint(dictionary.nspecial, len(dictionary), shape, generator=draw).to(self.device)

    def with_later_text(self, tokens):
        """The (B, U) tokens with some behind them, so that there is a later text, longer than that of any utterance."""
        more = self.random_tokens((len(tokens), NUM_LATER_TOKENS), torch.Generator().manual_seed(1))
        return torch.cat([tokens, more], dim=1)[:, : self.model.max_decoder_positions()]

    def read(self, batch: dict) -> list[Reading]:
        """The readings of the utterances of a batch, writing their references."""
        return read(self.model, **batch["net_input"], num_tokens=batch["target_lengths"])

    @cached_property
    def alone(self) -> list[Reading]:
        """The readings of the utterances, each alone in its batch."""
        return [reading for position in range(len(self.examples)) for reading in self.read(self.batch([position]))]


def spread(rows: np.ndarray, num_frames: np.ndarray, number: int) -> list[int]:
    """At most `number` of the rows, evenly from the shortest to the longest."""
    by_length = rows[np.argsort(num_frames[rows], kind="stable")]
    places = np.linspace(0, len(rows) - 1, min(number, len(rows))).round().astype(int)
    return by_length[places].tolist()


def moved(value, device):
    """A batch with its tensors on a device."""
    if isinstance(value, dict):
        return {name: moved(each, device) for name, each in value.items()}
    return value.to(device) if torch.is_tensor(value) else value
