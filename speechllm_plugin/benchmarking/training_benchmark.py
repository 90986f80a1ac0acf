"""Trainings of model files, and of fairseq's models of the same sizes, one after the other: measurements, and how they compare."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from speechllm_plugin.benchmarking import noise_corpus, training_measurement
from speechllm_plugin.benchmarking.measurement import OUT_OF_MEMORY
from speechllm_plugin.benchmarking.random_model import RandomModel
from speechllm_plugin.benchmarking.training_measurement import TrainingMeasurement
from speechllm_plugin.benchmarking.training_watch import TrainingWatch
from speechllm_plugin.benchmarking.update_profile import UpdateProfile
from speechllm_plugin.data.features import FRAMES_PER_SECOND
from speechllm_plugin.host import stock_training
from speechllm_plugin.models.config import SpeechToTextConfig, flag, relative_positions
from speechllm_plugin.text.out_of_memory import BatchTooLarge
from speechllm_plugin.text.progress import DELAY_SECONDS

RECORDINGS = 2000  # of the noise: half a GB; utterances share them, their texts are their own
PROFILED_UPDATES = 3
BATCH_MULTIPLE = 8  # fairseq's: batches of more utterances have a multiple of this
SPARE_UTTERANCES = 1.15  # an epoch has more than all updates read, so that none begins anew among them

# As the recipes train; nothing is validated or stored.
ALWAYS = [
    *("--task", "speechllm_speech_to_text", "--criterion", "ctc_cross_entropy", "--label-smoothing", "0.1", "--clip-norm", "10"),
    *("--lr-scheduler", "inverse_sqrt", "--lr", "2e-3", "--warmup-updates", "25000", "--adam-betas", "(0.9, 0.98)"),
    *("--log-format", "json", "--log-interval", "50", "--no-save", "--disable-validation", "--distributed-world-size", "1", "--seed", "1"),
]


class Training(NamedTuple):
    """What a training of the benchmark does, whatever its model.

    frames:      of speech an update is to have; milliseconds are for so many.
    max_tokens:  frames that a batch may have, its padding included.
    update_freq: batches of an update.
    flags:       more flags for fairseq-train.
    profile_to:  the folder that gets profiles of updates after those that are measured, in the first round; None: without.
    cpu_time:    whether milliseconds are those that this process computes for, in all its threads.
    """

    frames: int
    max_tokens: int
    update_freq: int
    warm_up: int
    updates: int
    device: torch.device
    flags: list[str]
    profile_to: Path | None = None
    cpu_time: bool = False

    @property
    def all_updates(self) -> int:
        return self.warm_up + self.updates + (0 if self.profile_to is None else PROFILED_UPDATES)

    def command(self, data: Path, folder: Path, model_flags: Sequence[str]) -> list[str]:
        """The flags of fairseq-train; the last of equal ones counts."""
        sizes = {"--max-tokens": self.max_tokens, "--update-freq": self.update_freq, "--max-update": self.all_updates}
        own = [word for name, size in sizes.items() for word in (name, str(size))]
        cpu = ["--cpu"] if self.device.type == "cpu" else []
        return [str(data), *ALWAYS, "--save-dir", str(folder / "checkpoints"), *own, *cpu, *self.flags, *model_flags]


def batch_size(max_tokens: int, seconds: float) -> int:
    """Utterances of one length in a batch of fairseq's."""
    size = max_tokens // round(seconds * FRAMES_PER_SECOND)
    return size - size % BATCH_MULTIPLE if size > BATCH_MULTIPLE else size


