"""The stamps of Tux Paint as Debian's package lays them out below ROOT: STAMP_desc_LANG.ogg, and STAMP.txt: English, then lines LANG.utf8=text."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.files.digests import short_file_digest
from speechllm_plugin.preparation.corpus_row import CorpusRow
from speechllm_plugin.preparation.readers.sound_header import header_of
from speechllm_plugin.preparation.readers.split_list import rule_of

STAMPS = "usr/share/tuxpaint/stamps"
SPEECH_LANGUAGES = ("be", "bg", "ca", "da", "el", "es", "fr", "ro", "ru")  # of others there are fewer than 100 recordings
ENGLISH = "en"
# In recordings of more the speaker says only the first words, as texts have become longer since. Fast speech has 20.
MOST_CHARACTERS_A_SECOND = 25


def read(root: str | Path, split: str, source_lang: str, target_lang: str) -> list[CorpusRow]:
    """The rows of a split in the order of their stamps. Left out, with the reason: what has no text, or not that of the recording, and repetitions.

    Raises:
        FileNotFoundError: the stamps are not there.
        ValueError: there is no such split or language, or a file of texts is not UTF-8.
    """
    split_of, stamps = rule_of("tuxpaint", split), Path(root) / STAMPS
    if source_lang not in SPEECH_LANGUAGES:
        raise ValueError(f"--source-lang must be of {' '.join(SPEECH_LANGUAGES)} for tuxpaint, but is {source_lang}")
    if not stamps.is_dir():
        raise FileNotFoundError(f"{stamps}: no such folder; correct --root, or unpack the package tuxpaint-stamps-default")
    return [row for row in _rows(Path(root), source_lang, target_lang) if split_of(row.utterance.extra["stamp"]) == split]


def directions(root: str | Path) -> list[tuple[str, str]]:
    """Every language that is spoken there with English and every other one, sorted."""
    stamps = Path(root) / STAMPS
    spoken = [language for language in SPEECH_LANGUAGES if next(stamps.glob(f"**/*_desc_{language}.ogg"), None)]
    return sorted((source, target) for source in spoken for target in (ENGLISH, *SPEECH_LANGUAGES) if source != target)


def _rows(root: Path, source_lang: str, target_lang: str) -> Iterator[CorpusRow]:
    ending, stamps, known = f"_desc_{source_lang}.ogg", root / STAMPS, set[str]()
    for path in sorted(stamps.glob(f"**/*{ending}")):
        stamp = str(path.relative_to(stamps)).removesuffix(ending)
        texts = _texts(stamps / f"{stamp}.txt")
        sound = short_file_digest(path)
        recording = str(path.relative_to(root))
        num_samples, rate = header_of(recording, root)
        text, translation = texts.get(source_lang, ""), texts.get(target_lang, "")
        utterance = Utterance(
            id=stamp.replace("/", "_"),
            audio=recording,
            n_frames=0,
            tgt_text=translation,
            src_text=text,
            src_lang=source_lang,
            tgt_lang=target_lang,
            extra={"stamp": stamp, "topic": stamp.partition("/")[0], "sample_rate": str(rate or "")},
        )
        if not text:
            left_out = "that have no text"
        elif not translation:
            left_out = f"that have no text in {target_lang}"
        elif num_samples and len(text) * rate > MOST_CHARACTERS_A_SECOND * num_samples:
            left_out = f"whose text has more than {MOST_CHARACTERS_A_SECOND} characters a second"
        elif sound in known:
            left_out = "that repeat the recording of another stamp"
        else:
            left_out = ""
            known.add(sound)
        yield CorpusRow(utterance, str(path), left_out=left_out)


@functools.lru_cache(maxsize=1 << 12)
def _texts(path: Path) -> dict[str, str]:
    """Language -> text of a stamp; nothing where it has no file of texts."""
    if not path.is_file():
        return {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: must be UTF-8, but is not ({error}); unpack the package again") from error
    texts = {ENGLISH: _plain_text(lines[0])} if lines else {}
    for line in lines[1:]:
        if translation := re.fullmatch(r"([\w@-]+)\.utf8=(.*)", line.strip()):
            texts.setdefault(translation[1], _plain_text(translation[2]))
    return texts


def _plain_text(text: str) -> str:
    return " ".join(text.split())
