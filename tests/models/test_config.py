"""Flags that contradict each other end in one line before the model is built; the paper's models have its numbers of parameters."""

from types import SimpleNamespace

import pytest
import torch
from fairseq.data import Dictionary
from tiny_model import make_config, make_model, task

from speechllm_plugin.models.config import DFPConfig, SpeechToTextConfig, check, relative_positions
from speechllm_plugin.models.speech_to_text import CrossAttentionModel, DFPModel

# flags -> the words of the message that name what is wrong
CONTRADICTIONS = [
    ({"encoder_embed_dim": 18, "encoder_attention_heads": 4}, "--encoder-embed-dim .* --encoder-attention-heads .4., but is 18"),
    ({"encoder_embed_dim": 15, "encoder_attention_heads": 3}, "--encoder-embed-dim must be even .* but is 15"),
    ({"encoder_embed_dim": 0}, "--encoder-embed-dim .* but is 0"),
    ({"encoder_attention_heads": 0}, "--encoder-attention-heads .0."),
    ({"decoder_embed_dim": 18, "decoder_attention_heads": 4}, "--decoder-embed-dim .* --decoder-attention-heads .4., but is 18"),
    ({"decoder_attention_heads": -1}, "--decoder-attention-heads .-1."),
    ({"decoder_embed_dim": 32}, "--decoder-embed-dim must equal --encoder-embed-dim .16., but is 32"),
    ({"conv_channels": 13}, "--conv-channels must be positive and even.* but is 13"),
    ({"conv_channels": 0}, "--conv-channels must be positive and even.* but is 0"),
    ({"conv_kernel_sizes": "5,4"}, "--conv-kernel-sizes must be odd .* but is '5,4'"),
    ({"conv_kernel_sizes": "five"}, "--conv-kernel-sizes must be odd .* but is 'five'"),
    ({"conv_kernel_sizes": ""}, "--conv-kernel-sizes must be odd .* but is ''"),
    ({"ctc_layer": 4}, r"--ctc-layer must be between 0 and --encoder-layers \(3 with --encoder transformer\), but is 4"),
    ({"ctc_layer": -1}, "--ctc-layer must be between 0 and .* but is -1"),
    ({"encoder": "none", "ctc_layer": 1}, r"--ctc-layer .* \(0 with --encoder none\), but is 1"),
    ({"ctc_compression": "avg", "ctc_layer": 0}, "--ctc-compression avg needs CTC: give --ctc-layer, from 1 to 3"),
    ({"ctc_compression": "fixed", "ctc_compression_stride": 0}, "--ctc-compression-stride must be at least 1, but is 0"),
    ({"decoder_positions": "rope", "decoder_attention_heads": 16}, "--decoder-positions rope turns pairs of channels: --decoder-embed-dim .16."),
    ({"decoder_conv_kernel_size": 4}, "--decoder-conv-kernel-size must be odd and positive, but is 4"),
    ({"decoder_layer": "recurrent"}, "--decoder-layer must be one of transformer, conformer, but is recurrent"),
    ({"decoder_positions": "xl"}, "--decoder-positions must be one of sinusoidal, rope, but is xl"),
    (
        {"ctc_compression": "drop_blank_states", "ctc_compression_min_share": 0.0},
        "--ctc-compression-min-share must be above 0 and at most 1, but is 0.0",
    ),
    ({"ctc_compression": "avg", "ctc_compression_max_length": -1}, "--ctc-compression-max-length must not be negative .*, but is -1"),
    ({"ctc_compression_max_length": 9}, "--ctc-compression-max-length 9 limits --ctc-compression, but that is none: give one"),
    ({"legacy_batch_norm": True}, "--legacy-batch-norm needs --encoder conformer, .* but it is transformer: leave it out"),
    ({"encoder": "conformer", "depthwise_conv_kernel_size": 6}, "--depthwise-conv-kernel-size must be odd, but is 6"),
    ({"encoder": "none", "ctc_layer": 0, "relative_positions": "xl"}, "--relative-positions xl needs encoder layers"),
    (
        {"relative_positions": "rope", "encoder_embed_dim": 18, "decoder_embed_dim": 18, "encoder_attention_heads": 6},
        r"--relative-positions rope .* --encoder-embed-dim \(18\) divided by --encoder-attention-heads \(6\) must be even",
    ),
    ({"encoder_layers": 0, "ctc_layer": 0}, "--encoder-layers must be at least 1, but is 0: .* --encoder none"),
    ({"encoder_layers": -1, "ctc_layer": 0}, "--encoder-layers must be at least 1, but is -1: .* --encoder none"),
    ({"decoder_layers": 0}, "--decoder-layers must be at least 1, but is 0"),
]


