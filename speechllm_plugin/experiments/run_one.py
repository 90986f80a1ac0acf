"""One experiment of recipes/CORPUS/run.sh: its arguments, and its stages."""

import sys
from dataclasses import dataclass
from pathlib import Path

from speechllm_plugin.experiments import command_line, training_file
from speechllm_plugin.experiments.distillation_plan import Distillation
from speechllm_plugin.experiments.stage_script import RECIPES, StageScript, visible_gpus
from speechllm_plugin.experiments.task_data import TaskData
from speechllm_plugin.experiments.training_file import Gpus, TrainingFile
from speechllm_plugin.files.separated_paths import check_one_path
from speechllm_plugin.preparation.corpora import CORPORA, TASKS

RUN_OPTIONS = ("--root", "--task", "--training", "--out", "--name", "--source-lang", "--average-last", "--kd", "--kd-mode")
# Passed on to `speechllm prepare`, in the order in which they are given.
PREPARE_OPTIONS = (
    *("--vocab-size", "--transcript-vocab-size", "--transcript-vocab-from", "--features", "--workers", "--sampling-alpha", "--hold-out"),
)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What the arguments of a run.sh ask for.

    out: holds a folder for the data and, beside it, one for each model.
    name: the folder of this model.
    prepare_args: more arguments of `speechllm prepare`, after the training file's.
    train_args: more arguments of fairseq-train, after the training file's.
    with_silence: whether a test set without speech is decoded as well.
    """

    data: TaskData
    root: str
    out: Path
    name: str
    model_file: Path
    training: TrainingFile
    average_last: int
    distillation: Distillation | None
    prepare_args: list[str]
    train_args: list[str]
    with_silence: bool

    def script(self, gpus: Gpus) -> StageScript:
        """Its stages, training on these GPUs."""
        script, training = StageScript(), self.training
        folder = self.out / self.data.folder
        data, out = folder / "data", folder / self.name
        model_args = training.model_args(self.model_file)
        own_args = [*(self.distillation.training_args if self.distillation else []), *self.train_args]
        script.set("MACHINE_ARGS", training.machine_args(gpus, model_args, own_args))
        script.set("GENERATION_ARGS", training.generation_args)
        script.set("SILENCE_ARGS", training.silence_args)
        script.set("AVERAGE_LAST", self.average_last)
        script.call("prepare", data, *self.data.prepare_command(self.root, data, [*training.prepare_args, *self.prepare_args]))
        if self.distillation:
            split = CORPORA[self.data.corpus].test_split
            data = self.distillation.distill(script, folder, split, training.teacher_args)
            out = folder / f"{self.name}-{self.distillation.name}"
        if self.with_silence:
            script.call("silence", data)
        script.set("MODEL_ARGS", model_args)
        script.set("TRAINING_ARGS", [*training.training_args, *own_args])
        self.data.train_and_score(script, data, out, self.with_silence)
        for split, _ in self.data.test_splits():
            script.call("summary", split, out)
        return script


def read(corpus: str, arguments: list[str]) -> Experiment:
    """The experiment that the arguments of a corpus's run.sh ask for.

    Raises:
        ValueError: the arguments, the model file or the training file are not as they must be.
    """
    given = command_line.read(arguments, [*RUN_OPTIONS, *PREPARE_OPTIONS], ["--silence"])
    task, kd = given.last("--task", "st"), given.last("--kd", "")
    training = Path(given.last("--training", str(RECIPES / "training" / CORPORA[corpus].training_file)))
    names = "SOURCES TARGETS MODEL_FILE" if CORPORA[corpus].into else "LANGUAGES MODEL_FILE"
    if len(given.positional) != len(names.split()):
        raise ValueError(f"{names} are needed, but {len(given.positional)} arguments were given: {' '.join(given.positional)}")
    if task not in TASKS:
        raise ValueError(f"--task must be asr, st or joint, but is {task}")
    if given.last("--kd-mode", "") and not kd:
        raise ValueError("--kd-mode needs --kd")
    distillation = Distillation(kd, given.last("--kd-mode", "append")) if kd else None
    if kd and task != "st":
        raise ValueError(f"--kd distills translations: it needs --task st, but --task is {task}")
    *languages, model_file = given.positional
    sources, targets = languages if len(languages) == 2 else (given.last("--source-lang", "en"), languages[0])
    for file in (model_file, training):
        if not Path(file).is_file():
            raise ValueError(f"{file} is no file")
    settings = training_file.read(training)
    settings.model_args(Path(model_file))  # an error in it is said before anything is prepared
    average_last = given.last("--average-last", str(settings.average_last))
    if not average_last.isdecimal():
        raise ValueError(f"--average-last must be a number, but is {average_last}")
    out = given.last("--out", f"experiments/{corpus}")
    check_one_path("--out", out)
    data = TaskData(corpus, task, tuple(sources.split("+")), tuple(targets.split("+")))
    data.check_metrics()
    return Experiment(
        data=data,
        root=given.last("--root", f"corpora/{corpus}"),
        out=Path(out),
        name=given.last("--name", Path(model_file).name.removesuffix(".sh")),
        model_file=Path(model_file),
        training=settings,
        average_last=int(average_last),
        distillation=distillation,
        prepare_args=given.pairs(PREPARE_OPTIONS),
        train_args=given.after_dashes,
        with_silence="--silence" in given.flags,
    )


def main(corpus: str, *arguments: str) -> None:
    with command_line.usage_errors(f"{corpus}/run.sh"):
        experiment = read(corpus, list(arguments))
        script = experiment.script(visible_gpus())
    sys.exit(script.run().returncode)
