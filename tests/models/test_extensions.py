"""The encoder and the compression of CONTRIBUTING.md: each is a folder beside the package and one entry, and all else follows.

That the stock commands train and decode with them is in tests/package/test_contributing.py.
"""

import importlib
import json
import re
import sys
from argparse import ArgumentParser

import pytest
import torch
from commands import ROOT
from fairseq import models
from fairseq.dataclass.utils import gen_parser_from_dataclass
from tiny_model import DECODERS, make_model, make_speech, make_tokens, widened
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from speechllm_plugin.commands import cli
from speechllm_plugin.models import config, cost, registry
from speechllm_plugin.models.attention import SelfAttention
from speechllm_plugin.models.compressions import COMPRESSIONS
from speechllm_plugin.models.compressions.strategy import Strategy
from speechllm_plugin.models.config import DFPConfig, SpeechToTextConfig
from speechllm_plugin.models.decoder_layers import DECODER_LAYERS
from speechllm_plugin.models.decoder_positions import DECODER_POSITIONS, PREFIX_POSITIONS
from speechllm_plugin.models.encoders import ENCODER_LAYERS
from speechllm_plugin.models.encoders.parts import EncoderKind, EncoderLayer
from speechllm_plugin.models.merging import compress, slow_compress
from speechllm_plugin.models.relative_positions import SELF_ATTENTIONS
from speechllm_plugin.models.speech_to_text import Sizes, SpeechToTextModel
from speechllm_plugin.models.subsampling import Subsampling
from speechllm_plugin.models.text_decoder import CrossAttentionDecoder

PACKAGES = {"encoder": "neighbours", "compression": "pairs"}
EXAMPLE = re.compile(r"<!-- example: (\S+?)/(\S+) -->\n```python\n(.*?)```", re.DOTALL)


def write_example(kind, folder):
    """The files of a worked example in a folder."""
    for found, path, code in EXAMPLE.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        if found == kind:
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(code, encoding="utf-8")


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """The example of a kind, imported in this process until the end of the test."""
    monkeypatch.syspath_prepend(tmp_path)
    tables = [(table, dict(table)) for table in (ENCODER_LAYERS, COMPRESSIONS)]

    def run(kind):
        write_example(kind, tmp_path)
        importlib.import_module(PACKAGES[kind])

    yield run
    for table, before in tables:
        table.clear()
        table.update(before)
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES.values()]:
        del sys.modules[name]


@torch.no_grad()
def test_an_encoder_with_its_own_subsampling_and_positions_keeps_padding_out(imported):
    imported("encoder")
    for compression in ("none", *COMPRESSIONS):
        model = make_model("dfp", ("neighbours", "auto", compression))
        features, lengths = make_speech([53, 30, 1])
        plain, padded = model.encoder(features, lengths), model.encoder(widened(features, lengths), lengths)
        for row, length in enumerate((~plain.padding).sum(1).tolist()):
            assert torch.equal(plain.padding[row, :length], padded.padding[row, :length])
            torch.testing.assert_close(plain.states[row, :length], padded.states[row, :length])


@torch.no_grad()
@pytest.mark.parametrize("decoder", DECODERS)
def test_it_costs_what_torch_counts(decoder, imported):
    imported("encoder")
    model, speech = make_model(decoder, ("neighbours", "auto", "avg")), make_speech([53])
    lengths = cost.Lengths(53, model.encoder.subsampling.num_states(53), model.encoder(*speech).states.size(1), 6)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(*speech, make_tokens(1, 6))
    assert lengths.num_states == 14 > lengths.num_compressed
    assert sum(cost.forward(model, lengths).values()) == counter.get_total_flops()


