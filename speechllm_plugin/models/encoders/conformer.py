"""Conformer encoder (Gulati et al. 2020, arXiv:2005.08100), in the form of Lam et al. 2025: half-step feed-forward networks around
self-attention and a depthwise convolution, LayerNorm at the end of each layer."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import silu

from speechllm_plugin.models.attention import projection
from speechllm_plugin.models.batch_norm import LegacyBatchNorm, MaskedBatchNorm
from speechllm_plugin.models.cost import matmul
from speechllm_plugin.models.encoders.parts import EncoderKind, EncoderLayer, SpeechContext
from speechllm_plugin.models.feed_forward import FeedForward
from speechllm_plugin.models.gated_convolution import depthwise, gate
from speechllm_plugin.models.relative_positions import SELF_ATTENTIONS
from speechllm_plugin.models.residual import add_normed, branch_end, with_normed


@dataclass
class ConformerFlags:
    """The flags that only the Conformer reads."""

    depthwise_conv_kernel_size: int = field(default=31, metadata={"help": "kernel of the Conformer's convolution, in states; odd"})
    legacy_batch_norm: bool = field(
        default=False,
        metadata={
            "help": "the Conformer's batch norm counts padding in its statistics, and each GPU's alone, as Lam et al. 2025's code: "
            "results depend on how batches are padded, so for comparison only"
        },
    )


def check(cfg: Any) -> None:
    if cfg.legacy_batch_norm and cfg.encoder != "conformer":
        raise ValueError(f"--legacy-batch-norm needs --encoder conformer, as no other has a batch norm, but it is {cfg.encoder}: leave it out")
    if cfg.encoder == "conformer" and cfg.depthwise_conv_kernel_size % 2 == 0:
        raise ValueError(f"--depthwise-conv-kernel-size must be odd, but is {cfg.depthwise_conv_kernel_size}")


class ConformerLayer(EncoderLayer):
    """Half a feed-forward network, self-attention, convolution, the other half, LayerNorm."""

    def __init__(self, cfg: Any):
        super().__init__()
        dim, ffn_dim = cfg.encoder_embed_dim, cfg.encoder_ffn_embed_dim
        self.first_feed_forward = FeedForward(dim, ffn_dim, silu, cfg.dropout, cfg.activation_dropout)
        self.self_attn_norm = nn.LayerNorm(dim)
        self.self_attn = SELF_ATTENTIONS[cfg.relative_positions](dim, cfg.encoder_attention_heads, cfg.attention_dropout)
        self.convolution = ConvolutionModule(dim, cfg.depthwise_conv_kernel_size, cfg.legacy_batch_norm)
        self.second_feed_forward = FeedForward(dim, ffn_dim, silu, cfg.dropout, cfg.activation_dropout)
        self.final_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(self, x: Tensor, context: SpeechContext) -> Tensor:
        first, second = self.first_feed_forward, self.second_feed_forward
        x, states = with_normed(x, first.norm)
        x, states = add_normed(x, first.transform(states), first.dropout, self.self_attn_norm, factor=0.5)
        x, states = add_normed(x, self.self_attn(states, context)[0], self.dropout, self.convolution.norm)
        x, states = add_normed(x, self.convolution.transform(states, context.padding), self.dropout, second.norm)
        return add_normed(x, second.transform(states), second.dropout, self.final_norm, factor=0.5)[1].to(x.dtype)

    def flops(self, num_states: int) -> int:
        feed_forward = self.first_feed_forward.flops(num_states) + self.second_feed_forward.flops(num_states)
        return feed_forward + self.self_attn.flops(num_states, num_states, num_states) + self.convolution.flops(num_states)


class ConvolutionModule(nn.Module):
    """Pointwise, gate, depthwise over time, batch norm, SiLU, pointwise. The pointwise ones are linear layers."""

    def __init__(self, dim: int, kernel_size: int, legacy_batch_norm: bool):
        super().__init__()
        self.dim, self.kernel_size = dim, kernel_size
        self.norm = nn.LayerNorm(dim)
        self.pointwise_in = projection(dim, 2)
        self.depthwise = nn.Conv1d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim, bias=False)
        self.batch_norm = (LegacyBatchNorm if legacy_batch_norm else MaskedBatchNorm)(dim)
        self.pointwise_out = projection(dim)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        return self.transform(self.norm(x), padding)

    def transform(self, normed: Tensor, padding: Tensor) -> Tensor:
        """What comes after the LayerNorm."""
        x = depthwise(gate(normed, self.pointwise_in, padding), self.depthwise.weight)
        return branch_end(self.batch_norm.silu(x, padding), self.pointwise_out)

    def flops(self, num_states: int) -> int:
        pointwise = matmul(num_states, self.dim, 2 * self.dim) + matmul(num_states, self.dim, self.dim)
        return pointwise + matmul(num_states, self.kernel_size, self.dim)


CONFORMER = EncoderKind(ConformerLayer, final_norm=False, default_positions="xl", flags=ConformerFlags, check=check)
