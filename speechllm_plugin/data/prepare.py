"""`speechllm prepare`: a corpus becomes manifests, features, vocabularies and a data config."""

import argparse
import collections
import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from speechllm_plugin.data import data_config, manifest, mustc, vocabulary
from speechllm_plugin.data.augmentation import SpecAugment
from speechllm_plugin.data.extraction import Readers
from speechllm_plugin.data.features import FRAME_SHIFT_SECONDS, FeatureArchive
from speechllm_plugin.data.prepared_folder import PreparedFolder, fingerprint

# read(root, split, source_lang, target_lang) -> segments; src_text is the transcript, tgt_text the translation.
CORPORA = {"mustc": mustc.read}

TRAIN_SPLIT = "train"
TRAIN_FRAMES = range(5, 3001)  # the paper's; other splits are never filtered
ANY_FRAMES = range(1, sys.maxsize)

# name of the files, flag of the size, column of the texts
VOCABULARIES = (("spm_target", "--vocab-size", "tgt_text"), ("spm_transcript", "--transcript-vocab-size", "src_text"))
TARGET_VOCABULARY_SIZES = {"asr": 5000, "st": 8000}  # this and the next are the paper's
TRANSCRIPT_VOCABULARY_SIZE = 5000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("corpus", choices=CORPORA, help="layout of the corpus")
    add("--root", required=True, metavar="DIR", help="folder of the corpus; for mustc the one that holds en-de and so on")
    add("--source-lang", required=True, metavar="LANG", help="language of the speech, e.g. en")
    add("--target-lang", required=True, metavar="LANG", help="language of the translations, e.g. de; for asr too, it names the folder")
    add("--task", required=True, choices=TARGET_VOCABULARY_SIZES, help="asr: the target is the transcript; st: it is the translation")
    add("--out", required=True, metavar="DIR", help="folder to make; after an interruption the same command completes it")
    sizes = ", ".join(f"{size} for {task}" for task, size in TARGET_VOCABULARY_SIZES.items())
    add("--vocab-size", type=positive_number, metavar="N", help=f"pieces of the target vocabulary; {sizes} if not given")
    add(
        "--transcript-vocab-size",
        type=positive_number,
        default=TRANSCRIPT_VOCABULARY_SIZE,
        metavar="N",
        help="pieces of the transcript vocabulary",
    )
    add("--features", choices=["stored", "online"], default="stored", help="filterbanks in zip archives, or computed while training")
    add("--workers", type=positive_number, default=os.cpu_count(), metavar="N", help="processes that read audio")
    add(
        "--specaugment",
        nargs="+",
        type=specaugment_setting,
        default=[],
        metavar="KEY=VALUE",
        help="settings of the data config that differ from the paper's, e.g. time_mask_p=0.2 for utterances of a second",
    )
    add("--splits", nargs="+", default=["train", "dev", "tst-COMMON"], metavar="SPLIT", help="splits to prepare")


def run(args: argparse.Namespace) -> None:
    splits = list(dict.fromkeys(args.splits))
    sizes = {"--vocab-size": args.vocab_size or TARGET_VOCABULARY_SIZES[args.task], "--transcript-vocab-size": args.transcript_vocab_size}
    folder = _open_folder(args, splits, sizes)
    with Readers(args.workers) as readers:
        facts = {split: _prepare_split(folder, readers, args, split) for split in splits}
    for name, flag, column in VOCABULARIES:
        _prepare_vocabulary(folder, name, flag, sizes[flag], column)
    target, transcript = (name for name, _, _ in VOCABULARIES)
    stored = args.features == "stored"
    audio_root = folder.path if stored else args.root
    data_config.write(
        folder.path / "config.yaml",
        audio_root=audio_root,
        target=target,
        transcript=transcript,
        movable=stored,
        specaugment=dict(args.specaugment),
    )
    folder.publish(*(f"{split}.tsv" for split in splits))
    _print_table(folder.path, facts, sizes)


def _open_folder(args, splits, sizes):
    options = {
        "corpus": args.corpus,
        "--root": str(Path(args.root).resolve()),
        "--source-lang": args.source_lang,
        "--target-lang": args.target_lang,
        "--task": args.task,
        "--features": args.features,
        "--specaugment": dict(args.specaugment),
    }
    folder = PreparedFolder(args.out, options)
    for name, flag, _ in VOCABULARIES:
        entry = folder.entry(name)
        if entry is not None and (folder.path / f"{TRAIN_SPLIT}.tsv").exists():
            folder.require_same(flag, entry["facts"]["size"], sizes[flag])
    if TRAIN_SPLIT not in splits and folder.entry(TRAIN_SPLIT) is None:
        raise ValueError(
            f"--splits must name {TRAIN_SPLIT} in the first run, because the vocabularies are made from it, but is {' '.join(splits)}"
        )
    return folder


