"""A function of tensors, forward and backward, that runs from CUDA graphs: hundreds of launches for one each."""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

GROWTH = 1.25  # of a buffer that has become too short

Key = tuple[tuple[torch.Size, torch.dtype], ...]


class Form(NamedTuple):
    """What is known of an output before it is captured."""

    shape: torch.Size
    dtype: torch.dtype
    requires_grad: bool


class CapturedPart:
    """Calls a function, from the second call with inputs of the same shapes on from graphs.

    The function must wait for nothing and read no tensor on the host. Gradients of the weights are added to their `grad`, which must
    stay where it is; those of the inputs are returned to autograd. Between a call and its backward pass there may be no other call.

    All graphs share the memory of one pool, and one set of buffers for what goes in and out.

    Args:
        function: of tensors, to a tuple of tensors.
        weights: with gradients, on the GPU; the function may use any of them.
        limit: number of shapes whose graphs are kept; those that were not used for longest go first.
        stream: on which work is captured.
    """

    def __init__(self, function: Callable[..., tuple[Tensor, ...]], weights: Sequence[Tensor], limit: int, stream: torch.cuda.Stream):
        self.function, self.weights, self.limit, self.stream = function, weights, limit, stream
        self.forms: dict[Key, list[Form]] = {}  # of shapes that were met
        self.graphs: OrderedDict[Key, Graphs] = OrderedDict()
        self.buffers: dict[tuple[str, int], Tensor] = {}
        self.anchor = torch.zeros(1, device=weights[0].device, requires_grad=True)  # autograd asks only for gradients of inputs
        self.pool = torch.cuda.graph_pool_handle()
        # A pool lives as long as a graph that uses it.
        self.keeper = torch.cuda.CUDAGraph()
        with torch.cuda.stream(stream):
            self.record(self.keeper, lambda: torch.zeros_like(self.anchor))

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        key = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        if key not in self.forms:  # compiles kernels, fills caches
            outputs = self.function(*inputs)
            self.forms[key] = [Form(output.shape, output.dtype, output.requires_grad) for output in outputs]
            return outputs
        if key not in self.graphs:
            if len(self.graphs) == self.limit:
                self.graphs.popitem(last=False)
            self.graphs[key] = Graphs(self, inputs, self.forms[key])
        self.graphs.move_to_end(key)
        return _Replay.apply(self.graphs[key], self.anchor, *inputs)

    def record(self, graph: torch.cuda.CUDAGraph, function: Callable[[], Any]) -> Any:
        """Capture what the function does."""
        graph.capture_begin(pool=self.pool, capture_error_mode="thread_local")
        try:
            return function()
        finally:
            graph.capture_end()

    def buffer(self, use: str, number: int, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """A tensor in memory that all graphs use alike; one that grows leaves the old one to the graphs that have it."""
        size, flat = math.prod(shape), self.buffers.get((use, number))
        if flat is None or flat.numel() < size or flat.dtype != dtype:
            flat = self.buffers[use, number] = torch.empty(int(size * GROWTH), dtype=dtype, device=self.anchor.device)
        return flat[:size].view(shape)


class Graphs:
    """The graphs of one shape, and where they read and write."""

    def __init__(self, part: CapturedPart, inputs: Sequence[Tensor], forms: Sequence[Form]):
        buffers = [part.buffer("input", number, tensor.shape, tensor.dtype) for number, tensor in enumerate(inputs)]
        self.inputs = [buffer.copy_(tensor.detach()).detach() for buffer, tensor in zip(buffers, inputs)]
        for own, given in zip(self.inputs, inputs):
            own.requires_grad_(given.requires_grad)
        self.outputs = [part.buffer("output", number, form.shape, form.dtype) for number, form in enumerate(forms)]
        self.differentiable = [number for number, form in enumerate(forms) if form.requires_grad]
        self.output_gradients = [
            part.buffer("output gradient", number, forms[number].shape, forms[number].dtype).zero_() for number in self.differentiable
        ]
        self.input_gradients = [
            part.buffer("input gradient", number, own.shape, own.dtype) if own.requires_grad else None for number, own in enumerate(self.inputs)
        ]
        self.forward, self.backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # of what the calls without graphs left, which no graph can use
        with torch.cuda.stream(part.stream):
            outputs = part.record(self.forward, lambda: self.run_forward(part))
            part.record(self.backward, lambda: self.run_backward(part, [outputs[number] for number in self.differentiable]))
        torch.cuda.current_stream().wait_stream(part.stream)

    def run_forward(self, part: CapturedPart) -> tuple[Tensor, ...]:
        outputs = part.function(*self.inputs)
        with torch.no_grad():
            for buffer, output in zip(self.outputs, outputs):
                buffer.copy_(output)
        return outputs

    def run_backward(self, part: CapturedPart, outputs: Sequence[Tensor]) -> None:
        own = [(tensor, gradient) for tensor, gradient in zip(self.inputs, self.input_gradients) if gradient is not None]
        sources = [*part.weights, *(tensor for tensor, _ in own)]
        gradients = torch.autograd.grad(outputs, sources, self.output_gradients, allow_unused=True)
        used = [(weight.grad, gradient) for weight, gradient in zip(part.weights, gradients) if gradient is not None]
        with torch.no_grad():
            torch._foreach_add_(*map(list, zip(*used)))
            for (_, buffer), gradient in zip(own, gradients[len(part.weights) :]):
                buffer.copy_(gradient)


class _Replay(Function):
    """A run of both graphs; `anchor` is a tensor that wants a gradient, so that autograd comes back."""

    @staticmethod
    def forward(ctx: Any, graphs: Graphs, anchor: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        for own, given in zip(graphs.inputs, inputs):
            own.copy_(given)
        graphs.forward.replay()
        ctx.graphs = graphs
        ctx.set_materialize_grads(False)
        outputs = tuple(output.detach() for output in graphs.outputs)
        ctx.mark_non_differentiable(*(output for number, output in enumerate(outputs) if number not in graphs.differentiable))
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        graphs = ctx.graphs
        for own, number in zip(graphs.output_gradients, graphs.differentiable):
            given = gradients[number]
            own.zero_() if given is None else own.copy_(given)
        graphs.backward.replay()
        return None, None, *(None if gradient is None else gradient.detach() for gradient in graphs.input_gradients)
