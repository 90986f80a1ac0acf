"""Measurements as text: a line for each, and the study's Table 2."""

from speechllm_plugin.benchmarking.measurement import Measurement
from speechllm_plugin.files import text_table

MEBIBYTE = 2**20
NOT_MEASURED = "–"

# Lam et al. 2025 (arXiv:2501.02370), Table 2: multilingual MuST-C translation with beam 5, relative to row 1
PAPER = {
    "row1": (1, 1),
    "row2": (0.96, 1.59),
    "row3": (0.83, 3.01),
    "row4": (0.97, 2.16),
    "row4.1": (0.98, 1.88),
    "row5": (0.94, 3.11),
    "row5.1": (0.96, 2.50),
    "row6": (0.70, 5),
}
REFERENCE_ROW = "row1"

# heading, width, text of a Measurement
MEASURED_COLUMNS = [
    ("batch", 5, lambda it: f"{it.batch}"),
    ("audio s", 7, lambda it: f"{it.audio_seconds:.4g}"),
    ("tokens", 6, lambda it: f"{it.tokens}"),
    ("beam", 4, lambda it: f"{it.beam}"),
    ("seconds", 8, lambda it: f"{it.seconds:.4f}"),
    ("encoder", 8, lambda it: f"{it.encoder_seconds:.4f}"),
    ("GPU busy", 8, lambda it: NOT_MEASURED if it.gpu_busy_share is None else f"{100 * it.gpu_busy_share:.0f} %"),
    ("sentences/s", 11, lambda it: f"{it.sentences_per_second:.4g}"),
    ("ms/step", 7, lambda it: f"{it.step_milliseconds:.3f}"),
    ("real time", 9, lambda it: f"{it.real_time_factor:.6f}"),
    ("peak MiB", 9, lambda it: f"{it.peak_bytes / MEBIBYTE:,.1f}"),
    ("cache MiB", 9, lambda it: f"{it.cache_bytes / MEBIBYTE:,.1f}"),
]
COLUMNS_BEFORE_ANY_MEASUREMENT = 4
SEARCH_WIDTH = 10


def heading(name_width: int) -> str:
    return text_table.aligned_row(["model", "search", *(title for title, _, _ in MEASURED_COLUMNS)], _widths(name_width, MEASURED_COLUMNS))


def line(measured: Measurement, name_width: int) -> str:
    columns = MEASURED_COLUMNS[:COLUMNS_BEFORE_ANY_MEASUREMENT] if measured.error else MEASURED_COLUMNS
    cells = [measured.model, measured.search, *(text(measured) for _, _, text in columns), *([measured.error] if measured.error else [])]
    return text_table.aligned_row(cells, _widths(name_width, columns))


def _widths(name_width: int, columns: list) -> list[int]:
    return [-name_width, -SEARCH_WIDTH, *(width for _, width, _ in columns)]


def comparison(ours: Measurement, theirs: Measurement, same_texts: float | None) -> dict:
    """The gain of the plugin's search over another one with the same model and workload; null where one of them ran out of memory."""
    failed = ours.error or theirs.error
    return {
        "model": ours.model,
        "batch": ours.batch,
        "audio_seconds": ours.audio_seconds,
        "beam": ours.beam,
        "against": theirs.search,
        "time_ratio": None if failed else theirs.seconds / ours.seconds,
        "memory_ratio": None if failed else theirs.peak_bytes / ours.peak_bytes,
        "same_texts": same_texts,
    }


def comparison_line(compared: dict, name_width: int) -> str:
    if compared["time_ratio"] is None:
        return f"{compared['model']:<{name_width}}  {compared['against']}: no ratio, out of memory"
    ratios = f"{compared['time_ratio']:.2f} times the time and {compared['memory_ratio']:.2f} times the memory of the plugin's search"
    return f"{compared['model']:<{name_width}}  {compared['against']} takes {ratios}; {100 * compared['same_texts']:.1f} % same best texts"


def row_of(model: str) -> str:
    """The row of the study that a model file is of: `row4.1` of `row4.1_xattn_conformer_compressed`."""
    return model.partition("_")[0]


def check_table2(models: list[str], searches: list[str], num_workloads: int) -> None:
    """Raise ValueError for what Table 2 lacks."""
    if REFERENCE_ROW not in map(row_of, models):
        raise ValueError(f"--table2 is relative to row 1: give recipes/models/{REFERENCE_ROW}_xattn_transformer.sh among the model files")
    if "fairseq" not in searches:
        raise ValueError("--table2 shows two searches side by side: give --against fairseq")
    if num_workloads > 1:
        raise ValueError(f"--table2 is of one workload, but --sweep makes {num_workloads}: leave --sweep out")


def table2(measurements: list[Measurement]) -> str:
    """Markdown: per row speed and memory relative to row 1 with each search and in the paper, and fairseq's search relative to the plugin's."""
    by_search = {}
    for measured in measurements:
        by_search.setdefault(measured.search, {})[measured.model] = measured
    headings = ["row", "parameters", "plugin: speed", "memory", "beside weights", "fairseq: speed", "memory", "beside weights", "paper: speed"]
    headings += ["memory", "fairseq / plugin: time", "memory beside weights"]
    rows = []
    for model in dict.fromkeys(measured.model for measured in measurements):
        cells = [row_of(model), f"{by_search['plugin'][model].parameters:,}"]
        for search in ("plugin", "fairseq"):
            (reference,) = [each for name, each in by_search[search].items() if row_of(name) == REFERENCE_ROW]
            cells += relative(by_search[search][model], reference)
        cells += [f"{number:g}" for number in PAPER[row_of(model)]] if row_of(model) in PAPER else [NOT_MEASURED, NOT_MEASURED]
        ours, theirs = by_search["plugin"][model], by_search["fairseq"][model]
        failed = ours.error or theirs.error
        cells += [NOT_MEASURED, NOT_MEASURED] if failed else [f"{theirs.seconds / ours.seconds:.2f}", f"{theirs.peak_bytes / ours.peak_bytes:.2f}"]
        rows.append(cells)
    return "\n".join(text_table.markdown(headings, rows)) + "\n"


def relative(measured: Measurement, reference: Measurement) -> list[str]:
    """Speed, memory with the weights, and memory beside them, of the reference's."""
    if measured.error or reference.error:
        return [measured.error or reference.error, NOT_MEASURED, NOT_MEASURED]
    memory, reference_memory = (each.peak_bytes + each.weight_bytes for each in (measured, reference))
    ratios = reference.seconds / measured.seconds, memory / reference_memory, measured.peak_bytes / reference.peak_bytes
    return [f"{ratio:.2f}" for ratio in ratios]
