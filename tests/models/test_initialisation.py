"""--init-encoder-from and --init-decoder-from: every weight of the part is the checkpoint's, or one line says why none is."""

import logging
from argparse import Namespace
from dataclasses import asdict

import pytest
import torch
from tiny_model import DECODERS, FEW_ENCODERS, make_config, make_model, task

from speechllm_plugin.models.config import DFPConfig
from speechllm_plugin.models.initialisation import compared_flags, initialise

DRAWN = {"decoder.embedding.weight", "decoder.output_projection.weight"}
CONFORMER, TRANSFORMER = ("conformer", "xl", "weighted"), ("transformer", "none", "none")
VOCABULARIES = {"target": "target of the data", "transcript": "transcript of the data"}
ARCH = {"xattn": "xattn_transformer", "dfp": "dfp_transformer", "dfp-causal": "dfp_transformer"}


def save(path, decoder="dfp", variant=CONFORMER, vocabularies=VOCABULARIES, change=lambda state: None, **flags):
    """A checkpoint with random weights, its entries as fairseq-train names them; `change` spoils it."""
    torch.manual_seed(1)
    weights = make_model(decoder, variant, **flags).state_dict()
    cfg = make_config(decoder, variant, **flags)
    state = {
        "args": None,
        "cfg": {"model": {**asdict(cfg), "_name": ARCH[decoder]}, "task": {}},
        "model": dict(weights),
        "task_state": {"vocabularies": vocabularies} if vocabularies else {},
    }
    change(state)
    torch.save(state, path)
    return weights


def start(decoder="dfp", variant=CONFORMER, vocabularies=VOCABULARIES, **flags):
    """The weights before and after, of a model that training would start from."""
    cfg = make_config(decoder, variant, **flags)
    model = DECODERS[decoder][0].build_model(cfg, task())
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    initialise(model, cfg, vocabularies)
    return before, model.state_dict()


def refused(path, part, message=None, variant=CONFORMER, **flags):
    """The error, in one line, after which no weight has changed."""
    cfg = make_config("dfp", variant, **{f"init_{part}_from": str(path)}, **flags)
    model = DECODERS["dfp"][0].build_model(cfg, task())
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with pytest.raises(ValueError, match=message) as error:
        initialise(model, cfg, VOCABULARIES)
    assert_equal(model.state_dict(), before)
    assert "\n" not in str(error.value) and str(error.value).startswith(f"--init-{part}-from {path}: ")
    return str(error.value)


def assert_equal(weights, others):
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(weight, others[name], rtol=0, atol=0)


@pytest.mark.parametrize("variant", FEW_ENCODERS, ids="-".join)
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("parts", [(), ("encoder",), ("decoder",), ("encoder", "decoder")], ids=str)
def test_the_parts_that_are_named_are_the_checkpoints_and_the_rest_stays_as_drawn(parts, decoder, variant, tmp_path):
    saved = save(tmp_path / "asr.pt", decoder, variant)
    before, after = start(decoder, variant, **{f"init_{part}_from": str(tmp_path / "asr.pt") for part in parts})
    assert before.keys() == saved.keys()
    for name, weight in after.items():
        taken = name.split(".")[0] in parts and name not in DRAWN
        torch.testing.assert_close(weight, (saved if taken else before)[name], rtol=0, atol=0)
    assert any((saved[name] != before[name]).any() for name in DRAWN)


def test_the_log_counts_the_tensors_of_each_file(tmp_path, caplog):
    saved = save(tmp_path / "asr.pt")
    with caplog.at_level(logging.INFO):
        start(init_encoder_from=str(tmp_path / "asr.pt"), init_decoder_from=str(tmp_path / "asr.pt"))
    for part in ("encoder", "decoder"):
        number = sum(name.startswith(part) and name not in DRAWN for name in saved)
        assert f"{part}: {number} tensors from {tmp_path / 'asr.pt'}" in caplog.messages


