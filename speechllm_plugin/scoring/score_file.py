"""The JSON file of `speechllm score`: what it prints, for programs."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.scoring.measuring import MeasuredOutputs, Score
from speechllm_plugin.scoring.significance import Comparison


def of_scores(scores: Sequence[Score]) -> dict[str, Any]:
    """Metric -> score, interval and signature."""
    return {each.metric: _known(score=each.score, low=each.low, high=each.high, signature=each.signature) for each in scores}


def of_group(scores: Mapping[str, float], outputs: MeasuredOutputs) -> dict[str, Any]:
    """Metric -> score and signature of some sentences."""
    return {metric.name: _known(score=scores[metric.name], signature=metric.signature(outputs.languages)) for metric in outputs.metrics}


def of_comparisons(others: Mapping[str, float], found: Mapping[str, Comparison]) -> dict[str, Any]:
    """Metric -> the other system's score, and the difference to it; without a deviation over seeds, as there is one run of each."""
    entries = {}
    for name, score in others.items():
        entries[name] = _known(score=score, **found[name]._asdict())
        del entries[name]["seed_deviation"]
    return entries


def write(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write the file in one move."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _known(**values: Any) -> dict[str, Any]:
    """null for nan, which JSON does not have: what cannot be known of so few sentences."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}
