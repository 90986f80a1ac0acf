"""The best settings of a search: each model's own, by the direction of the metric, in lines that a shell reads."""

import json

import pytest

from speechllm_plugin.experiments import best_settings


@pytest.mark.parametrize(("metric", "expected"), [("wer", ["row4 --lr 2", "row5"]), ("bleu", ["row4 --lr 1", "row5 --lr 2"])])
def test_each_model_gets_its_best_flags(tmp_path, capsys, metric, expected):
    fields = []
    for model, flags, score in (
        ("row4", "--lr 1", 30.0),
        ("row5", "", 20.0),
        ("row4", "--lr 2", 25.0),
        ("row5", "--lr 2", 20.5),
        ("row4", "--lr 3", 30.0),
        ("row4", "--lr 4", 25.0),
    ):
        folder = tmp_path / f"{len(fields)}"
        folder.mkdir()
        (folder / "score-dev.json").write_text(json.dumps({"metrics": {metric: {"score": score}}}))
        fields += [model, flags, str(folder)]
    best_settings.main("dev", metric, *fields)
    assert [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")] == expected
