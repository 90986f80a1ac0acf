"""`speechllm import`: a checkpoint of the study's code becomes one that fairseq-train could have written, or one line says why not."""

import os
import pickle
import re
import shlex

import pytest
import study_checkpoint
import torch
from fairseq import checkpoint_utils
from tiny_model import make_speech, make_tokens, task

from speechllm_plugin.commands import cli
from speechllm_plugin.describing import model_file
from speechllm_plugin.files.averaging import average
from speechllm_plugin.models import saved_model
from speechllm_plugin.models.reference import load_reference


@pytest.fixture
def path(tmp_path):
    return tmp_path / "reference.pt"


def save(path, *arguments, **settings):
    checkpoint = study_checkpoint.make(*arguments, **settings)
    torch.save(checkpoint, path)
    return checkpoint


def run_import(path, *options):
    """The exit status, and the file to be written."""
    output = path.with_name("out") / "imported.pt"
    return cli.main(["import", str(path), str(output), *map(str, options)]), output


@pytest.fixture
def folder(tmp_path):
    """A data folder with vocabularies of the checkpoint's sizes and nothing else."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name, size in (("target", study_checkpoint.NUM_TARGET_TYPES), ("transcript", study_checkpoint.NUM_TRANSCRIPT_TYPES)):
        (folder / f"{name}.txt").write_text("".join(f"{name}{number} 1\n" for number in range(4, size)))
    names = f"vocab_filename: target.txt\ntranscript_vocab_filename: transcript.txt\ninput_feat_per_channel: {study_checkpoint.FEATURE_DIM}\n"
    (folder / "config.yaml").write_text(names)
    return folder


def outputs(model):
    features, lengths = make_speech([57, 23, 40])
    with torch.no_grad():
        output = model(features, lengths, make_tokens(3, 5))
        return [output.logits, output.ctc.logits, model.encoder(features, lengths).states]


@pytest.mark.parametrize("arch", study_checkpoint.ARCHITECTURES)
def test_every_number_of_the_file_is_taken_over_once(arch, path):
    model = save(path, arch)["model"]
    status, output = run_import(path)
    assert status == 0
    constants = ("decoder.version", "decoder.embed_positions._float_tensor")
    theirs = [weight.flatten().double() for name, weight in model.items() if name not in constants and not name.endswith(".pe")]
    ours = [weight.flatten().double() for weight in torch.load(output, weights_only=True)["model"].values()]
    torch.testing.assert_close(torch.cat(ours).sort().values, torch.cat(theirs).sort().values, rtol=0, atol=0)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("arch", study_checkpoint.ARCHITECTURES)
def test_both_files_load_as_the_same_model(arch, zipped, path):
    torch.save(study_checkpoint.make(arch, causal_prompt_mask=False), path, _use_new_zipfile_serialization=zipped)
    _, output = run_import(path)
    models = [load_reference(path), load_reference(output)]
    for model in models:
        assert not model.training and model.max_positions() == (600, 100)
    torch.manual_seed(0)
    first = outputs(models[0])
    torch.manual_seed(0)
    torch.testing.assert_close(outputs(models[1]), first, rtol=0, atol=0)


@pytest.mark.parametrize("arch", study_checkpoint.ARCHITECTURES)
def test_fairseq_and_averaging_load_it(arch, path):
    save(path, arch)
    _, output = run_import(path)
    (model,), cfg = checkpoint_utils.load_model_ensemble([str(output)], task=task())
    expected = load_reference(path).state_dict()
    assert model.state_dict().keys() == expected.keys()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=0)
    for name, weight in average([output, output])["model"].items():
        torch.testing.assert_close(weight, expected[name])
    assert (cfg.criterion._name, cfg.criterion.label_smoothing, cfg.criterion.ctc_weight) == ("ctc_cross_entropy", 0.2, 0.3)
    assert torch.load(output, weights_only=True)["optimizer_history"][-1]["num_updates"] == 1234


@pytest.mark.parametrize("arch", study_checkpoint.ARCHITECTURES)
def test_the_line_that_is_printed_has_the_flags_that_build_this_model(arch, path, capsys):
    save(path, arch, ctc_compress_strategy="fixed", ctc_compress_fixed_ratio=3, ctc_compress_max_out_size=250)
    _, output = run_import(path)
    [line] = capsys.readouterr().out.splitlines()
    printed_arch, printed = model_file.parse(shlex.split(line.split("; ")[1]))
    assert "merges beyond ctc_compress_max_out_size is not known to be the same" in line
    saved = saved_model.read(output)
    assert printed_arch == saved.arch and arch in line
    for name, value in vars(printed).items():
        assert name == "_name" or str(value) == str(getattr(saved.cfg, name))
    conformer = "conformer" in arch
    assert (printed.ctc_compression_stride, printed.ctc_compression_max_length) == (3, 250)
    assert (printed.relative_positions, printed.legacy_batch_norm) == (("legacy", True) if conformer else ("auto", False))
    num_parameters = sum(parameter.numel() for parameter in load_reference(path).parameters())
    assert f"{num_parameters:,} parameters, {study_checkpoint.NUM_TARGET_TYPES} target types, " in line
    assert f", {study_checkpoint.NUM_TRANSCRIPT_TYPES} transcript types; " in line


def test_a_data_folder_gives_the_vocabularies_that_the_checkpoint_will_name(path, folder, capsys):
    save(path)
    assert run_import(path)[0] == 0 and saved_model.read(run_import(path)[1]).vocabularies == {}
    status, output = run_import(path, "--data", folder)
    names = {(folder / f"{name}.txt").read_text() for name in ("target", "transcript")}
    vocabularies = saved_model.read(output).vocabularies
    assert status == 0 and vocabularies.keys() == {"target", "transcript"} and len(set(vocabularies.values())) == len(names)
    for name in ("target", "transcript"):
        vocabulary = folder / f"{name}.txt"
        text = vocabulary.read_text()
        vocabulary.write_text(text + "more 1\n")
        capsys.readouterr()
        assert run_import(path, "--data", folder)[0] == 1
        assert f"{name} vocabulary has" in capsys.readouterr().err
        vocabulary.write_text(text)


def test_training_that_would_go_on_in_another_way_is_named(path, capsys):
    save(path, decoder_layerdrop=0.1, conformer_conv_dropout=0.3)
    assert run_import(path)[0] == 0
    assert capsys.readouterr().out.endswith("; training on would be without decoder_layerdrop 0.1, conformer_conv_dropout 0.3\n")


REFUSED = {
    "activation_fn": "gelu",
    "adaptive_input": True,
    "adaptive_softmax_cutoff": "1000,5000",
    "batch_unsafe_relative_shift": True,
    "conformer_half_step_residual": False,
    "conv_expansion_factor": 4,
    "ctc_compress_strategy": "median",
    "decoder_input_dim": 4,
    "decoder_learned_pos": True,
    "decoder_normalize_before": False,
    "decoder_output_dim": 4,
    "distance_penalty": "log",
    "encoder_normalize_before": False,
    "layernorm_embedding": True,
    "no_scale_embedding": True,
    "no_token_positional_embeddings": True,
}


def refused(path, capsys):
    """The one line of an import that must fail and write nothing, also over what was there."""
    output = path.with_name("out") / "imported.pt"
    output.parent.mkdir(exist_ok=True)
    output.write_text("before")
    assert run_import(path)[0] == 1
    assert output.read_text() == "before" and list(output.parent.iterdir()) == [output]
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and captured.err.startswith("speechllm: error: ") and str(path) in captured.err
    return captured.err


@pytest.mark.parametrize("setting", REFUSED)
def test_settings_that_compute_something_else_are_refused_by_name(setting, path, capsys):
    save(path, **{setting: REFUSED[setting]})
    error = refused(path, capsys)
    assert f"{setting} must be " in error and f"but is {REFUSED[setting]}" in error
    with pytest.raises(ValueError, match=setting):
        load_reference(path)


def test_settings_of_the_other_encoder_are_of_no_matter(path):
    save(path, "s2t_transformer_fbk", batch_unsafe_relative_shift=True, conv_expansion_factor=4, no_syncbatchnorm=False)
    assert run_import(path)[0] == 0


def change(checkpoint, entry, value):
    if value is None:
        del checkpoint["model"][entry]
    else:
        checkpoint["model"][entry] = value


BROKEN = {
    "another architecture": (lambda c: setattr(c["args"], "arch", "s2t_berard"), "--arch must be one of .* but is s2t_berard"),
    "no architecture": (lambda c: delattr(c["args"], "arch"), "--arch must be .* but is None"),
    "a setting is missing": (lambda c: delattr(c["args"], "conv_channels"), "'conv_channels'"),
    "no layers": (lambda c: setattr(c["args"], "encoder_layers", 0), "encoder_layers must be at least 1"),
    "CTC above the encoder": (lambda c: setattr(c["args"], "ctc_encoder_layer", 2), "--ctc-layer must be .*but is 2"),
    "no settings": (lambda c: c.update(args=None), "has its settings in args, but has none"),
    "no model": (lambda c: c.pop("model"), "has an entry 'model'"),
    "unknown weights": (lambda c: change(c, "encoder.adapter.weight", torch.zeros(2, 3)), r"only there: 1 \(first: encoder.adapter.weight \("),
    "learned positions": (lambda c: change(c, "decoder.embed_positions.weight", torch.zeros(2, 3)), "decoder.embed_positions.weight"),
    "missing weights": (lambda c: change(c, "decoder.layer_norm.bias", None), r"only here: 1 \(first: decoder.norm.bias \(8\)\)"),
    "a key without its query": (lambda c: change(c, "decoder.layers.0.self_attn.q_proj.bias", None), "self_attn.k_proj.bias"),
    "no embedding": (lambda c: change(c, "decoder.embed_tokens.weight", None), "decoder.embedding.weight"),
    "another shape": (lambda c: change(c, "decoder.layer_norm.bias", torch.zeros(3)), r"decoder.norm.bias \(3\) there, \(8\) here"),
    "not a tensor": (lambda c: change(c, "decoder.layer_norm.bias", "zeros"), "decoder.layer_norm.bias is a str"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_such_checkpoint_is_refused_in_one_line(kind, path, capsys):
    checkpoint, (spoil, message) = study_checkpoint.make(), BROKEN[kind]
    spoil(checkpoint)
    torch.save(checkpoint, path)
    error = refused(path, capsys)
    assert re.search(message, error)


class Malicious:
    """Runs a command when an ordinary unpickler builds it."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("form", ["zip", "before torch 1.6", "pickle", "in a setting"])
