"""fairseq-train: what a run may be cut into, or be done with, without another result; and what else trains on our data."""

import os
import re
import shutil

import numpy as np
import pytest
import torch
import yaml
from commands import (
    MODELS,
    SIZES,
    TASK,
    at_once,
    generate,
    hypotheses,
    last_line,
    succeeded,
    train,
    updates,
)

from speechllm_plugin.data import features, manifest
from speechllm_plugin.files.locks import locked_folder

pytestmark = pytest.mark.end_to_end

COMPRESSED = MODELS["dfp_conformer_compressed"]
STOCK = ["--criterion", "label_smoothed_cross_entropy", "--label-smoothing", 0.1]


def weights(path):
    return torch.load(path, weights_only=True)["model"]


def assert_same_weights(path, other_path):
    torch.testing.assert_close(weights(path), weights(other_path), rtol=0, atol=0)


def test_a_run_that_was_stopped_ends_as_one_in_one_go(trained, data, tmp_path):
    """Stopped within the first epoch and at its end; all runs go on into the second, with 0, 1 and 2 workers, to the same weights."""
    folders = {2: tmp_path / "within", 4: tmp_path / "between"}
    for folder, name in zip(folders.values(), ("checkpoint_1_2.pt", "checkpoint1.pt")):
        folder.mkdir()
        shutil.copy(trained.folder / name, folder / "checkpoint_last.pt")
    workers = zip(folders.values(), (2, 1))  # `trained` has none
    resumed = at_once(*(lambda folder=folder, num=num: train(data, folder, "--num-workers", num, model=COMPRESSED) for folder, num in workers))
    in_one_go = updates(trained.train)
    for process, (num_updates, folder) in zip(resumed, folders.items()):
        assert updates(succeeded(process)) == {number: log for number, log in in_one_go.items() if number > num_updates}
        assert_same_weights(folder / "checkpoint_last.pt", trained.folder / "checkpoint_last.pt")


def test_a_run_in_buckets_goes_on_in_the_same_batches(data, tmp_path):
    """Stopped within the second epoch, whose batches are not those of the first; with other workers, to the same weights."""
    flags = ["--num-batch-buckets", 3, "--required-batch-size-multiple", 1, "--save-interval-updates", 1, "--no-epoch-checkpoints"]
    in_one_go = succeeded(train(data, tmp_path / "whole", *flags, "--num-workers", 1))
    assert "batches of 3 shapes" in in_one_go.stdout and re.fullmatch(r"peak memory: process [\d,]+ MiB", last_line(in_one_go))
    (tmp_path / "resumed").mkdir()
    shutil.copy(*tmp_path.glob("whole/checkpoint_2_5.pt"), tmp_path / "resumed" / "checkpoint_last.pt")
    assert updates(succeeded(train(data, tmp_path / "resumed", *flags))) == {6: updates(in_one_go)[6]}
    assert_same_weights(tmp_path / "resumed" / "checkpoint_last.pt", tmp_path / "whole" / "checkpoint_last.pt")


def test_a_finished_run_stays_as_it_is_and_a_running_one_alone(trained, data, tmp_path):
    shutil.copy(trained.folder / "checkpoint_last.pt", tmp_path)
    before = (tmp_path / "checkpoint_last.pt").read_bytes()
    process = succeeded(train(data, tmp_path, model=COMPRESSED))
    assert process.stdout.endswith(f"already finished: {tmp_path}/checkpoint_last.pt has 6 updates, and --max-update is 6\n")
    with locked_folder(tmp_path, "fairseq-train"):
        process = train(data, tmp_path, model=COMPRESSED, updates=8)
    assert process.returncode == 1 and re.fullmatch(
        rf".* {tmp_path}: is being written by fairseq-train, process {os.getpid()} on .*\n", last_line(process) + "\n"
    )
    assert (tmp_path / "checkpoint_last.pt").read_bytes() == before and os.listdir(tmp_path) == ["checkpoint_last.pt"]


