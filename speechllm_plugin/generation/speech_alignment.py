"""Which frames of the speech a hypothesis reads for each of its tokens: fairseq-generate --print-alignment.

Shapes: B sentences   U tokens   N states that the decoder reads   S states before compression   T frames (10 ms).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True)
class Alignment:
    """An alignment to ask a model for.

    kind:  "hard", pairs (frame that is read most, token), the first of equals; or "soft", the weights of all frames for each token.
    layer: of the decoder, from 0.
    heads: from 0, whose mean is taken; None is all.
    """

    kind: str
    layer: int
    heads: Sequence[int] | None = None

    def add(self, n_best: list[list[dict]], model: Any, speech: Any, num_frames: Tensor, start_token: int, pad: int) -> None:
        """Give every hypothesis its `attention` (T, U) and `alignment`, as fairseq-generate prints it.

        The model reads the finished texts once more, all of the same rank together: the search itself keeps no attention.

        Args:
            speech: states of the whole batch.
            num_frames: (B,).
        """
        for rank in range(max(map(len, n_best))):
            chosen = [hypotheses[min(rank, len(hypotheses) - 1)] for hypotheses in n_best]
            tokens = pad_sequence([hypothesis["tokens"] for hypothesis in chosen], batch_first=True, padding_value=pad)
            previous = torch.nn.functional.pad(tokens[:, :-1], (1, 0), value=start_token).to(num_frames.device)
            weights = model.decoder.attention_to_speech(previous, speech, self.layer, self.heads)
            weights = over_frames(over_states(weights, speech.segments), num_frames, model.encoder.frames_per_state).cpu()
            for hypotheses, each, length in zip(n_best, weights, num_frames.tolist()):
                if rank < len(hypotheses):
                    each = each[: len(hypotheses[rank]["tokens"]), :length]
                    hypotheses[rank] |= {"attention": each.t(), "alignment": self.printed(each)}

    def printed(self, weights: Tensor) -> list:
        """The items that fairseq-generate joins to a line, of weights (U, T)."""
        if self.kind == "hard":
            return [(frame, token) for token, frame in enumerate(weights.argmax(-1).tolist())]
        return [[f"{weight:.6f}" for weight in of_token] for of_token in weights.tolist()]


def over_states(weights: Tensor, segments: Any) -> Tensor:
    """(B, U, N) -> (B, U, S): what is read of a merged state is divided as the states before are merged in it."""
    if segments is None:
        return weights
    number = segments.number.clamp(max=weights.size(2) - 1)[:, None].expand(-1, weights.size(1), -1)
    return weights.gather(2, number) * segments.share[:, None]


def over_frames(weights: Tensor, num_frames: Tensor, frames_per_state: int) -> Tensor:
    """(B, U, S) -> (B, U, T): a state stands for the frames from its number times frames_per_state on, in equal parts."""
    first = torch.arange(weights.size(2), device=weights.device) * frames_per_state
    counts = (num_frames[:, None] - first).clamp(min=1, max=frames_per_state)
    return (weights / counts[:, None]).repeat_interleave(frames_per_state, dim=2)