# flag -> another value, and what else has to be given with it
ENCODER_FLAGS = {
    "encoder_layers": (4, {}),
    "encoder_embed_dim": (32, {"decoder_embed_dim": 32}),
    "encoder_ffn_embed_dim": (32, {}),
    "encoder_attention_heads": (4, {}),
    "conv_channels": (16, {}),
    "conv_kernel_sizes": ("5,3", {}),
    "depthwise_conv_kernel_size": (3, {}),
    "relative_positions": ("legacy", {}),
    "legacy_batch_norm": (True, {}),
    "ctc_layer": (3, {}),
    "ctc_compression": ("softmax", {}),
    "ctc_compression_max_length": (3, {}),
}
DECODER_FLAGS = {
    "decoder_layers": (3, {}),
    "decoder_embed_dim": (32, {"encoder_embed_dim": 32}),
    "decoder_ffn_embed_dim": (32, {}),
    "decoder_attention_heads": (4, {}),
    "decoder_layer": ("conformer", {}),
    "decoder_positions": ("rope", {}),
    "speech_ffn": (True, {}),
    "causal_prefix": (True, {}),
    "prefix_positions": ("own", {}),
}


@pytest.mark.parametrize(("part", "flag"), [("encoder", flag) for flag in ENCODER_FLAGS] + [("decoder", flag) for flag in DECODER_FLAGS])
def test_a_flag_that_differs_is_named_with_both_values(part, flag, tmp_path):
    value, others = {"encoder": ENCODER_FLAGS, "decoder": DECODER_FLAGS}[part][flag]
    theirs = make_config("dfp", CONFORMER)
    save(tmp_path / "asr.pt")
    error = refused(tmp_path / "asr.pt", part, **{flag: value}, **others)
    assert f"--{flag.replace('_', '-')} is {getattr(theirs, flag)} there and {value} here" in error
    assert f"flags that differ: {1 + len([other for other in others if other.startswith(part)])} (" in error
    other_part = {"encoder": "decoder", "decoder": "encoder"}[part]
    if not others:
        start(**{f"init_{other_part}_from": str(tmp_path / "asr.pt"), flag: value})


def test_every_flag_that_is_compared_is_tried_above():
    """A new flag counts as one that must agree, until initialisation.FREE says that it need not."""
    assert compared_flags("encoder", DFPConfig) == ENCODER_FLAGS.keys() | {"encoder", "ctc_compression_stride", "ctc_compression_min_share"}
    assert compared_flags("decoder", DFPConfig) == DECODER_FLAGS.keys() | {"decoder_conv_kernel_size"}


def test_tensors_that_differ_are_counted_and_the_first_named_with_its_shape(tmp_path):
    save(tmp_path / "asr.pt")
    error = refused(tmp_path / "asr.pt", "encoder", encoder_layers=2, conv_channels=16)
    num_tensors = sum(name.startswith("encoder.layers.2.") for name in make_model("dfp", CONFORMER).state_dict())
    assert f"tensors only there: {num_tensors} (first: encoder.layers.2." in error
    assert "tensors of another shape: 3 (first: encoder.subsampling.convolutions.0.weight (12, 8, 5) there, (16, 8, 5) here)" in error
    error = refused(tmp_path / "asr.pt", "decoder", decoder_layers=3)
    assert "tensors only here: " in error and "(first: decoder.layers.2." in error


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_weights_that_the_flags_do_not_tell_are_refused_too(part, tmp_path):
    def change(state):
        del state["model"][f"{part}.layers.1.feed_forward.fc1.bias"]
        state["model"][f"{part}.adapter.weight"] = torch.zeros(2, 3)

    save(tmp_path / "asr.pt", variant=TRANSFORMER, change=change)
    error = refused(tmp_path / "asr.pt", part, variant=TRANSFORMER)
    assert f"only there: 1 (first: {part}.adapter.weight (2, 3))" in error
    assert f"only here: 1 (first: {part}.layers.1.feed_forward.fc1.bias (24))" in error


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_the_other_architecture_is_another_row(part, tmp_path):
    save(tmp_path / "asr.pt", "xattn")
    refused(tmp_path / "asr.pt", part, "--arch is xattn_transformer there and dfp_transformer here")


