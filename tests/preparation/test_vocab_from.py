"""--vocab-from: another corpus, of any reader, with the vocabularies of a data folder, so that a model trained there is tested on it."""

import re
import shutil

import numpy as np
import pytest
import soundfile
from commands import generate, speechllm, succeeded
from covost_corpus import CommonVoice
from mustc_corpus import WORDS, run, small_corpus
from prepare_command import manifests_in, prepare

from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask, SpeechToTextTaskConfig

FILES = [f"spm_{kind}.{suffix}" for kind in ("target", "transcript") for suffix in ("model", "txt")]
GERMAN = ("--source-lang", "en", "--target-lang", "de", "--task", "st")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder for German, one for German and French, one without transcripts, and their corpus."""
    folder = tmp_path_factory.mktemp("made")
    run(small_corpus(folder / "german"), folder / "de")
    run(small_corpus(folder / "both", ("de", "fr")), folder / "de+fr", sizes=("44", "26"))
    own_corpus(folder / "own", ["train", "dev"], columns=("tgt_text",))
    prepare("tsv", folder / "own", folder / "plain", *GERMAN, "--vocab-size", 22, "--splits", "train", "dev")
    return folder


def number(language, value):
    return WORDS[language][value % 8]


def own_corpus(root, splits=("test",), columns=("src_text", "tgt_text")):
    root.mkdir()
    texts = {"src_text": "en", "tgt_text": "de"}
    for split in splits:
        lines = ["\t".join(["audio", *columns])]
        for value in range(8):
            soundfile.write(root / f"{split}_{value}.wav", np.random.default_rng(value).uniform(-0.3, 0.3, 6400), 16000)
            lines.append("\t".join([f"{split}_{value}.wav", *(number(texts[column], value) for column in columns)]))
        (root / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def covost(root):
    return CommonVoice(root, "en", ("de",), ["test"] * 4, lambda value: (number("en", value), number("de", value))).write().root


READERS = {
    "mustc": (lambda root: small_corpus(root).root, "tst-COMMON"),
    "covost2": (covost, "test"),
    "tsv": (own_corpus, "test"),
}


@pytest.mark.parametrize(("reader", "folder"), [*((reader, "de") for reader in READERS), ("tsv", "de+fr")])
def test_every_reader_takes_the_vocabularies_of_a_folder(made, tmp_path, capsys, reader, folder):
    make, split = READERS[reader]
    for _ in range(2):
        prepare(reader, make(tmp_path / "corpus") if not (tmp_path / "corpus").exists() else tmp_path / "corpus", tmp_path / "out",
                *GERMAN, "--splits", split, "--vocab-from", made / folder)  # fmt: skip
    out = capsys.readouterr().out
    assert f"{split}: already prepared" in out and f"pieces, copied from {made / folder}/spm_target" in out and "cannot write" not in out
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (made / folder / name).read_bytes()
    assert manifests_in(tmp_path / "out").keys() == {split}
    config, lent = (DataConfig.load(path / "config.yaml") for path in (tmp_path / "out", made / folder))
    assert config.prepend_tgt_lang_tag == lent.prepend_tgt_lang_tag == (folder == "de+fr")
    states = [SpeechLLMSpeechToTextTask(SpeechToTextTaskConfig(data=str(path))).state_dict() for path in (tmp_path / "out", made / folder)]
    assert states[0] == states[1]


def test_a_folder_lends_what_it_has_whatever_the_corpus_has(made, tmp_path, capsys):
    prepare("tsv", own_corpus(tmp_path / "own"), tmp_path / "plain", *GERMAN, "--splits", "test", "--vocab-from", made / "plain")
    assert not (tmp_path / "plain/spm_transcript.txt").exists()
    assert DataConfig.load(tmp_path / "plain/config.yaml").transcript_vocab_filename is None
    prepare("tsv", own_corpus(tmp_path / "mute", columns=("tgt_text",)), tmp_path / "out", *GERMAN, "--splits", "test", "--vocab-from", made / "de")
    assert (tmp_path / "out/spm_transcript.txt").exists()
    (tmp_path / "mute/test.tsv").write_text("audio\ttgt_text\ntest_0.wav\tnull Ö\n", encoding="utf-8")
    prepare("tsv", tmp_path / "mute", tmp_path / "out", *GERMAN, "--splits", "test", "--vocab-from", made / "de")
    assert "spm_target cannot write 1 of 1 texts of test (tgt_text) as they are; it lacks the characters Ö (U+00D6" in capsys.readouterr().out


def test_training_can_go_on_with_the_vocabularies_of_a_folder(made, tmp_path):
    own_corpus(tmp_path / "own", ["train", "dev"])
    prepare("tsv", tmp_path / "own", tmp_path / "out", *GERMAN, "--splits", "train", "dev", "--vocab-from", made / "de")
    task = SpeechLLMSpeechToTextTask(SpeechToTextTaskConfig(data=str(tmp_path / "out")))
    task.load_dataset("train", combine=True)
    assert len(task.datasets["train"]) == 8


# flags, what is lent -> error
CASES = {
    "no folder": ("gone", (), "gone/config.yaml: no such data config"),
    "--out": ("out", (), "--vocab-from must be another folder than --out"),
    "size": ("de", ("--vocab-size", "9"), "--vocab-size and --vocab-from contradict each other: leave one of them out"),
    "transcripts": ("de", ("--transcript-vocab-from", "x"), "--transcript-vocab-from and --vocab-from contradict each other"),
    "a language that has no tag": ("de+fr", ("--target-lang", "es"), "its targets begin with <lang:de> <lang:fr>, but the corpus has targets in es"),
    "several languages without tags": ("de", ("--task", "joint"), "its targets have no tags, .* has targets in de en: prepare one folder for each"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_lent_is_an_error_before_anything_is_made(made, tmp_path, case):
    folder, flags, message = CASES[case]
    lent = tmp_path / folder if folder in ("out", "gone") else made / folder
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        prepare("tsv", own_corpus(tmp_path / "own"), tmp_path / "out", *GERMAN, "--splits", "test", "--vocab-from", lent, *flags)
    assert not (tmp_path / "out/test.tsv").exists()


def test_damaged_vocabularies_are_not_lent(made, tmp_path):
    shutil.copytree(made / "de+fr", tmp_path / "lent")
    own_corpus(tmp_path / "own")
    for name, message in (("spm_transcript.model", "spm_transcript.model: not readable"), ("spm_target.txt", "spm_target.txt: must be a dictionary")):
        content = (tmp_path / "lent" / name).read_bytes()
        (tmp_path / "lent" / name).write_bytes(bytes([200]) + content[: len(content) // 2])
        with pytest.raises(ValueError, match=message):
            prepare("tsv", tmp_path / "own", tmp_path / "out", *GERMAN, "--splits", "test", "--vocab-from", tmp_path / "lent")
        (tmp_path / "lent" / name).write_bytes(content)


@pytest.mark.end_to_end
def test_a_trained_model_decodes_another_corpus(trained, data, tmp_path):
    """The checkpoint compares vocabularies: of its own it finds no fault, those of a folder made anew end it."""
    own_corpus(tmp_path / "own", ["train", "test"])
    flags = ["--root", tmp_path / "own", *GERMAN, "--workers", 1]
    succeeded(speechllm("prepare", "tsv", *flags, "--splits", "test", "--vocab-from", data, "--out", tmp_path / "lent", cwd=tmp_path))
    decoded = succeeded(generate(tmp_path / "lent", trained.checkpoint, "test"))
    assert sorted(map(int, re.findall(r"^T-(\d+)", decoded.stdout, re.MULTILINE))) == list(range(8))
    assert {f"T-{value}\t{number('de', value)}" for value in range(8)} <= set(decoded.stdout.splitlines())
    sizes = ["--vocab-size", 24, "--transcript-vocab-size", 20]
    succeeded(speechllm("prepare", "tsv", *flags, *sizes, "--splits", "train", "test", "--out", tmp_path / "anew", cwd=tmp_path))
    assert "vocabulary is not the one that the checkpoint was trained with" in generate(tmp_path / "anew", trained.checkpoint, "test").stderr
