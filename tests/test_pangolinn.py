"""pangolinn's behaviour suites: padding for the subsampler and the encoders, causality for the decoders."""

import torch
from pangolinn import seq2seq as pangolinn
from tiny_model import DIM, FEATURE_DIM, make_model, make_speech


class Wrapper(pangolinn.PangolinnSeq2SeqModuleWrapper):
    num_output_channels = DIM


class EncoderWrapper(Wrapper):
    num_input_channels, sequence_downsampling_factor = FEATURE_DIM, 4
    encoder = ("transformer", "none", "none")

    def build_module(self):
        return make_model("dfp", self.encoder).encoder

    def forward(self, features, lengths):
        speech = self._module(features, lengths)
        return speech.states.masked_fill(speech.padding[..., None], 0)


class SubsamplingWrapper(EncoderWrapper):
    def forward(self, features, lengths):
        return self._module.subsampling(features, lengths)[0]


class ConformerWrapper(EncoderWrapper):
    encoder = ("conformer", "xl", "none")


class RotaryWrapper(EncoderWrapper):
    encoder = ("transformer", "rope", "none")


class TextWrapper(Wrapper):
    """Embedded text to what the output projection reads, over the speech of one utterance."""

    num_input_channels = DIM
    decoder = "xattn"

    def build_module(self):
        model = make_model(self.decoder)
        self.speech = model.encoder(*make_speech([57]))
        return model.decoder

    @property
    def factor(self):
        """pangolinn adds up gradients over the channels, which is zero before a LayerNorm unless the channels differ."""
        return torch.linspace(0.5, 2, DIM)

    def forward(self, x, lengths):
        speech = type(self.speech)(self.speech.states.expand(len(x), -1, -1), self.speech.padding.expand(len(x), -1))
        return self._module.decode(x * self.factor, speech)


class TextAfterSpeechWrapper(TextWrapper):
    decoder = "dfp"


class CausalSpeechWrapper(TextWrapper):
    """The speech inside the decoder with --causal-prefix: keys and values of its last layer."""

    decoder, num_output_channels = "dfp-causal", 2 * DIM

    def forward(self, x, lengths):
        speech = type(self.speech)(x * self.factor, torch.zeros(x.shape[:2], dtype=torch.bool))
        key, value = self._module.start(speech).speech[-1]
        return torch.cat([key, value], dim=-1).transpose(1, 2).flatten(2)


class TestSubsampling(pangolinn.EncoderPaddingTestCase):
    module_wrapper_class = SubsamplingWrapper


class TestTransformer(pangolinn.EncoderPaddingTestCase):
    module_wrapper_class = EncoderWrapper


class TestRotary(pangolinn.EncoderPaddingTestCase):
    module_wrapper_class = RotaryWrapper


class TestConformer(pangolinn.EncoderPaddingTestCase):
    module_wrapper_class = ConformerWrapper


class TestText(pangolinn.CausalTestCase):
    module_wrapper_class = TextWrapper


class TestTextAfterSpeech(pangolinn.CausalTestCase):
    module_wrapper_class = TextAfterSpeechWrapper


class TestCausalSpeech(pangolinn.CausalTestCase):
    module_wrapper_class = CausalSpeechWrapper
