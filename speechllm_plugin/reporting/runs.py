"""The Study of finished runs: folders of the recipes, read and checked against one another."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from speechllm_plugin.data import manifest
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.outputs import logs
from speechllm_plugin.outputs.generated_texts import read_in_rows
from speechllm_plugin.reporting.study import SILENCE, Run, Study, System

_NAMED = re.compile(r"([^=/]+)=(.+)", re.DOTALL)
_GENERATED = re.compile(r"generate-(.+)\.txt")


def read_study(arguments: Sequence[str], split: str | None, data: Path | None) -> Study:
    """The Study of runs as the command line names them.

    Args:
        arguments: `[NAME=]RUN[,RUN...]`; RUN is the folder of one training, a comma joins the training seeds of one system.
        split: None takes the one that the first run decoded.
        data: folder of SPLIT.tsv; None takes what each run's log names, else the folder `data` beside the run.

    Raises:
        FileNotFoundError: a folder or a file is not there; the message says what makes it.
        ValueError: two systems have one name, systems have unequal numbers of seeds, a run decoded another test set than the first, or rows of
            the manifest and hypotheses do not match.
    """
    named = [_named_folders(argument) for argument in arguments]
    names = _distinct_names(named)
    counts = {name: len(folders) for name, (_, folders) in zip(names, named)}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ValueError(f"every system needs as many training seeds as the others, since they are compared in pairs, but they have: {listed}")
    folders = [folder for _, folders in named for folder in folders]
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{folder}: no such run; give the folder that a recipe wrote (it holds generate-SPLIT.txt); a comma separates seeds"
            )
    for name, (_, seeds) in zip(names, named):
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"{name}: a training stands twice among its seeds ({', '.join(map(str, seeds))}); name each once")
    split = split or _only_split(folders[0])
    manifests = {}
    for folder in folders:
        if not (folder / f"generate-{split}.txt").is_file():
            raise FileNotFoundError(
                f"{folder / f'generate-{split}.txt'}: no such file; decode the split: fairseq-generate DATA --path {folder / 'average.pt'} "
                f"--gen-subset {split} --results-path {folder} ..., as the stage `generate` of recipes/pipeline.sh does"
            )
        manifests[folder] = (data or _data_folder(folder, split)) / f"{split}.tsv"
    read = {path: manifest.read(path) for path in dict.fromkeys(manifests.values())}
    first, *others = read
    for other in others:
        _check_same(first, read[first], other, read[other])
    silence_path = first.with_name(f"{SILENCE}.tsv")
    silence = manifest.read(silence_path) if silence_path.is_file() else None
    for other in {path.with_name(f"{SILENCE}.tsv") for path in manifests.values()} - {silence_path} if silence is not None else ():
        if other.is_file():
            _check_same(silence_path, silence, other, manifest.read(other))
    runs = {folder: _read_run(folder, split, manifests[folder], read[first], silence) for folder in folders}
    systems = [System(name, [runs[folder] for folder in seeds]) for name, (_, seeds) in zip(names, named)]
    return Study(systems, split, first.parent, read[first], silence)


def _named_folders(argument: str) -> tuple[str, list[Path]]:
    """The name ("" if none is given) and the folders of `[NAME=]RUN[,RUN...]`."""
    if Path(argument).is_dir():
        return "", [Path(argument)]
    match = _NAMED.fullmatch(argument)
    name, paths = (match[1].strip(), match[2]) if match else ("", argument)
    if Path(paths).is_dir():
        return name, [Path(paths)]
    paths = [path.strip() for path in paths.split(",")]
    if not all(paths):
        raise ValueError(f"a system is [NAME=]RUN[,RUN...], but {argument!r} has an empty folder: correct the commas")
    return name, [Path(path) for path in paths]


def _distinct_names(named: Sequence[tuple[str, list[Path]]]) -> list[str]:
    """The name of each system in the report.

    The name on the command line if there is one; else the last part of its folder; for several folders (seeds) what their last parts have in
    common. Where two systems would get the same name, the last two parts of the folder take the place of the last one.
    """
    for num_parts in (1, 2):
        names = []
        for name, folders in named:
            ends = ["/".join(folder.resolve().parts[-num_parts:]) for folder in folders]
            names.append(name or re.sub(r"[-_.]*(seed)?[-_.]*$", "", os.path.commonprefix(ends) if len(ends) > 1 else "") or ends[0])
        if len(set(names)) == len(names):
            return names
    doubled = next(name for name in names if names.count(name) > 1)
    raise ValueError(f"every system needs a name of its own, but two are called {doubled!r}: give names, as in dfp=RUN xattn=RUN")


def _only_split(folder: Path) -> str:
    splits = sorted(match[1] for match in map(_GENERATED.fullmatch, os.listdir(folder)) if match)
    splits = [split for split in splits if split != SILENCE]
    if not splits:
        raise FileNotFoundError(f"{folder}: has no generate-SPLIT.txt; decode a split first, as the stage `generate` of recipes/pipeline.sh does")
    if len(splits) > 1:
        raise ValueError(f"{folder}: several splits were decoded ({', '.join(splits)}); choose one with --split")
    return splits[0]


def _data_folder(folder: Path, split: str) -> Path:
    decoding = logs.read_decoding(folder / f"generate-{split}.log")
    places = [*([decoding.data] if decoding and decoding.data else []), folder.parent / "data"]
    for place in places:
        if (place / f"{split}.tsv").is_file():
            return place
    raise FileNotFoundError(f"{split}.tsv: neither in {' nor in '.join(map(str, places))}; give the data folder of {folder} with --data")


def _check_same(first: Path, expected: Sequence[Utterance], other: Path, utterances: Sequence[Utterance]) -> None:
    if len(utterances) != len(expected):
        numbers = f"{first} has {len(expected)} rows, {other} has {len(utterances)}"
        raise ValueError(f"the runs decoded different test sets: {numbers}; compare runs of one test set")
    for row, (one, two) in enumerate(zip(expected, utterances)):
        for column in ("id", "tgt_text", "n_frames"):
            if getattr(one, column) != getattr(two, column):
                mine, theirs = (repr(getattr(each, column))[:60] for each in (one, two))
                raise ValueError(
                    f"the runs decoded different test sets: row {row} (from 0) has {column} {mine} in {first}, but {theirs} in {other}; "
                    "compare runs of one test set"
                )


def _read_run(folder: Path, split: str, path: Path, utterances: list[Utterance], silence: list[Utterance] | None) -> Run:
    training = logs.read_training(folder / "train.log")
    decoding = logs.read_decoding(folder / f"generate-{split}.log")
    hypotheses = read_in_rows([folder / f"generate-{split}.txt"], utterances, path).hypotheses
    quiet = folder / f"generate-{SILENCE}.txt"
    texts = read_in_rows([quiet], silence, path.with_name(f"{SILENCE}.tsv")).hypotheses if silence is not None and quiet.is_file() else None
    num_averaged = len(logs.read_averaged(folder / "average.log")) or None
    return Run(folder, path.parent, hypotheses, training, decoding, texts, num_averaged)
