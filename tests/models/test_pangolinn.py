"""pangolinn's behaviour suites, in float32 and bfloat16: padding for every encoder and compression, causality for every decoder.

They feed random frames and take the output's length for a function of the input's. That of compression depends on the CTC labels, so
here these are fixed for every position. All else, weights of the states and layers above included, depends on the frames as always.
"""

import functools
import itertools

import torch
from pangolinn import seq2seq as pangolinn
from tiny_model import (
    DIM,
    ENCODERS,
    FEATURE_DIM,
    make_model,
    make_speech,
)
from torch import nn
from torch.nn.functional import one_hot

from speechllm_plugin.models.merging import slow_segments

DTYPES = (torch.float32, torch.bfloat16)
# A length of 27, 24, 16, 13 or 1 frames makes 7, 6, 4, 4 or 1 states, and as pangolinn wants some padding, 6 need more segments than 4.
LABELS, BLANK, STRIDE = [9, 9, 4, 4, 5, 6, 5], 9, 2


class LabelsByPosition(nn.Module):
    """A CTC head whose best labels are LABELS whatever the states, with probabilities that depend on them."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, x):
        logits = self.head(x).tanh()  # at most 2 apart
        return logits + 3 * one_hot(torch.tensor(LABELS[: x.size(1)]), BLANK + 1).to(x.dtype)


@functools.cache
def make_encoder(variant, dtype):
    ctc_layer = 0 if variant[0] == "none" else 1
    encoder = make_model("dfp", variant, ctc_compression_stride=STRIDE, encoder_layers=2, ctc_layer=ctc_layer, decoder_layers=1).encoder
    if ctc_layer:
        encoder.ctc_head = LabelsByPosition(encoder.ctc_head)
    return encoder.to(dtype)


class EncoderWrapper(pangolinn.PangolinnSeq2SeqModuleWrapper):
    num_input_channels, num_output_channels = FEATURE_DIM, DIM
    variant: tuple
    input_dtype: torch.dtype

    def build_module(self):
        return make_encoder(self.variant, self.input_dtype)

    def forward(self, features, lengths):
        return self._module(features, lengths).states

    def output_sequence_length(self, num_frames):
        labels, encoder = LABELS[: (num_frames + 3) // 4], self._module
        return len(slow_segments(labels, BLANK, encoder.cfg, [0.9] * len(labels))) if encoder.compresses else len(labels)


class SubsamplingWrapper(EncoderWrapper):
    variant = ("none", "none", "none")

    def forward(self, features, lengths):
        return self._module.subsampling(features, lengths)[0]


class TextWrapper(pangolinn.PangolinnSeq2SeqModuleWrapper):
    """Embedded text to what the output projection reads, over the speech of one utterance."""

    num_input_channels, num_output_channels = DIM, DIM
    decoder: str
    input_dtype: torch.dtype

    def build_module(self):
        model = make_model(self.decoder).to(self.input_dtype)
        self.speech = model.encoder(*make_speech([57]))
        return model.decoder

    @property
    def factor(self):
        """pangolinn adds up gradients over the channels, which is zero before a LayerNorm unless the channels differ."""
        return torch.linspace(0.5, 2, DIM).to(self.input_dtype)

    def forward(self, x, lengths):
        speech = type(self.speech)(self.speech.states.expand(len(x), -1, -1), self.speech.padding.expand(len(x), -1))
        return self._module.decode(x * self.factor, speech)


class CausalSpeechWrapper(TextWrapper):
    """The speech inside the decoder with --causal-prefix: keys and values of its last layer."""

    num_output_channels = 2 * DIM

    def forward(self, x, lengths):
        speech = type(self.speech)(x * self.factor, torch.zeros(x.shape[:2], dtype=torch.bool))
        state = self._module.start(speech)
        key, value = (each[:, :, : state.first_slot] for each in state.text[-1])
        return torch.cat([key, value], dim=-1).transpose(1, 2).flatten(2)


TEXT_DECODERS = ("xattn", "dfp", "dfp-causal", "xattn-conformer", "dfp-conformer", "dfp-rope-continued")
# name -> pangolinn's suite, our wrapper, its settings
SUITES = {"padding-subsampling": (pangolinn.EncoderPaddingTestCase, SubsamplingWrapper, {})}
SUITES |= {f"padding-{'-'.join(variant)}": (pangolinn.EncoderPaddingTestCase, EncoderWrapper, {"variant": variant}) for variant in ENCODERS}
SUITES |= {f"causal-text-{name}": (pangolinn.CausalTestCase, TextWrapper, {"decoder": name}) for name in TEXT_DECODERS}
SUITES |= {
    f"causal-speech-{name}": (pangolinn.CausalTestCase, CausalSpeechWrapper, {"decoder": name}) for name in ("dfp-causal", "dfp-conformer-causal")
}

for (name, (suite, wrapper, settings)), dtype in itertools.product(SUITES.items(), DTYPES):
    name = f"{name}-{str(dtype).removeprefix('torch.')}"
    wrapped = type(f"{name}-wrapper", (wrapper,), {"input_dtype": dtype, **settings})
    globals()[name] = type(name, (suite,), {"module_wrapper_class": wrapped})
del suite  # pytest would take it for a class of tests