def test_code_in_a_file_is_refused_and_does_not_run(form, path, tmp_path, capsys):
    trace, checkpoint = tmp_path / "trace", study_checkpoint.make()
    if form == "in a setting":
        checkpoint["args"].data = Malicious(f"touch '{trace}'")
    else:
        checkpoint["extra_state"]["epoch"] = Malicious(f"touch '{trace}'")
    if form == "pickle":
        path.write_bytes(pickle.dumps(checkpoint, protocol=2))
    else:
        torch.save(checkpoint, path, _use_new_zipfile_serialization=form != "before torch 1.6")
    error = refused(path, capsys)
    assert form == "pickle" or f"it holds {os.system.__module__}.system" in error
    with pytest.raises(ValueError):
        load_reference(path)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Malicious(f"touch '{trace}'")))  # elsewhere it would have
    assert trace.exists()


def test_files_that_are_no_checkpoint_are_refused(path, tmp_path, capsys):
    assert run_import(tmp_path / "absent.pt")[0] == 1
    assert capsys.readouterr().err == f"speechllm: error: {tmp_path / 'absent.pt'}: no such file\n"
    save(path)
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:100], whole[:-50], whole[100:], pickle.dumps([1, 2], protocol=2)):
        path.write_bytes(content)
        refused(path, capsys)
