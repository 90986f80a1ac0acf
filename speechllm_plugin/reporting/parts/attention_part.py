"""Which moments of the speech the systems read for each token."""

from typing import NamedTuple

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.inspection import Inspection
from speechllm_plugin.reporting.figures import charts
from speechllm_plugin.reporting.figures.svg import Chart
from speechllm_plugin.reporting.inspections import Inspections
from speechllm_plugin.reporting.part import Content
from speechllm_plugin.reporting.study import Study


class Attention(NamedTuple):
    """Whose attention is drawn for which utterances.

    inspections: system -> Inspection of its first seed, with a picture of each row.
    missing:     system -> why it has none.
    rows:        of the utterances.
    """

    inspections: dict[str, Inspection]
    missing: dict[str, str]
    rows: list[int]


def attention(inspections: Inspections, picture_rows: list[int]) -> Content:
    return Content(numbers=Attention(inspections.inspections, inspections.missing, picture_rows))


def attention_charts(study: Study, found: Attention) -> list[tuple[Utterance, list[Chart]]]:
    """The pictures of each utterance, one of each system that has an Inspection."""
    pictures = []
    for row in found.rows if found.inspections else ():
        utterance = study.utterances[row]
        each = [charts.attention(name, utterance.id, *inspection.pictures[row]) for name, inspection in found.inspections.items()]
        pictures.append((utterance, each))
    return pictures
