"""MuST-C v1.0: ROOT/en-de/data/SPLIT/{wav/*.wav,txt/SPLIT.{yaml,en,de}}."""

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.files import yaml_file
from speechllm_plugin.files.tsv_rows import WITH_OR_WITHOUT_MARK
from speechllm_plugin.preparation.corpus_row import CorpusRow
from speechllm_plugin.preparation.readers.seconds import seconds
from speechllm_plugin.text.one_line import excerpt

ABSENT = "no such file; the split must have it"


def read(root: str | Path, split: str, source_lang: str, target_lang: str) -> list[CorpusRow]:
    """The rows of a split in the order of its files; src_text is the transcript, tgt_text the translation. Segments without duration are left out.

    Raises:
        FileNotFoundError: the split or one of its files is missing.
        ValueError: the yaml file is not as it should be, or the numbers of segments and lines differ.
    """
    pair = f"{source_lang}-{target_lang}"
    folder = Path(root) / pair / "data" / split
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such split; correct --root, --source-lang, --target-lang or --splits")
    yaml_path = folder / "txt" / f"{split}.yaml"
    segments = _segments(yaml_path)
    sources = _lines(folder / "txt" / f"{split}.{source_lang}", yaml_path, len(segments))
    targets = _lines(folder / "txt" / f"{split}.{target_lang}", yaml_path, len(segments))
    num_in_talk: defaultdict[str, int] = defaultdict(int)
    rows = []
    for index, (segment, source, target) in enumerate(zip(segments, sources, targets), 1):
        place = f"{yaml_path}: segment {index}"
        talk, extension = os.path.splitext(_field(segment, "wav", place))
        utterance = Utterance(
            id=f"{split}_{talk}_{num_in_talk[talk]}",
            audio=f"{pair}/data/{split}/wav/{talk}{extension}",
            n_frames=0,
            tgt_text=target,
            speaker=_field(segment, "speaker_id", place) if "speaker_id" in segment else "",
            src_text=source,
            src_lang=source_lang,
            tgt_lang=target_lang,
        )
        num_in_talk[talk] += 1
        offset, duration = (seconds(_field(segment, name, place), name, place) for name in ("offset", "duration"))
        rows.append(CorpusRow(utterance, place, offset, duration, left_out="" if duration else "that are empty (duration 0)"))
    return rows


def directions(root: str | Path) -> list[tuple[str, str]]:
    """Source and target language of every folder ROOT/SOURCE-TARGET/data, sorted."""
    names = (path.parent.name for path in Path(root).glob("*-*/data") if path.is_dir())
    return sorted((source, target) for source, _, target in (name.partition("-") for name in names))


def _segments(path: Path) -> list[dict[str, Any]]:
    segments = yaml_file.read(path, absent=ABSENT, as_text=True)
    if not isinstance(segments, list) or not segments:
        raise ValueError(f"{path}: must be a list of segments (- {{duration: ..., offset: ..., wav: ...}}), but is {type(segments).__name__}")
    return segments


def _lines(path: Path, yaml_path: Path, num_segments: int) -> list[str]:
    lines = _text(path).removesuffix("\n").split("\n")
    if len(lines) != num_segments:
        raise ValueError(f"{path}: must have one line per segment of {yaml_path.name} ({num_segments}), but has {len(lines)}")
    return [line.strip() for line in lines]


def _text(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: {ABSENT}")
    try:
        return path.read_bytes().decode(WITH_OR_WITHOUT_MARK).replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: must be UTF-8, but is not ({error}); convert it, e.g. with iconv") from error


def _field(segment: Any, name: str, place: str) -> str:
    if not isinstance(segment, dict) or name not in segment:
        raise ValueError(f"{place}: the segment must have a field {name}, but is {excerpt(segment)}; correct it")
    if not isinstance(segment[name], str):
        raise ValueError(f"{place}: {name} must be one value, but is {excerpt(segment[name])}; correct it")
    return segment[name]
