"""A function of tensors that runs from CUDA graphs, one for each shape of its inputs: hundreds of launches for one."""

import math
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from speechllm_plugin.generation.cuda_graph import capturing

GROWTH = 1.25  # of a buffer that has become too short

Key = tuple[tuple[torch.Size, torch.dtype], ...]


class Form(NamedTuple):
    """What is known of an output before it is captured."""

    shape: torch.Size
    dtype: torch.dtype
    requires_grad: bool


class Graph:
    """The graph of one shape, and where it reads and writes."""

    def __init__(self, part: "CapturedFunction", inputs: Sequence[Tensor], forms: Sequence[Form]):
        buffers = [part.buffer("input", number, tensor.shape, tensor.dtype) for number, tensor in enumerate(inputs)]
        self.inputs = [buffer.copy_(tensor.detach()).detach() for buffer, tensor in zip(buffers, inputs)]
        for own, given in zip(self.inputs, inputs):
            own.requires_grad_(given.requires_grad)
        self.outputs = [part.buffer("output", number, form.shape, form.dtype) for number, form in enumerate(forms)]
        self.forward = torch.cuda.CUDAGraph()
        self.prepare(part, forms)
        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # of what the calls without graphs left, which no graph can use
        with torch.cuda.stream(part.stream):
            self.capture(part)
        torch.cuda.current_stream().wait_stream(part.stream)

    def prepare(self, part: Any, forms: Sequence[Form]) -> None:
        """Find places for what is needed beside inputs and outputs."""

    def capture(self, part: Any) -> None:
        part.record(self.forward, lambda: self.run_forward(part))

    def run_forward(self, part: "CapturedFunction") -> tuple[Tensor, ...]:
        outputs = part.function(*self.inputs)
        with torch.no_grad():
            for buffer, output in zip(self.outputs, outputs):
                buffer.copy_(output)
        return outputs

    def replay(self, inputs: Sequence[Tensor]) -> None:
        for own, given in zip(self.inputs, inputs):
            own.copy_(given)
        self.forward.replay()


class CapturedFunction:
    """Calls a function without gradients, from the second call with inputs of the same shapes on from graphs, as far as these suffice.

    The function must wait for nothing and read no tensor on the host; the tensors that it reads beside its inputs must stay where they
    are. Its outputs are new tensors in every call.

    All graphs share the memory of one pool, and one set of buffers for what goes in and out: nothing that a graph computes is read when
    another one has run.

    Args:
        function: of tensors, to a tuple of tensors.
        limit: number of shapes whose graphs are kept. The one that was not used for longest gives way to a shape that has come more often:
            else shapes that take turns would be captured each time, and never replayed.
        stream: on which work is captured.

    Attributes:
        num_captures, num_launches: calls so far that captured a graph, and that ran without one.
    """

    graph_type: ClassVar[type[Graph]] = Graph

    def __init__(self, function: Callable[..., tuple[Tensor, ...]], limit: int, stream: torch.cuda.Stream):
        self.function, self.limit, self.stream = function, limit, stream
        self.forms: dict[Key, list[Form]] = {}  # of shapes that were met
        self.calls: Counter[Key] = Counter()
        self.num_captures = self.num_launches = 0
        self.graphs: OrderedDict[Key, Any] = OrderedDict()
        weakref.finalize(self, self.graphs.clear)  # at exit as well: NCCL ends when the graphs that hold its sums have ended
        self.buffers: dict[tuple[str, int], Tensor] = {}
        self.pool = torch.cuda.graph_pool_handle()
        # A pool lives as long as a graph that uses it.
        self.keeper = torch.cuda.CUDAGraph()
        with torch.cuda.stream(stream):
            self.record(self.keeper, lambda: torch.zeros(1, device=stream.device))

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        key = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        self.calls[key] += 1
        if key not in self.forms:  # compiles kernels, fills caches
            outputs = self.launch(inputs)
            self.forms[key] = [Form(output.shape, output.dtype, output.requires_grad) for output in outputs]
            return outputs
        if key not in self.graphs:
            if len(self.graphs) == self.limit and not self.gives_way(next(iter(self.graphs)), key):
                return self.launch(inputs)
            self.graphs[key] = self.graph_type(self, inputs, self.forms[key])
            self.num_captures += 1
            if len(self.graphs) > self.limit:
                self.graphs.popitem(last=False)  # now that the device has run it: a capture waits for all work
        self.graphs.move_to_end(key)
        return self.replay(self.graphs[key], inputs)

    def launch(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What the function makes of the inputs, operation by operation."""
        self.num_launches += 1
        return self.function(*inputs)

    def gives_way(self, kept: Key, key: Key) -> bool:
        """Whether a shape that has no graph gets the place of one that has."""
        return self.calls[key] > self.calls[kept]

    def replay(self, graph: Any, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        graph.replay(inputs)
        return tuple(output.clone() for output in graph.outputs)

    def record(self, graph: torch.cuda.CUDAGraph, function: Callable[[], Any]) -> Any:
        """Capture what the function does."""
        with capturing(graph, self.pool):
            return function()

    def buffer(self, use: str, number: int, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """A tensor in memory that all graphs use alike; one that grows leaves the old one to the graphs that have it."""
        size, flat = math.prod(shape), self.buffers.get((use, number))
        if flat is None or flat.numel() < size or flat.dtype != dtype:
            flat = self.buffers[use, number] = torch.empty(int(size * GROWTH), dtype=dtype, device=self.stream.device)
        return flat[:size].view(shape)
