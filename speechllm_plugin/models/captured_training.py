"""Training steps of a model from CUDA graphs, for batches whose shapes repeat.

Compression makes as many states as it finds in the speech, so that the host must read how many before it can go on: such a model is
captured in two parts, below and above the compression, and the states between them are filled up to one of few numbers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, distributed
from torch.nn.functional import pad

from speechllm_plugin.models.batch_norm import several_processes
from speechllm_plugin.models.captured_part import CapturedPart
from speechllm_plugin.models.ctc import CTCOutput, all_types, first_types
from speechllm_plugin.models.kernels.seeds import draw_seed_base
from speechllm_plugin.models.merging import compress
from speechllm_plugin.models.speech_encoder import SpeechStates
from speechllm_plugin.models.speech_to_text import ModelOutput, SpeechToTextModel
from speechllm_plugin.models.subsampling import padding_of

STEPS_PER_DOUBLING = 16  # of the numbers of compressed states: 3 % are padding on average


class CapturedTraining:
    """The forward pass of a model in training, from graphs where it can be.

    Args:
        model: on a GPU, in the type in which it is trained, each weight with a `grad` that stays where it is.
        limit: number of shapes of a part whose graphs are kept.

    Raises:
        ValueError: weights have no `grad`.
    """

    def __init__(self, model: SpeechToTextModel, limit: int):
        self.encoder, self.decoder = model.encoder, model.decoder
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        if any(weight.grad is None for weight in weights):
            raise ValueError("captured training adds gradients in place: train with --optimizer speechllm_adam")
        stream = torch.cuda.Stream(weights[0].device)
        functions = (self.below, self.above) if self.encoder.compresses else (self.whole,)
        self.parts = [CapturedPart(function, weights, limit, stream) for function in functions]

    @property
    def num_graphs(self) -> int:
        """Shapes of all parts that are captured."""
        return sum(len(part.graphs) for part in self.parts)

    @property
    def num_captures(self) -> int:
        """Graphs that were captured so far, of all parts."""
        return sum(part.num_captures for part in self.parts)

    @property
    def num_launches(self) -> int:
        """Calls of all parts that ran without a graph so far, as a shape was new."""
        return sum(part.num_launches for part in self.parts)

    def __call__(self, src_tokens: Tensor, src_lengths: Tensor, *texts: Tensor) -> ModelOutput:
        """As the model's forward; texts: one or two shifted targets."""
        draw_seed_base(src_tokens.device)
        if not self.encoder.compresses:
            outputs = self.parts[0](src_tokens, src_lengths, *texts)
            logits, ctc = outputs[: len(texts)], outputs[len(texts) :]
            return model_output(logits, CTCOutput(first_types(ctc[0], self.encoder.num_labels), ctc[1]) if ctc else None)
        x, ctc_logits, lengths = self.parts[0](src_tokens, src_lengths)
        ctc_logits = first_types(ctc_logits, self.encoder.num_labels)
        x, padding, _ = compress(x, [ctc_logits], padding_of(lengths, x.size(1)), self.encoder.cfg)
        compressed_lengths = (~padding).sum(1)
        width = rounded_up(most_of_all_processes(x.size(1), x.device))
        x = pad(x, (0, 0, 0, width - x.size(1)))
        return model_output(self.parts[1](x, compressed_lengths, *texts), CTCOutput(ctc_logits, lengths, compressed_lengths))

    def whole(self, src_tokens: Tensor, src_lengths: Tensor, *texts: Tensor) -> tuple[Tensor, ...]:
        speech = self.encoder(src_tokens, src_lengths)
        ctc = () if speech.ctc is None else (all_types(speech.ctc.logits), speech.ctc.lengths)
        return *self.decode(speech, texts), *ctc

    def below(self, src_tokens: Tensor, src_lengths: Tensor) -> tuple[Tensor, ...]:
        x, context = self.encoder.below_exit(src_tokens, src_lengths)
        assert self.encoder.ctc_head is not None  # it compresses
        return x, all_types(self.encoder.ctc_head(x)), context.lengths

    def above(self, x: Tensor, lengths: Tensor, *texts: Tensor) -> tuple[Tensor, ...]:
        padding = padding_of(lengths, x.size(1))
        return self.decode(SpeechStates(self.encoder.above_exit(x, self.encoder.context(padding)), padding), texts)

    def decode(self, speech: SpeechStates, texts: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The logits of each text."""
        logits, extra = self.decoder(texts[0], encoder_out=speech, kd_prev_output_tokens=texts[1] if len(texts) > 1 else None)
        return (logits, extra["kd_logits"])[: len(texts)]


def model_output(logits: Sequence[Tensor], ctc: CTCOutput | None) -> ModelOutput:
    return ModelOutput(logits[0], ctc, logits[1] if len(logits) > 1 else None)


def most_of_all_processes(number: int, device: torch.device) -> int:
    """The largest of their numbers: what is captured must have one shape on all of them."""
    if not several_processes():
        return number
    most = torch.tensor(number, device=device)
    distributed.all_reduce(most, distributed.ReduceOp.MAX)
    return int(most)


def rounded_up(number: int) -> int:
    """The next of 16 numbers between one power of two and the next."""
    step = max(1, 2 ** (number.bit_length() - 1) // STEPS_PER_DOUBLING)
    return -(-number // step) * step
