"""`speechllm prepare`: a corpus becomes manifests, features, vocabularies and a data config."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from speechllm_plugin.data.recording import RECORDING_COLUMN
from speechllm_plugin.files.locks import locked_folder
from speechllm_plugin.files.text_table import aligned_row
from speechllm_plugin.preparation import config_file, corpora, corpus_check, hold_out, speed_perturbation, split_files, text_rows, vocabulary_plan
from speechllm_plugin.preparation.argument_types import condition, positive_number, probability, sampling_alpha, specaugment_setting, speed
from speechllm_plugin.preparation.corpora import CORPORA, TASKS, TRAIN_SPLIT, Corpus
from speechllm_plugin.preparation.corpus_row import CorpusRow
from speechllm_plugin.preparation.extraction import SoundReaders
from speechllm_plugin.preparation.hold_out import FILTERED_SPLITS
from speechllm_plugin.preparation.prepared_folder import PreparedFolder
from speechllm_plugin.preparation.settings import DEFAULT_TRANSCRIBE_PROBABILITY, Settings
from speechllm_plugin.preparation.split_files import Manifests
from speechllm_plugin.preparation.vocabulary_plan import PlannedVocabulary
from speechllm_plugin.text.listing import first_few

TASKS_EXPLAINED = "asr: the target is the transcript; st: it is the translation; joint: one model for both, by the tag of the language"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("corpus", choices=CORPORA, help="layout of the corpus")
    add("--root", required=True, metavar="DIR", help=f"folder of the corpus: the one that holds {_by_corpus(lambda corpus: corpus.layout)}")
    add(
        "--source-lang",
        nargs="+",
        default=[],
        metavar="LANG",
        help="language or languages of the speech, e.g. en; tsv: only where no column names it",
    )
    add(
        "--target-lang",
        nargs="+",
        default=[],
        metavar="LANG",
        help="language or languages of the translations, e.g. de fr; for asr too, as it names the folder or file; tsv: only where no column names it",
    )
    add("--task", required=True, choices=TASKS, help=TASKS_EXPLAINED)
    add("--out", required=True, metavar="DIR", help="folder to make; after an interruption the same command completes it")
    add("--check", action="store_true", help="only check that the corpus is complete; no audio is read, and nothing is written")
    add("--splits", nargs="+", metavar="SPLIT", help=f"splits to prepare; {_by_corpus(lambda corpus: ' '.join(corpus.splits))} if not given")
    add(
        "--vocab-size",
        type=positive_number,
        metavar="N",
        help="pieces of the target vocabulary, tags included; if not given, "
        + _by_corpus(
            lambda corpus: (
                ", ".join(f"{size} for {task}" for task, size in corpus.vocab_sizes.items())
                + f", {corpus.multilingual_vocab_size} for several target languages"
            )
        ),
    )
    transcript = parser.add_mutually_exclusive_group()
    transcript.add_argument(
        "--transcript-vocab-size",
        type=positive_number,
        metavar="N",
        help=f"pieces of the transcript vocabulary; {_by_corpus(lambda corpus: corpus.transcript_vocab_size)} if not given",
    )
    transcript.add_argument(
        "--transcript-vocab-from",
        metavar="DATA_FOLDER",
        help="take the transcript vocabulary of another prepared folder, so that a model can start from an encoder that was trained there",
    )
    add(
        "--vocab-from",
        metavar="DATA_FOLDER",
        help="take all vocabularies of another prepared folder, e.g. for one more test set of a model that was trained there: --splits test",
    )
    add(
        "--transcribe-probability",
        type=probability,
        metavar="P",
        help=f"joint: how often training draws the transcript (default: {DEFAULT_TRANSCRIBE_PROBABILITY})",
    )
    add(
        "--sampling-alpha",
        type=sampling_alpha,
        metavar="A",
        help="draw training rows of a language pair in proportion to the number of its rows to this power, above 0 and at most 1 (1: as they are)",
    )
    add(
        "--hold-out",
        nargs="+",
        action="extend",
        type=condition,
        default=[],
        metavar="COLUMN=VALUE",
        help=f"leave rows with this value of a column of the manifest (accent, speaker ...) out of {' and '.join(FILTERED_SPLITS)}; test sets "
        'keep them. Example: --hold-out "accent=other: Greek". A folder is made with one choice: another needs another --out',
    )
    add(
        "--features",
        choices=["stored", "online"],
        default="stored",
        help="filterbanks are stored in zip archives, or computed while training (default: stored)",
    )
    add(
        "--speed-perturbation",
        nargs="+",
        type=speed,
        default=[],
        metavar="SPEED",
        help="training has every row at each of these speeds, as in 0.9 1.0 1.1 (pitch changes with it); dev and test sets stay as they are",
    )
    add(
        "--allow-outside-root",
        action="store_true",
        help="take audio files outside --root as well (absolute paths, or with ..); else they are an error, as a corpus of somebody else could "
        "name any file of yours; symbolic links are followed either way",
    )
    add(
        "--workers",
        type=positive_number,
        default=os.cpu_count(),
        metavar="N",
        help="processes that read audio (default: as many as there are processors)",
    )
    add(
        "--specaugment",
        nargs="+",
        type=specaugment_setting,
        default=[],
        metavar="KEY=VALUE",
        help="settings of the data config that differ from the paper's, e.g. time_mask_p=0.2 for utterances of a second",
    )


def run(args: argparse.Namespace) -> None:
    with contextlib.nullcontext() if args.check else locked_folder(args.out, "speechllm prepare"):
        prepare(args)


def prepare(args: argparse.Namespace) -> None:
    splits = list(dict.fromkeys(args.splits or CORPORA[args.corpus].splits))
    pairs = corpora.language_pairs(args.corpus, args.task, args.source_lang, args.target_lang)
    given = {field.name: getattr(args, field.name) for field in fields(Settings)}
    settings = Settings(
        **given | {"splits": splits, "speed_perturbation": sorted(set(args.speed_perturbation)), "specaugment": dict(args.specaugment)}
    )
    folder = PreparedFolder(args.out, settings.remembered())
    if TRAIN_SPLIT not in splits and folder.entry(TRAIN_SPLIT) is None and not (args.check or args.vocab_from):
        raise ValueError(
            f"--splits must name {TRAIN_SPLIT} in the first run, because the vocabularies are made from it, but is {' '.join(splits)}; a test set "
            "for a model that is trained takes those of its data folder: --vocab-from"
        )

    rows = corpora.read(args.corpus, args.root, splits, pairs)
    left_out = {split: [row for row in rows[split] if row.left_out] for split in splits}
    print_left_out(left_out, rows)
    usable = {split: [row for row in rows[split] if not row.left_out] for split in splits}
    kept, held_out = hold_out.apply(usable, args.hold_out)
    print_held_out(held_out, usable)
    columns_made = [RECORDING_COLUMN] if settings.stores_features else []
    played = speed_perturbation.apply(kept, settings.speed_perturbation)
    contents = {split: corpora.manifests(args.task, split, played[split]) for split in splits}
    corpus_check.check(args.task, args.root, contents, columns_made, args.allow_outside_root)
    if args.check:
        print_check(args.root, contents, left_out)
        return

    vocabularies = vocabulary_plan.plan(settings, folder, contents)
    with SoundReaders(args.workers) as readers:
        facts = make_splits(folder, readers, settings, contents)
    for split, fact in facts.items():
        path = folder.path / f"missing_{split}.txt"
        names = [*(row.utterance.audio for row in left_out[split]), *fact.get("empty", [])]
        split_files.write_left_out(path, names)
        if names:
            print(f"{path}: the recordings that were left out")
    for planned in vocabularies:
        vocabulary_plan.make(folder, planned)
    config_file.write_of(folder, settings, vocabularies)
    print_lost_texts(folder, contents, vocabularies)
    folder.publish(*(f"{name}.tsv" for manifests in contents.values() for name in manifests))
    num_texts = text_rows.write(settings, pairs)
    print_table(folder.path, contents, facts, vocabularies)
    if num_texts:
        print(f"{text_rows.TEXTS_SPLIT}.tsv: {num_texts} texts that nobody recorded, for a text model that teaches")


def make_splits(folder: PreparedFolder, readers: SoundReaders, settings: Settings, contents: Mapping[str, Manifests]) -> dict[str, Mapping[str, Any]]:
    """The facts of every split, once they are made; says what was left out of each.

    Raises:
        ValueError: rows cannot be used; those of all splits are listed before.
    """
    facts, unusable = {}, []
    for split, manifests in contents.items():
        try:
            made = split_files.make(folder, readers, settings, split, manifests)
        except split_files.UnusableRows as error:
            print(*error.problems, sep="\n", file=sys.stderr)
            unusable.append(str(error))
            continue
        facts[split] = made.facts
        if not made.is_new:
            print(f"{split}: already prepared")
        num_rows = sum(map(len, manifests.values()))
        for reason, count in made.dropped.items():
            print(f"{split}: dropped {count} of {num_rows} rows: {reason}")
    if unusable:
        raise ValueError(f"{', '.join(unusable)} (listed above); correct or remove them and run again")
    return facts


def print_left_out(left_out: Mapping[str, Sequence[CorpusRow]], rows: Mapping[str, Sequence[CorpusRow]]) -> None:
    for split, left_out_rows in left_out.items():
        for reason in dict.fromkeys(row.left_out for row in left_out_rows):
            names = [Path(row.utterance.audio).name for row in left_out_rows if row.left_out == reason]
            print(f"{split}: left out {len(names)} of {len(rows[split])} rows {reason}: {first_few(names)}")


def print_held_out(held_out: Mapping[str, Mapping[hold_out.Condition, int]], contents: Mapping[str, Sequence[CorpusRow]]) -> None:
    for split, counts in held_out.items():
        for (column, value), count in counts.items():
            print(f"{split}: held out {count} of {len(contents[split])} rows: {column}={value}")


def print_lost_texts(folder: PreparedFolder, contents: Mapping[str, Manifests], vocabularies: Sequence[PlannedVocabulary]) -> None:
    names = [name for manifests in contents.values() for name in manifests]
    for planned in vocabularies:
        for line in vocabulary_plan.lost_texts(folder, planned, names):
            print(line)


def print_check(root: str, contents: Mapping[str, Manifests], left_out: Mapping[str, Sequence[CorpusRow]]) -> None:
    print(f"\n{root}\n{_line('manifest', 'rows', 'hours', 'left out')}")
    for split, manifests in contents.items():
        for name, rows in manifests.items():
            durations = [row.duration_seconds / row.speed for row in rows if row.duration_seconds is not None]
            hours = f"{sum(durations) / 3600:.2f}" if len(durations) == len(rows) else "-"
            print(_line(name, len(rows), hours, len(left_out[split])))
    print("complete; nothing was written")


def print_table(
    path: Path, contents: Mapping[str, Manifests], facts: Mapping[str, Mapping[str, Any]], vocabularies: Sequence[PlannedVocabulary]
) -> None:
    print(f"\n{path}\n{_line('split', 'rows', 'hours', 'dropped')}")
    for split, fact in facts.items():
        print(_line(" ".join(contents[split]), fact["rows"], f"{fact['hours']:.2f}", fact["dropped"]))
    for planned in vocabularies:
        tags = f", {len(planned.tags)} language tags among them" if planned.tags else ""
        print(f"{_line(planned.name, planned.size)} pieces{f', copied from {planned.source}' if planned.source else ''}{tags}")


def _by_corpus(text_of: Callable[[Corpus], object]) -> str:
    """What holds for each corpus, those alike named together: `A (mustc, tsv); B (covost2)`."""
    names: dict[str, list[str]] = {}
    for name, corpus in CORPORA.items():
        names.setdefault(str(text_of(corpus)), []).append(name)
    return "; ".join(f"{text} ({', '.join(alike)})" for text, alike in names.items())


def _line(*cells: object) -> str:
    return aligned_row([str(cell) for cell in cells], [-18, 9, 9, 9], between="")
