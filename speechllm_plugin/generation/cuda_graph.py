"""A step that repeats from a captured CUDA graph: hundreds of small kernels for one launch."""

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, NamedTuple

import torch

from speechllm_plugin.generation.held_tensors import HeldTensors

KEPT_SHARE = 1 / 64  # of a GPU's memory, for what one search leaves to the next


@contextmanager
def capturing(graph: torch.cuda.CUDAGraph, pool: Any) -> Iterator[None]:
    """Let a graph of this pool capture what a block does.

    Meanwhile Python collects no garbage: older graphs may be in it, those of a model that nobody has any more, and a capture in which a graph is
    destroyed is spoilt.
    """
    # torch.cuda.graph would empty the allocator's cache each time, which costs more than the graph of a search saves.
    collects = gc.isenabled()
    gc.disable()
    try:
        graph.capture_begin(pool=pool, capture_error_mode="thread_local")
        try:
            yield
        except BaseException:
            with suppress(RuntimeError):  # of the capture that has failed, which would hide why, as that memory is short
                graph.capture_end()
            raise
        graph.capture_end()
    finally:
        if collects:
            gc.enable()


class KeptStep(NamedTuple):
    """A captured step and the tensors that it works on."""

    graph: Any
    held: HeldTensors


class GraphedStep:
    """Calls a function of tensors, from a graph after the first time.

    The function must change its tensors in place, keep their shapes and wait for nothing. What it reads on the host, it reads when it
    is captured only: after a change of that, or of a tensor's place, `forget` makes the next call capture anew.

    Work is captured on a stream other than the default one: calls and all that they depend on belong into `on_stream`.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.stream = torch.cuda.Stream(device)
        self.graphs: list[Any] = []
        self.is_current = False
        self.kept: KeptStep | None = None
        self.to_keep: HeldTensors | None = None
        self.max_kept_bytes = KEPT_SHARE * torch.cuda.get_device_properties(device).total_memory
        with torch.cuda.device(device):
            self.pool = torch.cuda.graph_pool_handle()
            with self.on_stream():
                # A pool lives as long as a graph that uses it: this one, so that later graphs find the memory of earlier ones.
                self.keeper = self.capture(lambda: torch.zeros(1, device=device))

    def on_stream(self) -> AbstractContextManager:
        """The context of work on the stream of the graphs, after all work submitted before."""
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        return torch.cuda.stream(self.stream)

    def resume(self, objects: list) -> bool:
        """Whether the next calls repeat what an earlier search captured, with tensors of the same shapes and all else equal.

        The objects hold all that the function works on. Their tensors are replaced by those of the graph, with the same content.
        Otherwise what is captured next is kept for a later search, if its tensors are small enough.
        """
        held = HeldTensors(objects)
        if self.kept is not None and self.kept.held.description == held.description:
            self.kept.held.move_into(objects)
            self.graphs.append(self.kept.graph)
            self.is_current = True
            return True
        self.kept = None
        held.places.clear()  # what this search comes to hold in their stead may be larger, and is not to be kept
        self.to_keep = held if held.num_bytes <= self.max_kept_bytes else None
        return False

    def __call__(self, function: Callable[[], object]) -> None:
        if not self.is_current:
            self.graphs.append(self.capture(function))
            self.is_current = True
            if self.to_keep is not None:
                self.kept, self.to_keep = KeptStep(self.graphs[-1], self.to_keep), None
        self.graphs[-1].replay()

    def capture(self, function: Callable[[], object]) -> Any:
        graph = torch.cuda.CUDAGraph()
        with capturing(graph, self.pool):
            function()
        return graph

    def forget(self) -> None:
        """What is captured does not fit any more; nor do tensors that were to be kept with it."""
        self.is_current, self.to_keep = False, None

    def release(self) -> None:
        """Drop the graphs but the one that is kept, when the device has run them."""
        self.forget()
        self.graphs.clear()
