"""What is read from the logs of the stock commands: curves, sizes, speeds, memory, validations, and nothing from lines that are damaged."""

import json
from pathlib import Path

import pytest

from speechllm_plugin.outputs import logs

VALIDATED = '2026 | INFO | dev | {"epoch": 1, "dev_loss": "5.8", "dev_nll_loss": "4", "dev_num_updates": "20", "dev_best_loss": "5.8"}\n'


def test_a_validation_is_known_by_its_quantities():
    assert logs.validation(VALIDATED) == {"loss": "5.8", "nll_loss": "4", "num_updates": "20", "best_loss": "5.8"}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "| INFO | train | {}",
        VALIDATED.replace("dev", "train"),
        VALIDATED.replace(', "dev_num_updates": "20"', ""),
        "2026 | INFO | valid on 'dev' subset\n",
    ],
)
def test_other_lines_are_no_validations(line):
    assert logs.validation(line) == {}


def test_a_damaged_validation_gives_what_is_left_of_it():
    damaged = VALIDATED[: VALIDATED.index(', "dev_best')] + "2026 | INFO | another process\n"
    assert logs.validation(damaged) == {"loss": "5.8", "nll_loss": "4", "num_updates": "20"}


def test_throughput_needs_a_log_with_updates(tmp_path):
    with pytest.raises(FileNotFoundError, match="train.log: no such log"):
        logs.read_throughput(tmp_path / "train.log")
    (tmp_path / "train.log").write_text(VALIDATED)
    with pytest.raises(ValueError, match="train.log: no update was logged; train longer, or with a smaller --log-interval"):
        logs.read_throughput(tmp_path / "train.log")


def log_line(name, **values):
    return f"2026-01-01 10:00:00 | INFO | {name} | {json.dumps({key: str(value) for key, value in values.items()})}\n"


def test_curves_are_those_of_the_epochs_and_what_was_gone_back_behind_does_not_count(tmp_path):
    path = tmp_path / "train.log"
    path.write_bytes(
        b"INFO | fairseq_cli.train | {'_name': None}\n\xff\xfe not UTF-8\n"
        + b"x | INFO | fairseq_cli.train | num. shared model params: 1,236,059 (num. trained: 1,236,059)\n"
        + log_line("train_inner", epoch=1, loss=9, num_updates=3).encode()
        + b"peak memory: process 700 MiB, GPU 4,321 MiB\n"
        + log_line("train", epoch=1, train_loss=5, train_nll_loss=4, train_num_updates=10, train_frames_per_second=100).encode()
        + log_line("dev", epoch=1, dev_loss=6, dev_ctc_loss=2, dev_num_updates=10).encode()
        + log_line("train", epoch=2, train_loss=4, train_num_updates=20, train_frames_per_second=300).encode()
        + b'x | INFO | train | {"epoch": 3, "train_loss": "2"x | INFO | dev | {"epoch": 3}\n'
        + log_line("train", epoch=1, train_loss=4.5, train_num_updates=10, train_frames_per_second=200, train_wall=61).encode()
        + b"peak memory: process 712 MiB, GPU 1,234 MiB\n"
    )
    log = logs.read_training(path)
    assert (log.num_updates, log.seconds, log.gpu_mebibytes) == (10, 61, 1234)
    assert log.curves == {
        ("train", "loss"): ([10], [4.5]),
        ("train", "nll_loss"): ([10], [4]),
        ("dev", "loss"): ([10], [6]),
        ("dev", "ctc_loss"): ([10], [2]),
    }
    assert (log.num_parameters, log.frames_per_second, log.validation_subset, log.num_damaged) == (1236059, 200, "dev", 1)


def test_the_last_decoding_of_a_log_counts(tmp_path):
    path = tmp_path / "generate-test.log"
    path.write_text(
        "$ fairseq-generate old/data --path a.pt\nTranslated 9 sentences (10 tokens) in 1.0s (9.00 sentences/s, 10.00 tokens/s)\n"
        "$ fairseq-generate /a folder/data --path a.pt --gen-subset test\n"
        "INFO:fairseq_cli.generate:Translated 1,000 sentences (11,590 tokens) in 6.5s (153.85 sentences/s, 1783.08 tokens/s)\n"
        "INFO:x:peak memory: process 812 MiB, GPU 1,234 MiB\n"
    )
    log = logs.read_decoding(path)
    assert (str(log.data), log.num_sentences, log.num_tokens, log.seconds) == ("/a folder/data", 1000, 11590, pytest.approx(6.5, rel=1e-4))
    assert (log.sentences_per_second, log.tokens_per_second, log.process_mebibytes, log.gpu_mebibytes) == (153.85, 1783.08, 812, 1234)
    with open(path, "a") as more:
        more.write("$ fairseq-generate /b --path a.pt --gen-subset test\nkilled\n")
    assert logs.read_decoding(path) == (Path("/b"), None, None, None, None, None, None)
    path.write_text("peak memory: process 812 MiB\n")
    assert logs.read_decoding(path)[1:] == (None, None, None, None, 812, None)
    assert logs.read_decoding(tmp_path / "none.log") is None and logs.read_training(tmp_path / "none.log") is None


def test_averaged_checkpoints_are_those_of_the_last_run(tmp_path):
    path = tmp_path / "average.log"
    assert logs.read_averaged(path) == []
    path.write_text(
        "$ speechllm average --inputs of checkpoints\nout/average.pt: average of checkpoint_1_2.pt\n"
        "out/average.pt: average of checkpoint_1_2.pt, checkpoint_1_4.pt\n"
    )
    assert logs.read_averaged(path) == ["checkpoint_1_2.pt", "checkpoint_1_4.pt"]
