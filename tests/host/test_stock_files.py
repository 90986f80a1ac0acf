"""What fairseq writes is complete or not there."""

import os
import shutil

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.file_io import PathManager

import speechllm_plugin  # noqa: F401


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path):
    path = tmp_path / "checkpoint_last.pt"
    checkpoint_utils.torch_persistent_save({"model": torch.zeros(3)}, str(path))
    before = path.read_bytes()
    with pytest.raises((AttributeError, TypeError)):  # half of it is written by then
        checkpoint_utils.torch_persistent_save({"model": torch.ones(100_000), "code": lambda: None}, str(path))
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


def test_a_copy_that_stops_half_way_leaves_the_one_before(tmp_path, monkeypatch):
    source, target = tmp_path / "checkpoint1.pt", tmp_path / "checkpoint_last.pt"
    source.write_text("second")
    target.write_text("first")

    def stopped(_, part):
        part.write_text("sec")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "copyfile", stopped)
        PathManager.copy(str(source), str(target), overwrite=True)
    assert target.read_text() == "first" and len(os.listdir(tmp_path)) == 2
    assert PathManager.copy(str(source), str(target), overwrite=True)  # fairseq asserts that
    assert target.read_text() == "second"
