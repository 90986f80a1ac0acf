"""A step that repeats from a captured CUDA graph: hundreds of small kernels for one launch."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch


class GraphedStep:
    """Calls a function of tensors, from a graph after the first time.

    The function must change its tensors in place, keep their shapes and wait for nothing. What it reads on the host, it reads when it
    is captured only: after a change of that, or of a tensor's place, `forget` makes the next call capture anew.

    Work is captured on a stream other than the default one: calls and all that they depend on belong into `on_stream`.
    """

    def __init__(self, device: torch.device):
        self.stream = torch.cuda.Stream(device)
        self.graphs: list[torch.cuda.CUDAGraph] = []
        self.is_current = False
        with torch.cuda.device(device):
            self.pool = torch.cuda.graph_pool_handle()
            with self.on_stream():
                # A pool lives as long as a graph that uses it: this one, so that later graphs find the memory of earlier ones.
                self.keeper = self.capture(lambda: torch.zeros(1, device=device))

    def on_stream(self) -> AbstractContextManager:
        """The context of work on the stream of the graphs, after all work submitted before."""
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        return torch.cuda.stream(self.stream)

    def __call__(self, function: Callable[[], object]) -> None:
        if not self.is_current:
            self.graphs.append(self.capture(function))
            self.is_current = True
        self.graphs[-1].replay()

    def capture(self, function: Callable[[], object]) -> torch.cuda.CUDAGraph:
        # torch.cuda.graph would empty the allocator's cache each time, which costs more than the graph saves.
        graph = torch.cuda.CUDAGraph()
        graph.capture_begin(pool=self.pool, capture_error_mode="thread_local")
        try:
            function()
        finally:
            graph.capture_end()
        return graph

    def forget(self) -> None:
        self.is_current = False

    def release(self) -> None:
        """Drop the graphs, when the device has run them."""
        self.forget()
        self.graphs.clear()
