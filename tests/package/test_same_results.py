"""The comparison behind tests/same_numbers.sh: equal folders are the same, and a single changed bit, line, score or file is told."""

import json
import shutil

import pytest
import same_results
import torch

RUN = "mustc/asr-en-de/row1-seed1"


@pytest.fixture
def folders(tmp_path):
    """Two folders of one experiment each, with NaN among the weights, that differ in speed and in absolute paths only."""
    made = []
    for name, seconds in (("before", 1.0), ("after", 2.0)):
        run, data = tmp_path / name / RUN, tmp_path / name / "mustc/asr-en-de/data"
        run.mkdir(parents=True), data.mkdir()
        model = {"weight": torch.tensor([1.0, torch.nan]), "half": torch.ones(2, dtype=torch.bfloat16), "counter": torch.tensor(3)}
        torch.save({"model": model, "extra_state": {"seconds": seconds}}, run / "average.pt")
        (run / "generate-dev.txt").write_text(f"T-0\tone\nH-0\t-0.5\t▁one\nTranslated 1 sentence in {seconds}s\n", encoding="utf-8")
        (run / "score-dev.json").write_text(json.dumps({"hypotheses": [str(run)], "manifest": str(data), "metrics": {"wer": {"score": 0.1}}}))
        (data / "dev.tsv").write_text("id\tn_frames\nu0\t9\n")
        for file in ("spm_target.model", "spm_target.txt", "fbank80.dev.zip"):
            (data / file).write_bytes(b"bytes")
        made.append(tmp_path / name)
    return made


def test_speeds_and_paths_may_differ(folders, capsys):
    same_results.main(*folders)
    assert capsys.readouterr().out == "the same, bit by bit: 1 manifests, 3 vocabularies and features, 1 checkpoints, 1 outputs, 1 scores\n"


def least_change(path):
    state = torch.load(path, weights_only=True)
    state["model"]["weight"][0] = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    torch.save(state, path)


def edited(old, new):
    return lambda path: path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (f"{RUN}/average.pt", least_change, "other checkpoints"),
        (f"{RUN}/generate-dev.txt", edited("-0.5", "-0.50001"), "other outputs"),
        (f"{RUN}/score-dev.json", edited("0.1", "0.10000000000000002"), "other scores"),
        ("mustc/asr-en-de/data/dev.tsv", edited("u0", "u1"), "other manifests"),
        ("mustc/asr-en-de/data/spm_target.txt", edited("b", "B"), "other vocabularies and features"),
        ("mustc/asr-en-de/data/spm_target.model", edited("b", "B"), "other vocabularies and features"),
        ("mustc/asr-en-de/data/fbank80.dev.zip", edited("b", "B"), "other vocabularies and features"),
    ],
)
def test_the_least_change_is_told(folders, file, change, message):
    change(folders[1] / file)
    with pytest.raises(SystemExit) as ended:
        same_results.main(*folders)
    assert ended.value.code == f"{file}: {message}"


def test_a_file_that_one_lacks_is_told(folders):
    (folders[1] / RUN / "score-dev.json").unlink()
    with pytest.raises(SystemExit) as ended:
        same_results.main(*folders)
    assert f"{RUN}/score-dev.json: only in {folders[0]}" in ended.value.code and "no scores in both folders" in ended.value.code


def test_folders_without_experiments_are_not_the_same(folders, tmp_path):
    for folder in folders:
        shutil.rmtree(folder / "mustc")
    with pytest.raises(SystemExit, match="nothing to compare"):
        same_results.main(*folders)
