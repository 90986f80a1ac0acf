"""The data of an experiment: a corpus, a task and languages; what prepares them, and what a model of them is scored on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechllm_plugin.experiments.stage_script import StageScript
from speechllm_plugin.preparation.corpora import CORPORA
from speechllm_plugin.scoring.metrics import check_installed

SPEECHLLM = ("python3", "-m", "speechllm_plugin.commands.cli")
TASK_METRICS = {"asr": ("wer", "cer"), "st": ("bleu", "chrf")}
SILENCE_SPLIT = "silence"  # of `speechllm silence`


@dataclass(frozen=True)
class TaskData:
    """A corpus, a task (asr, st, or joint: one model for both, by tag) and the languages that are heard and written."""

    corpus: str
    task: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]

    @property
    def folder(self) -> str:
        """The name of the folder that holds the data in `data`, and beside them a folder for each model."""
        return f"{self.task}-{'+'.join(self.sources)}-{'+'.join(self.targets)}"

    def prepare_command(self, root: str, data: Path, more: Sequence[str]) -> list[str]:
        """`speechllm prepare` for it, with more of its arguments."""
        languages = ["--source-lang", *self.sources, "--target-lang", *self.targets]
        return [*SPEECHLLM, "prepare", self.corpus, "--root", root, "--task", self.task, *languages, "--out", str(data), *more]

    def test_splits(self) -> Iterator[tuple[str, str]]:
        """Each split that a model is scored on, and the task whose metrics count there."""
        split = CORPORA[self.corpus].test_split
        if self.task == "joint":
            yield f"{split}_asr", "asr"
        yield split, "asr" if self.task == "asr" else "st"

    def check_metrics(self) -> None:
        """Raise ValueError, before anything is prepared or trained, if this environment cannot score what a model of the data writes."""
        for _, task in self.test_splits():
            check_installed(TASK_METRICS[task], self.sources if task == "asr" else self.targets)

    def train_and_score(self, script: StageScript, data: Path, out: Path, with_silence: bool) -> None:
        """Add the stages that train a model on the data, average, decode and score it; the script sets its arguments."""
        script.call("train", data, out)
        script.call("average", out)
        column = "tgt_lang" if len(self.targets) > 1 else "src_lang" if len(self.sources) > 1 else None
        script.set("SCORE_ARGS", ["--by", column] if column else [])
        for split, task in self.test_splits():
            script.call("generate", data, out, split)
            script.call("score", data, out, split, *TASK_METRICS[task])
        if with_silence:
            script.call("generate", data, out, SILENCE_SPLIT)
