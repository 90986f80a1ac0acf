"""Every search with every model on every workload: measurements, and what the plugin's search gains over the others."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from tqdm import tqdm

from speechllm_plugin.benchmarking import measured_tables
from speechllm_plugin.benchmarking.measurement import Measurement, measure
from speechllm_plugin.benchmarking.random_model import RandomModel
from speechllm_plugin.benchmarking.workload import Batch, Workload
from speechllm_plugin.text.progress import DELAY_SECONDS


class Results(NamedTuple):
    """Measurements in the order of models, workloads and searches; comparisons as measured_tables.comparison makes them."""

    measurements: list[Measurement]
    comparisons: list[dict]


def run(
    models: Sequence[RandomModel],
    workloads: Sequence[Workload],
    searches: dict[str, dict],
    batches_of: Callable[[Workload], list[Batch]],
    *,
    repeats: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Results:
    """Measure, and print a line as soon as it is known, below a bar on stderr.

    Args:
        searches: name in searches.SEARCHES -> its options beside those of a workload; the plugin's own stands first.
    """
    results, name_width = Results([], []), max(len(model.name) for model in models)
    print(measured_tables.heading(name_width), flush=True)
    with tqdm(total=len(models) * len(workloads) * len(searches), unit="search", delay=DELAY_SECONDS) as progress:
        for candidate in models:
            progress.set_description(candidate.name)
            model = candidate.build(device, dtype)
            for workload in workloads:
                batches = [Batch(batch.features.to(device), batch.lengths.to(device), batch.num_tokens) for batch in batches_of(workload)]
                found = []
                for search, options in searches.items():
                    measured, texts = measure(model, model.decoder.dictionary, candidate.name, search, workload, batches, repeats, **options)
                    measured.compression_rate = candidate.compression_rate
                    found.append((measured, texts))
                    progress.write(measured_tables.line(measured, name_width))
                    progress.update()
                (ours, our_texts), *others = found
                for theirs, texts in others:
                    results.comparisons.append(measured_tables.comparison(ours, theirs, share_of_same(our_texts, texts)))
                    progress.write(measured_tables.comparison_line(results.comparisons[-1], name_width))
                results.measurements.extend(measured for measured, _ in found)
            del model
    return results


def share_of_same(ours: list | None, theirs: list | None) -> float | None:
    """The share of sentences whose best hypothesis is the same; None where a search ran out of memory."""
    if ours is None or theirs is None:
        return None
    return sum(one == other for one, other in zip(ours, theirs, strict=True)) / len(ours)
