"""--output: a file per recording, written when its text is complete, so that a second run makes the others only."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.files.growing import check_description, write_description
from speechllm_plugin.files.json_file import read_object
from speechllm_plugin.transcription.recordings import Recording
from speechllm_plugin.transcription.transcript import Transcript
from speechllm_plugin.transcription.transcript_formats import TRANSCRIPT_FORMATS, TSV_HEADER

DESCRIPTION_FILE = ".transcribe.json"


class OutputFolder:
    """The files of a set of recordings.

    Args:
        form: of TRANSCRIPT_FORMATS, which is also their suffix.
        settings: what decides about the texts; other ones must not go on in the same folder.

    Raises:
        ValueError: two recordings would be written to one file, or the folder was begun with other settings.
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
            return
        try:
            write_description(path, description)
        except OSError as error:
            raise ValueError(f"--output {folder} cannot be written ({error.strerror}); give another folder") from error

    def path(self, recording: Recording) -> Path:
        return self.folder / f"{recording.stem}.{self.form}"

    def has(self, recording: Recording) -> bool:
        return self.path(recording).is_file()

    def write(self, recording: Recording, transcript: Transcript) -> None:
        text = TRANSCRIPT_FORMATS[self.form](recording.name, transcript)
        with replacing(self.path(recording)) as temporary:
            temporary.write_text((TSV_HEADER if self.form == "tsv" else "") + text, encoding="utf-8")
