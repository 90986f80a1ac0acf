"""Splits are read alike by one process and by several, and texts encoded together alike as each alone."""

import random

import numpy as np
import pytest
import sentencepiece
import yaml
from fairseq.data import Dictionary

from speechllm_plugin.data import manifest_blocks
from speechllm_plugin.tasks import split_reading
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask, SpeechToTextTaskConfig
from speechllm_plugin.tasks.text_codec import TextCodec

WORDS = "eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf".split()
ODD_TEXTS = [
    "",
    " ",
    "  eins  zwei ",
    "drei\u00a0vier",
    "\u3000fünf\u2003",
    "Ünbekannt ß 十二 \U0001f600 x",
    "<unk> </s> <lang:de>",
    "zwölf\u2028elf",
    "▁eins",
]


def texts(number):
    draw = random.Random(1)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(number)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder with a SentencePiece vocabulary and 40 rows, without their speech."""
    folder = tmp_path_factory.mktemp("split")
    (folder / "texts.txt").write_text("\n".join(texts(300)))
    ids = {"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3}
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "texts.txt"), model_prefix=str(folder / "spm"), vocab_size=36, minloglevel=3, normalization_rule_name="identity", **ids
    )
    pieces = [line.split("\t")[0] for line in (folder / "spm.vocab").read_text().splitlines()]
    (folder / "spm.txt").write_text("".join(f"{piece} 1\n" for piece in [*pieces[4:], "<lang:en>", "<lang:de>"]))
    bpe = {"bpe": "sentencepiece", "sentencepiece_model": "spm.model"}
    config = {"vocab_filename": "spm.txt", "bpe_tokenizer": bpe, "transcript_vocab_filename": "spm.txt", "transcript_bpe_tokenizer": bpe}
    settings = {"prepend_tgt_lang_tag": True, "sampling_alpha": 0.5, "sample_kd_texts": True, "transcribe_probability": 0.3}
    (folder / "config.yaml").write_text(yaml.safe_dump(config | settings))
    rows = [
        f"u{row}\t{row}.npy\t{row + 3}\t{text}\t{text} eins\ten\t{'en' if row % 3 else 'de'}\t{text} zwei\t{text * (row % 2)}"
        for row, text in enumerate(texts(40))
    ]
    (folder / "train.tsv").write_text("\n".join(["id\taudio\tn_frames\ttgt_text\tsrc_text\tsrc_lang\ttgt_lang\tkd_text\tkd_text_2", *rows]) + "\n")
    return folder


def codec(folder, bpe=True):
    settings = {"bpe": "sentencepiece", "sentencepiece_model": str(folder / "spm.model")} if bpe else None
    return TextCodec(Dictionary.load(str(folder / "spm.txt")), None, settings)


@pytest.mark.parametrize("end", [[], [2]])
@pytest.mark.parametrize("bpe", [True, False])
@pytest.mark.parametrize("given", [texts(30), ODD_TEXTS, [*texts(3), *ODD_TEXTS, *texts(3)], [""]], ids=["plain", "odd", "mixed", "empty"])
def test_texts_together_are_encoded_as_each_alone(folder, given, bpe, end):
    one = codec(folder, bpe)
    assert (one.types_of_pieces is not None) == bpe
    values, lengths = one.encode_all(given, end)
    alone = [one.encode(text, end).tolist() for text in given]
    assert [array.tolist() for array in np.split(values, lengths.cumsum()[:-1])] == alone


@pytest.mark.parametrize("lines", [7, 1000])
def test_several_processes_read_what_one_reads(folder, monkeypatch, lines):
    def load():
        task = SpeechLLMSpeechToTextTask(SpeechToTextTaskConfig(data=str(folder), seed=1))
        task.needs_kd_text = True
        task.load_dataset("train", combine=True)
        return task, task.dataset("train")

    task, alone = load()
    assert [row.tolist() for row in alone.texts.targets] == [
        task.encode_target(f"u{row}", text, "en" if row % 3 else "de").tolist() for row, text in enumerate(texts(40))
    ]
    monkeypatch.setattr(manifest_blocks, "LINES_PER_BLOCK", lines)
    monkeypatch.setattr(split_reading, "BLOCKS_PER_PROCESS", 1)
    _, together = load()
    for name in ("ids", "sources", "num_frames", "num_targets", "num_transcripts", "repeats"):
        assert list(getattr(together, name)) == list(getattr(alone, name))
    assert len(together) == 40 and together.num_frames.tolist() == list(range(3, 43))
    for row, text in enumerate(texts(40)):
        expected = [task.encode_target(f"u{row}", each, "en" if row % 3 else "de").tolist() for each in (f"{text} zwei", *([text] * (row % 2)))]
        assert [ids.tolist() for ids in together.texts.kd_targets[row]] == expected
    for name in ("targets", "transcripts", "asr_targets"):
        ours, theirs = getattr(together.texts, name), getattr(alone.texts, name)
        assert [row.tolist() for row in ours] == [row.tolist() for row in theirs]


def test_an_empty_text_is_named_by_its_line(folder, tmp_path, monkeypatch):
    for name in ("config.yaml", "spm.txt", "spm.model"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    lines = (folder / "train.tsv").read_text().splitlines()
    lines[33] = lines[33].replace(texts(40)[32] + "\t", "\t", 1)
    (tmp_path / "train.tsv").write_text("\n".join(lines) + "\n")
    for blocks_per_process in (1000, 1):
        monkeypatch.setattr(split_reading, "BLOCKS_PER_PROCESS", blocks_per_process)
        task = SpeechLLMSpeechToTextTask(SpeechToTextTaskConfig(data=str(tmp_path), seed=1))
        with pytest.raises(ValueError, match=rf"^{tmp_path}/train.tsv:34: tgt_text must not be empty in training \(utterance u32\)"):
            task.load_dataset("train", combine=True)
