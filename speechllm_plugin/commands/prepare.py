"""`speechllm prepare`: a corpus becomes manifests, features, vocabularies and a data config."""

import argparse
import collections
import contextlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from speechllm_plugin.data import data_config, manifest, recording
from speechllm_plugin.data.features import FRAME_SHIFT_SECONDS, FeatureArchive
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.preparation import corpora, hold_out, vocabulary
from speechllm_plugin.preparation.corpora import CORPORA, TRAIN_SPLIT
from speechllm_plugin.preparation.corpus_check import TRAIN_FRAMES, check, needed_texts, text_problem
from speechllm_plugin.preparation.extraction import SoundReaders
from speechllm_plugin.preparation.prepare_arguments import TRANSCRIBE_PROBABILITY, add_arguments
from speechllm_plugin.preparation.prepare_output import print_check, print_table, report_absent, report_held_out
from speechllm_plugin.preparation.prepared_folder import PreparedFolder, fingerprint

__all__ = ["add_arguments", "run"]

ANY_FRAMES = range(1, sys.maxsize)


@dataclass(frozen=True)
class Vocabulary:
    """A vocabulary to make: the names of its files, the flag of its size, what it is trained on, and where to copy it from instead."""

    name: str
    flag: str
    size: int
    columns: tuple[str, ...]
    tags: tuple[str, ...] = ()
    source: Path | None = None


def run(args: argparse.Namespace) -> None:
    corpus = CORPORA[args.corpus]
    splits = list(dict.fromkeys(args.splits or corpus.splits))
    pairs = corpora.language_pairs(args.corpus, args.task, args.source_lang, args.target_lang)
    folder = _open_folder(args, splits)
    corpus_rows = corpora.read(args.corpus, args.root, splits, pairs)
    absent = {split: [row for row in corpus_rows[split] if row.absent_from] for split in splits}
    for split in splits:
        report_absent(split, absent[split], len(corpus_rows[split]))
    usable = {split: [row for row in corpus_rows[split] if not row.absent_from] for split in splits}
    kept, held_out = hold_out.apply(usable, args.hold_out)
    report_held_out(held_out, usable)
    contents = {split: corpora.manifests(args.task, split, kept[split]) for split in splits}
    check(args.task, args.root, contents, columns_made=[recording.COLUMN] if args.features == "stored" else [])
    if args.check:
        print_check(args.root, contents, absent)
        return
    vocabularies = _plan_vocabularies(args, corpus, folder, contents)
    for split in splits:
        _write_absent(folder.path / f"missing_{split}.txt", absent[split])
    with SoundReaders(args.workers) as readers:
        facts = {split: _prepare_split(folder, readers, args, split, contents[split]) for split in splits}
    for planned in vocabularies:
        _prepare_vocabulary(folder, planned)
    _write_config(args, folder, vocabularies)
    folder.publish(*(f"{name}.tsv" for manifests in contents.values() for name in manifests))
    print_table(folder.path, contents, facts, vocabularies)


def _open_folder(args, splits):
    if args.transcribe_probability is not None and args.task != "joint":
        raise ValueError(f"--transcribe-probability is for --task joint, but --task is {args.task}: leave it out")
    source = args.transcript_vocab_from and Path(args.transcript_vocab_from).resolve()
    if source == Path(args.out).resolve():
        raise ValueError(f"--transcript-vocab-from must be another folder than --out, but both are {args.out}")
    for suffix in vocabulary.SUFFIXES if source else ():
        if not (source / f"spm_transcript{suffix}").is_file():
            raise FileNotFoundError(f"{source}/spm_transcript{suffix}: no such file; --transcript-vocab-from must be a folder with this vocabulary")
    options = {
        "corpus": args.corpus,
        "--root": str(Path(args.root).resolve()),
        "--source-lang": " ".join(args.source_lang),
        "--target-lang": " ".join(args.target_lang),
        "--task": args.task,
        "--features": args.features,
        "--specaugment": dict(args.specaugment),
        "--transcript-vocab-from": source and str(source),
        "--transcribe-probability": args.transcribe_probability,
        "--sampling-alpha": args.sampling_alpha,
        "--hold-out": hold_out.describe(args.hold_out) or None,
    }
    folder = PreparedFolder(args.out, options)
    if TRAIN_SPLIT not in splits and folder.entry(TRAIN_SPLIT) is None and not args.check:
        raise ValueError(f"--splits must name {TRAIN_SPLIT} in the first run, because the vocabularies are made from it, but is {' '.join(splits)}")
    return folder


