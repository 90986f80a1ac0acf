"""The signatures of the metrics: what another paper needs to compute the same numbers."""

from speechllm_plugin.reporting.part import Content
from speechllm_plugin.reporting.parts.score_part import Scores
from speechllm_plugin.reporting.study import Study


def signatures(study: Study, scores: Scores) -> Content:
    """(heading, signature) of each metric."""
    return Content(numbers=[(metric.heading, metric.signature(study.languages)) for metric in scores.metrics])
