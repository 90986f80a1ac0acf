"""What an update of a training takes, and its line in the table of `speechllm bench train`."""

from dataclasses import dataclass

from speechllm_plugin.files import text_table

GIBIBYTE = 2**30


@dataclass
class TrainingMeasurement:
    """The time and memory of one training, as `speechllm bench train --json` writes it.

    Milliseconds are per so many frames of speech as --frames says, padding not counted.

    model, trained       the model file's name; what is trained: `plugin`, or fairseq's model of the same size
    round                from 1
    parameters           of the model
    error                null, or "out of memory": what follows is null then
    updates              measured
    frames, sentences    of an update, the mean
    padding_share        of what an update computes
    batch_shapes         different shapes of batches (rows, frames, target tokens) among those measured
    captured_graphs      with --cuda-graphs: shapes whose graphs are kept at the end; null without, as the three after it
    capturing_updates    of those measured, how many captured a graph, as a shape of batches came again
    launching_updates    of the others, how many ran operation by operation, as a shape was new
    replaying_milliseconds  of the rest, the mean: an update of a training that has met its shapes; null if there is none
    compression_rate     null, or states before / after CTC compression
    warm_up_seconds      from the beginning of the first update to the end of the last that is not measured
    milliseconds         of an update through fairseq's trainer, the loader, the optimizer and the log included: the mean
    median_milliseconds  the same, the median
    wait_milliseconds    of it between the updates: waiting for the loader, and the log
    model_milliseconds   of forward and backward alone, on batches of the same updates that are on the device
    forward_milliseconds of forward alone
    optimizer_milliseconds  of the optimizer alone: norm, clipping, step, gradients to zero
    trainer_share        milliseconds / model_milliseconds - 1
    updates_per_second, frames_per_second
    teraflops            10^12 operations a second, as `speechllm describe` counts them; null for fairseq's models
    matrix_share         of the machine's rate of matrix products, in `setting`; null likewise
    peak_bytes           on a GPU what torch had allocated, weights, optimizer and batches included; on a CPU what the process had resident,
                         null where the system does not tell
    profile              with --profile: see update_profile.summary

    On several ranks nothing is measured alone: those are null.
    """

    model: str
    trained: str
    round: int
    parameters: int | None = None
    error: str | None = None
    updates: int | None = None
    frames: float | None = None
    sentences: float | None = None
    padding_share: float | None = None
    batch_shapes: int | None = None
    captured_graphs: int | None = None
    capturing_updates: int | None = None
    launching_updates: int | None = None
    replaying_milliseconds: float | None = None
    compression_rate: float | None = None
    warm_up_seconds: float | None = None
    milliseconds: float | None = None
    median_milliseconds: float | None = None
    wait_milliseconds: float | None = None
    model_milliseconds: float | None = None
    forward_milliseconds: float | None = None
    optimizer_milliseconds: float | None = None
    trainer_share: float | None = None
    updates_per_second: float | None = None
    frames_per_second: float | None = None
    teraflops: float | None = None
    matrix_share: float | None = None
    peak_bytes: int | None = None
    profile: dict | None = None

    @property
    def milliseconds_per_update(self) -> float:
        """Of an update as it is, whatever its frames."""
        assert self.updates_per_second is not None  # it was measured
        return 1000 / self.updates_per_second


# heading, width, text of a TrainingMeasurement
TRAINING_COLUMNS = [
    ("ms", 8, lambda it: f"{it.milliseconds:,.1f}"),
    ("median", 8, lambda it: f"{it.median_milliseconds:,.1f}"),
    ("captured", 8, lambda it: "" if it.capturing_updates is None else f"{it.capturing_updates}"),
    ("new", 4, lambda it: "" if it.launching_updates is None else f"{it.launching_updates}"),
    ("others", 8, lambda it: "" if it.replaying_milliseconds is None else f"{it.replaying_milliseconds:,.1f}"),
    ("model", 8, lambda it: f"{it.model_milliseconds:,.1f}"),
    ("trainer", 7, lambda it: f"{100 * it.trainer_share:+.0f} %"),
    ("wait", 6, lambda it: f"{it.wait_milliseconds:,.1f}"),
    ("optimizer", 9, lambda it: f"{it.optimizer_milliseconds:,.1f}"),
    ("frames/s", 10, lambda it: f"{it.frames_per_second:,.0f}"),
    ("updates/s", 9, lambda it: f"{it.updates_per_second:.2f}"),
    ("TFLOP/s", 7, lambda it: "" if it.teraflops is None else f"{it.teraflops:.4g}"),
    ("of peak", 7, lambda it: "" if it.matrix_share is None else f"{100 * it.matrix_share:.0f} %"),
    ("shapes", 6, lambda it: f"{it.batch_shapes}"),
    ("GiB", 6, lambda it: "" if it.peak_bytes is None else f"{it.peak_bytes / GIBIBYTE:.1f}"),
]
TRAINED_WIDTH = 13


def heading(name_width: int) -> str:
    return text_table.aligned_row(["model", "trained", *(title for title, _, _ in TRAINING_COLUMNS)], _widths(name_width))


def line(measured: TrainingMeasurement, name_width: int) -> str:
    cells = [measured.error] if measured.error else [text(measured) for _, _, text in TRAINING_COLUMNS]
    return text_table.aligned_row([measured.model, measured.trained, *cells], _widths(name_width))


def _widths(name_width: int) -> list[int]:
    return [-name_width, -TRAINED_WIDTH, *(width for _, width, _ in TRAINING_COLUMNS)]