def test_a_run_goes_on_with_its_own_vocabularies_only(trained, data, tmp_path):
    """Two lines of a dictionary change places: the pieces of the checkpoint would stand for other words from there on."""
    changed, folder = tmp_path / "data", tmp_path / "run"
    shutil.copytree(data, changed)
    folder.mkdir()
    shutil.copy(trained.folder / "checkpoint1.pt", folder / "checkpoint_last.pt")
    before = (folder / "checkpoint_last.pt").read_bytes()
    dictionary = changed / "spm_target.txt"
    first, second, *others = dictionary.read_text(encoding="utf-8").splitlines(keepends=True)
    dictionary.write_text("".join([second, first, *others]), encoding="utf-8")
    for arguments in ([], ["--finetune-from-model", trained.checkpoint]):
        out = folder if not arguments else tmp_path / "finetuned"
        process = train(changed, out, *arguments, model=COMPRESSED)
        assert process.returncode != 0
        message = "its target vocabulary is not the one that the checkpoint was trained with: give the data folder of that training"
        assert process.stderr.splitlines()[-1] == f"fairseq-train: error: {changed}/config.yaml: {message}"
    assert (folder / "checkpoint_last.pt").read_bytes() == before and len(list(folder.iterdir())) == 1


def test_worker_processes_change_no_loss(trained, data):
    assert updates(succeeded(train(data, None, "--num-workers", 2, model=COMPRESSED))) == updates(trained.train)


def test_finetuning_begins_with_the_weights_and_counts_from_one(trained, data, tmp_path):
    start = ["--finetune-from-model", trained.checkpoint]
    process = succeeded(train(data, tmp_path, *start, "--lr", 0, model=COMPRESSED, updates=1))
    assert set(updates(process)) == {1}
    end, begin = weights(tmp_path / "checkpoint_last.pt"), weights(trained.checkpoint)
    for name in begin:
        if "running_" not in name and "num_batches" not in name:
            torch.testing.assert_close(end[name], begin[name], rtol=0, atol=0)


@pytest.mark.parametrize("model", ["dfp_conformer_compressed", "xattn_transformer"])
def test_fairseqs_own_criterion_trains_our_models(model, data):
    process = succeeded(train(data, None, model=MODELS[model], updates=2, plugin=[*TASK, *STOCK]))
    assert set(updates(process)) == {1, 2}


def test_bfloat16_trains_on_the_cpu(trained, data):
    losses = updates(succeeded(train(data, None, "--bf16", model=COMPRESSED, updates=1)))
    assert float(losses[1]["loss"]) == pytest.approx(float(updates(trained.train)[1]["loss"]), rel=0.05)


def test_our_data_trains_fairseqs_own_task_and_model(data):
    host = ["--task", "speech_to_text", "--arch", "s2t_transformer_s", *STOCK]
    process = succeeded(train(data, None, "--required-batch-size-multiple", 1, model=SIZES, updates=2, plugin=host))
    assert set(updates(process)) == {1, 2}


def test_data_in_fairseqs_own_form_trains_our_task(data, tmp_path):
    """As fairseq's examples prepare it: no transcripts, features in .npy files by absolute path, a tokenizer by absolute path."""
    out = tmp_path / "data"
    out.mkdir()
    shutil.copy(data / "spm_target.txt", out)
    for split in ("train", "dev"):
        lines = ["id\taudio\tn_frames\ttgt_text\tspeaker"]
        for row in manifest.read(data / f"{split}.tsv"):
            np.save(out / f"{row.id}.npy", features.read(row.audio, data))
            lines.append(f"{row.id}\t{out / row.id}.npy\t{row.n_frames}\t{row.tgt_text}\t{row.speaker}")
        (out / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = {
        "bpe_tokenizer": {"bpe": "sentencepiece", "sentencepiece_model": str(data / "spm_target.model")},
        "input_channels": 1,
        "input_feat_per_channel": 80,
        "specaugment": {"freq_mask_F": 27, "freq_mask_N": 1, "time_mask_N": 1, "time_mask_T": 100, "time_mask_p": 1.0, "time_warp_W": 0},
        "transforms": {"*": ["utterance_cmvn"], "_train": ["utterance_cmvn", "specaugment"]},
        "vocab_filename": "spm_target.txt",
    }
    (out / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert set(updates(succeeded(train(out, tmp_path / "run", updates=2)))) == {1, 2}
    assert len(hypotheses(succeeded(generate(out, tmp_path / "run/checkpoint_last.pt", "dev")).stdout)) == 9
