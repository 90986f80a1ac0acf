"""A training as it is measured from within, around each of its updates."""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from speechllm_plugin.benchmarking import resident_memory
from speechllm_plugin.benchmarking.measurement import wait_for
from speechllm_plugin.benchmarking.random_model import RandomModel, imitate_compression
from speechllm_plugin.benchmarking.training_measurement import TrainingMeasurement
from speechllm_plugin.benchmarking.update_profile import UpdateProfile
from speechllm_plugin.data.features import FRAMES_PER_SECOND
from speechllm_plugin.models import cost

UPDATES_ALONE = 3  # whose batches the model and the optimizer are measured on without the trainer


class TrainingWatch:
    """Fills in a measurement while a training goes on; to be called around each update, as host.stock_training does.

    Args:
        measured: what is filled in, at the last update.
        frames: that milliseconds are for.
        warm_up: updates before those that are measured, one at least.
        updates: that are measured.
        model: of the plugin, whose operations are counted; None: fairseq's.
        rate: the machine's operations a second in matrix products.
        progress: called after each update.
        profile: of so many updates more; None: there are no more.
        clock: in seconds; on a GPU single updates are timed by it, as the host runs ahead of it.
    """

    def __init__(
        self,
        measured: TrainingMeasurement,
        device: torch.device,
        *,
        frames: int,
        warm_up: int,
        updates: int,
        model: RandomModel | None,
        rate: float,
        progress: Callable[[], Any],
        profile: UpdateProfile | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.measured, self.device, self.model, self.rate, self.progress = measured, device, model, rate, progress
        self.frames, self.warm_up, self.updates, self.profile, self.clock = frames, warm_up, updates, profile, clock
        self.starts: list[float] = []
        self.ends: list[float] = []
        self.marks: list[Any] = []  # the end of each update where it was computed: a moment, or an event on the GPU
        self.graph_counts: list[tuple[int, int]] = []  # captures and launches without a graph up to the end of each update
        self.batches: list[Sequence[dict]] = []  # of the last updates
        self.lengths: list[list[tuple]] = []  # of each measured update's batches: frames and tokens of its rows, and its shape
        self.peak_bytes = 0

    def __call__(self, trainer: Any, samples: Sequence[dict], update: Callable[[], Any]) -> Any:
        number = len(self.ends)
        if number == 0:
            self.begin(trainer)
        self.starts.append(self.clock())
        result = update()
        event = recorded_event() if self.device.type == "cuda" else None
        if number in (self.warm_up - 1, self.last):
            wait_for(self.device)
        self.ends.append(self.clock())
        self.marks.append(event or self.ends[-1])
        if captured := captured_training(trainer):
            self.graph_counts.append((captured.num_captures, captured.num_launches))
        if self.warm_up <= number <= self.last:
            self.lengths.append([self.lengths_of(sample) for sample in samples if sample])  # a rank may have none left
            self.batches = [*self.batches, samples][-UPDATES_ALONE:]
        if number == self.last:
            self.finish(trainer)
        self.go_on_profiling(number)
        self.progress()
        return result

    @property
    def last(self) -> int:
        """The number of the last update that is measured, from 0."""
        return self.warm_up + self.updates - 1

    def go_on_profiling(self, number: int) -> None:
        """After the update of this number."""
        if self.profile is not None and number == self.last:
            self.profile.start()
        elif self.profile is not None and number == self.last + self.profile.num_updates:
            wait_for(self.device)
            self.profile.stop()

    def note_peak(self, num_bytes: int) -> None:
        self.peak_bytes = max(self.peak_bytes, num_bytes)

    def begin(self, trainer: Any) -> None:
        model = trainer.get_model()
        self.measured.parameters = sum(parameter.numel() for parameter in model.parameters())
        if self.model is not None:
            self.measured.compression_rate = self.model.compression_rate
            imitate_compression(model, self.model.setting)
        if self.device.type == "cpu":
            resident_memory.forget_peak()

    @staticmethod
    def lengths_of(sample: dict) -> tuple:
        rows, width, _ = sample["net_input"]["src_tokens"].shape
        return sample["net_input"]["src_lengths"], sample["target_lengths"], (rows, width, sample["target"].size(1))

    def finish(self, trainer: Any) -> None:
        measured, starts, ends = self.measured, self.starts, self.ends
        measured.peak_bytes = self.peak_bytes or resident_memory.peak_bytes()
        first = self.warm_up
        batches = [batch for update in self.lengths for batch in update]
        frames_of = [sum(int(lengths.sum()) for lengths, _, _ in update) for update in self.lengths]
        total, seconds = sum(frames_of), ends[-1] - ends[first - 1]
        measured.updates, measured.frames = self.updates, total / self.updates
        measured.sentences = sum(len(lengths) for lengths, _, _ in batches) / self.updates
        measured.padding_share = 1 - total / sum(rows * width for _, _, (rows, width, _) in batches)
        measured.batch_shapes = len({shape for _, _, shape in batches})
        measured.warm_up_seconds = ends[first - 1] - starts[0]

        each = [seconds_between(previous, end) for previous, end in itertools.pairwise(self.marks[first - 1 :])]
        waits = [start - end for start, end in zip(starts[first:], ends[first - 1 :])]
        measured.milliseconds = self.milliseconds(seconds, total)
        measured.median_milliseconds = statistics.median(self.milliseconds(passed, frames) for passed, frames in zip(each, frames_of) if frames)
        measured.wait_milliseconds = self.milliseconds(sum(waits), total)
        measured.updates_per_second, measured.frames_per_second = self.updates / seconds, total / seconds
        if captured := captured_training(trainer):
            measured.captured_graphs = captured.num_graphs
            self.enter_graphs(each, frames_of)
        if self.model is not None:
            measured.teraflops = self.operations(trainer.get_model(), batches) / seconds / 1e12
            measured.matrix_share = measured.teraflops * 1e12 / self.rate

        if trainer.data_parallel_world_size == 1:  # steps without the trainer would set ranks apart
            alone = sum(frames_of[-len(self.batches) :])
            for name, part in zip(("model", "forward", "optimizer"), self.parts(trainer)):
                setattr(measured, f"{name}_milliseconds", self.milliseconds(part, alone))
            measured.trainer_share = measured.milliseconds / measured.model_milliseconds - 1
        self.batches = []

    def enter_graphs(self, each: Sequence[float], frames_of: Sequence[int]) -> None:
        """How many of the measured updates captured a graph or had none, and what the others take; of each its seconds and its frames."""
        counts = itertools.pairwise(self.graph_counts[self.warm_up - 1 :])
        changes = [(now[0] - before[0], now[1] - before[1]) for before, now in counts]
        self.measured.capturing_updates = sum(captures > 0 for captures, _ in changes)
        self.measured.launching_updates = sum(launches > 0 and not captures for captures, launches in changes)
        replayed = [(seconds, frames) for seconds, frames, change in zip(each, frames_of, changes) if change == (0, 0)]
        seconds, frames = (sum(values) for values in zip(*replayed)) if replayed else (0.0, 0)
        if frames:
            self.measured.replaying_milliseconds = self.milliseconds(seconds, frames)

    def milliseconds(self, seconds: float, frames: int) -> float:
        return 1000 * seconds * self.frames / frames

    def operations(self, model: Any, batches: list[tuple]) -> int:
        """Of forward and backward over the utterances of batches, their padding not counted."""
        setting, count = self.model.setting, 0
        for lengths, num_tokens, _ in batches:
            for utterance in zip(lengths.tolist(), num_tokens.tolist()):
                own = replace(setting, seconds=utterance[0] / FRAMES_PER_SECOND, tokens=utterance[1])
                count += sum(cost.training_step(model, own.lengths(model)).values())
        return count

    def parts(self, trainer: Any) -> tuple[float, float, float]:
        """Seconds that forward and backward, forward, and the optimizer take for the kept updates, each alone.

        Forward and backward are the task's train_step, so that they are made as the trainer has them made.
        """
        updates = [[trainer._prepare_sample(sample)[0] for sample in samples] for samples in self.batches]
        task, model, criterion, optimizer = trainer.task, trainer.model, trainer.criterion, trainer.optimizer

        def forward_and_backward(update: list[dict]) -> None:
            for sample in update:
                task.train_step(sample, model, criterion, optimizer, trainer.get_num_updates())

        def forward(update: list[dict]) -> None:
            for sample in update:
                criterion(model, sample)

        def step(update: list[dict]) -> None:
            optimizer.multiply_grads(1.0)
            trainer.clip_grad_norm(trainer.cfg.optimization.clip_norm)
            task.optimizer_step(optimizer, model=model, update_num=trainer.get_num_updates())
            trainer.zero_grad()

        trainer.zero_grad()
        of_model, of_forward = (self.seconds(part, updates) for part in (forward_and_backward, forward))
        of_optimizer = 0.0
        for update in updates:
            forward_and_backward(update)  # fairseq's optimizer skips weights without gradients
            of_optimizer += self.seconds(step, [update])
        return of_model, of_forward, of_optimizer

    def seconds(self, part: Callable[[list[dict]], None], updates: list[list[dict]]) -> float:
        """That a part takes for updates; it has run before."""
        wait_for(self.device)
        start = self.clock()
        for update in updates:
            part(update)
        wait_for(self.device)
        return self.clock() - start


def captured_training(trainer: Any) -> Any:
    """What runs the model of a training from CUDA graphs; None without --cuda-graphs."""
    return getattr(getattr(trainer.task, "trained", None), "captured", None)


def recorded_event() -> Any:
    """An event that the GPU comes to when it has computed all that it was told."""
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def seconds_between(earlier: Any, later: Any) -> float:
    """Of two moments in seconds, or of two events on the GPU, which has come to both."""
    return later - earlier if isinstance(later, (int, float)) else earlier.elapsed_time(later) / 1000