def _write_absent(path, absent):
    """A list of the clips, or no file where nothing is missing."""
    path.unlink(missing_ok=True)
    if absent:
        with replacing(path) as part:
            part.write_text("".join(f"{name}\n" for name in dict.fromkeys(row.utterance.audio for row in absent)), encoding="utf-8")
        print(f"{path}: the clips that were left out")


def _plan_vocabularies(args, corpus, folder, contents):
    if TRAIN_SPLIT in contents:
        utterances = [row.utterance for row in contents[TRAIN_SPLIT][TRAIN_SPLIT]]
    else:
        utterances = manifest.read(folder.manifest(TRAIN_SPLIT))
    languages = {utterance.tgt_lang for utterance in utterances}
    size = args.vocab_size or (corpus.multilingual_vocab_size if len(languages) > 1 else corpus.vocab_sizes[args.task])
    columns = ("tgt_text",)
    if args.task == "joint":
        languages |= {utterance.src_lang for utterance in utterances}
        columns = ("tgt_text", "src_text")
    tags = tuple(map(vocabulary.language_tag, sorted(languages))) if len(languages) > 1 else ()
    planned = [Vocabulary("spm_target", "--vocab-size", size, columns, tags)]
    if "src_text" in needed_texts(args.task, utterances):
        size, source = args.transcript_vocab_size or corpus.transcript_vocab_size, None
        if args.transcript_vocab_from:
            source = Path(args.transcript_vocab_from, "spm_transcript")
            size = vocabulary.size_of(source)
        planned.append(Vocabulary("spm_transcript", "--transcript-vocab-size", size, ("src_text",), source=source))
    elif args.transcript_vocab_from or args.transcript_vocab_size:
        flag = "--transcript-vocab-from" if args.transcript_vocab_from else "--transcript-vocab-size"
        raise ValueError(f"{flag} needs transcripts, but {args.root} has no src_text: leave it out")
    if (folder.path / f"{TRAIN_SPLIT}.tsv").exists():
        for one in planned:
            entry = folder.entry(one.name)
            if entry is not None and one.source is None:
                folder.require_same(one.flag, entry["facts"]["size"], one.size)
    return planned


def _prepare_split(folder, readers, args, split, manifests):
    """Make the drafts of a split's manifests and their features, unless they are there; returns rows, hours and dropped rows."""
    corpus_rows = [row for rows in manifests.values() for row in rows]
    mark = fingerprint(corpus_rows, args.root)
    facts = folder.finished(split, mark)
    if facts is not None:
        print(f"{split}: already prepared")
        return facts
    files = [f"{name}.tsv" for name in manifests]
    archive = contextlib.nullcontext()
    if args.features == "stored":
        files.append(f"fbank80.{split}.zip")
        archive = FeatureArchive(folder.path / files[-1])
    folder.withdraw(split, *files)
    frames = TRAIN_FRAMES if split == TRAIN_SPLIT else ANY_FRAMES
    with archive as writer:
        readings = _read_sounds(readers, args.root, split, corpus_rows, frames, writer)
        rows, dropped = _with_readings(args.task, split, manifests, readings, frames)
    for name, utterances in rows.items():
        manifest.write(folder.draft(f"{name}.tsv"), utterances)
    for reason, count in dropped.items():
        print(f"{split}: dropped {count} of {len(corpus_rows)} rows: {reason}")
    num_frames = [utterance.n_frames for utterances in rows.values() for utterance in utterances]
    hours = sum(num_frames) * FRAME_SHIFT_SECONDS / 3600
    return folder.finish(split, mark, *files, rows=len(num_frames), hours=hours, dropped=dropped.total())


