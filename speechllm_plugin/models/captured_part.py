"""A function of tensors, forward and backward, that runs from CUDA graphs."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from speechllm_plugin.models.captured_function import CapturedFunction, Form, Graph, Key


class Graphs(Graph):
    """Both graphs of one shape."""

    def prepare(self, part: "CapturedPart", forms: Sequence[Form]) -> None:
        self.differentiable = [number for number, form in enumerate(forms) if form.requires_grad]
        self.output_gradients = [self.outputs[number] for number in self.differentiable]  # whoever reads outputs has done so when gradients come
        self.input_gradients = [
            part.buffer("input gradient", number, own.shape, own.dtype) if own.requires_grad else None for number, own in enumerate(self.inputs)
        ]
        self.backward = torch.cuda.CUDAGraph()

    def capture(self, part: "CapturedPart") -> None:
        outputs = part.record(self.forward, lambda: self.run_forward(part))
        part.record(self.backward, lambda: self.run_backward(part, [outputs[number] for number in self.differentiable]))

    def run_backward(self, part: "CapturedPart", outputs: Sequence[Tensor]) -> None:
        own = [(tensor, gradient) for tensor, gradient in zip(self.inputs, self.input_gradients) if gradient is not None]
        sources = [*part.weights, *(tensor for tensor, _ in own)]
        gradients = torch.autograd.grad(outputs, sources, self.output_gradients, allow_unused=True)
        # One gradient that lies otherwise than its weight would make an addition of its own of every pair.
        used = [(weight.grad, gradient.contiguous()) for weight, gradient in zip(part.weights, gradients) if gradient is not None]
        with torch.no_grad():
            torch._foreach_add_(*map(list, zip(*used)))
            for (_, buffer), gradient in zip(own, gradients[len(part.weights) :]):
                buffer.copy_(gradient)


class CapturedPart(CapturedFunction):
    """A CapturedFunction with gradients. Its outputs are the same tensors in every call, and hold their gradients after the backward pass.

    Gradients of the weights are added to their `grad`, which must stay where it is; those of the inputs are returned to autograd.
    Between a call and its backward pass there may be no other call: that is an error, as the graphs would have written over what it reads.

    Args:
        weights: with gradients, on the GPU; the function may use any of them.
    """

    graph_type = Graphs

    def __init__(self, function: Callable[..., tuple[Tensor, ...]], weights: Sequence[Tensor], limit: int, stream: torch.cuda.Stream):
        super().__init__(function, limit, stream)
        self.weights, self.num_replays = weights, 0
        self.anchor = torch.zeros(1, device=stream.device, requires_grad=True)  # autograd asks only for gradients of inputs

    def gives_way(self, kept: Key, key: Key) -> bool:
        """Always: what came often may have come early in the training."""
        return True

    def replay(self, graph: Graphs, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return _Replay.apply(self, graph, self.anchor, *inputs)


class _Replay(Function):
    """A run of both graphs; `anchor` is a tensor that wants a gradient, so that autograd comes back."""

    @staticmethod
    def forward(ctx: Any, part: CapturedPart, graphs: Graphs, anchor: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        graphs.replay(inputs)
        part.num_replays += 1
        ctx.part, ctx.graphs, ctx.number = part, graphs, part.num_replays
        ctx.set_materialize_grads(False)
        outputs = tuple(output.detach() for output in graphs.outputs)
        ctx.mark_non_differentiable(*(output for number, output in enumerate(outputs) if number not in graphs.differentiable))
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        graphs = ctx.graphs
        if ctx.number != ctx.part.num_replays:
            raise RuntimeError("a model with --cuda-graphs was called again before the backward pass of its last call: train without them")
        for own, number in zip(graphs.output_gradients, graphs.differentiable):
            given = gradients[number]
            if given is None:
                own.zero_()
            elif given.data_ptr() != own.data_ptr() or given.stride() != own.stride():  # a loss may have written it there
                own.copy_(given)
        graphs.backward.replay()
        return None, None, None, *(None if gradient is None else gradient.detach() for gradient in graphs.input_gradients)
