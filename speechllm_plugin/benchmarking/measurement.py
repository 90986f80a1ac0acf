"""Time and memory of one search with one model on one workload."""

import gc
import os
import statistics
import time
from dataclasses import dataclass

import torch

from speechllm_plugin.benchmarking.searches import SEARCHES, options_of
from speechllm_plugin.benchmarking.workload import Batch, Workload
from speechllm_plugin.data.features import FRAMES_PER_SECOND
from speechllm_plugin.generation.beam_search import BeamSearch

OUT_OF_MEMORY = "out of memory"
os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # the profiler's notes on stderr when it starts and stops


@dataclass
class Measurement:
    """The time and memory of one search with one model on one workload, as `speechllm bench decode --json` writes it.

    Times are of all batches, medians over the repeats.

    model, search, batch, beam
    audio_seconds        of a sentence; with a manifest the mean
    tokens               of the longest text, its end included
    parameters           of the model
    error                null, or "out of memory": what follows is null then
    sentences, steps     searched in one pass over all batches
    seconds              from features to n-best lists: encoder, what the speech costs the decoder before its first step, search
    encoder_seconds      of the encoder alone
    sentences_per_second
    step_milliseconds    (seconds - encoder_seconds) / steps
    real_time_factor     seconds / seconds of audio
    gpu_busy_share       of the time of the first batch, in which the GPU computed or copied, by its profiler; null on a CPU
    weight_bytes
    peak_bytes           most that was allocated at once beside the weights and the features, over all batches; on a GPU without cuBLAS' workspace
    cache_bytes          keys and values, with their masks and tables, at the end of the largest batch
    compression_rate     null, or states before / after CTC compression
    """

    model: str
    search: str
    batch: int
    audio_seconds: float
    tokens: int
    beam: int
    parameters: int
    weight_bytes: int
    compression_rate: float | None = None
    error: str | None = None
    sentences: int | None = None
    steps: int | None = None
    seconds: float | None = None
    encoder_seconds: float | None = None
    sentences_per_second: float | None = None
    step_milliseconds: float | None = None
    real_time_factor: float | None = None
    gpu_busy_share: float | None = None
    peak_bytes: int | None = None
    cache_bytes: int | None = None


@torch.no_grad()
def measure(model, dictionary, name: str, search: str, workload: Workload, batches: list[Batch], repeats: int, **options):
    """A Measurement and, per sentence, the tokens of the best hypothesis; None of them where the memory does not suffice.

    Args:
        name: of the model.
        search: a name in SEARCHES.
        batches: on the device of the model.
        options: of the search, beside those of the workload.
    """
    weights = [*model.parameters(), *model.buffers()]
    result = Measurement(
        name,
        search,
        workload.batch,
        workload.seconds,
        max(batch.num_tokens for batch in batches),
        workload.beam,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        weight_bytes=sum(weight.nbytes for weight in weights),
    )
    try:
        return result, fill_in(result, model, dictionary, workload, batches, repeats, options)
    except torch.OutOfMemoryError:
        result.error = OUT_OF_MEMORY
    finally:
        gc.collect()  # what a search caches between batches must not count as another's
        if weights[0].is_cuda:
            torch.cuda.empty_cache()
    return result, None


