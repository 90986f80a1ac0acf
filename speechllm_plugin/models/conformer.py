"""Conformer layer (Gulati et al. 2020, arXiv:2005.08100), in the form of Lam et al. 2025: half-step feed-forward networks
around self-attention and a depthwise convolution, LayerNorm at its end."""

import torch
from torch import distributed, nn
from torch.autograd import Function
from torch.nn.functional import conv2d, glu, silu

from speechllm_plugin.models.attention import SELF_ATTENTIONS, projection
from speechllm_plugin.models.transformer import FeedForward


class ConformerLayer(nn.Module):
    def __init__(self, dim: int, ffn_dim: int, num_heads: int, cfg, positions: str):
        super().__init__()
        self.first_feed_forward = FeedForward(dim, ffn_dim, silu, cfg.dropout, cfg.activation_dropout)
        self.self_attn_norm = nn.LayerNorm(dim)
        self.self_attn = SELF_ATTENTIONS[positions](dim, num_heads, cfg.attention_dropout)
        self.convolution = ConvolutionModule(dim, cfg.depthwise_conv_kernel_size, cfg.legacy_batch_norm)
        self.second_feed_forward = FeedForward(dim, ffn_dim, silu, cfg.dropout, cfg.activation_dropout)
        self.final_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(self, x, context):
        """(B, S, C) -> (B, S, C); states at padding are arbitrary and read by nobody."""
        x = x + 0.5 * self.first_feed_forward(x)
        x = x + self.dropout(self.self_attn(self.self_attn_norm(x), context)[0])
        x = x + self.dropout(self.convolution(x, context.padding))
        x = x + 0.5 * self.second_feed_forward(x)
        return self.final_norm(x)


class ConvolutionModule(nn.Module):
    """Pointwise, gate, depthwise over time, batch norm, SiLU, pointwise. The pointwise ones are linear layers."""

    def __init__(self, dim: int, kernel_size: int, legacy_batch_norm: bool):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.pointwise_in = projection(dim, 2)
        self.depthwise = nn.Conv1d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim, bias=False)
        self.batch_norm = (LegacyBatchNorm if legacy_batch_norm else MaskedBatchNorm)(dim)
        self.pointwise_out = projection(dim)

    def forward(self, x, padding):
        x = glu(self.pointwise_in(self.norm(x)), dim=-1).masked_fill(padding[..., None], 0)
        x = self.over_time(x.transpose(1, 2)).transpose(1, 2).contiguous()
        return self.pointwise_out(silu(self.batch_norm(x, padding)))

    def over_time(self, x):
        """The depthwise convolution of (B, C, S). On a CPU in two dimensions, for whose layout torch has a kernel that is ten times as fast."""
        if x.device.type != "cpu":
            return self.depthwise(x)
        weight, width = self.depthwise.weight, self.depthwise.padding[0]
        return conv2d(x[:, :, None], weight[:, :, None], padding=(0, width), groups=len(weight))[:, :, 0]


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over the states of (B, S, C) that are not padding, of all processes, with float32 statistics.

    Padded states leave mean, variance and running statistics as they would be without them. So does the whole batch while `counts`
    is False: a process that has run out of data takes part, with a batch whose gradient is zero.
    """

    counts: bool = True

    def forward(self, x, padding):
        mean, variance = self.batch_statistics(x, padding) if self.training else (self.running_mean, self.running_var)
        return ((x - mean) * (self.weight * torch.rsqrt(variance + self.eps)) + self.bias).to(x.dtype)

    def batch_statistics(self, x, padding):
        """(C,) mean and variance, towards which the running ones move; these, as they are, if no process has a state that counts."""
        keep = (~padding if self.counts else torch.zeros_like(padding))[..., None]
        states = x.float().masked_fill(~keep, 0)
        sums = self.total(torch.cat([states.sum((0, 1)), keep.sum()[None]]))
        has_states, number = sums[-1] > 0, sums[-1].clamp(min=1)
        mean = torch.where(has_states, sums[:-1] / number, self.running_mean)
        variance = self.total(((states - mean) * keep).square().sum((0, 1))) / number
        variance = torch.where(has_states, variance, self.running_var)
        with torch.no_grad():
            unbiased = variance * (number / (number - 1).clamp(min=1))
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
            self.num_batches_tracked += has_states
        return mean, variance

    @staticmethod
    def total(tensor):
        """The sum over all processes."""
        several = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
        return SumOverProcesses.apply(tensor) if several else tensor


class LegacyBatchNorm(MaskedBatchNorm):
    """That of Lam et al. 2025's code: padding counts as states of zero, and every process has statistics of its own."""

    def forward(self, x, padding):
        return super().forward(x.masked_fill(padding[..., None], 0), torch.zeros_like(padding))

    @staticmethod
    def total(tensor):
        return tensor


class SumOverProcesses(Function):
    """The sum of a tensor over all processes. Each reads it, so that its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx, tensor):
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient):
        return SumOverProcesses.apply(gradient)
