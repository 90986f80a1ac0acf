"""The experiments of a study: rows x tasks x seeds, and the recognition that each translation starts from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speechllm_plugin.experiments.stage_script import RECIPES
from speechllm_plugin.experiments.task_data import TaskData
from speechllm_plugin.preparation.corpora import CORPORA, TASKS

PAPERS_ROWS = {"table1": ("1", "2", "3", "4", "4.1", "5", "5.1", "6")}
WAVES = ("asr", "st")  # translation waits for recognition; joint models depend on nothing and run with recognition
Direction = tuple[str, str]  # source and target language


@dataclass(frozen=True)
class StudyExperiment:
    """One training: data, a model and a seed.

    recognition: the data on which the model of the same file and seed was trained that a translation starts from; None: it starts from nothing.
    """

    data: TaskData
    model_file: Path
    seed: str
    recognition: TaskData | None

    @property
    def model(self) -> str:
        """The name of its folder among those of the other models on the same data."""
        return f"{self.model_file.name.removesuffix('.sh')}-seed{self.seed}"

    @property
    def name(self) -> str:
        """Its folder below that of the study."""
        return f"{self.data.corpus}/{self.data.folder}/{self.model}"

    @property
    def wave(self) -> str:
        return "st" if self.data.task == "st" else "asr"

    @property
    def start(self) -> str | None:
        """The model that it starts from, below the folder of the study."""
        if self.recognition is None:
            return None
        return f"{self.recognition.corpus}/{self.recognition.folder}/{self.model}/average.pt"


@dataclass(frozen=True)
class StudyPlan:
    """All experiments of a study.

    roots: corpus -> its root.
    recognition_of: all data of the study -> for a translation the recognition data whose transcript vocabulary and encoder it takes, else None.
    """

    roots: dict[str, str]
    model_files: list[Path]
    seeds: list[str]
    recognition_of: dict[TaskData, TaskData | None] = field(default_factory=dict)

    @property
    def data(self) -> list[TaskData]:
        """In the order in which they can be prepared."""
        return list(self.recognition_of)

    def experiments(self, stage: str = "all") -> list[StudyExperiment]:
        """Those of a wave, or all of them, in the order of their dependencies."""
        experiments = [
            StudyExperiment(data, model_file, seed, recognition)
            for data, recognition in self.recognition_of.items()
            for model_file in self.model_files
            for seed in self.seeds
        ]
        return [experiment for wave in WAVES if stage in ("all", wave) for experiment in experiments if experiment.wave == wave]

    def add(self, data: TaskData) -> None:
        """Add data, and before a translation the recognition that it starts from: of the same sources, whatever else is planned."""
        recognition = None
        if data.task == "st":
            alike = (one for one in self.data if (one.corpus, one.task, one.sources) == (data.corpus, "asr", data.sources))
            recognition = next(alike, TaskData(data.corpus, "asr", data.sources, data.targets[:1]))
            self.add(recognition)
        self.recognition_of.setdefault(data, recognition)


def plan(roots: Sequence[str], rows: str, tasks: str, seeds: str) -> StudyPlan:
    """The plan of `recipes/study.sh` for its arguments; "" for tasks are those of the paper.

    Raises:
        ValueError: a root, row, task, language or seed is none, or the roots lack what it needs.
    """
    root_of: dict[str, str] = {}
    for root in roots:
        corpus = corpus_at(root)
        if corpus in root_of:
            raise ValueError(f"{root} and {root_of[corpus]} are both laid out as {corpus}; give one of each")
        root_of[corpus] = root
    study = StudyPlan(root_of, list(model_files(rows)), _items(seeds))
    if not study.model_files:
        raise ValueError(f"--rows must name rows or files of recipes/models, but is {rows}")
    if not study.seeds or not all(seed.isdecimal() for seed in study.seeds):
        raise ValueError(f"--seeds must be numbers separated by commas, but is {seeds}")
    for task in _items(tasks):
        corpus, slash, _ = task.partition("/")
        if slash and corpus not in root_of:
            raise ValueError(f"--tasks {task} needs the corpus {corpus}, but its root is not given")
    for corpus in CORPORA:
        if corpus in root_of:
            for task in _items(tasks) if tasks else CORPORA[corpus].study_tasks:
                name = task.removeprefix(f"{corpus}/")
                if "/" not in name:
                    study.add(task_data(corpus, root_of[corpus], name))
    if not study.experiments():
        raise ValueError(f"--tasks {tasks} names no task for the corpora given")
    return study


def corpus_at(root: str) -> str:
    """The corpus that a folder is laid out as."""
    found = [name for name, corpus in CORPORA.items() if corpus.recognises(root)]
    if len(found) != 1:
        layouts = " or ".join(f"{corpus.layout} and so on ({corpus.title})" for corpus in CORPORA.values() if corpus.directions)
        raise ValueError(f"{root} must hold {layouts}, but holds {' '.join(found) or 'none of these'}")
    return found[0]


def model_files(rows: str) -> Iterator[Path]:
    """The files of recipes/models that the rows name: table1, table3, rows of the paper's Table 1, or names of files."""
    models = RECIPES / "models"
    for item in _items(rows):
        for row in PAPERS_ROWS.get(item, (item,)):
            name = "table3_*.sh" if row == "table3" else f"row{row}_*.sh" if row[0].isdecimal() else f"{row}.sh"
            found = sorted(models.glob(name))
            if not found:
                raise ValueError(f"--rows {row}: there is no models/{name}")
            yield from found


def task_data(corpus: str, root: str, name: str) -> TaskData:
    """What TASK-LANGUAGES means for a corpus and the directions that its root holds."""
    task, _, languages = name.partition("-")
    if task not in TASKS:
        raise ValueError(f"--tasks: a task is asr, st-LANGUAGES or joint-LANGUAGES, but is {name}")
    if task != "asr" and not languages:
        raise ValueError(f"--tasks: {task} needs languages, as in {task}-de")
    directions_of = CORPORA[corpus].directions
    assert directions_of is not None  # a root is found by its directions
    directions = directions_of(root)
    shown = " ".join("-".join(direction) for direction in directions)
    sources, targets = languages_of(corpus, task, languages, directions)
    for direction in ((source, target) for source in sources for target in targets):
        if direction not in directions:
            raise ValueError(f"--tasks {corpus}/{name} needs the direction {'-'.join(direction)}, but {root} has only {shown}")
    if not sources:
        raise ValueError(f"--tasks {corpus}/{name}: no source into {CORPORA[corpus].into} in {root}, which has {shown}; name SOURCES:TARGETS")
    return TaskData(corpus, task, sources, targets)


def languages_of(corpus: str, task: str, languages: str, directions: Sequence[Direction]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sources and targets; no sources where none of the directions has the target that the corpus is translated into."""
    into = CORPORA[corpus].into
    if ":" in languages:
        several, _, others = languages.partition(":")
        return tuple(several.split("+")), tuple(others.split("+"))
    if into is None:
        targets = tuple(target for _, target in directions) if languages == "multi" else tuple((languages or directions[0][1]).split("+"))
        return (directions[0][0],), targets[:1] if task == "asr" else targets
    if languages not in ("", "multi"):
        return tuple(languages.split("+")), (into,)
    sources = tuple(source for source, target in directions if target == into)
    if not sources and task == "asr" and not languages:
        return (directions[0][0],), (directions[0][1],)
    return sources, (into,)


def _items(text: str) -> list[str]:
    """What stands between commas or spaces."""
    return text.replace(",", " ").split()
