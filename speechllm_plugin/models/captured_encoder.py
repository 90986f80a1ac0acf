"""The speech encoder from CUDA graphs, for decoding: of batches that are too small to keep a GPU busy while the host launches their work.

Compression makes as many states as it finds in the speech, so that the host must read how many before it can go on: such an encoder is
captured in two parts, below and above the merging of states.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from speechllm_plugin.generation.weight_places import weight_places
from speechllm_plugin.models.captured_function import CapturedFunction
from speechllm_plugin.models.ctc import CTCOutput
from speechllm_plugin.models.merging import merge
from speechllm_plugin.models.speech_encoder import SpeechEncoder, SpeechStates

NUM_SHAPES = 16  # of which graphs are kept, for each part
FRAMES_IN_GRAPHS = 100_000  # of a batch with its padding: a larger one keeps a GPU busy, and its graphs would keep much memory


class CapturedEncoder:
    """Calls an encoder in evaluation mode, without gradients; batches of a shape that was met before run from graphs.

    The results are those of the operations, bit by bit. Weights may change in place; once one lies elsewhere, all is captured anew.

    Args:
        encoder: on a GPU.
    """

    def __init__(self, encoder: SpeechEncoder):
        self.encoder, self.device = encoder, next(encoder.parameters()).device
        self.stream = torch.cuda.Stream(self.device)
        self.places = weight_places([encoder])
        self.parts: dict[tuple, CapturedFunction] = {}

    def __deepcopy__(self, memo: dict) -> None:
        """A copy of a model has other weights: it runs without graphs."""

    def __call__(self, src_tokens: Tensor, src_lengths: Tensor, with_ctc: bool) -> SpeechStates:
        if src_tokens.device != self.device or src_tokens.shape[:2].numel() > FRAMES_IN_GRAPHS or torch.is_autocast_enabled("cuda"):
            return self.encoder.forward_by_operations(src_tokens, src_lengths, with_ctc)
        if self.places != (places := weight_places([self.encoder])):
            self.places, self.parts = places, {}
        has_ctc = with_ctc and self.encoder.ctc_head is not None
        if not self.encoder.compresses:
            states, padding, *logits = self.part(self.whole, with_ctc)(src_tokens, src_lengths)
            return SpeechStates(states, padding, CTCOutput(logits[0], (~padding).sum(1)) if has_ctc else None)
        x, padding, segment, weight, *logits = self.part(self.below, with_ctc)(src_tokens, src_lengths)
        x, shorter_padding, segments = merge(x, segment, weight, padding)
        (states,) = self.part(self.above)(x, shorter_padding)
        ctc = CTCOutput(logits[0], (~padding).sum(1), (~shorter_padding).sum(1)) if has_ctc else None
        return SpeechStates(states, shorter_padding, ctc, segments)

    def part(self, function: Callable[..., tuple[Tensor, ...]], *settings: bool) -> CapturedFunction:
        """A function of tensors and settings, captured for these."""
        name = (function.__name__, *settings)
        if name not in self.parts:
            self.parts[name] = CapturedFunction(lambda *inputs: function(*inputs, *settings), NUM_SHAPES, self.stream)
        return self.parts[name]

    def whole(self, src_tokens: Tensor, src_lengths: Tensor, with_ctc: bool) -> tuple[Tensor, ...]:
        speech = self.encoder.forward_by_operations(src_tokens, src_lengths, with_ctc)
        return speech.states, speech.padding, *(() if speech.ctc is None else (speech.ctc.logits,))

    def below(self, src_tokens: Tensor, src_lengths: Tensor, with_ctc: bool) -> tuple[Tensor, ...]:
        x, context = self.encoder.below_exit(src_tokens, src_lengths)
        logits, found = self.encoder.at_exit(x, context.padding, with_ctc)
        assert found is not None  # it compresses
        return x, context.padding, *found, *(() if logits is None else (logits,))

    def above(self, x: Tensor, padding: Tensor) -> tuple[Tensor, ...]:
        return (self.encoder.above_exit(x, self.encoder.context(padding)),)


def capture_encoder(model: nn.Module) -> None:
    """Let the encoder of a model that is on a GPU run from graphs in decoding; others stay as they are."""
    encoder = getattr(model, "encoder", None)
    if isinstance(encoder, SpeechEncoder) and encoder.captured is None and next(encoder.parameters()).is_cuda:
        encoder.captured = CapturedEncoder(encoder)
