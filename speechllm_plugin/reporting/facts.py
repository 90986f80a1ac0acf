"""FACTS: what several parts of a report need, each computed once."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from speechllm_plugin.data import manifest
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.reporting.example_rows import example_rows, picture_rows, rows_of_ids
from speechllm_plugin.reporting.inspections import Inspections, inspected
from speechllm_plugin.reporting.metric_choice import chosen_metrics
from speechllm_plugin.reporting.options import Options
from speechllm_plugin.reporting.study import Study
from speechllm_plugin.scoring.slices import Context, join_speakers, read_native
from speechllm_plugin.scoring.words import word_counts
from speechllm_plugin.text.language_identification import KnownLanguages, learn


class Fact(NamedTuple):
    """An entry of FACTS.

    needs:   names of other facts and of parts; of a part, its numbers.
    compute: takes what is needed by name.
    """

    needs: tuple[str, ...]
    compute: Callable[..., Any]


def given(study: Study, options: Options) -> dict[str, Any]:
    """The facts that come before all others: what the user gave, checked.

    Raises:
        ValueError: the tables of speakers or accents do not fit the test set, or it has no utterance of an id.
    """
    if options.speakers is not None:
        study = study._replace(utterances=join_speakers(study.utterances, options.speakers))
    native = read_native(options.native) if options.native is not None else read_native()
    chosen_rows = rows_of_ids(options.utterances, study.utterances)
    return {"study": study, "options": options, "settings": options.settings, "native": native, "chosen_rows": chosen_rows}


def training_set(study: Study) -> list[Utterance]:
    """The rows of train.tsv; empty where its manifest is not there."""
    path = study.data / "train.tsv"
    return manifest.read(path) if path.is_file() else []


def context(study: Study, training_set: list[Utterance], inspections: Inspections, native: dict[str, str]) -> Context:
    """The facts that slices are cut by."""
    return Context(
        study.utterances,
        transcript_counts=_word_counts((utterance.src_text, utterance.src_lang) for utterance in training_set),
        target_counts=_word_counts((utterance.tgt_text, utterance.tgt_lang) for utterance in training_set),
        compression_rates=next(iter(inspections.compression_rates.values()), None),
        native=native,
    )


def known_languages(study: Study, training_set: list[Utterance]) -> KnownLanguages:
    """The scripts and words that the test set and the training set have of each language."""
    return learn(study.utterances, training_set)


def _word_counts(texts: Iterable[tuple[str, str]]) -> Counter | None:
    """How often each word stands in the texts, pairs of (text, language); None where there are no texts at all."""
    filled = [(text, language) for text, language in texts if text.strip()]
    return word_counts(*zip(*filled)) if filled else None


FACTS = {
    "metrics": Fact(("study", "options"), chosen_metrics),
    "example_rows": Fact(("study", "scores", "chosen_rows", "options"), example_rows),
    "picture_rows": Fact(("chosen_rows", "example_rows"), picture_rows),
    "inspections": Fact(("study", "picture_rows", "options"), inspected),
    "training_set": Fact(("study",), training_set),
    "context": Fact(("study", "training_set", "inspections", "native"), context),
    "known_languages": Fact(("study", "training_set"), known_languages),
}