@pytest.mark.parametrize(("flags", "message"), CONTRADICTIONS, ids=str)
@pytest.mark.parametrize("model_type", [CrossAttentionModel, DFPModel])
def test_contradictions_end_in_one_line(flags, message, model_type):
    config = make_config("xattn" if model_type is CrossAttentionModel else "dfp", **flags)
    with pytest.raises(ValueError, match=message) as error:
        model_type.build_model(config, task())
    assert "\n" not in str(error.value)


def test_an_unknown_kind_of_prefix_positions_is_named():
    with pytest.raises(ValueError, match="--prefix-positions must be one of none, own, continued, but is both"):
        DFPModel.build_model(make_config("dfp", prefix_positions="both"), task())


def test_networks_for_speech_that_no_layer_would_have_are_an_error():
    with pytest.raises(ValueError, match="--speech-ffn has no effect with --decoder-layers 1 and --decoder-layer transformer.*: leave it out, or"):
        DFPModel.build_model(make_config("dfp", speech_ffn=True, decoder_layers=1), task())
    DFPModel.build_model(make_config("dfp", speech_ffn=True, decoder_layers=1, decoder_layer="conformer"), task())


@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
def test_ctc_without_transcripts_says_so(decoder):
    without = SimpleNamespace(**{**vars(task()), "transcript_dictionary": None, "target_dictionary": task().target_dictionary})
    with pytest.raises(ValueError, match="--ctc-layer 2 needs transcripts, but .*config.yaml names no transcript_vocab_filename"):
        (CrossAttentionModel if decoder == "xattn" else DFPModel).build_model(make_config(decoder), without)
    DFPModel.build_model(make_config("dfp", ctc_layer=0), without)


def test_defaults_are_without_contradiction():
    for config in (SpeechToTextConfig(), DFPConfig()):
        check(config)
        assert relative_positions(config) == "none"
    assert relative_positions(SpeechToTextConfig(encoder="conformer")) == "xl"


@pytest.mark.parametrize("part", ["target", "transcript"])
def test_weights_for_another_vocabulary_are_refused(part):
    model = make_model("dfp")
    weights = model.state_dict()
    name = {"target": "decoder.embedding.weight", "transcript": "encoder.ctc_head.weight"}[part]
    size = len(weights[name]) - (part == "transcript")
    weights[name] = torch.cat([weights[name]] * 2)
    with pytest.raises(ValueError, match=f"{part} vocabulary has .* but that of the data has {size}"):
        model.load_state_dict(weights)


def dictionary_of(size):
    dictionary = Dictionary()
    for number in range(size - dictionary.nspecial):
        dictionary.add_symbol(str(number))
    return dictionary


CTC = {"encoder": "conformer", "ctc_layer": 8}
PAPER_ROWS = {
    "1": (CrossAttentionModel, SpeechToTextConfig, {}, 66_087_936),
    "2": (DFPModel, DFPConfig, {"causal_prefix": True}, 59_778_048),
    "3": (DFPModel, DFPConfig, {"encoder": "none", "decoder_layers": 18}, 59_778_048),
    "4": (CrossAttentionModel, SpeechToTextConfig, CTC, 104_136_704),
    "4.1": (CrossAttentionModel, SpeechToTextConfig, {**CTC, "ctc_compression": "avg"}, 104_136_704),
    "5": (DFPModel, DFPConfig, {**CTC, "causal_prefix": True}, 97_826_816),
    "5.1": (DFPModel, DFPConfig, {**CTC, "causal_prefix": True, "ctc_compression": "avg"}, 97_826_816),
    "6": (DFPModel, DFPConfig, {"encoder": "none", "decoder_layers": 32}, 103_911_424),
}


@pytest.mark.parametrize("row", PAPER_ROWS)
def test_numbers_of_parameters_are_the_papers(row):
    """The defaults are the paper's sizes: embedding and output of Vt types, and the CTC head of Vs labels and a blank, come on top."""
    model_type, config_type, flags, rest = PAPER_ROWS[row]
    target_size, transcript_size = 800, 500
    paper_task = SimpleNamespace(
        target_dictionary=dictionary_of(target_size),
        transcript_dictionary=dictionary_of(transcript_size),
        data_config=SimpleNamespace(input_feat_per_channel=80),
        cfg=SimpleNamespace(max_source_positions=6000, max_target_positions=1024),
    )
    with torch.device("meta"):  # shapes only
        model = model_type.build_model(config_type(**flags), paper_task)
    ctc = 513 * (transcript_size + 1) if "ctc_layer" in flags else 0
    assert sum(parameter.numel() for parameter in model.parameters()) == rest + 1024 * target_size + ctc