def fill_in(result: Measurement, model, dictionary, workload: Workload, batches: list[Batch], repeats: int, options: dict):
    """The best texts of a search, as `measure` returns them; what it takes is entered in the result."""
    device = next(model.parameters()).device
    cache_bytes, texts = [], []
    searches = {
        num_tokens: SEARCHES[result.search](model, dictionary, **options_of(num_tokens, workload.beam), **options)
        for num_tokens in {batch.num_tokens for batch in batches}
    }

    def search(batch):
        driven, generator = searches[batch.num_tokens]
        return generator.generate([driven], batch.sample())

    if device.type == "cuda":
        search(batches[0])  # cuBLAS keeps a workspace for every stream, 32 MiB on Hopper: the first search on a stream would be charged for it
        for _, generator in searches.values():
            if isinstance(generator, BeamSearch):
                generator.drop_kept()  # that is charged, to the next search
    with PeakMemory(device) as memory:
        for batch in batches:
            with CacheWatch(searches[batch.num_tokens][0].decoder) as cache:
                texts += [hypotheses[0]["tokens"].tolist() for hypotheses in search(batch)]
            cache_bytes.append(cache.num_bytes())
    passes = [timed(device, search, batches) for _ in range(repeats)]
    encodings = [timed(device, lambda batch: model.encoder.forward_torchscript(batch.sample()["net_input"]), batches) for _ in range(repeats)]
    audio_seconds = sum(int(batch.lengths.sum()) for batch in batches) / FRAMES_PER_SECOND
    result.sentences, result.steps = len(texts), sum(batch.num_tokens for batch in batches)
    result.seconds, result.encoder_seconds = statistics.median(passes), statistics.median(encodings)
    result.sentences_per_second = result.sentences / result.seconds
    result.step_milliseconds = 1000 * (result.seconds - result.encoder_seconds) / result.steps
    result.real_time_factor = result.seconds / audio_seconds
    if device.type == "cuda":
        seconds = statistics.median(timed(device, search, batches[:1]) for _ in range(repeats))
        result.gpu_busy_share = busy_seconds(device, search, batches[:1]) / seconds
    result.peak_bytes, result.cache_bytes = memory.peak_bytes, max(cache_bytes)
    return texts


def timed(device, function, batches) -> float:
    """Seconds that the function takes for all batches."""
    wait_for(device)
    start = time.perf_counter()
    for batch in batches:
        function(batch)
    wait_for(device)
    return time.perf_counter() - start


def busy_seconds(device, function, batches) -> float:
    """Seconds in which the GPU computes or copies for these batches, without the pauses between; nothing of it overlaps."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        timed(device, function, batches)
    on_gpu = [event for event in profiler.events() if event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation]
    return sum(event.time_range.elapsed_us() for event in on_gpu) / 1e6


def wait_for(device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class PeakMemory:
    """The most memory that a block allocates at once, on the GPU or, counted by the profiler, on the CPU.

    Attributes:
        peak_bytes: beside what was there before; known after the block.
    """

    def __init__(self, device):
        self.on_gpu = device.type == "cuda"
        self.profiler = None if self.on_gpu else torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True)

    def __enter__(self):
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
        else:
            self.profiler.__enter__()
        return self

    def __exit__(self, *error):
        if self.on_gpu:
            self.peak_bytes = torch.cuda.max_memory_allocated() - self.before
            return
        self.profiler.__exit__(*error)
        events = self.profiler.profiler.kineto_results.events()
        changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
        allocated = self.peak_bytes = 0
        for _, num_bytes in changes:
            allocated += num_bytes
            self.peak_bytes = max(self.peak_bytes, allocated)


class CacheWatch:
    """The keys and values that searches of a block hold: in the states that the decoder's start() returns."""

    def __init__(self, decoder):
        self.decoder, self.states = decoder, []

    def __enter__(self):
        start = self.decoder.start

        def watched_start(*arguments, **settings):
            self.states.append(start(*arguments, **settings))
            return self.states[-1]

        self.decoder.start = watched_start
        return self

    def __exit__(self, *error):
        del self.decoder.start  # the class's comes back

    def num_bytes(self) -> int:
        return sum(storages(self.states).values())


def storages(value) -> dict[int, int]:
    """Address -> bytes of every storage in the tensors that an object, list, tuple or dictionary holds; weights are no cache."""
    found, seen, waiting = {}, set(), [value]
    while waiting:
        held = waiting.pop()
        if id(held) in seen or isinstance(held, torch.nn.Module):
            continue
        seen.add(id(held))
        if isinstance(held, torch.Tensor):
            found[held.untyped_storage().data_ptr()] = held.untyped_storage().nbytes()
        elif isinstance(held, (list, tuple)):
            waiting += held
        else:
            waiting += (held if isinstance(held, dict) else getattr(held, "__dict__", {})).values()
    return found
