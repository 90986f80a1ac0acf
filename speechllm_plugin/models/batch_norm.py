"""Batch normalisation of speech states that knows padding and other processes."""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function
from torch.nn.functional import silu

from speechllm_plugin.models import kernels


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over the states of (B, S, C) that are not padding, of all processes, with float32 statistics.

    Padded states leave mean, variance and running statistics as they would be without them. So does the whole batch while `counts`
    is False: a process that has run out of data takes part, with a batch whose gradient is zero.
    """

    counts: bool = True
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:  # type: ignore[override]  # torch's has no padding
        mean, variance = self.batch_statistics(x, padding) if self.training else (self.running_mean, self.running_var)
        return ((x - mean) * (self.weight * torch.rsqrt(variance + self.eps)) + self.bias).to(x.dtype)

    def silu(self, x: Tensor, padding: Tensor) -> Tensor:
        """SiLU of what forward returns; in training on a GPU in one kernel."""
        if not (self.training and kernels.for_training(x) and type(self) is MaskedBatchNorm):
            return silu(self(x, padding))
        keep = ~padding if self.counts else torch.zeros_like(padding)
        out, mean, variance, number, has_states = kernels.batch_norm_silu(
            x, keep, self.weight, self.bias, self.running_mean, self.running_var, self.eps, total_over_processes
        )
        self.move_running_statistics(mean, variance, number, has_states)
        return out

    def batch_statistics(self, x: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        """The (C,) mean and variance of the batch, towards which the running ones move.

        If no process has a state that counts, they are the running ones, which stay.
        """
        keep = (~padding if self.counts else torch.zeros_like(padding))[..., None]
        states = x.float().masked_fill(~keep, 0)
        sums = self.total(torch.cat([states.sum((0, 1)), keep.sum()[None]]))
        has_states, number = sums[-1] > 0, sums[-1].clamp(min=1)
        mean = torch.where(has_states, sums[:-1] / number, self.running_mean)
        variance = self.total(((states - mean) * keep).square().sum((0, 1))) / number
        variance = torch.where(has_states, variance, self.running_var)
        self.move_running_statistics(mean, variance, number, has_states)
        return mean, variance

    @torch.no_grad()
    def move_running_statistics(self, mean: Tensor, variance: Tensor, number: Tensor, has_states: Tensor) -> None:
        """Towards those of a batch of so many states."""
        unbiased = variance * (number / (number - 1).clamp(min=1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        self.num_batches_tracked += has_states

    @staticmethod
    def total(tensor: Tensor) -> Tensor:
        """The sum over all processes."""
        return SumOverProcesses.apply(tensor) if several_processes() else tensor


class LegacyBatchNorm(MaskedBatchNorm):
    """The batch normalisation of Lam et al. 2025's code: padding counts as states of zero, and every process has statistics of its own."""

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x.masked_fill(padding[..., None], 0), torch.zeros_like(padding))

    @staticmethod
    def total(tensor: Tensor) -> Tensor:
        return tensor


def several_processes() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def total_over_processes(tensor: Tensor) -> Tensor:
    """The sum of a tensor over all processes, without gradients."""
    if several_processes():
        distributed.all_reduce(tensor)
    return tensor


class SumOverProcesses(Function):
    """The sum of a tensor over all processes. Each reads it, so that its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return SumOverProcesses.apply(gradient)
