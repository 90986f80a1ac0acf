"""Signatures of sacreBLEU's metrics."""

from sacrebleu.metrics.base import Metric as SacrebleuMetric


def signature(metric: SacrebleuMetric, **changes: str) -> str:
    """What sacreBLEU prints of a metric with one reference a sentence, some of its entries changed."""
    metric.num_refs = 1
    found = metric.get_signature()
    for name, value in changes.items():
        found.update(name, value)
    return str(found)
