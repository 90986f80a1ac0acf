"""Manifests come back as they were written, and what is wrong with one is said in a line."""

import pytest

from speechllm_plugin.data import manifest
from speechllm_plugin.data.manifest import Utterance

PLAIN = [
    Utterance("a", "x.zip:10:200", 12, "Ein Satz.", "spk.1", "A sentence.", "en", "de"),
    Utterance("b", "wav/talk 1.wav:0:16000", 98, "Zwei.", "spk.2", "Two.", "en", "de"),
]
HOSTILE_TEXTS = ['"quoted', 'it\'s "in" here', "back\\slash", "Größe ñ 東京 🙂", "line\u2028separator", " spaces ", "", "a\x0bb\x85c"]
HEADER = "id\taudio\tn_frames\ttgt_text"


def written(path, *lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_utterances_come_back_as_written(tmp_path):
    manifest.write(tmp_path / "train.tsv", PLAIN)
    assert manifest.read(tmp_path / "train.tsv") == PLAIN
    assert [path.name for path in tmp_path.iterdir()] == ["train.tsv"]


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_any_text_in_one_line_comes_back(tmp_path, text):
    utterances = [Utterance("a", "a.wav", 7, text, src_text=text), Utterance("b", "b.wav", 8, "after")]
    manifest.write(tmp_path / "train.tsv", utterances)
    assert manifest.read(tmp_path / "train.tsv") == utterances


def test_further_columns_are_kept_in_order(tmp_path):
    utterances = [
        Utterance("a", "a.wav", 7, "x", extra={"gender": "f", "accent": "us"}),
        Utterance("b", "b.wav", 8, "y", extra={"gender": "", "accent": "uk"}),
    ]
    manifest.write(tmp_path / "train.tsv", utterances)
    assert manifest.read(tmp_path / "train.tsv") == utterances
    assert (tmp_path / "train.tsv").read_text().splitlines()[0].split("\t")[-2:] == ["gender", "accent"]


def test_columns_in_another_order_and_optional_ones_missing(tmp_path):
    path = written(tmp_path / "a.tsv", "tgt_text\tspeed\tn_frames\tid\taudio", "hello\tfast\t12\tu1\ta.wav", "", "ho\tslow\t5\tu2\tb.wav")
    assert manifest.read(path) == [
        Utterance("u1", "a.wav", 12, "hello", extra={"speed": "fast"}),
        Utterance("u2", "b.wav", 5, "ho", extra={"speed": "slow"}),
    ]


def test_fairseq_reads_the_same_rows(tmp_path):
    from fairseq.data.audio.speech_to_text_dataset import SpeechToTextDatasetCreator

    utterances = [Utterance(f"u{index}", "a.wav", index + 1, text, "s", text, "en", "de") for index, text in enumerate(HOSTILE_TEXTS)]
    manifest.write(tmp_path / "dev.tsv", utterances)
    rows = SpeechToTextDatasetCreator._load_samples_from_tsv(str(tmp_path), "dev")
    assert rows == [{column: str(getattr(utterance, column)) for column in manifest.UTTERANCE_COLUMNS} for utterance in utterances]


@pytest.mark.parametrize(
    "lines, message",
    [
        (["id\taudio\ttgt_text", "a\ta.wav\tx"], "m.tsv:1: column 'n_frames' is missing"),
        ([HEADER.replace("\t", " "), "a a.wav 1 x"], "m.tsv:1: column 'id' is missing"),
        ([HEADER + "\tid", "a\ta.wav\t1\tx\tb"], "m.tsv:1: column 'id' stands twice"),
        ([HEADER, "a\ta.wav\t1\tx", "b\tb.wav\t2"], "m.tsv:3: the row must have 4 fields as the header has, but has 3"),
        ([HEADER, "a\ta.wav\t1\tx\ty"], "m.tsv:2: the row must have 4 fields as the header has, but has 5"),
        ([HEADER, "a\ta.wav\tlong\tx"], "m.tsv:2: n_frames must be a positive whole number (10 ms each), but is 'long' (utterance 'a')"),
        ([HEADER, "a\ta.wav\t0\tx"], "m.tsv:2: n_frames must be a positive whole number (10 ms each), but is '0'"),
        ([HEADER, "a\ta.wav\t-3\tx"], "but is '-3'"),
        ([HEADER, "a\ta.wav\t" + "9" * 31 + "\tx"], "m.tsv:2: n_frames must be a positive whole number (10 ms each), but is '999"),
        ([HEADER, "a\ta.wav\t" + "9" * 5000 + "\tx"], "m.tsv:2: n_frames must be a positive whole number (10 ms each), but is '999"),
        ([HEADER, "a\ta.wav\t10000000001\tx"], "but is '10000000001'"),
        ([HEADER, "a\ta.wav\t1e3\tx"], "but is '1e3'"),
        ([HEADER, "a\ta.wav\tnan\tx"], "but is 'nan'"),
        ([HEADER, "a\ta.wav\t²\tx"], "but is '²'"),
        ([HEADER, "x" * 70_000 + "\ta.wav\t-1\tx"], "but is '-1' (utterance 'xxx"),
        ([HEADER, "a\ta.wav\t1\tx", "b\ta.wav\t1\tx", "a\ta.wav\t2\ty"], "m.tsv:4: id must be unique, but 'a' also stands in line 2"),
        ([HEADER], "m.tsv: must have rows, but has only a header"),
        ([HEADER, "a\ta.wav\t1\t" + "x" * 200_000], "m.tsv:2: not a readable row (field larger than field limit"),
    ],
)
def test_errors_name_file_line_and_value(tmp_path, lines, message):
    with pytest.raises(ValueError) as error:
        manifest.read(written(tmp_path / "m.tsv", *lines))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_another_encoding_is_an_error_with_the_file(tmp_path):
    (tmp_path / "m.tsv").write_bytes(f"{HEADER}\na\ta.wav\t1\tGröße\n".encode("latin-1"))
    with pytest.raises(ValueError, match="m.tsv: must be UTF-8"):
        manifest.read(tmp_path / "m.tsv")


def test_a_missing_manifest_is_an_error_with_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="dev.tsv: no such manifest"):
        manifest.read(tmp_path / "dev.tsv")


@pytest.mark.parametrize(
    "utterances, message",
    [
        ([Utterance("a", "a.wav", 1, "two\tfields")], "m.tsv:2: tgt_text must have no tab or line break, but is 'two\\tfields'"),
        ([PLAIN[0], Utterance("b", "a.wav", 1, "x", src_text="two\nlines")], "m.tsv:3: src_text must have no tab or line break"),
        ([Utterance("a", "a.wav", 1, "carriage\rreturn")], "tgt_text must have no tab or line break"),
        ([PLAIN[0], PLAIN[0]], "m.tsv:3: id must be unique, but 'a'"),
        ([PLAIN[0], Utterance("b", "a.wav", 1, "x", extra={"age": "7"})], "m.tsv:3: all rows must have the same extra columns (none)"),
    ],
)
def test_a_refused_write_leaves_the_old_file(tmp_path, utterances, message):
    manifest.write(tmp_path / "m.tsv", PLAIN)
    with pytest.raises(ValueError) as error:
        manifest.write(tmp_path / "m.tsv", utterances)
    assert message in str(error.value)
    assert manifest.read(tmp_path / "m.tsv") == PLAIN
    assert len(list(tmp_path.iterdir())) == 1
