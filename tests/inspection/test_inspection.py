"""Inspections are those of the model, row by row, and are kept until something that they depend on changes."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fairseq.dataclass.configs import FairseqConfig
from omegaconf import OmegaConf
from tagged_data import make_task, model_of
from tiny_model import make_config, make_data, make_model, task

from speechllm_plugin.generation.speech_alignment import over_frames, over_states
from speechllm_plugin.inspection import Inspection, Picture, inspect, run_folder, stored
from speechllm_plugin.inspection.attention_maps import MAX_COLUMNS, attention_pictures
from speechllm_plugin.inspection.compression_rates import compression_rates
from speechllm_plugin.inspection.trained_model import load

LENGTHS = [13, 57, 1, 40]
COMPRESSED = ("conformer", "xl", "avg")


def with_rows(lengths=LENGTHS):
    """The task with a split "dev" of utterances of these lengths, in this order."""
    return SimpleNamespace(datasets={"dev": make_data(lengths)}, target=task().target, target_dictionary=task().target_dictionary)


@pytest.mark.parametrize("max_frames", [60, 10_000])
def test_compression_rates_are_those_of_each_utterance_alone(max_frames, monkeypatch):
    monkeypatch.setattr("speechllm_plugin.inspection.compression_rates.MAX_FRAMES", max_frames)
    model, rows = make_model("dfp", COMPRESSED), with_rows()
    rates = compression_rates(model, rows, "dev")
    for row, rate in enumerate(rates):
        features = rows.datasets["dev"][row].features
        speech = model.encoder(features[None], torch.tensor([len(features)]))
        assert rate == pytest.approx((len(features) + 3) // 4 / speech.states.size(1))
    assert rates.dtype == np.float32 and rates.shape == (4,) and rates[1] > 1
    assert len(model.encoder.layers) == 3  # the model itself has kept all layers


def test_a_model_without_compression_has_no_rates():
    assert compression_rates(make_model("xattn"), with_rows(), "dev") is None


@pytest.mark.parametrize("layer", [None, 0])
@pytest.mark.parametrize(("decoder", "encoder"), [("xattn", ("transformer", "none", "none")), ("dfp", COMPRESSED)], ids=str)
@torch.no_grad()
def test_pictures_are_the_attention_to_the_frames(decoder, encoder, layer):
    model, rows = make_model(decoder, encoder), with_rows()
    pictures = attention_pictures(model, rows, "dev", {1: "t3 t17 t3", 0: "t1 nobody"}, layer)
    assert list(pictures) == [1, 0]
    assert pictures[1].tokens == ["t3", "t17", "t3", "</s>"] and pictures[0].tokens == ["t1", "<unk>", "</s>"]
    for row, picture in pictures.items():
        features = rows.datasets["dev"][row].features
        speech = model.encoder(features[None], torch.tensor([len(features)]))
        ids = [task().target_dictionary.index(token) for token in picture.tokens]
        weights = model.decoder.attention_to_speech(torch.tensor([ids[-1:] + ids[:-1]]), speech, 1 if layer is None else layer)
        expected = over_frames(over_states(weights, speech.segments), torch.tensor([len(features)]), 4)[0, :, : len(features)]
        np.testing.assert_allclose(picture.weights, expected, atol=1e-6)
        np.testing.assert_allclose(picture.weights.sum(1), 1, atol=1e-5)
        assert picture.seconds_per_column == 0.01 and picture.weights.dtype == np.float32


@torch.no_grad()
def test_long_pictures_are_narrowed_by_means():
    model, rows = make_model("xattn"), with_rows([2 * MAX_COLUMNS + 1, MAX_COLUMNS])
    narrow, exact = (attention_pictures(model, rows, "dev", {row: "t3"})[row] for row in (0, 1))
    assert exact.weights.shape == (2, MAX_COLUMNS) and exact.seconds_per_column == 0.01
    assert narrow.weights.shape == (2, 267) and narrow.seconds_per_column == pytest.approx(0.03)  # 801 frames, 3 each
    np.testing.assert_allclose(3 * narrow.weights.sum(1), 1, atol=1e-4)


def test_pictures_have_the_tag_that_the_search_forces(tagged_folder):
    tagged = make_task(tagged_folder)
    pictures = attention_pictures(model_of(tagged), tagged, "dev", {0: "un deux", 1: ""})
    assert pictures[0].tokens == ["<lang:fr>", "un", "deux", "</s>"]
    assert pictures[1].tokens == ["<lang:de>", "</s>"]  # nothing was recognised


@pytest.mark.parametrize(
    ("hypotheses", "layer", "message"),
    [
        ({4: "t1"}, None, "dev.tsv has rows 0 to 3, but there is a hypothesis of row 4"),
        ({-1: "t1"}, None, "there is a hypothesis of row -1"),
        ({0: "t1"}, 2, "the decoder has layers 0 to 1, but the layer asked for is 2"),
        ({0: "t1 " * 1024}, None, "row 0 of dev.tsv: a text has 1024 tokens at most, but this has 1025"),
    ],
)
def test_what_cannot_be_drawn_is_said(hypotheses, layer, message):
    with pytest.raises(ValueError, match=message):
        attention_pictures(make_model("xattn"), with_rows(), "dev", hypotheses, layer)


def save_checkpoint(path, model, task, cfg):
    """As fairseq-train writes it, as far as loading reads it."""
    cfg._name, task.cfg._name = "dfp_transformer", "speechllm_speech_to_text"
    whole = OmegaConf.structured(FairseqConfig(model=cfg, task=task.cfg))
    content = {"args": None, "cfg": OmegaConf.to_container(whole, resolve=True, enum_to_str=True), "model": model.state_dict()}
    history = {"criterion_name": "none", "optimizer_name": "none", "lr_scheduler_state": {"best": None}, "num_updates": 1}
    iterator = {"version": 2, "epoch": 1, "iterations_in_epoch": 0, "shuffle": True}
    content |= {"task_state": task.state_dict(), "extra_state": {"train_iterator": iterator}, "optimizer_history": [history]}
    torch.save(content, path)


@pytest.fixture
def run(tagged_folder):
    """A run folder with a checkpoint of a model that compresses; its data is the folder above."""
    (tagged_folder / "run").mkdir()
    tagged, cfg = make_task(tagged_folder), make_config("dfp", COMPRESSED)
    model = tagged.build_model(OmegaConf.structured(make_config("dfp", COMPRESSED, _name="dfp_transformer")))
    save_checkpoint(tagged_folder / "run" / "average.pt", model, tagged, cfg)
    return tagged_folder / "run"


def watched(monkeypatch):
    """The lists of parts that are made from now on."""
    made, make = [], run_folder.make
    monkeypatch.setattr(run_folder, "make", lambda parts, *others: made.append(sorted(parts)) or make(parts, *others))
    return made


def test_an_inspection_is_made_once_and_again_when_something_changes(run, monkeypatch):
    made, data, both = watched(monkeypatch), run.parent, ["compression_rates", "pictures"]
    arguments = [run, run / "average.pt", data, "dev"]
    first = inspect(*arguments, {3: "eins zwei", 0: "un"})
    again = inspect(*arguments, {3: "eins zwei", 0: "un"})
    assert made == [both]
    np.testing.assert_array_equal(again.compression_rates, first.compression_rates)
    assert again.pictures.keys() == first.pictures.keys() == {0, 3}
    for row, picture in first.pictures.items():
        assert again.pictures[row].tokens == picture.tokens and again.pictures[row].seconds_per_column == picture.seconds_per_column
        np.testing.assert_array_equal(again.pictures[row].weights, picture.weights)
    model, tagged, arch = load(run / "average.pt", data)
    assert arch == "dfp_transformer" and not model.training
    np.testing.assert_array_equal(first.compression_rates, compression_rates(model, tagged, "dev"))

    assert list(inspect(*arguments, {1: "drei"}).pictures) == [1] and made[1:] == [["pictures"]]
    checkpoint = torch.load(run / "average.pt", weights_only=True)
    checkpoint["model"]["encoder.ctc_head.bias"][-1] += 100  # nothing but blanks: one state each
    torch.save(checkpoint, run / "average.pt")
    rates = inspect(*arguments, {1: "drei"}).compression_rates
    assert made[2:] == [both] and (rates >= 3).all()
    manifest = (data / "dev.tsv").read_text().splitlines(keepends=True)
    (data / "dev.tsv").write_text("".join(manifest[:-1]))
    assert len(inspect(*arguments, {1: "drei"}).compression_rates) == len(rates) - 1
    assert made[3:] == [both] and list(run.glob(".*")) == []


def test_in_a_folder_that_cannot_be_written_the_inspection_is_made_each_time(run, monkeypatch, caplog):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(stored, "write", refuse)
    made = watched(monkeypatch)
    for _ in range(2):
        assert inspect(run, run / "average.pt", run.parent, "dev", {0: "un"}).compression_rates is not None
    assert len(made) == 2 and "inspection-dev.npz: cannot be written (Permission denied)" in caplog.text


@pytest.mark.parametrize("position", range(20, 900, 80))
def test_a_file_with_any_damage_is_read_or_said_to_be_damaged(tmp_path, position):
    stored.write(tmp_path / "x.npz", {"pictures": {}}, Inspection(np.arange(9.0), {0: Picture(["a"], np.ones((1, 4), np.float32), 0.04)}))
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[position % len(content)] ^= 0xFF
    (tmp_path / "x.npz").write_bytes(bytes(content))
    try:
        stored.read(tmp_path / "x.npz")
    except ValueError as error:
        assert "is damaged or another" in str(error)


def test_what_is_missing_or_damaged_is_said(run):
    data, path = run.parent, run / "inspection-dev.npz"
    with pytest.raises(FileNotFoundError, match="none.pt: no such file, but the inspection of .*run needs it"):
        inspect(run, run / "none.pt", data, "dev", {})
    with pytest.raises(FileNotFoundError, match="test.tsv: no such file"):
        inspect(run, run / "average.pt", data, "test", {})
    for content in (b"PK damaged", b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="inspection-dev.npz: must be a file of inspections, but is damaged or another .*: remove it"):
            inspect(run, run / "average.pt", data, "dev", {})
    path.unlink()
    shutil.copy(data / "transcript.txt", data / "target.txt")
    with pytest.raises(ValueError, match="its target vocabulary is not the one that the checkpoint was trained with"):
        inspect(run, run / "average.pt", data, "dev", {})
    with pytest.raises(ValueError, match="--device must be cpu, cuda or cuda:N with one of the "):
        inspect(run, run / "average.pt", data, "dev", {}, device="quantum")


def test_an_inspection_of_nothing_is_kept_too(tmp_path):
    nothing, picture = Inspection(None, {}), Picture(["▁ja", "|", "</s>"], np.ones((3, 2), np.float32), 0.02)
    for inspection in (nothing, Inspection(np.array([1.5], np.float32), {7: picture})):
        stored.write(tmp_path / "inspection.npz", {"pictures": "x"}, inspection)
        made_from, found = stored.read(tmp_path / "inspection.npz")
        assert made_from == {"pictures": "x"} and found.pictures.keys() == inspection.pictures.keys()
        assert (found.compression_rates is None) == (inspection.compression_rates is None)
    assert found.pictures[7].tokens == picture.tokens
    assert stored.read(tmp_path / "none.npz") is None
