"""fairseq-train and fairseq-validate with sequence_kd: its ends are other trainings, and what cuts a run changes nothing."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from commands import (
    MODELS,
    OURS,
    TASK,
    at_once,
    fairseq,
    generate,
    hypotheses,
    last_line,
    succeeded,
    train,
    train_in_two_processes,
    updates,
)

from speechllm_plugin.data import manifest
from speechllm_plugin.data.teacher_cache import TopKWriter
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask, SpeechToTextTaskConfig

pytestmark = pytest.mark.end_to_end

COMPRESSED = MODELS["dfp_conformer_compressed"]
WITHOUT_DROPOUT = ["--dropout", 0, "--attention-dropout", 0, "--activation-dropout", 0]
KD = [*TASK, "--criterion", "sequence_kd"]


def with_manifest(data, out, change):
    """A copy of the data whose training manifest has changed rows."""
    shutil.copytree(data, out)
    manifest.write(out / "train.tsv", [change(number, row) for number, row in enumerate(manifest.read(out / "train.tsv"))])
    return out


def shortened(number, text):
    """What stands for a teacher's text: all of it, or without its last word, or that twice."""
    *words, last = text.split()
    return " ".join([*words, *[last] * (number % 3)]) or last


@pytest.fixture(scope="session")
def distilled(data, tmp_path_factory):
    """The data with two texts of a teacher, and the cache of its word probabilities in the folder `cache`."""

    def with_texts(number, row):
        return replace(row, extra={**row.extra, "kd_text": shortened(number, row.tgt_text), "kd_score": "-1", "kd_text_2": row.tgt_text})

    out = with_manifest(data, tmp_path_factory.mktemp("kd") / "data", with_texts)
    task, rng = SpeechLLMSpeechToTextTask(SpeechToTextTaskConfig(data=str(out))), np.random.default_rng(0)
    num_types = len(task.target_dictionary)
    description = {"vocabulary": task.target.digest(), "num_types": num_types, "k": 3, "split": "train", "teacher": "made up"}
    writer = TopKWriter(out / "cache/train", description)
    for row in manifest.read(out / "train.tsv"):
        target = task.encode_target(row.id, row.tgt_text, row.tgt_lang)
        writer.add(row.id, target, [rng.permutation(num_types)[:3] for _ in target], rng.dirichlet(np.ones(3), len(target)))
    writer.close()
    return out


def validation(process):
    """What the last validation logged."""
    return json.loads(re.findall(r"\| dev \| (\{.*\})", process.stdout)[-1])


def test_weight_zero_is_another_criterions_training_and_weight_one_that_on_other_texts(distilled, tmp_path):
    replaced = with_manifest(distilled, tmp_path / "replaced", lambda number, row: replace(row, tgt_text=row.extra["kd_text"]))
    zero, plain, one, other = at_once(
        lambda: train(distilled, None, "--kd-weight", 0, model=COMPRESSED, plugin=KD),
        lambda: train(distilled, None, model=COMPRESSED, plugin=OURS),
        lambda: train(distilled, None, "--kd-weight", 1, *WITHOUT_DROPOUT, model=COMPRESSED, plugin=KD),
        lambda: train(replaced, None, *WITHOUT_DROPOUT, model=COMPRESSED, plugin=OURS),
    )
    assert updates(succeeded(zero)) == updates(succeeded(plain)) and validation(zero)["dev_loss"] == validation(plain)["dev_loss"]
    for number, logged in updates(succeeded(other)).items():
        assert float(updates(succeeded(one))[number]["loss"]) == pytest.approx(float(logged["loss"]), abs=2e-3)
        assert float(updates(one)[number]["gnorm"]) == pytest.approx(float(logged["gnorm"]), rel=2e-3)
    assert float(validation(one)["dev_nll_loss"]) == pytest.approx(float(validation(other)["dev_nll_loss"]), abs=2e-3)


