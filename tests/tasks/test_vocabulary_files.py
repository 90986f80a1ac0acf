"""Files of a vocabulary that cannot be read, or do not belong together, end at the set-up of a task: nothing trains on <unk> unsaid."""

import logging
import shutil

import pytest
from omegaconf import OmegaConf
from small_vocabulary import train_largest
from tiny_model import SIZES

from speechllm_plugin.criterions.ctc_cross_entropy import CTCCrossEntropyConfig
from speechllm_plugin.data import manifest
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.models.config import SpeechToTextConfig
from speechllm_plugin.preparation.ctc_limit import impossible_transcripts
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask, SpeechToTextTaskConfig

TEXTS = {
    "spm_target": ["ein Haus und noch ein Haus", "zwei Häuser und zwei Hunde"],
    "spm_transcript": ["a house and another house", "two houses and two dogs"],
    "spm_other": ["alpha beta gamma alpha", "gamma delta gamma beta"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    for name, texts in TEXTS.items():
        train_largest(folder / name, texts)
    lines = "".join(
        f"{prefix}vocab_filename: {name}.txt\n{prefix}bpe_tokenizer: {{bpe: sentencepiece, sentencepiece_model: {name}.model}}\n"
        for prefix, name in (("", "spm_target"), ("transcript_", "spm_transcript"))
    )
    (folder / "config.yaml").write_text(lines, encoding="utf-8")
    rows = [
        Utterance(f"u{n}", "x.wav", 100, text, src_text=source) for n, (text, source) in enumerate(zip(TEXTS["spm_target"], TEXTS["spm_transcript"]))
    ]
    manifest.write(folder / "train.tsv", rows)
    return folder


@pytest.fixture
def data(made, tmp_path):
    return shutil.copytree(made, tmp_path / "data")


def task_of(data):
    return SpeechLLMSpeechToTextTask(SpeechToTextTaskConfig(data=str(data)))


def written(name, content):
    return lambda data: (data / name).write_bytes(content)


def lines_changed(name, change):
    def spoil(data):
        lines = (data / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (data / name).write_text("".join(change(lines)), encoding="utf-8")

    return spoil


def cut(name, share):
    def spoil(data):
        content = (data / name).read_bytes()
        (data / name).write_bytes(content[: int(len(content) * share)])

    return spoil


# case: (what happens to the files, what the error says)
CASES = {
    "no dictionary": (lambda data: (data / "spm_target.txt").unlink(), "there is no .*spm_target.txt"),
    "empty dictionary": (written("spm_target.txt", b""), "spm_target.txt: the dictionary must have types, but has none"),
    "binary dictionary": (written("spm_target.txt", bytes(range(128, 256)) * 9), "spm_target.txt: not readable as a dictionary of fairseq"),
    "dictionary of zeros": (written("spm_target.txt", bytes(4096)), "spm_target.txt: not readable as a dictionary of fairseq"),
    "dictionary without counts": (written("spm_target.txt", b"a\nb\n"), "spm_target.txt: not readable .*'<token> <cnt>"),
    "doubled entries": (lines_changed("spm_target.txt", lambda lines: [*lines, lines[3]]), "spm_target.txt: not readable .*Duplicate word"),
    "cut dictionary": (
        lines_changed("spm_target.txt", lambda lines: lines[:-3]),
        "spm_target.model: .* the dictionary lacks 3 of the model's .* pieces",
    ),
    "dictionary cut within a line": (cut("spm_target.txt", 0.5), "spm_target"),
    "dictionary of other words": (written("spm_target.txt", b"one 1\ntwo 1\n"), "the dictionary has 2 types of 2 that are no pieces .*'one'"),
    "dictionary of the transcripts": (lambda data: shutil.copy(data / "spm_transcript.txt", data / "spm_target.txt"), "are of two vocabularies"),
    "another model": (lambda data: shutil.copy(data / "spm_other.model", data / "spm_target.model"), "spm_target.model: .* are of two vocabularies"),
    "model of the transcripts": (lambda data: shutil.copy(data / "spm_target.model", data / "spm_transcript.model"), "spm_transcript.model"),
    "no model": (lambda data: (data / "spm_target.model").unlink(), "sentencepiece_model must be the file .* but is '.*spm_target.model'"),
    "empty model": (written("spm_target.model", b""), "spm_target.model: not readable as a SentencePiece model"),
    "text for a model": (written("spm_target.model", b"hello\n"), "spm_target.model: not readable as a SentencePiece model"),
    "folder for a model": (lambda data: ((data / "spm_target.model").unlink(), (data / "spm_target.model").mkdir()), "sentencepiece_model must be"),
    **{f"model cut to {share:.0%}": (cut("spm_target.model", share), "spm_target.model: ") for share in (0.05, 0.3, 0.5, 0.9, 0.99)},
}


@pytest.mark.parametrize("case", CASES)
def test_files_that_do_not_fit_are_an_error_of_one_line(data, case):
    spoil, message = CASES[case]
    task_of(data)
    spoil(data)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        task_of(data)
    assert "\n" not in str(error.value)


def test_dictionaries_may_have_fewer_types_if_counted_and_more_of_fairseq(data):
    lines_changed("spm_target.txt", lambda lines: [*lines, "<lang:de> 1\n", "madeupword0000 0\n"])(data)
    task_of(data)
    lines_changed("spm_target.txt", lambda lines: [line.replace(" 1", " 7") for line in lines[2:]])(data)
    task_of(data)


def test_training_texts_in_other_characters_are_an_error(data, caplog):
    rows = manifest.read(data / "train.tsv")
    task = task_of(data)
    with caplog.at_level(logging.WARNING):
        task.load_dataset("train", combine=True)
    assert "unk" not in caplog.text
    row = Utterance("u9", "x.wav", 100, "ein Zoo", src_text="a house")
    manifest.write(data / "train.tsv", [*rows, row])
    with caplog.at_level(logging.WARNING):
        task.load_dataset("train", combine=True)
    assert "train.tsv: 1 of " in caplog.text and "tokens of tgt_text are <unk>" in caplog.text
    manifest.write(data / "train.tsv", [Utterance("u1", "x.wav", 100, "ein Haus", src_text="дом дом")])
    with pytest.raises(ValueError, match="train.tsv: .* tokens of src_text are <unk>"):
        task.load_dataset("train", combine=True)


@pytest.mark.parametrize("kind", ["target", "transcript"])
def test_a_checkpoint_knows_the_models_of_its_texts(data, kind):
    state = task_of(data).state_dict()
    task_of(data).load_state_dict(state)
    path = data / f"spm_{kind}.model"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"identity", b"Identity"))  # the name of its rules, which nothing reads
    assert path.read_bytes() != content
    changed = task_of(data)
    with pytest.raises(ValueError, match=f"config.yaml: its {kind} SentencePiece model is not the one that the checkpoint was trained with"):
        changed.load_state_dict(state)
    changed.load_state_dict({"vocabularies": state["vocabularies"]})  # of a checkpoint that names no models


def test_transcripts_that_ctc_cannot_emit_are_named_once_training_or_validation_begins(data, caplog):
    rows = manifest.read(data / "train.tsv")
    needed = len(task_of(data).transcript.encode(rows[0].src_text, end=[]))
    frames = [4 * needed - 4, 4 * needed - 3, 400]
    utterances = [Utterance(f"u{n}", "x.wav", n_frames, "ein Haus", src_text=rows[0].src_text) for n, n_frames in enumerate(frames)]
    manifest.write(data / "train.tsv", utterances)
    for ctc_layer, warned in ((0, False), (1, True)):
        task = task_of(data)
        task.build_model(OmegaConf.structured(SpeechToTextConfig(_name="xattn_transformer", **SIZES, ctc_layer=ctc_layer)))
        task.load_dataset("train", combine=True)  # nothing is learnt yet
        assert "CTC" not in caplog.text
        task.build_criterion(OmegaConf.structured(CTCCrossEntropyConfig(_name="ctc_cross_entropy", sentence_avg=False)))
        task.load_dataset("train", combine=True)
        assert ("train: 1 of 3 transcripts need more labels and blanks than CTC has states" in caplog.text) == warned
        assert (": u0\n" in caplog.text) == warned


def test_prepare_counts_what_ctc_cannot_emit(data):
    utterances = [Utterance(f"u{n}", "x.wav", n_frames, "t", src_text="a house and another house") for n, n_frames in enumerate([8, 100, 9])]
    line = impossible_transcripts(data / "spm_transcript", "train", utterances)
    assert line.startswith("train: CTC can learn nothing from 2 of 3 transcripts") and "u0 (" in line and " of 2), u2 (" in line and " of 3)" in line
    assert impossible_transcripts(data / "spm_transcript", "train", utterances[1:2]) == ""