def _read_sounds(readers, root, split, corpus_rows, frames, archive):
    """Sound -> what reading it gave, its features being in the archive: each sound is read and stored once, however many rows have it."""
    first = {}
    for row in corpus_rows:
        first.setdefault(row.sound, row)
    readings = readers.read(list(first.values()), root, frames, with_features=archive is not None)
    reading_of = {}
    for reading, (sound, row) in zip(tqdm(readings, desc=split, total=len(first), unit="row"), first.items()):
        if reading.features is not None:
            stored = archive.add(row.utterance.id, reading.features)
            reading = replace(reading, audio=stored, recording=reading.audio, features=None)
        reading_of[sound] = reading
    return reading_of


def _with_readings(task, split, manifests, readings, frames):
    """The utterances of each manifest, and the number of dropped ones by reason.

    Raises:
        ValueError: rows cannot be used; all of them are listed on stderr first.
    """
    rows, dropped, bad = {}, collections.Counter(), []
    for name, corpus_rows in manifests.items():
        rows[name] = utterances = []
        needed = needed_texts(task, [row.utterance for row in corpus_rows]) if split == TRAIN_SPLIT else ()
        for row in corpus_rows:
            reading = readings[row.sound]
            if not reading.problem and reading.n_frames not in frames:
                limit = f"shorter than {frames[0]} frames" if reading.n_frames < frames[0] else f"longer than {frames[-1]} frames"
                dropped[f"{limit} ({frames[0]} to {frames[-1]} are trained on)"] += 1
                continue
            problem = reading.problem or text_problem(row.utterance, needed)
            if problem:
                bad.append(f"{row.place} ({row.utterance.id}): {problem}")
            extra = row.utterance.extra | ({recording.COLUMN: reading.recording} if reading.recording else {})
            utterances.append(replace(row.utterance, audio=reading.audio, n_frames=reading.n_frames, extra=extra))
    num_rows = sum(map(len, manifests.values()))
    if bad:
        print(*bad, sep="\n", file=sys.stderr)
        raise ValueError(f"{split}: {len(bad)} of {num_rows} rows cannot be used (listed above); correct or remove them and run again")
    if not any(rows.values()):
        raise ValueError(f"{split}: none of the {num_rows} rows has {frames[0]} to {frames[-1]} frames; check the times in the corpus")
    return rows, dropped


def _prepare_vocabulary(folder, planned):
    mark = f"{folder.entry(TRAIN_SPLIT)['mark']} {planned.size}" if planned.source is None else vocabulary.digest(planned.source)
    if folder.finished(planned.name, mark) is not None:
        return
    files = [f"{planned.name}{suffix}" for suffix in vocabulary.SUFFIXES]
    folder.withdraw(planned.name, *files)
    if planned.source is None:
        utterances = manifest.read(folder.manifest(TRAIN_SPLIT))
        texts = (getattr(utterance, column) for column in planned.columns for utterance in utterances)
        vocabulary.train(folder.path / planned.name, texts, planned.size, planned.flag, planned.tags)
    else:
        vocabulary.copy(planned.source, folder.path / planned.name)
    folder.finish(planned.name, mark, *files, size=planned.size)


def _write_config(args, folder, vocabularies):
    settings = {}
    if vocabularies[0].tags:
        settings["prepend_tgt_lang_tag"] = True
    if args.task == "joint":
        settings["transcribe_probability"] = TRANSCRIBE_PROBABILITY if args.transcribe_probability is None else args.transcribe_probability
    if args.sampling_alpha is not None:
        settings["sampling_alpha"] = args.sampling_alpha
    stored = args.features == "stored"
    if stored:
        settings["recording_root"] = Path(args.root).absolute().as_posix()
    target, *transcript = (planned.name for planned in vocabularies)
    data_config.write(
        folder.path / "config.yaml",
        audio_root=folder.path if stored else args.root,
        target=target,
        transcript=transcript[0] if transcript else None,
        movable=stored,
        specaugment=dict(args.specaugment),
        **settings,
    )
