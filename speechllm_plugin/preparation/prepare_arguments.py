"""The flags of `speechllm prepare`."""

import argparse
import os

from speechllm_plugin.data.augmentation import SpecAugment
from speechllm_plugin.preparation.corpora import CORPORA, TASKS
from speechllm_plugin.preparation.hold_out import FILTERED_SPLITS

TASKS_EXPLAINED = "asr: the target is the transcript; st: it is the translation; joint: one model for both, by the tag of the language"
TRANSCRIBE_PROBABILITY = 0.5  # of joint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("corpus", choices=CORPORA, help="layout of the corpus")
    add("--root", required=True, metavar="DIR", help=f"folder of the corpus: the one that holds {_by_corpus(lambda corpus: corpus.layout)}")
    add("--source-lang", nargs="+", default=[], metavar="LANG", help="language or languages of the speech, e.g. en; tsv: if no column says it")
    add(
        "--target-lang",
        nargs="+",
        default=[],
        metavar="LANG",
        help="language or languages of the translations, e.g. de fr; for asr too, it names the folder or file; tsv: if no column says it",
    )
    add("--task", required=True, choices=TASKS, help=TASKS_EXPLAINED)
    add("--out", required=True, metavar="DIR", help="folder to make; after an interruption the same command completes it")
    add("--check", action="store_true", help="only look whether the corpus is complete: read no audio, write nothing")
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
    add("--transcribe-probability", type=probability, metavar="P", help=f"joint: how often training draws the transcript [{TRANSCRIBE_PROBABILITY}]")
    add(
        "--sampling-alpha",
        type=sampling_alpha,
        metavar="A",
        help="draw training rows of a language pair in proportion to the pair's size to this power, above 0 and at most 1 (as they are)",
    )
    add(
        "--hold-out",
        nargs="+",
        action="extend",
        type=condition,
        default=[],
        metavar="COLUMN=VALUE",
        help=f"leave rows with this value of a column of the manifest (accent, speaker ...) out of {' and '.join(FILTERED_SPLITS)}; test sets "
        'keep them. As in --hold-out "accent=other: Greek". A folder is made with one choice: another needs another --out',
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


def positive_number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be positive, but is {number}")
    return number


def probability(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, but is {number}")
    return number


def sampling_alpha(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, but is {number}")
    return number


def condition(text: str) -> tuple[str, str]:
    """Column and value of COLUMN=VALUE; the value may be empty."""
    column, equals, value = text.partition("=")
    if not (column and equals):
        raise argparse.ArgumentTypeError(f"must be a column and its value, as in accent=us, but is {text}")
    return column, value


def specaugment_setting(text: str) -> tuple[str, int | float]:
    """Key and value of KEY=VALUE, as SpecAugment takes them."""
    key, _, value = text.partition("=")
    try:
        number = float(value) if key == "time_mask_p" else int(value)
        SpecAugment(**{"freq_mask_F": 1, "time_mask_T": 1, key: number})
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"must be a SpecAugment setting and its number, as in time_mask_p=0.2, but is {text} ({error})") from error
    return key, number


def _by_corpus(text_of):
    """What holds for each corpus, those alike named together: `A (mustc, tsv), B (covost2)`."""
    names = {}
    for name, corpus in CORPORA.items():
        names.setdefault(str(text_of(corpus)), []).append(name)
    return "; ".join(f"{text} ({', '.join(alike)})" for text, alike in names.items())
