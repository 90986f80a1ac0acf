"""--output: a file per recording, written when its text is complete, so that a second run makes the others only."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.files.growing import check_description, write_description
from speechllm_plugin.files.json_file import read_object
from speechllm_plugin.transcription.recordings import STANDARD_INPUT, Recording
from speechllm_plugin.transcription.transcript import Transcript
from speechllm_plugin.transcription.transcript_formats import TRANSCRIPT_FORMATS, TSV_HEADER

DESCRIPTION_FILE, SOURCES_FILE = ".transcribe.json", ".transcribe.sources.jsonl"


class OutputFolder:
    """The files of a set of recordings.

    Args:
        form: of TRANSCRIPT_FORMATS, which is also their suffix.
        settings: what decides about the texts; other ones must not go on in the same folder.

    Attributes:
        finished: the recordings whose texts are there; one that has changed since is not among them.

    Raises:
        ValueError: two recordings would be written to one file, a file is there that is not known to be the text of this recording, or the folder
            was begun with other settings.
    """

    def __init__(self, folder: Path, form: str, settings: Mapping[str, Any], recordings: Sequence[Recording]):
        self.folder, self.form = folder, form
        first: dict[Path, Recording] = {}
        for recording in recordings:
            other = first.setdefault(self.path(recording), recording)
            if other is not recording:
                raise ValueError(f"--output: {other.name} and {recording.name} would both become {self.path(recording)}; rename one, or leave it out")
        description, path = {"format": form, **settings}, folder / DESCRIPTION_FILE
        if path.is_file():
            advice = "give another --output, or remove it"
            check_description(folder, read_object(path, {}, remedy=advice), description, advice)
        made_of = self.made_of()
        self.finished = {
            recording for recording in recordings if self.path(recording).is_file() and self.is_of(recording, made_of.get(recording.stem))
        }
        try:
            write_description(path, description)
        except OSError as error:
            raise ValueError(f"--output {folder} cannot be written ({error.strerror}); give another folder") from error

    def made_of(self) -> dict[str, tuple[str, Any]]:
        """Stem -> place and stamp of the recording of which its text was made."""
        path, found = self.folder / SOURCES_FILE, {}
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
            with suppress(ValueError, TypeError):  # a killed command may have cut a line
                stem, place, stamp = json.loads(line)
                found[stem] = (place, stamp)
        return found

    def is_of(self, recording: Recording, source: tuple[str, Any] | None) -> bool:
        """Whether the text that is there was made of the recording as it is now."""
        if source is None:
            raise ValueError(f"--output: {self.path(recording)} is there, and was not written by this command; give another folder")
        if recording.source == STANDARD_INPUT:
            raise ValueError(f"--output: {self.path(recording)} is the text of an earlier standard input; move it, or give another folder")
        place, stamp = source
        own_place, own_stamp = source_of(recording)
        if place != own_place and Path(place).is_file():
            raise ValueError(f"--output: {self.path(recording)} is the text of {place}, not of {recording.name}; give another folder")
        return own_stamp in (None, stamp)

    def path(self, recording: Recording) -> Path:
        return self.folder / f"{recording.stem}.{self.form}"

    def write(self, recording: Recording, transcript: Transcript) -> None:
        text = TRANSCRIPT_FORMATS[self.form](recording.name, transcript)
        self.path(recording).unlink(missing_ok=True)  # one of the recording before it changed
        with open(self.folder / SOURCES_FILE, "a", encoding="utf-8") as file:
            file.write("\n" + json.dumps([recording.stem, *source_of(recording)]))
        with replacing(self.path(recording)) as temporary:
            temporary.write_text((TSV_HEADER if self.form == "tsv" else "") + text, encoding="utf-8")


def source_of(recording: Recording) -> tuple[str, list[int] | None]:
    """The place of a recording, the same from any folder, and its size and time of change; of standard input, that it is this."""
    path = Path(recording.source)
    if recording.source == STANDARD_INPUT or not path.is_file():
        return recording.source, None
    found = path.stat()
    return str(path.resolve()), [found.st_size, found.st_mtime_ns]
