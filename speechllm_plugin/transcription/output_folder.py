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

    Raises:
        ValueError: two recordings would be written to one file, a file is there of another recording, or the folder was begun with other settings.
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
            self.check_sources(recordings)
            return
        try:
            write_description(path, description)
        except OSError as error:
            raise ValueError(f"--output {folder} cannot be written ({error.strerror}); give another folder") from error

    def check_sources(self, recordings: Sequence[Recording]) -> None:
        """Raise ValueError where a text is there that was made of another recording, which is still where it was."""
        path, made_of = self.folder / SOURCES_FILE, {}
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
            with suppress(ValueError, TypeError):  # a killed command may have cut a line
                stem, place = json.loads(line)
                made_of[stem] = place
        for recording in recordings:
            other, own = made_of.get(recording.stem), absolute(recording)
            if isinstance(other, str) and other != own and self.has(recording) and Path(other).is_file():
                raise ValueError(f"--output: {self.path(recording)} is the text of {other}, not of {recording.name}; give another folder")

    def path(self, recording: Recording) -> Path:
        return self.folder / f"{recording.stem}.{self.form}"

    def has(self, recording: Recording) -> bool:
        return self.path(recording).is_file()

    def write(self, recording: Recording, transcript: Transcript) -> None:
        text = TRANSCRIPT_FORMATS[self.form](recording.name, transcript)
        with open(self.folder / SOURCES_FILE, "a", encoding="utf-8") as file:
            file.write("\n" + json.dumps([recording.stem, absolute(recording)]))
        with replacing(self.path(recording)) as temporary:
            temporary.write_text((TSV_HEADER if self.form == "tsv" else "") + text, encoding="utf-8")


def absolute(recording: Recording) -> str:
    """The place of a recording, the same from any folder; of standard input, that it is this."""
    return recording.source if recording.source == STANDARD_INPUT else str(Path(recording.source).resolve())
