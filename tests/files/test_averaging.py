"""Averages of checkpoints: which ones, their mean, and what fairseq makes of the result."""

import argparse
import subprocess
import sys

import pytest
import torch
from commands import ROOT
from fairseq import checkpoint_utils, options, tasks
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from omegaconf import OmegaConf

from speechllm_plugin.commands import cli
from speechllm_plugin.files.averaging import average
from speechllm_plugin.files.checkpoint_file import load


def save(path, value, dtype=torch.float32, **others):
    """A checkpoint as fairseq writes it, its weights filled with `value` and its counter too."""
    state = {
        "args": None,
        "cfg": {"model": {"_name": "dfp_transformer"}, "common": {"seed": value}},
        "model": {
            "layer.weight": torch.full((2, 3), float(value), dtype=dtype),
            "norm.num_batches_tracked": torch.tensor(int(value)),
        },
        "criterion": None,
        "optimizer_history": [{"num_updates": int(value), "lr_scheduler_state": {"best": None}}],
        "task_state": {},
        "extra_state": {"train_iterator": {"epoch": 2}, "ema": {"layer.weight": torch.zeros(2, 3)}},
        "last_optimizer_state": {"state": {0: {"exp_avg": torch.zeros(2, 3)}}},
        **others,
    }
    torch.save(state, path)