def test_flags_without_an_effect_and_dropout_may_differ(tmp_path):
    path = str(tmp_path / "asr.pt")
    same = {"depthwise_conv_kernel_size": 7, "ctc_compression_stride": 2, "dropout": 0.5}
    save(path, "dfp", TRANSFORMER)
    start("dfp", TRANSFORMER, init_encoder_from=path, init_decoder_from=path, share_decoder_input_output_embed=True, **same)
    save(path, "dfp", ("none", "none", "none"), encoder_layers=7, encoder_attention_heads=4)
    start("dfp", ("none", "none", "none"), init_encoder_from=path, init_decoder_from=path)
    save(path, "dfp", ("conformer", "auto", "avg"))
    start("dfp", ("conformer", "xl", "avg"), init_encoder_from=path)


def test_a_checkpoint_from_before_a_flag_has_its_default(tmp_path):
    save(tmp_path / "asr.pt", change=lambda state: state["cfg"]["model"].pop("legacy_batch_norm"))
    start(init_encoder_from=str(tmp_path / "asr.pt"))
    refused(tmp_path / "asr.pt", "encoder", "--legacy-batch-norm is False there and True here", legacy_batch_norm=True)


def double_ctc_head(state):
    for name in ("weight", "bias"):
        state["model"][f"encoder.ctc_head.{name}"] = torch.cat([state["model"][f"encoder.ctc_head.{name}"]] * 2)


ANOTHER = r"another transcript vocabulary \({} types, here 9\); prepare with --transcript-vocab-from"


def test_ctc_labels_must_mean_the_same(tmp_path, caplog):
    path = tmp_path / "asr.pt"
    save(path, vocabularies={"target": "another", "transcript": "another"})
    refused(path, "encoder", ANOTHER.format(9))
    start(init_decoder_from=str(path))
    save(path, vocabularies={"target": "another", "transcript": VOCABULARIES["transcript"]})
    start(init_encoder_from=str(path))
    save(path, change=double_ctc_head)
    refused(path, "encoder", ANOTHER.format(19))
    assert "types are taken for" not in caplog.text


def test_labels_of_a_checkpoint_without_vocabularies_are_compared_by_number_and_the_log_says_so(tmp_path, caplog):
    path = tmp_path / "asr.pt"
    save(path, vocabularies=None)
    start(init_encoder_from=str(path))
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert str(path) in record.getMessage() and "its 9 types are taken for those of this data" in record.getMessage()
    save(path, vocabularies=None, change=double_ctc_head)
    refused(path, "encoder", ANOTHER.format(19))


def test_without_ctc_the_transcripts_do_not_matter(tmp_path, caplog):
    save(tmp_path / "asr.pt", variant=TRANSFORMER, ctc_layer=0, vocabularies={"target": "another"})
    start(variant=TRANSFORMER, ctc_layer=0, init_encoder_from=str(tmp_path / "asr.pt"), vocabularies={"target": "target of the data"})
    assert not [record for record in caplog.records if record.levelno == logging.WARNING]


OTHERS = {
    "fairseq's own model": (lambda state: state["cfg"].update(model={"_name": "s2t_conformer"}), "but is of s2t_conformer"),
    "fairseq's own, with a Namespace": (lambda state: state["cfg"].update(model=Namespace(arch="s2t_transformer_s")), "but is of s2t_transformer_s"),
    "the study's": (lambda state: state.update(args=Namespace(arch="s2tlm_conformer"), cfg=None), "speechllm import"),
    "without configuration": (lambda state: state.update(cfg=None), "no architecture"),
    "without model": (lambda state: state.pop("model"), "entry 'model'"),
    "not of tensors": (lambda state: state["model"].update({"encoder.norm.bias": 3}), "encoder.norm.bias is a int"),
    "not of data": (lambda state: state.update(extra_state=make_config), "tiny_model.make_config, which is not data"),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_checkpoints_of_something_else_are_refused(part, kind, tmp_path):
    change, message = OTHERS[kind]
    save(tmp_path / "other.pt", change=change)
    refused(tmp_path / "other.pt", part, message)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_files_that_are_missing_or_damaged_are_refused(part, tmp_path):
    refused(tmp_path / "absent.pt", part, "no such file")
    refused(tmp_path, part, "no model folder, as it has no checksums.sha256")
    (tmp_path / "text.pt").write_text("no checkpoint")
    refused(tmp_path / "text.pt", part, "not a checkpoint that can be read safely")
