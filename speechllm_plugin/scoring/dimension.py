"""Dimensions: ways to divide a test set into slices, by the value that each of its rows has.

`column`, `thirds` and `binned` make values of columns and of numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from speechllm_plugin.data.manifest import UTTERANCE_COLUMNS, Utterance
from speechllm_plugin.scoring.speakers import read_native
from speechllm_plugin.text.word_splitting import words_of

EMPTY, UNKNOWN = "(empty)", "(unknown)"

# Rates depend on the language and on the compression, so that no fixed bounds suit all test sets: bins are thirds of this one.
RATE_QUANTILES = (1 / 3, 2 / 3)
RATE_DECIMALS = 2


class FactsMissing(ValueError):
    """A dimension needs facts about the test set that are not there."""


@dataclass(frozen=True)
class Context:
    """All that is known about a test set; None where it is not.

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

    def __post_init__(self) -> None:
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
    """One way to divide a test set.

    heading, explanation: for tables; one sentence for people.
    values: Context -> Values. FactsMissing: the test set lacks what is needed, which the message says.
    """

    heading: str
    explanation: str
    values: Callable[[Context], Values]


def transcripts(utterances: Sequence[Utterance]) -> list[str]:
    """The transcript of every row: src_text, or the target of a recognition (src_lang and tgt_lang are the same), or ""."""
    return [
        utterance.src_text or (utterance.tgt_text if utterance.src_lang and utterance.src_lang == utterance.tgt_lang else "")
        for utterance in utterances
    ]


def transcripts_of(context: Context, name: str) -> list[str]:
    """The transcript of every row, for the dimension of this name.

    Raises:
        FactsMissing: no row has one.
    """
    said = transcripts(context.utterances)
    if not any(text.strip() for text in said):
        raise FactsMissing(f"{name} needs transcripts, but the column src_text is empty or absent")
    return said


def column(name: str, order: Sequence[str] = ()) -> Callable[[Context], Values]:
    """The values of a column of the manifest; those of `order` stand in its order where rows have them."""

    def values(context: Context) -> Values:
        of_rows = column_of(context, name, name)
        return Values(of_rows, [value for value in order if value in of_rows])

    return values


def column_of(context: Context, name: str, dimension: str) -> list[str]:
    if name not in context.columns:
        raise FactsMissing(f"{dimension} needs a column {name} in the manifest, or in a table of speakers")
    return [value.strip() or EMPTY for value in context.column(name)]


def source_languages(context: Context) -> list[str]:
    return [utterance.src_lang for utterance in context.utterances]


def target_languages(context: Context) -> list[str]:
    return [utterance.tgt_lang for utterance in context.utterances]


def num_words(texts: Sequence[str], languages: Sequence[str]) -> np.ndarray:
    """(N,) words of each text; nan where there is none."""
    numbers = np.array([len(words_of(text, language)) for text, language in zip(texts, languages)], dtype=np.float64)
    return np.where(numbers > 0, numbers, np.nan)


def thirds(rates: np.ndarray, unit: str) -> Values:
    """The bin of every rate, of three bins of about as many rows, or of fewer where many rates are equal.

    The bounds are rounded as the labels show them.
    """
    known = rates[~np.isnan(rates)]
    bounds = np.unique(np.quantile(known, RATE_QUANTILES).round(RATE_DECIMALS)) if len(known) else np.zeros(1)
    shown = [f"{bound:.{RATE_DECIMALS}f}" for bound in bounds]
    labels = [f"< {shown[0]} {unit}", *(f"{low}-{high} {unit}" for low, high in zip(shown, shown[1:])), f">= {shown[-1]} {unit}"]
    return binned(rates, bounds, labels)


def binned(numbers: np.ndarray, bounds: Sequence[float] | np.ndarray, labels: Sequence[str]) -> Values:
    """The bin of every number.

    Args:
        numbers: (N,) nan where a row has none.
        bounds: ascending; a bound belongs to the bin above it.
        labels: of the bins, one more than bounds.
    """
    bins = np.searchsorted(np.asarray(bounds, dtype=np.float64), numbers, side="right")
    return Values([EMPTY if np.isnan(number) else labels[index] for number, index in zip(numbers, bins)], labels)
