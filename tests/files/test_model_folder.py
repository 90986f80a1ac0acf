"""Model folders: what was written is read, and a folder that is not as it was exported is an error of one line."""

import pytest
import torch

from speechllm_plugin.files import checkpoint_file, model_folder

CFG = {"model": {"_name": "dfp_transformer"}, "task": {"data": "."}}

SETTINGS = {
    "cfg": CFG,
    "vocabularies": {"target": "abc"},
    "num_updates": 12,
    "same_tensors": {},
    "features": {},
    "languages": {"speech": [], "text": [], "tags": []},
    "training_speech": {"window_seconds": 1, "longest_seconds": 2.5},
}


@pytest.fixture
def weights():
    embedding = torch.randn(5, 3)
    return {"embedding": embedding, "output": embedding, "norm": torch.randn(3), "count": torch.tensor(7)}


@pytest.fixture
def folder(tmp_path, weights):
    return write(tmp_path / "model", weights)


def write(path, weights, dtype=torch.float32):
    with model_folder.new_folder(path) as folder:
        same = model_folder.write_weights(folder, weights, dtype)
        model_folder.write_settings(folder, {**SETTINGS, "same_tensors": same})
        (folder / "README.md").write_text("a card")
    return path


def test_a_folder_is_read_as_the_checkpoint_it_was(folder, weights):
    for path in (folder, folder / "model.safetensors"):
        state = checkpoint_file.load(path)
        assert state["cfg"] == CFG and state["task_state"] == {"vocabularies": {"target": "abc"}}
        assert state["optimizer_history"][-1]["num_updates"] == 12
        assert state["model"].keys() == weights.keys() and all(torch.equal(state["model"][name], weights[name]) for name in weights)


def test_one_memory_is_stored_once_and_vectors_keep_their_type(tmp_path, weights, folder):
    assert len((folder / "model.safetensors").read_bytes()) < 4 * 15 * 2 + 300
    short = checkpoint_file.load(write(tmp_path / "short", weights, torch.bfloat16))["model"]
    assert {name: tensor.dtype for name, tensor in short.items()} == {
        **{"embedding": torch.bfloat16, "output": torch.bfloat16},
        **{"norm": torch.float32, "count": torch.int64},
    }
    torch.testing.assert_close(short["embedding"].float(), weights["embedding"], rtol=2**-8, atol=0)


def test_the_card_may_be_changed_and_hidden_files_may_come(folder):
    (folder / "README.md").write_text("another card")
    (folder / ".gitattributes").write_text("")
    model_folder.read_settings(folder)


def damage(name, content):
    return lambda folder: (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    "change, message",
    {
        "no checksums": (lambda folder: (folder / "checksums.sha256").unlink(), r"model: no model folder, as it has no checksums.sha256"),
        "missing": (lambda folder: (folder / "model.json").unlink(), r"model.json: this file of the model is missing"),
        "damaged": (damage("model.safetensors", b"\0" * 99), r"model.safetensors: is damaged or of another model"),
        "foreign": (damage("pytorch_model.bin", b""), r"pytorch_model.bin: does not belong to the model"),
        "no line": (damage("checksums.sha256", b"nonsense\n"), r"must have lines `digest  name`, but has 'nonsense'"),
        "elsewhere": (damage("checksums.sha256", b"0" * 64 + b"  ../secret\n"), r"must have lines `digest  name`"),
        "empty": (damage("checksums.sha256", b""), r"does not name model.json"),
    }.values(),
)
def test_a_changed_folder_is_an_error(folder, change, message):
    change(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        checkpoint_file.load(folder)
    assert "\n" not in str(error.value)


def test_other_formats_are_errors(tmp_path):
    with model_folder.new_folder(tmp_path / "later") as folder:
        (folder / "model.safetensors").write_bytes(b"none")
        (folder / "model.json").write_text('{"format": 2}')
    with pytest.raises(ValueError, match="must have format 1, but has 2"):
        model_folder.read_settings(tmp_path / "later")
    with model_folder.new_folder(tmp_path / "pickled") as folder:
        model_folder.write_settings(folder, SETTINGS)
        torch.save({"weight": torch.ones(2)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="not readable as safetensors"):
        model_folder.read_checkpoint(tmp_path / "pickled")


def test_nothing_half_written_stays(tmp_path, folder):
    with pytest.raises(KeyboardInterrupt), model_folder.new_folder(tmp_path / "new") as temporary:
        (temporary / "model.json").write_text("{")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    with pytest.raises(FileExistsError, match="is there already"), model_folder.new_folder(folder):
        pass
