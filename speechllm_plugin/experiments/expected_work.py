"""The bounds that the flags of fairseq-train set on a training; frames are 10 ms."""

from pathlib import Path
from typing import NamedTuple

from speechllm_plugin.experiments.training_file import last_value
from speechllm_plugin.files import tsv_rows


class Work(NamedTuple):
    """The bounds of one training.

    updates: at most so many.
    frames_per_update: at most so many, on one GPU.
    training_frames: those of the training set; None where they are not known yet.
    """

    updates: int
    frames_per_update: int
    training_frames: int | None

    @property
    def frames(self) -> int:
        """Frames that all updates read: no update reads more than the training set has."""
        return self.updates * min(self.frames_per_update, self.training_frames or self.frames_per_update)

    def __str__(self) -> str:
        text = f"at most {self.updates:,} updates of up to {self.frames_per_update:,} frames on one GPU"
        if self.training_frames:
            text += f", {self.frames // self.training_frames} times the {self.training_frames:,} of the training set"
        return text


def expected(data: Path, training_args: list[str], training_frames: int | None = None) -> Work | None:
    """The work of a training on a data folder; None where the arguments set no such bounds.

    training_frames: what is known of a folder that is not prepared yet.
    """
    updates, tokens = (last_value(training_args, flag) for flag in ("--max-update", "--max-tokens"))
    if updates is None or tokens is None:
        return None
    if (data / "train.tsv").exists():
        rows = tsv_rows.rows(data / "train.tsv", ["n_frames"], absent="no such manifest")
        training_frames = sum(int(row["n_frames"]) for _, row in rows)
    return Work(int(updates), int(tokens) * int(last_value(training_args, "--update-freq") or 1), training_frames)


def main(data: str, training_frames: str, *training_args: str) -> None:
    """Print the work of a training; 0 frames are not known."""
    work = expected(Path(data), list(training_args), int(training_frames) or None)
    print(work or "no bound on the work: --max-update and --max-tokens would set one")
