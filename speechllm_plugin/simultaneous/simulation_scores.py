"""Quality and latency of a simulated test set, and their table."""

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.scoring.measuring import measure
from speechllm_plugin.scoring.metric import Metric
from speechllm_plugin.simultaneous.latency import average_lagging, length_adaptive_average_lagging
from speechllm_plugin.simultaneous.latency_units import LatencyUnit
from speechllm_plugin.simultaneous.simulation import Simulated

# field of Scores -> formula, and the delays that it is of
LATENCIES = {
    "laal_ms": (length_adaptive_average_lagging, "delays"),
    "al_ms": (average_lagging, "delays"),
    "laal_ca_ms": (length_adaptive_average_lagging, "elapsed"),
    "al_ca_ms": (average_lagging, "elapsed"),
}


class Scores(NamedTuple):
    """A model under a threshold.

    quality: metric -> score of the corpus.
    laal_ms, al_ms: means over the utterances that have text, nan if none has; `ca` with the time of computing.
    num_silent: utterances without text, which have no latency.
    """

    model: str
    threshold: int | str
    quality: dict[str, float]
    laal_ms: float
    al_ms: float
    laal_ca_ms: float
    al_ca_ms: float
    num_silent: int


def scores(model: str, simulated: Sequence[Simulated], utterances: Sequence[Utterance], metrics: Sequence[Metric], unit: LatencyUnit) -> Scores:
    """The scores of the utterances under one threshold, in the order of the manifest.

    Raises:
        ValueError: the references have no text.
    """
    references, languages = [each.tgt_text for each in utterances], [each.tgt_lang for each in utterances]
    quality = measure(metrics, [each.text for each in simulated], references, languages).score_only()
    written = [(each, max(1, len(unit.units(reference)))) for each, reference in zip(simulated, references) if each.delays]
    latency = {
        name: fmean(formula(getattr(each, delays), each.source_ms, num_units) for each, num_units in written) if written else float("nan")
        for name, (formula, delays) in LATENCIES.items()
    }
    return Scores(model, simulated[0].threshold, quality, **latency, num_silent=len(simulated) - len(written))


def check(utterances: Sequence[Utterance], metrics: Sequence[Metric]) -> None:
    """Raise ValueError, before anything is decoded, for references that cannot be scored, or not here."""
    references = [each.tgt_text for each in utterances]
    measure(metrics, references, references, [each.tgt_lang for each in utterances])


HEADINGS_OF_LATENCY = ("LAAL ms", "AL ms", "LAAL_CA ms", "AL_CA ms", "no text")


def headings(metrics: Sequence[Metric]) -> list[str]:
    return ["model", "threshold", *(metric.heading for metric in metrics), *HEADINGS_OF_LATENCY]


def row(each: Scores) -> list[str]:
    """The cells of the table."""
    latency = (f"{getattr(each, name):.0f}" for name in LATENCIES)
    return [each.model, str(each.threshold), *(f"{score:.2f}" for score in each.quality.values()), *latency, str(each.num_silent)]
