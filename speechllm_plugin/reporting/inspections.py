"""What only the checkpoints can tell: compression rates, attention."""

from typing import NamedTuple

import numpy as np

from speechllm_plugin.inspection import Inspection, inspect
from speechllm_plugin.reporting.figures import charts
from speechllm_plugin.reporting.figures.palette import LOOKS
from speechllm_plugin.reporting.figures.svg import Chart
from speechllm_plugin.reporting.runs import Study

CHECKPOINT = "average.pt"


class Inspections(NamedTuple):
    """inspections: system -> Inspection of its first seed; missing: system -> why it has none."""

    inspections: dict[str, Inspection]
    missing: dict[str, str]

    @property
    def compression_rates(self) -> dict[str, np.ndarray]:
        """Of the systems that compress."""
        return {name: each.compression_rates for name, each in self.inspections.items() if each.compression_rates is not None}


def inspected(study: Study, rows, device: str, with_checkpoints: bool) -> Inspections:
    """The Inspections of the study's split, with attention pictures of the rows. Without a checkpoint nothing imports torch.

    Raises:
        ValueError: a checkpoint cannot be read or is of another model.
    """
    inspections, missing = {}, {}
    for system in study.systems:
        run = system.runs[0]
        checkpoint = run.folder / CHECKPOINT
        if not with_checkpoints:
            missing[system.name] = "--no-checkpoints was given"
        elif not checkpoint.is_file():
            missing[system.name] = f"{checkpoint} is not there (speechllm average makes it)"
        else:
            try:
                texts = {row: run.hypotheses[row] for row in rows}
                inspections[system.name] = inspect(run.folder, checkpoint, run.data, study.split, texts, device=device)
            except ValueError as error:
                where = "" if str(checkpoint) in str(error) else f"{checkpoint}: "
                raise ValueError(f"{where}{error}; --no-checkpoints makes a report without attention and compression rates") from error
    return Inspections(inspections, missing)


def compression_chart(study: Study, found: Inspections) -> Chart | None:
    rates = {name: values[~np.isnan(values)] for name, values in found.compression_rates.items()}
    rates = {name: values for name, values in rates.items() if len(values)}
    return charts.compression_rates(rates, [LOOKS[study.names.index(name)] for name in rates]) if rates else None


def attention_charts(study: Study, found: Inspections, row: int) -> list[Chart]:
    """The pictures of one utterance, one of each system."""
    charts_of_row = []
    for name, inspection in found.inspections.items():
        charts_of_row.append(charts.attention(name, study.utterances[row].id, *inspection.pictures[row]))
    return charts_of_row
