"""speechllm check as a user gives it: the table, the files beside the checkpoint, the exit status, and what is no checkpoint to check."""

import hashlib
import json
import shutil

import pytest
import study_checkpoint
import torch
from commands import TASK, at_once, last_line, speechllm, succeeded, train

from speechllm_plugin.checking.checks import CHECKS
from speechllm_plugin.commands import cli
from speechllm_plugin.data import manifest

pytestmark = pytest.mark.end_to_end


def check(checkpoint, data, *arguments):
    return speechllm("check", checkpoint, "--data", data, *arguments, cwd=data.parent)


def results_of(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    return content, {each["name"]: each["result"] for each in content["checks"]}


def test_a_trained_model_passes_and_the_files_say_so(trained, data):
    process = succeeded(check(trained.checkpoint, data, "--num-utterances", 5))
    content, results = results_of(trained.folder / "average.check.json")
    assert results == dict.fromkeys(CHECKS, "pass") | {"future speech": "n/a", "tags": "n/a"} and content["passed"]
    lines = process.stdout.splitlines()
    assert [line[: len(name)] for line, name in zip(lines[2:], CHECKS)] == list(CHECKS)
    assert len({line.index(word) for line in lines[2:] for word in ("pass", "n/a") if f" {word} " in line[:30]}) == 1
    assert content["sha256"] == hashlib.sha256(trained.checkpoint.read_bytes()).hexdigest()
    lengths = {row.id: row.n_frames for row in manifest.read(data / "dev.tsv")}
    used = [lengths[utterance_id] for utterance_id in content["utterances"]]
    assert used == sorted(used, reverse=True) and len(used) == 5 and {used[0], used[-1]} == {max(lengths.values()), min(lengths.values())}
    readable = (trained.folder / "average.check.md").read_text(encoding="utf-8")
    assert "# Self-check of average.pt" in readable and "Nothing failed." in readable and readable.count("| pass |") == 10

    elsewhere = data.parent / "elsewhere" / "again.json"
    succeeded(check(trained.checkpoint, data, "--num-utterances", 5, "--out", elsewhere))
    assert elsewhere.read_bytes() == (trained.folder / "average.check.json").read_bytes()
    assert elsewhere.with_suffix(".md").read_text(encoding="utf-8") == readable


def test_a_checkpoint_that_fails_is_named_after_the_files_are_written(trained, data, tmp_path):
    state = torch.load(trained.checkpoint, weights_only=True)
    state["model"]["decoder.norm.bias"][0] = torch.nan
    torch.save(state, tmp_path / "broken.pt")
    process = check(tmp_path / "broken.pt", data, "--num-utterances", 2)
    assert process.returncode == 1 and "broken.pt: 9 of 12 checks failed: batch, padding, " in last_line(process)
    content, results = results_of(tmp_path / "broken.check.json")
    assert not content["passed"] and results["compression"] == "pass" and results["search"] == "fail"
    assert "Failed: batch, padding, " in (tmp_path / "broken.check.md").read_text()


def test_other_models_and_imported_ones_pass(run_of, data, tmp_path):
    sizes = [len((data / f"spm_{name}.txt").read_text().splitlines()) + 4 for name in ("target", "transcript")]
    torch.save(study_checkpoint.make(feature_dim=80, vocabularies=sizes, decoder_layers=1), tmp_path / "study.pt")
    succeeded(speechllm("import", tmp_path / "study.pt", tmp_path / "imported.pt", "--data", data, cwd=tmp_path))
    checkpoints = [run_of(name).checkpoint for name in ("xattn_transformer", "dfp_without_encoder")] + [tmp_path / "imported.pt"]
    at_once(*(lambda path=path: succeeded(check(path, data, "--split", "tst-COMMON", "--num-utterances", 3)) for path in checkpoints))
    results = [results_of(path.with_suffix(".check.json"))[1] for path in checkpoints]
    assert [each["batch norm"] for each in results] == ["n/a"] * 3  # the last one has that of the study's code
    assert [each["compression"] for each in results] == ["n/a", "n/a", "pass"]
    [norm] = [each for each in results_of(tmp_path / "imported.check.json")[0]["checks"] if each["name"] == "batch norm"]
    assert norm["deviation"] > 1e-3 and "as in the study's code, padding counts" in norm["note"]


def test_what_cannot_be_checked_is_said(trained, data, tmp_path, capsys):
    (tmp_path / "text.pt").write_text("no checkpoint")
    torch.save(study_checkpoint.make(), tmp_path / "study.pt")
    other_words = tmp_path / "other_words"
    shutil.copytree(data, other_words)
    words = (data / "spm_target.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    (other_words / "spm_target.txt").write_text("".join([words[1], words[0], *words[2:]]), encoding="utf-8")
    sizes = ["--encoder-embed-dim", 16, "--encoder-ffn-embed-dim", 16, "--encoder-attention-heads", 2, "--decoder-layers", 1]
    stock = ["--arch", "s2t_transformer_s", *sizes, "--encoder-layers", 1, "--decoder-attention-heads", 2, "--decoder-ffn-embed-dim", 16]
    criterion = [*TASK, "--criterion", "label_smoothed_cross_entropy"]
    succeeded(train(data, tmp_path / "stock", model=[*stock, "--conv-channels", 16], updates=1, plugin=criterion))
    state = torch.load(trained.checkpoint, weights_only=True)
    state["cfg"]["task"]["max_source_positions"] = 1
    torch.save(state, tmp_path / "short.pt")
    for (checkpoint, folder, *others), message in (
        ((tmp_path / "none.pt", data), "none.pt: no such file"),
        ((tmp_path / "text.pt", data), "text.pt: not a checkpoint that can be read safely"),
        ((tmp_path / "study.pt", data), "study.pt: was made by other code (it has args): if that is the study's, convert it with"),
        ((tmp_path / "stock" / "checkpoint_last.pt", data), "a checkpoint of xattn_transformer or dfp_transformer, but is of s2t_transformer"),
        ((tmp_path / "short.pt", data), "dev: all 9 utterances are longer than the checkpoint's --max-source-positions 1 and"),
        ((trained.checkpoint, tmp_path), "config.yaml"),
        ((trained.checkpoint, data, "--split", "nothing"), "nothing.tsv: no such manifest"),
        ((trained.checkpoint, other_words), "its target vocabulary is not the one that the checkpoint was trained with"),
        ((trained.checkpoint, data, "--num-utterances", 1), "--num-utterances must be at least 2, as batches are compared with single ones"),
        ((trained.checkpoint, data, "--out", tmp_path / "out.txt"), "--out must end in .json"),
        ((trained.checkpoint, data, "--device", "quantum"), "--device must be cpu, cuda or cuda:N with one of the "),
    ):
        assert cli.main(["check", str(checkpoint), "--data", str(folder), *map(str, others)]) == 1
        assert message in capsys.readouterr().err.splitlines()[-1]
