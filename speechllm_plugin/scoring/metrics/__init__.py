"""The metrics: one file and one entry of METRICS each."""

from collections.abc import Iterable, Sequence

from speechllm_plugin.scoring.metric import Metric
from speechllm_plugin.scoring.metrics import comet
from speechllm_plugin.scoring.metrics.bleu import BLEU
from speechllm_plugin.scoring.metrics.chrf import CHRF
from speechllm_plugin.scoring.metrics.error_rates import CER, CER_NORMALISED, WER, WER_NORMALISED
from speechllm_plugin.scoring.metrics.ter import TER

__all__ = ["COMET", "METRICS", "Metric", "check_installed", "choices", "chosen"]

METRICS = {metric.name: metric for metric in (WER, WER_NORMALISED, CER, CER_NORMALISED, BLEU, CHRF, TER)}

COMET = "comet"  # no entry, as it is made for the sources of a test set


def choices() -> dict[str, list[str]]:
    """Name on the command line -> the metrics that it stands for: an error rate comes in two kinds, of the texts as they are and normalised."""
    found: dict[str, list[str]] = {}
    for name, metric in METRICS.items():
        found.setdefault(metric.choice or name, []).append(name)
    return {**found, COMET: [COMET]}


def chosen(names: Sequence[str], sources: Sequence[str], comet_model: str = comet.DEFAULT_MODEL) -> list[Metric]:
    """The metrics of these names, each once.

    Args:
        names: of METRICS, or `comet`.
        sources: src_text of every row, which COMET needs.

    Raises:
        ValueError: COMET is named, and it is not installed, its model is not there, or a row has no source text.
    """
    return [comet.metric(sources, comet_model) if name == COMET else METRICS[name] for name in dict.fromkeys(names)]


def check_installed(names: Iterable[str], languages: Iterable[str], comet_model: str = comet.DEFAULT_MODEL) -> None:
    """Raise ValueError, before a training or a decoding, for a metric that lacks a library or a model in this environment.

    Args:
        names: of METRICS, or `comet`.
        languages: of the references.
    """
    languages = list(languages)
    for name in names:
        if name == COMET:
            comet.check_installed(comet_model)
        else:
            METRICS[name].signature(languages)
