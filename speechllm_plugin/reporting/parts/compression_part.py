"""How much the systems shorten the speech."""

import numpy as np

from speechllm_plugin.reporting.figures import charts
from speechllm_plugin.reporting.figures.palette import LOOKS
from speechllm_plugin.reporting.figures.svg import Chart
from speechllm_plugin.reporting.inspections import Inspections
from speechllm_plugin.reporting.part import Content
from speechllm_plugin.reporting.study import Study


def compression(inspections: Inspections) -> Content:
    """The Inspections, which have the compression rates of the systems that compress."""
    return Content(numbers=inspections)


def compression_charts(study: Study, inspections: Inspections) -> list[Chart]:
    """One histogram of all systems; none where no system compresses."""
    rates = {name: values[~np.isnan(values)] for name, values in inspections.compression_rates.items()}
    rates = {name: values for name, values in rates.items() if len(values)}
    return [charts.compression_rates(rates, [LOOKS[study.names.index(name)] for name in rates])] if rates else []
