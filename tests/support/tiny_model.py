"""Small models and batches for the tests: built from flags as fairseq-train builds them, with weights behind which no error hides."""

import functools
import itertools
import tempfile
from pathlib import Path

import numpy as np
import torch

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.data.speech_dataset import SpeechRows, SpeechTextDataset
from speechllm_plugin.data.speech_texts import SpeechTexts
from speechllm_plugin.models.compressions import COMPRESSIONS as STRATEGIES
from speechllm_plugin.models.config import DFPConfig, SpeechToTextConfig
from speechllm_plugin.models.ctc import CTCOutput
from speechllm_plugin.models.encoders import ENCODER_LAYERS
from speechllm_plugin.models.positions import FlagPositions
from speechllm_plugin.models.relative_positions import SELF_ATTENTIONS
from speechllm_plugin.models.speech_encoder import SpeechStates
from speechllm_plugin.models.speech_to_text import CrossAttentionModel, DFPModel
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask, SpeechToTextTaskConfig

FEATURE_DIM, DIM, NUM_TARGET_WORDS, NUM_TRANSCRIPT_WORDS = 8, 16, 30, 5
NUM_SPECIAL = 4  # of fairseq's Dictionary: bos, pad, eos, unk
SIZES = {
    "encoder_embed_dim": DIM,
    "decoder_embed_dim": DIM,
    "encoder_ffn_embed_dim": 24,
    "decoder_ffn_embed_dim": 24,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "conv_channels": 12,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "depthwise_conv_kernel_size": 5,
    "decoder_conv_kernel_size": 5,
    "ctc_compression_stride": 3,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
}

# decoder -> model, its configuration, flags
DECODERS = {
    "xattn": (CrossAttentionModel, SpeechToTextConfig, {}),
    "dfp": (DFPModel, DFPConfig, {}),
    "dfp-causal": (DFPModel, DFPConfig, {"causal_prefix": True}),
}
# Those with other positions or layers: properties of the decoder are tried for all, what lies beside it for the three above.
ALL_DECODERS = DECODERS | {
    "xattn-rope": (CrossAttentionModel, SpeechToTextConfig, {"decoder_positions": "rope"}),
    "dfp-own": (DFPModel, DFPConfig, {"prefix_positions": "own"}),
    "dfp-continued": (DFPModel, DFPConfig, {"prefix_positions": "continued"}),
    "dfp-rope": (DFPModel, DFPConfig, {"decoder_positions": "rope"}),
    "dfp-rope-continued": (DFPModel, DFPConfig, {"decoder_positions": "rope", "prefix_positions": "continued", "causal_prefix": True}),
    "xattn-conformer": (CrossAttentionModel, SpeechToTextConfig, {"decoder_layer": "conformer"}),
    "dfp-conformer": (DFPModel, DFPConfig, {"decoder_layer": "conformer", "speech_ffn": True}),
    "dfp-conformer-causal": (DFPModel, DFPConfig, {"decoder_layer": "conformer", "causal_prefix": True, "decoder_positions": "rope"}),
    "dfp-speech-ffn": (DFPModel, DFPConfig, {"speech_ffn": True}),
}
# flags of each; the last ones are capped, below the number of segments that these tests' utterances have
COMPRESSIONS = {name: {"ctc_compression": name} for name in ("none", *STRATEGIES)}
COMPRESSIONS |= {f"{name}<=3": {"ctc_compression": name, "ctc_compression_max_length": 3} for name in ("weighted", "drop_blanks")}
# (--encoder, --relative-positions, one of COMPRESSIONS): all that go together
ENCODERS = [("none", "none", "none")] + [
    (encoder, positions, compression)
    for encoder, kind in ENCODER_LAYERS.items()
    if kind.layer is not None
    for positions in (SELF_ATTENTIONS if kind.positions is FlagPositions else ["auto"])
    for compression in COMPRESSIONS
]
# one of each, for tests that are long or look at the decoder only
FEW_ENCODERS = [("none", "none", "none"), ("transformer", "none", "none"), ("conformer", "xl", "weighted")]
# every encoder under one of the decoders, and every decoder over some encoders
ENCODERS_AND_DECODERS = list(dict.fromkeys([*zip(ENCODERS, itertools.cycle(ALL_DECODERS)), *itertools.product(FEW_ENCODERS, ALL_DECODERS)]))