def corpus(num_frames: int, seconds: float | None, longest: int, of_update: int) -> tuple[np.ndarray, int]:
    """Lengths of recordings in frames, and how many utterances share them, so that all updates together read less than an epoch.

    Args:
        num_frames: that the updates read.
        seconds: of every utterance, of which there is then a multiple of `of_update`, to fill all batches; None: MuST-C's lengths.
        longest: frames that an utterance may have.
    """
    number = 1 + round(SPARE_UTTERANCES * num_frames / (seconds or noise_corpus.MEAN_SECONDS) / FRAMES_PER_SECOND)
    if seconds is None:
        return noise_corpus.lengths_in_frames(min(number, RECORDINGS), min(noise_corpus.LONGEST_FRAMES, longest)), number
    number = -(-number // of_update) * of_update
    return np.full(min(number, RECORDINGS), round(seconds * FRAMES_PER_SECOND)), number


def check_seconds(seconds: float | None, max_tokens: int, flags: str) -> None:
    """Raise ValueError for a length of all utterances that no batch could have; `flags` give batches of another size."""
    if seconds is not None and not 1 / FRAMES_PER_SECOND <= seconds < float("inf"):
        raise ValueError(f"--seconds must be at least {1 / FRAMES_PER_SECOND:g}, but is {seconds}")
    if seconds is not None and seconds * FRAMES_PER_SECOND > max_tokens:
        raise ValueError(f"an utterance of --seconds {seconds:g} does not fit a batch of {max_tokens} frames: raise {flags}")


class Candidate(NamedTuple):
    """A model that is trained.

    name:    of the model file.
    trained: `plugin`, or the architecture of fairseq.
    model:   of the plugin; None: fairseq's.
    flags:   of the model and of what trains it.
    """

    name: str
    trained: str
    model: RandomModel | None
    flags: list[str]


def peer(cfg: SpeechToTextConfig) -> list[str]:
    """The flags of fairseq's s2t_conformer with the sizes of a model, and with relative positions if it has them; without CTC."""
    sizes = [f"{part}_{size}" for part in ("encoder", "decoder") for size in ("layers", "embed_dim", "ffn_embed_dim", "attention_heads")]
    same = [*sizes, "conv_channels", "conv_kernel_sizes", "depthwise_conv_kernel_size", "dropout", "attention_dropout", "activation_dropout"]
    flags = [word for name in same for word in (flag(name), str(getattr(cfg, name)))]
    shared = ["--share-decoder-input-output-embed"] if cfg.share_decoder_input_output_embed else []
    relative = [] if relative_positions(cfg) == "none" else ["--attn-type", "espnet", "--pos-enc-type", "rel_pos"]
    return ["--arch", "s2t_conformer", "--criterion", "label_smoothed_cross_entropy", *flags, *shared, *relative]


def run(candidates: Sequence[Candidate], training: Training, data: Path, rounds: int, rate: float) -> list[TrainingMeasurement]:
    """Measure each candidate in turn, as often as there are rounds, and print a line as soon as it is known, below a bar on stderr."""
    name_width = max(len(candidate.name) for candidate in candidates)
    print(training_measurement.heading(name_width), flush=True)
    measurements = []
    total_updates = training.all_updates + (rounds - 1) * (training.warm_up + training.updates)
    with tqdm(total=len(candidates) * total_updates, unit="update", delay=DELAY_SECONDS) as progress:
        for number in range(1, rounds + 1):
            if number > 1:
                training = training._replace(profile_to=None)
            for candidate in candidates:
                progress.set_description(f"{candidate.name}, {candidate.trained}")
                measurements.append(measure(candidate, training, data, number, rate, progress))
                progress.write(training_measurement.line(measurements[-1], name_width))
    return measurements


def measure(candidate: Candidate, training: Training, data: Path, number: int, rate: float, progress: tqdm) -> TrainingMeasurement:
    measured = TrainingMeasurement(candidate.name, candidate.trained, number)
    profile = None if training.profile_to is None else UpdateProfile(training.device, PROFILED_UPDATES)
    watch = TrainingWatch(
        measured,
        training.device,
        frames=training.frames,
        warm_up=training.warm_up,
        updates=training.updates,
        model=candidate.model,
        rate=rate,
        progress=progress.update,
        profile=profile,
        clock=time.process_time if training.cpu_time else time.perf_counter,
    )
    with TemporaryDirectory() as folder:
        try:
            stock_training.run(training.command(data, Path(folder), candidate.flags), watch, watch.note_peak)
        except (torch.OutOfMemoryError, BatchTooLarge):
            measured.error = OUT_OF_MEMORY
            progress.update(training.all_updates - len(watch.ends))
    if profile is not None and not measured.error:
        measured.profile = profile.write(training.profile_to, f"{candidate.name}.{candidate.trained}", measured.milliseconds_per_update)
    return measured


def comparisons(measurements: Sequence[TrainingMeasurement]) -> list[dict]:
    """How many times as long fairseq's models take, round by round: the medians; null where one ran out of memory.

    model, against
    time_ratio    of an update through the trainer
    model_ratio   of forward and backward alone
    time_ratios   of each round
    """
    found = []
    for name in dict.fromkeys(measured.model for measured in measurements):
        own = [measured for measured in measurements if measured.model == name and measured.trained == "plugin"]
        others = [measured for measured in measurements if measured.model == name and measured.trained != "plugin"]
        if not others:
            continue
        failed = any(measured.error for measured in own + others)
        ratios, model_ratios = (
            None if failed else [getattr(theirs, field) / getattr(ours, field) for ours, theirs in zip(own, others)]
            for field in ("milliseconds", "model_milliseconds")
        )
        found.append(
            {
                "model": name,
                "against": others[0].trained,
                "time_ratio": None if failed else statistics.median(ratios),
                "model_ratio": None if failed else statistics.median(model_ratios),
                "time_ratios": ratios,
            }
        )
    return found


def comparison_line(compared: dict) -> str:
    if compared["time_ratio"] is None:
        return f"{compared['model']}: no ratio to {compared['against']}, out of memory"
    rounds = ", ".join(f"{ratio:.2f}" for ratio in compared["time_ratios"])
    return (
        f"{compared['model']}: fairseq's {compared['against']} takes {compared['time_ratio']:.2f} times as long through the trainer "
        f"({rounds}), {compared['model_ratio']:.2f} times in forward and backward alone"
    )