def _prepare_split(folder, readers, args, split):
    """Make the draft of a split's manifest and its features, unless they are there; returns rows, hours and dropped rows."""
    segments = CORPORA[args.corpus](args.root, split, args.source_lang, args.target_lang)
    if args.task == "asr":
        segments = [replace(segment, utterance=_transcription(segment.utterance)) for segment in segments]
    mark = fingerprint(segments, args.root)
    facts = folder.finished(split, mark)
    if facts is not None:
        print(f"{split}: already prepared")
        return facts
    files = [f"{split}.tsv"]
    archive = contextlib.nullcontext()
    if args.features == "stored":
        files.append(f"fbank80.{split}.zip")
        archive = FeatureArchive(folder.path / files[-1])
    folder.withdraw(split, *files)
    with archive as writer:
        utterances, dropped = _read_segments(readers, args.root, split, segments, writer)
    manifest.write(folder.draft(files[0]), utterances)
    for reason, count in dropped.items():
        print(f"{split}: dropped {count} of {len(segments)} rows: {reason}")
    hours = sum(utterance.n_frames for utterance in utterances) * FRAME_SHIFT_SECONDS / 3600
    return folder.finish(split, mark, *files, rows=len(utterances), hours=hours, dropped=dropped.total())


def _transcription(utterance):
    return replace(utterance, tgt_text=utterance.src_text, tgt_lang=utterance.src_lang)


def _read_segments(readers, root, split, segments, archive):
    """The utterances to keep, with their features in the archive, and the number of dropped ones by reason.

    Raises:
        ValueError: rows cannot be used; all of them are listed on stderr first.
    """
    is_train = split == TRAIN_SPLIT
    frames = TRAIN_FRAMES if is_train else ANY_FRAMES
    utterances, dropped, bad = [], collections.Counter(), []
    readings = readers.read(segments, root, frames, with_features=archive is not None)
    for reading, segment in zip(tqdm(readings, desc=split, total=len(segments), unit="row"), segments):
        utterance = reading.utterance
        problem = reading.problem
        if not problem and utterance.n_frames not in frames:
            limit = f"shorter than {frames[0]} frames" if utterance.n_frames < frames[0] else f"longer than {frames[-1]} frames"
            dropped[f"{limit} ({frames[0]} to {frames[-1]} are trained on)"] += 1
            continue
        problem = problem or _text_problem(utterance, must_have_text=is_train)
        if problem:
            bad.append(f"{segment.place} ({utterance.id}): {problem}")
        elif not bad:
            utterances.append(replace(utterance, audio=archive.add(utterance.id, reading.features)) if archive else utterance)
    if bad:
        print(*bad, sep="\n", file=sys.stderr)
        raise ValueError(f"{split}: {len(bad)} of {len(segments)} rows cannot be used (listed above); correct or remove them and run again")
    if not utterances:
        raise ValueError(f"{split}: none of the {len(segments)} rows has {frames[0]} to {frames[-1]} frames; check the times in the corpus")
    return utterances, dropped


def _text_problem(utterance, must_have_text):
    for column in ("src_text", "tgt_text"):
        text = getattr(utterance, column)
        if must_have_text and not text:
            return f"{column} is empty, but training needs text; write the text or remove the row"
        if manifest.has_separator(text):
            return f"{column} must have no tab or line break, but is {text!r}; replace it by a space"
    return ""


def _prepare_vocabulary(folder, name, flag, size, column):
    mark = f"{folder.entry(TRAIN_SPLIT)['mark']} {size}"
    if folder.finished(name, mark) is not None:
        return
    files = f"{name}.model", f"{name}.txt"
    folder.withdraw(name, *files)
    texts = [getattr(utterance, column) for utterance in manifest.read(folder.manifest(TRAIN_SPLIT))]
    vocabulary.train(folder.path / name, texts, size, flag)
    folder.finish(name, mark, *files, size=size)


def _print_table(path, facts, sizes):
    print(f"\n{path}\n{'split':<14}{'rows':>9}{'hours':>9}{'dropped':>9}")
    for split, fact in facts.items():
        print(f"{split:<14}{fact['rows']:>9}{fact['hours']:>9.2f}{fact['dropped']:>9}")
    for name, flag, _ in VOCABULARIES:
        print(f"{name:<14}{sizes[flag]:>9} pieces")


def positive_number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be positive, but is {number}")
    return number


def specaugment_setting(text: str) -> tuple[str, int | float]:
    """Key and value of KEY=VALUE, as SpecAugment takes them."""
    key, _, value = text.partition("=")
    try:
        number = float(value) if key == "time_mask_p" else int(value)
        SpecAugment(**{"freq_mask_F": 1, "time_mask_T": 1, key: number})
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"must be a SpecAugment setting and its number, as in time_mask_p=0.2, but is {text} ({error})") from error
    return key, number
