"""Inspections of the systems' checkpoints: compression rates and attention."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from speechllm_plugin.inspection import Inspection, inspect
from speechllm_plugin.reporting.options import Options
from speechllm_plugin.reporting.study import Study

CHECKPOINT = "average.pt"


class Inspections(NamedTuple):
    """What the systems' checkpoints do with the test set.

    inspections: system -> Inspection of its first seed.
    missing:     system -> why it has none.
    """

    inspections: dict[str, Inspection]
    missing: dict[str, str]

    @property
    def compression_rates(self) -> dict[str, np.ndarray]:
        """System -> (N,) rates, of the systems that compress."""
        return {name: each.compression_rates for name, each in self.inspections.items() if each.compression_rates is not None}


def inspected(study: Study, picture_rows: Iterable[int], options: Options) -> Inspections:
    """The Inspections of the study's split, with attention pictures of some rows. Without a checkpoint nothing imports torch.

    Raises:
        ValueError: a checkpoint cannot be read or is of another model.
    """
    inspections: dict[str, Inspection] = {}
    missing: dict[str, str] = {}
    for system in study.systems:
        run = system.runs[0]
        checkpoint = run.folder / CHECKPOINT
        if not options.with_checkpoints:
            missing[system.name] = "--no-checkpoints was given"
        elif not checkpoint.is_file():
            missing[system.name] = f"{checkpoint} is not there (speechllm average makes it)"
        else:
            try:
                texts = {row: run.hypotheses[row] for row in picture_rows}
                inspections[system.name] = inspect(run.folder, checkpoint, run.data, study.split, texts, device=options.device)
            except ValueError as error:
                where = "" if str(checkpoint) in str(error) else f"{checkpoint}: "
                raise ValueError(f"{where}{error}; --no-checkpoints makes a report without attention and compression rates") from error
    return Inspections(inspections, missing)
