"""What is wrong with data or flags ends a fairseq command with one line, the last on stderr: place, value and remedy."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from commands import (
    MODELS,
    PROCESSES_AT_ONCE,
    TASK,
    fairseq,
    generate,
    last_line,
    train,
)

pytestmark = pytest.mark.end_to_end


def rewrite(data, name, change):
    path = data / name
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def with_field(column, value, lines=slice(1, None)):
    """Set a field of the training manifest, in all rows if not in some: which of them an update reads first is open."""

    def change(text):
        header, *_ = rows = [row.split("\t") for row in text.splitlines()]
        for row in rows[lines]:
            row[header.index(column)] = value
        return "\n".join(map("\t".join, rows)) + "\n"

    return lambda data: rewrite(data, "train.tsv", change)


def training(*flags, spoil=lambda data: None, **settings):
    """One update of fairseq-train, with `flags`, on data that was spoilt."""

    def command(data, checkpoint):
        spoil(data)
        return train(data, None, *flags, updates=1, **settings)

    return command


def decoding(*flags, split="tst-COMMON", spoil=lambda data: None):
    def command(data, checkpoint):
        spoil(data)
        return generate(data, checkpoint, split, *flags)

    return command


def validation(*flags, spoil=lambda data: None):
    def command(data, checkpoint):
        spoil(data)
        return fairseq("validate", data, *TASK, "--path", checkpoint, "--valid-subset", "dev", "--max-tokens", 600, *flags, cwd=data.parent)

    return command


def interactive(line):
    return lambda data, checkpoint: fairseq("interactive", data, *TASK, "--path", checkpoint, cwd=data.parent, input=line)


def without_tgt_text(text):
    return "\n".join("\t".join(row.split("\t")[:3] + row.split("\t")[4:]) for row in text.splitlines()) + "\n"


def other_order(name):
    """Data with another vocabulary than the checkpoint's: two of its pieces have changed places."""

    def change(text):
        first, second, *others = text.splitlines(keepends=True)
        return "".join([second, first, *others])

    return lambda data: rewrite(data, name, change)


def with_file(name, content):
    return lambda data: (data / name).write_bytes(content)


def without_file(name):
    return lambda data: (data / name).unlink()


def with_audio(path):
    return with_field("audio", path)


# case: (command, what its last line has to hold)
CASES = {
    "audio file": (training(spoil=with_audio("gone.wav:0:16000")), ["gone.wav: no such audio file", "correct the path"]),
    "audio file, in a worker": (training("--num-workers", 2, spoil=with_audio("gone.wav")), ["gone.wav: no such audio file", "correct the path"]),
    "no audio": (training(spoil=with_audio("config.yaml")), ["config.yaml: not readable as audio", "replace or convert"]),
    "archive": (training(spoil=lambda data: (data / "fbank80.train.zip").unlink()), ["fbank80.train.zip: no such", "correct the path"]),
    "past the archive": (training(spoil=with_audio("fbank80.train.zip:99999999:9")), ["fbank80.train.zip:99999999:9", "prepare the data again"]),
    "n_frames": (training(spoil=with_field("n_frames", "77")), ["77 frames", "n_frames", "prepare the data again"]),
    "column": (training(spoil=lambda data: rewrite(data, "train.tsv", without_tgt_text)), ["train.tsv:1: column 'tgt_text' is missing"]),
    "number of fields": (
        training(spoil=lambda data: rewrite(data, "dev.tsv", lambda text: text.replace("\tspk", " spk", 1))),
        ["dev.tsv:2: the row must have 9 fields", "but has 8"],
    ),
    "empty text": (
        training(spoil=with_field("tgt_text", " ", slice(2, 3))),
        ["train.tsv:3: tgt_text must not be empty", "fill it in or drop the row"],
    ),
    "manifest": (decoding(split="test"), ["test.tsv: no such manifest", "make it with speechllm prepare"]),
    "vocabulary file": (training(spoil=without_file("spm_target.txt")), ["spm_target.txt", "prepare the data again"]),
    "no SentencePiece model": (training(spoil=without_file("spm_target.model")), ["sentencepiece_model must be the file", "spm_target.model"]),
    "empty SentencePiece model": (decoding(spoil=with_file("spm_target.model", b"")), ["spm_target.model: not readable", "prepare the data again"]),
    "dictionary of other words": (
        training(spoil=with_file("spm_transcript.txt", b"one 1\ntwo 1\n")),
        ["spm_transcript.model", "dictionary are of two vocabularies: the dictionary has 2 types of 2", "'one'"],
    ),
    "beam": (decoding("--beam", 26), ["--beam must be below the 26 types of the target vocabulary, but is 26"]),
    "vocabulary in generate": (
        decoding(spoil=other_order("spm_target.txt")),
        ["config.yaml: its target vocabulary is not the one that the checkpoint was trained with", "give the data folder"],
    ),
    "transcript vocabulary in validate": (
        validation(spoil=other_order("spm_transcript.txt")),
        ["config.yaml: its transcript vocabulary is not the one that the checkpoint was trained with", "give the data folder"],
    ),
    "vocabulary in fine-tuning": (
        lambda data, checkpoint: training(
            "--finetune-from-model", checkpoint, spoil=other_order("spm_target.txt"), model=MODELS["dfp_conformer_compressed"]
        )(data, checkpoint),
        ["config.yaml: its target vocabulary is not the one that the checkpoint was trained with", "give the data folder"],
    ),
    "other layers in fine-tuning": (
        lambda data, checkpoint: training("--finetune-from-model", checkpoint, "--decoder-layers", 2, model=MODELS["dfp_conformer_compressed"])(
            data, checkpoint
        ),
        ["the checkpoint is of a model with other flags", "decoder.layers.1"],
    ),
    "ctc layer": (training("--ctc-layer", 3), ["--ctc-layer must be between 0 and --encoder-layers (2", "but is 3"]),
    "ctc without encoder": (training("--ctc-layer", 1, "--encoder", "none"), ["--ctc-layer", "--encoder none", "but is 1"]),
    "compression without ctc": (training("--ctc-compression", "avg"), ["--ctc-compression avg needs CTC: give --ctc-layer"]),
    "utterances longer than training's batch": (training("--max-tokens", 20), ["--max-tokens", "20"]),
    "utterances longer than validation's batch": (validation("--max-tokens", 20), ["frames", "--max-tokens 20", "raise --max-tokens"]),
    "utterances longer than generation's batch": (decoding("--max-tokens", 20), ["frames", "--max-tokens 20", "raise --max-tokens"]),
    "utterances longer than the positions": (decoding("--max-source-positions", 20), ["--max-source-positions", "20"]),
    "interactive": (interactive("gone.wav\n"), ["gone.wav: no such audio file"]),
}


@pytest.fixture(scope="module")
def endings(data, trained, tmp_path_factory):
    """Case -> future of its process, in a copy of the data of its own."""

    def run_case(case):
        folder = tmp_path_factory.mktemp("bad") / "data"
        shutil.copytree(data, folder)
        return CASES[case][0](folder, trained.checkpoint)

    with ThreadPoolExecutor(PROCESSES_AT_ONCE) as pool:
        yield {case: pool.submit(run_case, case) for case in CASES}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_ends_with_one_line(case, endings):
    process = endings[case].result()
    assert process.returncode != 0
    line = last_line(process)
    assert line.startswith(f"{process.args[0].rpartition('/')[2]}: error: "), line
    for part in CASES[case][1]:
        assert part in line
    assert "Traceback" not in process.stderr
