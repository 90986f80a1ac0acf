"""Transcripts as files: plain text, subtitles, JSON and tables."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict

from speechllm_plugin.transcription.transcript import Transcript

TSV_HEADER = "file\tstart\tend\ttext\n"


def txt(name: str, transcript: Transcript) -> str:
    """The text of the recording."""
    return f"{transcript.text}\n"


def srt(name: str, transcript: Transcript) -> str:
    """SubRip subtitles: a segment each, or a word each where words have times."""
    blocks = (f"{number}\n{clock(start, ',')} --> {clock(end, ',')}\n{text}\n" for number, (start, end, text) in enumerate(cues(transcript), 1))
    return "\n".join(blocks)


def vtt(name: str, transcript: Transcript) -> str:
    """WebVTT subtitles."""
    return "\n".join(["WEBVTT\n", *(f"{clock(start, '.')} --> {clock(end, '.')}\n{text}\n" for start, end, text in cues(transcript))])


def json_line(name: str, transcript: Transcript) -> str:
    """Everything that is known, in one line."""
    return json.dumps({"file": name, **asdict(transcript)}, ensure_ascii=False) + "\n"


def tsv(name: str, transcript: Transcript) -> str:
    """A row per segment, or per word where words have times: file, start and end in seconds, text."""
    return "".join(f"{name}\t{start:.3f}\t{end:.3f}\t{text}\n" for start, end, text in cues(transcript))


TRANSCRIPT_FORMATS: dict[str, Callable[[str, Transcript], str]] = {"txt": txt, "srt": srt, "vtt": vtt, "json": json_line, "tsv": tsv}


def cues(transcript: Transcript) -> Iterator[tuple[float, float, str]]:
    """Start, end and text of every word, or of every segment whose words have no times."""
    for segment in transcript.segments:
        if segment.words:
            yield from ((word.start, word.end, word.text) for word in segment.words)
        else:
            yield segment.start, segment.end, segment.text


def clock(seconds: float, mark: str) -> str:
    """HH:MM:SS,mmm with the mark before the milliseconds."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{mark}{milliseconds:03d}"