@pytest.mark.parametrize("model", ["dfp_conformer_compressed", "xattn_transformer"])
def test_a_run_with_everything_resumes_validates_and_decodes(model, distilled, tmp_path):
    """Stopped within the first epoch; the share of the teacher's text changes all the time, and its texts are drawn in every epoch."""
    config = distilled / "config.yaml"
    (distilled / "sampled.yaml").write_text(config.read_text(encoding="utf-8") + "sample_kd_texts: true\n", encoding="utf-8")
    flags = ["--config-yaml", "sampled.yaml", "--kd-weight", "0:0.1,6:0.7", "--kd-label-smoothing", 0.05]
    flags += ["--word-kd-weight", 0.4, "--word-kd-temperature", 2, "--word-kd-cache", distilled / "cache"]
    settings = {"model": MODELS[model], "plugin": KD}
    whole = succeeded(train(distilled, tmp_path / "whole", "--save-interval-updates", 2, *flags, **settings))
    shares = [json.loads(line)["kd_weight"] for line in re.findall(r"\| train_inner \| (\{.*\})", whole.stdout)]
    assert [float(share) for share in shares] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert '"word_kd_loss"' in whole.stdout and not [name for name in validation(whole) if "kd" in name]
    (tmp_path / "resumed").mkdir()
    shutil.copy(tmp_path / "whole/checkpoint_1_2.pt", tmp_path / "resumed/checkpoint_last.pt")
    last = tmp_path / "whole/checkpoint_last.pt"
    on_dev = ["--path", last, "--valid-subset", "dev", "--max-tokens", 600]
    resumed, validated, decoded = at_once(
        lambda: train(distilled, tmp_path / "resumed", *flags, **settings),
        lambda: fairseq("validate", distilled, *TASK, *on_dev, cwd=distilled.parent),
        lambda: generate(distilled, last, "tst-COMMON"),
    )
    assert updates(succeeded(resumed)) == {number: log for number, log in updates(whole).items() if number > 2}
    ends = [torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=True)["model"] for name in ("whole", "resumed")]
    torch.testing.assert_close(*ends, rtol=0, atol=0)
    loss = re.search(r"valid on 'dev' subset \| loss ([\d.]+)", succeeded(validated).stdout + validated.stderr)
    assert float(loss[1]) == pytest.approx(float(validation(whole)["dev_loss"]), abs=2e-3)
    assert len(hypotheses(succeeded(decoded).stdout)) == 13


def test_two_processes_are_one_with_twice_the_batches(distilled, tmp_path):
    first, _ = train_in_two_processes(distilled, tmp_path / "two", *WITHOUT_DROPOUT, updates=2, plugin=KD)
    alone = succeeded(train(distilled, tmp_path / "one", *WITHOUT_DROPOUT, "--update-freq", 2, updates=2, plugin=KD))
    assert updates(first) == updates(alone) and set(updates(alone)) == {1, 2}
    ends = [torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=True)["model"] for name in ("two", "one")]
    torch.testing.assert_close(*ends)


def test_what_is_missing_ends_the_command_with_one_line(data, distilled, tmp_path):
    processes = at_once(
        lambda: train(data, None, updates=1, plugin=KD),
        lambda: train(distilled, None, "--word-kd-weight", 0.5, "--word-kd-cache", tmp_path / "none", updates=1, plugin=KD),
        lambda: train(distilled, None, "--kd-weight", "0:0,1000", updates=1, plugin=KD),
    )
    messages = [
        "train.tsv: sequence_kd learns from a teacher's texts, but there is no column kd_text: add it with speechllm distill",
        "no cache of a teacher's probabilities; make it with speechllm distill --word-level",
        "--kd-weight must be a number, or update:share points as in 0:0,10000:0.8, but is '0:0,1000'",
    ]
    for process, message in zip(processes, messages):
        assert process.returncode and last_line(process).startswith("fairseq-train: error: ") and message in last_line(process)
