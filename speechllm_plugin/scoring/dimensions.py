"""The dimensions by which a test set is sliced: functions from what is known about its rows to the value of each row.

To add one, add its `Dimension` to DIMENSIONS.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from speechllm_plugin.data.features import FRAME_SHIFT_SECONDS
from speechllm_plugin.data.manifest import UTTERANCE_COLUMNS, Utterance
from speechllm_plugin.scoring.speakers import NATIVE, NON_NATIVE, nativeness, read_native
from speechllm_plugin.scoring.words import num_unseen_words
from speechllm_plugin.text.word_splitting import words_of

EMPTY, UNKNOWN = "(empty)", "(unknown)"

# Bounds belong to the bin above them.
DURATION_BOUNDS_SECONDS = (2, 5, 10, 20)
TEXT_LENGTH_BOUNDS_WORDS = (6, 11, 21, 41)

# Rates depend on the language and on the compression, so that no fixed bounds suit all test sets: bins are thirds of this one.
RATE_QUANTILES = (1 / 3, 2 / 3)
RATE_DECIMALS = 2

# Common Voice's names (one of them misspelt there), from young to old.
AGES = ("teens", "twenties", "thirties", "forties", "fourties", "fifties", "sixties", "seventies", "eighties", "nineties")


class FactsMissing(ValueError):
    """A dimension needs facts about the test set that are not there."""


@dataclass(frozen=True)
class Context:
    """What slices may look at; None where unknown.

    utterances: N rows of the manifest, the speakers' attributes joined into `extra`.
    transcript_counts, target_counts: of `words.word_counts` over the training transcripts (src_text) and targets (tgt_text).
    compression_rates: (N,) speech states before compression per state after it; nan where a row has none.
    native: of `read_native`.

    Raises:
        ValueError: there are not N compression rates.
    """

    utterances: Sequence[Utterance]
    transcript_counts: Mapping[str, int] | None = None
    target_counts: Mapping[str, int] | None = None
    compression_rates: np.ndarray | None = None
    native: Mapping[str, str] = field(default_factory=read_native)

    def __post_init__(self):
        if self.compression_rates is not None and np.shape(self.compression_rates) != (len(self.utterances),):
            raise ValueError(
                f"there must be one compression rate for each of {len(self.utterances)} rows, but their shape is {np.shape(self.compression_rates)}"
            )

    @property
    def columns(self) -> list[str]:
        """The columns of the manifest."""
        return [*UTTERANCE_COLUMNS, *(self.utterances[0].extra if self.utterances else ())]

    def column(self, name: str) -> list[str]:
        return [str(getattr(utterance, name)) if name in UTTERANCE_COLUMNS else utterance.extra[name] for utterance in self.utterances]


class Values(NamedTuple):
    """The value of every row.

    bins: values that are slices also where no row has them, in this order, before all others.
    """

    of_rows: Sequence[str]
    bins: Sequence[str] = ()


@dataclass(frozen=True)
class Dimension:
    """One way to divide a test set. values: Context -> Values, or raises FactsMissing, which says what is needed."""

    heading: str
    explanation: str
    values: Callable[[Context], Values]


def durations(utterances: Sequence[Utterance]) -> np.ndarray:
    """(N,) seconds of speech."""
    return np.array([utterance.n_frames for utterance in utterances], dtype=np.float64) * FRAME_SHIFT_SECONDS


def transcripts(utterances: Sequence[Utterance]) -> list[str]:
    """What is said: src_text, or the target of a recognition (src_lang and tgt_lang are the same); "" if the manifest does not have it."""
    return [
        utterance.src_text or (utterance.tgt_text if utterance.src_lang and utterance.src_lang == utterance.tgt_lang else "")
        for utterance in utterances
    ]


def column(name: str, order: Sequence[str] = ()) -> Callable[[Context], Values]:
    """The values of a column of the manifest; those of `order` stand in its order where rows have them."""

    def values(context):
        of_rows = _column_of(context, name, name)
        return Values(of_rows, [value for value in order if value in of_rows])

    return values


def _column_of(context, name, dimension):
    if name not in context.columns:
        raise FactsMissing(f"{dimension} needs a column {name} in the manifest, or in a table of speakers")
    return [value.strip() or EMPTY for value in context.column(name)]


def _native(context):
    of_rows = [
        EMPTY if accent == EMPTY else nativeness(accent, context.native, utterance.src_lang) or UNKNOWN
        for accent, utterance in zip(_column_of(context, "accent", "native"), context.utterances)
    ]
    return Values(of_rows, (NATIVE, NON_NATIVE))


def _duration(context):
    seconds = DURATION_BOUNDS_SECONDS
    labels = [f"< {seconds[0]} s", *(f"{low}-{high} s" for low, high in zip(seconds, seconds[1:])), f">= {seconds[-1]} s"]
    return _binned(durations(context.utterances), seconds, labels)


def _text_length(context):
    bounds = TEXT_LENGTH_BOUNDS_WORDS
    labels = [f"{low}-{high - 1} words" for low, high in zip((1, *bounds), bounds)] + [f">= {bounds[-1]} words"]
    lengths = _num_words([utterance.tgt_text for utterance in context.utterances], _target_languages(context))
    return _binned(np.where(lengths > 0, lengths, np.nan), bounds, labels)


def _speaking_rate(context):
    said = _transcripts_of(context, "speaking_rate")
    num_words = _num_words(said, _source_languages(context))
    return _thirds(np.where(num_words > 0, num_words, np.nan) / durations(context.utterances), "words/s")


def _compression_rate(context):
    if context.compression_rates is None:
        raise FactsMissing("compression_rate needs the rates of a checkpoint that compresses the speech (--ctc-compression), decoded here")
    return _thirds(np.asarray(context.compression_rates, dtype=np.float64), "x")


def _unseen_in_transcript(context):
    said = _transcripts_of(context, "unseen_in_transcript")
    return _unseen("unseen_in_transcript", said, _source_languages(context), context.transcript_counts, "transcripts (src_text)")


def _unseen_in_target(context):
    texts = [utterance.tgt_text for utterance in context.utterances]
    return _unseen("unseen_in_target", texts, _target_languages(context), context.target_counts, "targets (tgt_text)")


def _unseen(name, texts, languages, counts, needed):
    if counts is None:
        raise FactsMissing(f"{name} needs the words of the training {needed}; give the training manifest")
    unseen = num_unseen_words(texts, languages, counts)
    bins = ("none", "1 or more")
    return Values([bins[min(number, 1)] if text.strip() else EMPTY for text, number in zip(texts, unseen)], bins)


def _transcripts_of(context, name):
    said = transcripts(context.utterances)
    if not any(text.strip() for text in said):
        raise FactsMissing(f"{name} needs transcripts, but the column src_text is empty or absent")
    return said


def _source_languages(context):
    return [utterance.src_lang for utterance in context.utterances]


def _target_languages(context):
    return [utterance.tgt_lang for utterance in context.utterances]


def _num_words(texts, languages):
    return np.array([len(words_of(text, language)) for text, language in zip(texts, languages)], dtype=np.float64)


def _thirds(rates, unit):
    """Three bins of about as many rows, or fewer where many rates are equal; their bounds, as rounded as they are shown, are in the values."""
    known = rates[~np.isnan(rates)]
    bounds = np.unique(np.quantile(known, RATE_QUANTILES).round(RATE_DECIMALS)) if len(known) else np.zeros(1)
    shown = [f"{bound:.{RATE_DECIMALS}f}" for bound in bounds]
    labels = [f"< {shown[0]} {unit}", *(f"{low}-{high} {unit}" for low, high in zip(shown, shown[1:])), f">= {shown[-1]} {unit}"]
    return _binned(rates, bounds, labels)


def _binned(numbers, bounds, labels):
    """numbers: (N,) nan where a row has none; a bound belongs to the bin above it; one label more than bounds."""
    bins = np.searchsorted(np.asarray(bounds, dtype=np.float64), numbers, side="right")
    return Values([EMPTY if np.isnan(number) else labels[index] for number, index in zip(numbers, bins)], labels)


DIMENSIONS = {
    "accent": Dimension("Accent", "Accent of the speaker, as the manifest names it.", column("accent")),
    "native": Dimension("Native speaker", "Whether the accent counts as a native speaker's, by an editable table of accents.", _native),
    "gender": Dimension("Gender", "Gender of the speaker, as the manifest names it.", column("gender")),
    "age": Dimension("Age", "Age of the speaker, as the manifest names it.", column("age", AGES)),
    "speaker": Dimension("Speaker", "Speaker, as the manifest names them.", column("speaker")),
    "src_lang": Dimension("Source language", "Language of the speech.", column("src_lang")),
    "tgt_lang": Dimension("Target language", "Language of the reference.", column("tgt_lang")),
    "duration": Dimension("Duration", "Seconds of speech.", _duration),
    "text_length": Dimension("Reference length", "Words of the normalised reference.", _text_length),
    "speaking_rate": Dimension("Speaking rate", "Words of the normalised transcript per second of speech: thirds of the test set.", _speaking_rate),
    "compression_rate": Dimension(
        "Compression rate", "Speech states before the CTC compression per state after it: thirds of the test set.", _compression_rate
    ),
    "unseen_in_transcript": Dimension("Unseen words, transcript", "Words of the transcript that no training transcript has.", _unseen_in_transcript),
    "unseen_in_target": Dimension("Unseen words, reference", "Words of the reference that no training target has.", _unseen_in_target),
}