@pytest.fixture
def run_folder(tmp_path):
    """Update numbers whose alphabetical order is another one, an epoch's end, and names that never count."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name, value in [
        ("checkpoint_1_90.pt", 90),
        ("checkpoint_2_100.pt", 100),
        ("checkpoint_11_1000.pt", 1000),
        ("checkpoint_last.pt", 7777),
        ("checkpoint_best.pt", 7777),
        ("checkpoint_11_1100-shard0.pt", 7777),
        ("checkpoint_11_1200.pt.tmp", 7777),
    ]:
        save(folder / name, value)
    return folder


def run_average(folder, num, *options):
    output = folder.parent / "result" / "average.pt"
    return cli.main(["average", "--inputs", str(folder), "--num", str(num), "--output", str(output), *options]), output


def test_the_last_checkpoints_by_number_are_averaged(run_folder, capsys):
    status, output = run_average(run_folder, 2)
    assert status == 0
    state = torch.load(output, weights_only=True)
    torch.testing.assert_close(state["model"]["layer.weight"], torch.full((2, 3), 550.0))
    assert state["model"]["norm.num_batches_tracked"] == 1000
    assert state["averaged_checkpoints"] == ["checkpoint_2_100.pt", "checkpoint_11_1000.pt"]
    assert "checkpoint_2_100.pt, checkpoint_11_1000.pt" in capsys.readouterr().out
    assert list(output.parent.iterdir()) == [output]


def test_what_fairseq_needs_is_the_last_checkpoints_and_the_optimizer_is_gone(run_folder):
    _, output = run_average(run_folder, 3)
    state, last = torch.load(output, weights_only=True), torch.load(run_folder / "checkpoint_11_1000.pt", weights_only=True)
    for entry in ("args", "cfg", "criterion", "optimizer_history", "task_state"):
        assert state[entry] == last[entry]
    assert "last_optimizer_state" not in state
    assert state["extra_state"] == {"train_iterator": {"epoch": 2}}


def test_epochs_and_updates_are_told_apart(run_folder, capsys):
    for epoch in (9, 10):
        save(run_folder / f"checkpoint{epoch}.pt", epoch)
    assert run_average(run_folder, 2)[0] == 1
    assert "--by updates or --by epochs" in capsys.readouterr().err
    _, output = run_average(run_folder, 1, "--by", "epochs")
    assert torch.load(output, weights_only=True)["averaged_checkpoints"] == ["checkpoint10.pt"]
    _, output = run_average(run_folder, 1, "--by", "updates")
    assert torch.load(output, weights_only=True)["averaged_checkpoints"] == ["checkpoint_11_1000.pt"]


def test_half_precision_is_averaged_in_float32(tmp_path):
    paths = [tmp_path / "checkpoint1.pt", tmp_path / "checkpoint2.pt"]
    save(paths[0], 2048, dtype=torch.bfloat16)
    save(paths[1], 2050, dtype=torch.float16)
    mean = average(paths)["model"]["layer.weight"]
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean, torch.full((2, 3), 2049.0))  # float16 has no 2049


def test_too_few_checkpoints_are_an_error_that_names_those_found(run_folder, tmp_path, capsys):
    status, output = run_average(run_folder, 4)
    error = capsys.readouterr().err
    assert status == 1 and not output.exists()
    assert "--num 4" in error and "but 3" in error and "checkpoint_1_90.pt" in error
    (tmp_path / "empty").mkdir()
    assert run_average(tmp_path / "empty", 1)[0] == 1
    assert "no .pt file" in capsys.readouterr().err
    assert run_average(tmp_path / "missing", 1)[0] == 1
    assert run_average(run_folder, 0)[0] == 1
    assert "--num must be at least 1, but is 0" in capsys.readouterr().err


def test_checkpoints_of_two_runs_are_an_error(run_folder, capsys):
    save(run_folder / "checkpoint_3_100.pt", 1)
    assert run_average(run_folder, 2)[0] == 1
    assert "checkpoint_2_100.pt and checkpoint_3_100.pt" in capsys.readouterr().err


@pytest.mark.parametrize(
    "model, message",
    [
        ({"layer.weight": torch.zeros(2, 4), "norm.num_batches_tracked": torch.tensor(1)}, "layer.weight must be (2, 3)"),
        ({"layer.weight": torch.zeros(2, 3)}, "norm.num_batches_tracked"),
        ({"layer.weight": torch.zeros(2, 3, dtype=torch.int64), "norm.num_batches_tracked": torch.tensor(1)}, "torch.int64"),
        (
            {"layer.weight": torch.zeros(2, 3), "norm.num_batches_tracked": torch.tensor(1), "new": torch.zeros(1)},
            "first: new",
        ),
    ],
)
def test_different_tensors_are_an_error_and_the_old_result_stays(run_folder, capsys, model, message):
    _, output = run_average(run_folder, 2)
    before = output.read_bytes()
    save(run_folder / "checkpoint_12_1300.pt", 1, model=model)
    capsys.readouterr()
    assert run_average(run_folder, 2)[0] == 1
    error = capsys.readouterr().err
    assert message in error and "checkpoint_12_1300.pt" in error and error.count("\n") == 1
    assert output.read_bytes() == before and list(output.parent.iterdir()) == [output]


class Unsafe:
    """An object that the safe loader must not build."""


@pytest.mark.parametrize("kind", ["cut", "text", "unsafe", "no model"])
def test_unreadable_checkpoints_are_errors_that_name_the_file(run_folder, capsys, kind):
    path = run_folder / "checkpoint_12_1300.pt"
    save(path, 1, **({"extra_state": {"unsafe": Unsafe()}} if kind == "unsafe" else {}))
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif kind == "text":
        path.write_text("not a checkpoint")
    elif kind == "no model":
        torch.save({"layer.weight": torch.zeros(1)}, path)
    assert run_average(run_folder, 2)[0] == 1
    error = capsys.readouterr().err
    assert str(path) in error and error.count("\n") == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_an_error_that_names_them(run_folder, capsys, value):
    weight = torch.zeros(2, 3)
    weight[1, 2] = value
    save(run_folder / "checkpoint_12_1300.pt", 1, model={"layer.weight": weight, "norm.num_batches_tracked": torch.tensor(1)})
    status, output = run_average(run_folder, 2)
    assert status == 1 and not output.exists()
    assert "checkpoint_12_1300.pt: layer.weight has NaN or infinity in 1 of 6 places: the training failed" in capsys.readouterr().err


def test_one_flipped_bit_is_noticed(tmp_path):
    """Here and by fairseq; torch alone reads it."""
    path = tmp_path / "checkpoint1.pt"
    save(path, 1)
    content = bytearray(path.read_bytes())
    place = content.index(torch.ones(6).numpy().tobytes()) + 5
    content[place] ^= 1
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)["model"]["layer.weight"][0, 1] != 1
    for read in (load, checkpoint_utils.load_checkpoint_to_cpu):
        with pytest.raises(ValueError, match=rf"^{path}: is damaged: \S+/data/0 is not what was written, its checksum is another; copy it again"):
            read(str(path))
    assert load(path, whole=False)


@pytest.mark.parametrize("num_bytes", [100, 1500])
def test_a_full_disk_leaves_no_part_of_an_average(run_folder, tmp_path, num_bytes):
    """A limit to the size of files stands for it, in a process of its own."""
    code = (
        "import resource, signal, sys; from speechllm_plugin.commands import cli; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({num_bytes}, {num_bytes})); sys.exit(cli.main(sys.argv[1:]))"
    )
    output = tmp_path / "out" / "average.pt"
    arguments = ["average", "--inputs", run_folder, "--num", "2", "--by", "updates", "--output", output]
    process = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 1 and process.stderr.splitlines()[-1] == f"speechllm: error: {output}: File too large"
    assert not output.parent.exists()


def test_options_in_a_namespace_are_kept(tmp_path):
    save(tmp_path / "checkpoint1.pt", 1, args=argparse.Namespace(task="speech_to_text"))
    assert average([tmp_path / "checkpoint1.pt"])["args"].task == "speech_to_text"
    torch.load(tmp_path / "checkpoint1.pt", weights_only=True)  # and stay loadable in this process


def test_fairseq_loads_the_average(tmp_path):
    Dictionary().save(str(tmp_path / "dict.txt"))
    sizes = "--decoder-layers 1 --decoder-embed-dim 8 --decoder-ffn-embed-dim 8 --decoder-attention-heads 2 --tokens-per-sample 8"
    arguments = [str(tmp_path), "--task", "language_modeling", "--arch", "transformer_lm", *sizes.split()]
    parsed = options.parse_args_and_arch(options.get_training_parser(), arguments)
    cfg = convert_namespace_to_omegaconf(parsed)
    task = tasks.setup_task(cfg.task)
    models = [task.build_model(cfg.model) for _ in range(3)]
    for epoch, model in enumerate(models, start=1):
        options_saved = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)  # as fairseq's trainer does
        save(tmp_path / f"checkpoint{epoch}.pt", epoch, model=model.state_dict(), cfg=options_saved)
    output = tmp_path / "average.pt"
    assert cli.main(["average", "--inputs", str(tmp_path), "--num", "2", "--output", str(output)]) == 0
    (loaded,), _, _ = checkpoint_utils.load_model_ensemble_and_task([str(output)])
    second, third = models[1].state_dict(), models[2].state_dict()
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, (second[name] + third[name]) / 2)