@functools.cache
def task():
    """The task, over a data folder with vocabularies of words and without any utterance."""
    with tempfile.TemporaryDirectory() as folder:
        for filename, letter, number in (("target.txt", "t", NUM_TARGET_WORDS), ("transcript.txt", "s", NUM_TRANSCRIPT_WORDS)):
            Path(folder, filename).write_text("".join(f"{letter}{word} 1\n" for word in range(number)))
        Path(folder, "config.yaml").write_text(
            f"vocab_filename: target.txt\ntranscript_vocab_filename: transcript.txt\ninput_feat_per_channel: {FEATURE_DIM}\n"
        )
        return SpeechLLMSpeechToTextTask(SpeechToTextTaskConfig(data=folder))


def make_config(decoder, variant=("transformer", "none", "none"), **flags):
    """`variant` is one of ENCODERS; `flags` go before all else."""
    _, config_type, decoder_flags = ALL_DECODERS[decoder]
    encoder, positions, compression = variant
    ctc_layer = 0 if encoder == "none" else 2
    names = {"encoder": encoder, "relative_positions": positions, **COMPRESSIONS[compression], "ctc_layer": ctc_layer}
    return config_type(**{**SIZES, **names, **decoder_flags, **flags})


def make_model(decoder, variant=("transformer", "none", "none"), **flags):
    """The model in eval mode, every weight random: at their initial zeros, biases would hide what leaks from padding.

    The speech moves the states so much that there are some segments of several states each, and the text some logits above the others.
    """
    model = ALL_DECODERS[decoder][0].build_model(make_config(decoder, variant, **flags), task())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
        for name, buffer in model.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.copy_(torch.rand_like(buffer) + 0.5)
        for parameter in model.encoder.subsampling.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
        model.decoder.output_projection.weight.mul_(3)
        if model.encoder.cfg.ctc_compression == "drop_blank_states":
            model.encoder.ctc_head.bias[-1] += 2  # some states are blanks, whatever was drawn
    return model.eval()


def make_speech(lengths, width=None):
    """(B, T, FEATURE_DIM) features that change every 90 ms, so that states share CTC labels, and their (B,) lengths."""
    lengths = torch.tensor(lengths)
    width = width or int(lengths.max())
    features = torch.randn(len(lengths), width // 9 + 1, FEATURE_DIM).repeat_interleave(9, dim=1)[:, :width]
    features += 0.1 * torch.randn(features.shape)
    return features.masked_fill(torch.arange(width)[:, None] >= lengths[:, None, None], 0), lengths


def widened(features, lengths, num_frames=21):
    """The same utterances in a tensor that is wider by num_frames, with garbage at padding."""
    garbage = torch.tensor([1e4, -1e4, torch.nan, torch.inf]).repeat(features.size(0), features.size(1) + num_frames, FEATURE_DIM // 4)
    for row, length in enumerate(lengths.tolist()):
        garbage[row, :length] = features[row, :length]
    return garbage


def make_tokens(*shape):
    return torch.randint(NUM_SPECIAL, NUM_SPECIAL + NUM_TARGET_WORDS, shape)


def make_data(lengths):
    """A data set of utterances with as many frames, held in memory. Each has a target; its transcript fits into its states."""
    features, _ = make_speech(lengths)
    rng = np.random.default_rng(0)

    def words(number, mosts):
        return [rng.integers(NUM_SPECIAL, NUM_SPECIAL + number, rng.integers(1, most + 1)) for most in mosts]

    eos = task().target_dictionary.eos()
    texts = SpeechTexts(
        targets=[np.append(text, eos) for text in words(NUM_TARGET_WORDS, [7] * len(lengths))],
        transcripts=words(NUM_TRANSCRIPT_WORDS, [(length + 7) // 8 for length in lengths]),
    )
    speech = {str(row): features[row, :length].numpy() for row, length in enumerate(lengths)}
    rows = [Utterance(f"u{row}", str(row), length, "") for row, length in enumerate(lengths)]
    return SpeechTextDataset(SpeechRows(rows), None, task().target_dictionary, texts, read=lambda row, root: speech[row], use_cmvn=False)


def batch_of(data, rows=None):
    return data.collater([data[row] for row in (range(len(data)) if rows is None else rows)])


def repeated(speech: SpeechStates, times: int) -> SpeechStates:
    """Every sentence as often, one after the other, as fairseq's search wants it."""
    ctc = speech.ctc and CTCOutput(*(tensor if tensor is None else tensor.repeat_interleave(times, 0) for tensor in speech.ctc))
    return SpeechStates(speech.states.repeat_interleave(times, 0), speech.padding.repeat_interleave(times, 0), ctc)
