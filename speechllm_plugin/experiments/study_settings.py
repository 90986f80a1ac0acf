"""The arguments of recipes/study.sh: which experiments, with which settings, and the commands that follow from both."""

from dataclasses import dataclass, field
from pathlib import Path

from speechllm_plugin.experiments import command_line, expected_work, study_plan, training_file
from speechllm_plugin.experiments.expected_work import Work
from speechllm_plugin.experiments.stage_script import RECIPES, StageScript
from speechllm_plugin.experiments.study_plan import StudyExperiment, StudyPlan
from speechllm_plugin.experiments.task_data import TaskData
from speechllm_plugin.experiments.training_file import Gpus, TrainingFile
from speechllm_plugin.files.separated_paths import check_one_path
from speechllm_plugin.preparation.corpora import CORPORA

STUDY_OPTIONS = ("--rows", "--tasks", "--seeds", "--training", "--prepare", "--hold-out", "--out", "--jobs", "--stage", "--only", "--slurm")
STUDY_FLAGS = ("--dry-run", "--list", "--silence")
STUDY_STAGES = ("all", "prepare", "asr", "st", "table")


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """What the arguments of study.sh ask for.

    training: corpus -> its settings; own_settings: name of the file that replaces the paper's.
    prepare_args: more arguments of `speechllm prepare`, after the training file's.
    jobs: experiments at a time.
    stage: one of STUDY_STAGES.
    only: the name of one experiment, or "".
    only_list: whether the experiments are named and not run.
    slurm: what jobs ask SLURM for beside the usual (see slurm.resources); None: the study runs here.
    frames_of: what a check found in a training set before it is prepared.
    """

    plan: StudyPlan
    out: Path
    training: dict[str, TrainingFile]
    own_settings: str | None
    prepare_args: list[str]
    hold_out_args: list[str]
    jobs: int
    stage: str
    only: str
    only_list: bool
    slurm: str | None
    dry_run: bool
    with_silence: bool
    frames_of: dict[TaskData, int] = field(default_factory=dict)

    def data_folder(self, data: TaskData) -> Path:
        return self.out / data.corpus / data.folder / "data"

    def prepare_command(self, data: TaskData, check: bool = False) -> list[str]:
        """`speechllm prepare` for it; a check does not need what an earlier experiment makes."""
        training, recognition = self.training[data.corpus], self.plan.recognition_of[data]
        sizes, more = training.vocab_size, [*training.prepare_args, *self.prepare_args]
        if data.task in sizes:
            more += ["--vocab-size", sizes[data.task]]
        if check:
            more += ["--check"]
        elif recognition:
            more += ["--transcript-vocab-from", str(self.data_folder(recognition))]
        elif "transcript" in sizes:
            more += ["--transcript-vocab-size", sizes["transcript"]]
        return data.prepare_command(self.plan.roots[data.corpus], self.data_folder(data), [*more, *self.hold_out_args])

    def train_args(self, experiment: StudyExperiment) -> list[str]:
        """The arguments of fairseq-train beside the model's.

        Raises:
            FileNotFoundError: the recognition that it starts from is not there.
        """
        arguments = [*self.training[experiment.data.corpus].training_args, "--seed", experiment.seed]
        if experiment.start:
            start = self.out / experiment.start
            if not (self.dry_run or start.is_file()):
                raise FileNotFoundError(f"{experiment.name}: starts from {start}, which is not there: run that experiment first")
            arguments += ["--init-encoder-from", str(start)]
            model_args = self.training[experiment.data.corpus].model_args(experiment.model_file)
            if training_file.last_value(model_args, "--encoder") == "none":
                arguments += ["--init-decoder-from", str(start)]
        return arguments

    def script(self, experiment: StudyExperiment, gpus: Gpus) -> StageScript:
        """The stages of an experiment, training on these GPUs.

        Raises:
            ValueError: the updates of the training file cannot be shared among them.
        """
        data, training = experiment.data, self.training[experiment.data.corpus]
        script = StageScript(self.dry_run)
        model_args = training.model_args(experiment.model_file)
        script.set("MODEL_ARGS", model_args)
        script.set("TRAINING_ARGS", self.train_args(experiment))
        script.set("MACHINE_ARGS", training.machine_args(gpus, model_args))
        script.set("GENERATION_ARGS", training.generation_args)
        script.set("AVERAGE_LAST", training.average_last)
        script.set("expected_frames", self.frames_of.get(data, 0))
        data.train_and_score(script, self.data_folder(data), self.out / experiment.name, self.with_silence)
        return script

    def work(self, experiment: StudyExperiment) -> Work | None:
        """The training that an experiment takes at most, if its settings bound it."""
        data = experiment.data
        return expected_work.expected(self.data_folder(data), self.train_args(experiment), self.frames_of.get(data))


def read(arguments: list[str]) -> StudySettings:
    """The settings that the arguments of study.sh ask for.

    Raises:
        ValueError: the arguments, the roots or the training file are not as they must be.
    """
    given = command_line.read(arguments, STUDY_OPTIONS, STUDY_FLAGS)
    if not given.positional:
        raise ValueError("give the root of a corpus")
    stage, training, jobs = given.last("--stage", "all"), given.last("--training", ""), given.last("--jobs", "1")
    out = given.last("--out", "experiments")
    check_one_path("--out", out)
    if stage not in STUDY_STAGES:
        raise ValueError(f"--stage must be prepare, asr, st or table, but is {stage}")
    if training and not Path(training).is_file():
        raise ValueError(f"--training {training} is no file")
    if not jobs.isdecimal() or int(jobs) < 1:
        raise ValueError(f"--jobs must be a positive number, but is {jobs}")
    plan = study_plan.plan(given.positional, given.last("--rows", "table1"), given.last("--tasks", ""), given.last("--seeds", "1"))
    only = given.last("--only", "")
    if only and only not in [experiment.name for experiment in plan.experiments()]:
        raise ValueError(f"--only {only} is none of the experiments that --list names")
    slurm = given.last("--slurm", "") if any(name == "--slurm" for name, _ in given.given) else None
    if slurm is not None and (only or stage != "all" or given.flags & {"--list", "--dry-run"}):
        raise ValueError("--slurm submits the whole study: it goes without --stage, --only, --list and --dry-run")
    return StudySettings(
        plan=plan,
        out=Path(out),
        training={corpus: training_file.read(Path(training or RECIPES / "training" / CORPORA[corpus].training_file)) for corpus in plan.roots},
        own_settings=Path(training).name if training else None,
        prepare_args=given.last("--prepare", "").split(),
        hold_out_args=given.pairs(["--hold-out"]),
        jobs=int(jobs),
        stage=stage,
        only=only,
        only_list="--list" in given.flags,
        slurm=slurm,
        dry_run="--dry-run" in given.flags,
        with_silence="--silence" in given.flags,
    )
