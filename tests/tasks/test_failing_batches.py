"""A training ends at, or goes on without, batches whose loss is not finite or that do not fit into memory; it names their rows."""

import re
import sys
from pathlib import Path

import numpy as np
import one_process
import pytest
import torch
from commands import ROOT, run
from tagged_data import make_task
from tiny_model import SIZES

from speechllm_plugin.models.speech_encoder import SpeechEncoder
from speechllm_plugin.tasks.failing_batches import FailingBatches
from speechllm_plugin.text import out_of_memory

FLAGS = "--cpu --task speechllm_speech_to_text --criterion ctc_cross_entropy --arch xattn_transformer --encoder conformer --ctc-layer 1".split()
FLAGS += [flag for name, value in SIZES.items() for flag in (f"--{name.replace('_', '-')}", value) if not name.startswith("ctc_")]
FLAGS += "--optimizer adam --lr 1e-3 --max-tokens 100 --valid-subset dev --num-workers 0 --seed 1 --log-format none".split()


def train(folder, *flags, updates=30):
    return one_process.run(["fairseq-train", ".", *FLAGS, "--save-dir", "checkpoints", "--max-update", updates, *flags], folder)


@pytest.fixture
def damaged(tagged_folder):
    """Row 7 of the training set has a frame that is not a number."""
    make_task(tagged_folder, transforms="{'*': [utterance_cmvn]}")
    (tagged_folder / "dev.tsv").write_text("\n".join((tagged_folder / "dev.tsv").read_text().splitlines()[:5]) + "\n")
    features = np.load(tagged_folder / "7.npy")
    features[3] = np.nan
    np.save(tagged_folder / "7.npy", features)
    return tagged_folder


def test_the_first_loss_that_is_not_finite_names_its_row_and_file(damaged):
    ended = train(damaged, "--skip-bad-batches", "1e-9")
    assert ended.status == 1 and not ended.traceback
    num_frames = len(np.load(damaged / "7.npy"))
    expected = f"rows whose features are not finite (1 of {{}}): utterance u7, row 7 (7.npy), {num_frames} frames, "
    before, after = expected.split("{}")
    assert ended.last_line.startswith("fairseq-train: error: update ") and before in ended.last_line and after in ended.last_line
    assert "updates are more than --skip-bad-batches 1e-09 allows" in ended.last_line and not list(damaged.glob("checkpoints/crash*"))


def test_training_goes_on_without_such_batches_and_counts_them(damaged):
    ended = train(damaged, "--skip-bad-batches", "0.01", "--max-epoch", 3, updates=1000)
    assert ended.status == 0 and not ended.traceback
    skipped = [line for line in ended.err.splitlines() if "left out, as" in line]
    assert len(skipped) == 3 and [line.partition("left out, as ")[2].split()[0] for line in skipped] == ["0", "1", "2"]
    state = torch.load(damaged / "checkpoints/checkpoint_last.pt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in state["model"].values() if value.is_floating_point())  # running statistics too
    assert np.isfinite(state["extra_state"]["val_loss"]) and state["optimizer_history"][-1]["num_updates"] > 20


@pytest.mark.end_to_end
def test_two_ranks_leave_out_the_update_in_which_one_has_such_a_batch(damaged):
    flags = [*FLAGS, "--skip-bad-batches", "0.01", "--save-dir", "checkpoints", "--max-epoch", 2, "--distributed-world-size", 2]
    process = run(Path(sys.executable).with_name("fairseq-train"), ".", "--user-dir", ROOT / "speechllm_plugin", *flags, cwd=damaged)
    assert process.returncode == 0, process.stderr[-2000:]
    skipped = re.findall(r"(update \d+): the loss or its gradient is not finite; (.*); left out, as (\d)", process.stdout + process.stderr)
    assert len(skipped) == 4 and len({(update, before) for update, _, before in skipped}) == 2  # of two updates each rank says so
    assert sum("(1 of" in rows and "utterance u7, " in rows for _, rows, _ in skipped) == 2
    state = torch.load(damaged / "checkpoints/checkpoint_last.pt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in state["model"].values() if value.is_floating_point())


def test_training_ends_above_the_share(damaged):
    ended = train(damaged, "--skip-bad-batches", "0.001", "--max-epoch", 3, updates=1000)
    assert ended.status == 1 and "updates are more than --skip-bad-batches 0.001 allows" in ended.last_line and "utterance u7" in ended.last_line
    assert len([line for line in ended.err.splitlines() if "left out, as 0 before it" in line]) == 1


def test_sound_batches_are_learnt_as_without_the_flag(tagged_folder):
    make_task(tagged_folder)
    states = []
    for flags in ([], ["--skip-bad-batches", "0.5"]):
        assert train(tagged_folder, *flags, "--disable-validation", "--restore-file", "none.pt", "--reset-optimizer").status == 1  # no such file
        assert train(tagged_folder, *flags, "--disable-validation", updates=6).status == 0
        states.append(torch.load(tagged_folder / "checkpoints/checkpoint_last.pt", weights_only=True)["model"])
        (tagged_folder / "checkpoints/checkpoint_last.pt").unlink()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("error", [MemoryError("Unable to allocate 2.50 GiB"), RuntimeError("CUDA out of memory. Tried to allocate 2.50 GiB.")])
@pytest.mark.parametrize("step", ["train", "valid"])
def test_a_batch_that_is_too_large_names_its_shape_and_the_flag(tagged_folder, monkeypatch, error, step):
    make_task(tagged_folder)

    def forward(self, *inputs, **named):
        raise error

    monkeypatch.setattr(SpeechEncoder, "forward", forward)
    flags = [] if step == "train" else ["--validate-interval-updates", 1, "--skip-bad-batches", "0.5"]
    ended = train(tagged_folder, *flags)
    assert ended.status == 1 and not ended.traceback
    assert "allocate 2.50 GiB for a batch of " in ended.last_line and " frames and " in ended.last_line and "lower --max-tokens" in ended.last_line


def test_a_share_is_from_0_to_1():
    with pytest.raises(ValueError, match="--skip-bad-batches must be from 0 to 1, but is 1.5"):
        FailingBatches(1.5)
    assert not out_of_memory.is_meant(RuntimeError("shape mismatch"))