def test_describe_knows_both(imported, tmp_path, capsys):
    for kind in ("encoder", "compression"):
        imported(kind)
    path = tmp_path / "model.sh"
    path.write_text(
        "MODEL_ARGS=(--arch dfp_transformer --encoder neighbours --encoder-layers 4 --ctc-layer 2 --ctc-compression pairs "
        "--encoder-embed-dim 32 --decoder-embed-dim 32)\n"
    )
    command = ["describe", str(path), "--vocab-size", "40", "--transcript-vocab-size", "30", "--seconds", "6"]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    for line in ("4 frames to a state, in the encoder's own way", "pairs after encoder layer 2: 6 states to one (assumed", "neighbours, 4 layers"):
        assert line in printed
    assert cli.main([*command, "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["encoder"]["positions"] == "own" and described["encoder"]["conv_kernel_sizes"] is None
    assert described["utterance"]["states"] == 150 and described["utterance"]["compressed_states"] == 25
    states_below, states_above, layer = 150, 25, 2 * 3 * 32 * 32
    assert described["flops"]["training_step"]["encoder_layers"] == 3 * 2 * layer * (states_below + states_above)


def test_relative_positions_do_not_go_with_positions_of_its_own(imported):
    imported("encoder")
    with pytest.raises(ValueError, match="--relative-positions xl: --encoder neighbours has positions of its own: leave it out"):
        make_model("dfp", ("neighbours", "xl", "none"))


@pytest.mark.parametrize("max_length", [0, 3])
def test_the_new_strategy_is_what_its_loop_says(max_length, imported):
    imported("compression")
    logits, states = torch.randn(3, 20, 4).repeat_interleave(3, dim=1), torch.randn(3, 60, 5)
    lengths = torch.tensor([60, 31, 1])
    flags = DFPConfig(ctc_compression="pairs", ctc_compression_max_length=max_length)
    merged, padding, _ = compress(states, [logits], torch.arange(60) >= lengths[:, None], flags)
    expected = slow_compress(states, logits, lengths.tolist(), flags)
    assert max(map(len, expected)) == merged.size(1) < 20
    for row, rows in enumerate(expected):
        torch.testing.assert_close(merged[row, ~padding[row]], rows)


def test_flags_take_their_choices_from_the_tables(imported):
    def choices():
        parser = ArgumentParser()
        gen_parser_from_dataclass(parser, DFPConfig())
        return {action.dest: action.choices for action in parser._actions if action.choices}

    before = choices()
    assert before == {
        "encoder": [*ENCODER_LAYERS],
        "relative_positions": ["auto", *SELF_ATTENTIONS],
        "ctc_compression": ["none", *COMPRESSIONS],
        "decoder_layer": [*DECODER_LAYERS],
        "decoder_positions": [*DECODER_POSITIONS],
        "prefix_positions": [*PREFIX_POSITIONS],
    }
    for kind in ("encoder", "compression"):
        imported(kind)
    assert choices() == {
        **before,
        "encoder": [*before["encoder"], "neighbours"],
        "ctc_compression": [*before["ctc_compression"], "pairs"],
    }


@pytest.fixture
def registered():
    """A function that registers an architecture until the end of the test."""
    registries = [getattr(models, name) for name in dir(models) if name.endswith("_REGISTRY")]
    before = [dict(each) for each in registries]
    yield lambda name, config_type, model: models.register_model(name, dataclass=config_type)(model)
    for each, entries in zip(registries, before):
        each.clear()
        each.update(entries)


def test_a_decoder_of_ones_own_is_an_architecture_for_all_that_builds_models(registered, tmp_path, capsys):
    class NearSpeechDecoder(CrossAttentionDecoder):
        place_of_speech = "the decoder reads the speech beside it"

    registered("near_speech", SpeechToTextConfig, type("NearSpeechModel", (SpeechToTextModel,), {"decoder_type": NearSpeechDecoder}))
    sizes = Sizes(feature_dim=8, num_transcript_types=0, max_frames=60, max_tokens=20)
    model = registry.build("near_speech", SpeechToTextConfig(encoder_layers=1, decoder_layers=1), sizes, num_target_types=12, device="meta")
    assert type(model.decoder) is NearSpeechDecoder and model.decoder.output_projection.out_features == 12
    path = tmp_path / "model.sh"
    path.write_text("MODEL_ARGS=(--arch near_speech --encoder none)\n")
    assert cli.main(["describe", str(path), "--vocab-size", "40"]) == 0
    assert "near_speech: the decoder reads the speech beside it" in capsys.readouterr().out


@pytest.mark.parametrize("name", config.CHOICES)
def test_what_no_table_has_is_refused_also_without_a_command_line(name):
    with pytest.raises(ValueError, match=f"--{name.replace('_', '-')} must be one of .*, but is lstm"):
        config.check(DFPConfig(**{name: "lstm"}))


def without(name):
    """A class body's namespace that defines all that an encoder's parts must, but one."""
    return {each: (lambda self, *args: None) for each in ("forward", "num_states", "flops") if each != name}


@pytest.mark.parametrize(("base", "name"), [(EncoderLayer, "flops"), (Subsampling, "flops"), (Subsampling, "num_states")])
def test_a_part_that_lacks_something_is_an_error_when_the_entry_is_made(base, name):
    part = type("Part", (base,), without(name))
    layer = part if base is EncoderLayer else type("Layer", (EncoderLayer,), without(None))
    with pytest.raises(TypeError, match=f"Part must define {name}"):
        EncoderKind(layer, **({"subsampling": part} if base is Subsampling else {}))


def test_attention_of_its_own_must_say_what_it_costs():
    with pytest.raises(TypeError, match="define Linear.flops"):
        type("Linear", (SelfAttention,), {"attend": lambda self, query, key, value, context: value})


def test_a_strategy_without_its_loop_is_an_error():
    fields = {name: getattr(COMPRESSIONS["avg"], name) for name in ("help", "segments", "slow_weights", "assumed_rate")}
    with pytest.raises(TypeError, match="slow_segments"):
        Strategy(**fields)
