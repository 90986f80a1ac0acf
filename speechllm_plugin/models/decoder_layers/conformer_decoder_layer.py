"""Conformer layer (Gulati et al. 2020, arXiv:2005.08100) of a text decoder: speech is convolved in both directions, text over what came before.

Where the speech stands before the text, and no encoder is below, a decoder of these layers reads both: arXiv:2602.12546. In place of the
encoder's batch norm, whose statistics would mix speech and texts, there is a LayerNorm.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import glu, pad, silu

from speechllm_plugin.models.attention import SelfAttention, projection
from speechllm_plugin.models.cost import matmul
from speechllm_plugin.models.decoder_layers.decoder_layer import DecoderLayer, TextContext
from speechllm_plugin.models.feed_forward import FeedForward, by_modality, half_step
from speechllm_plugin.models.gated_convolution import depthwise, gate
from speechllm_plugin.models.residual import add, add_normed, branch_end, normed


class ConformerDecoderLayer(DecoderLayer):
    """Half a feed-forward network, attention, convolution, the other half, LayerNorm; with --speech-ffn speech has halves of its own."""

    def __init__(self, cfg: Any, self_attention: type[SelfAttention], cross_attention: bool, is_last: bool):
        super().__init__(cfg, self_attention, cross_attention, is_last)
        sizes = cfg.decoder_embed_dim, cfg.decoder_ffn_embed_dim, silu, cfg.dropout, cfg.activation_dropout
        self.first_feed_forward, self.second_feed_forward = FeedForward(*sizes), FeedForward(*sizes)
        self.first_of_speech = FeedForward(*sizes) if self.has_speech_ffn else None
        self.second_of_speech = FeedForward(*sizes) if self.has_speech_ffn and not is_last else None
        sees_future = not (cross_attention or cfg.causal_prefix or is_last)
        self.convolution = DecoderConvolution(cfg.decoder_embed_dim, cfg.decoder_conv_kernel_size, sees_future)
        self.num_recent = self.convolution.num_before
        self.final_norm = nn.LayerNorm(cfg.decoder_embed_dim)

    def before_attention(self, x: Tensor, num_speech: int) -> Tensor:
        return self.half_of(self.first_of_speech, self.first_feed_forward, x, num_speech)

    @staticmethod
    def half_of(of_speech: FeedForward | None, of_text: FeedForward, x: Tensor, num_speech: int) -> Tensor:
        return by_modality(num_speech, of_speech and partial(half_step, of_speech), partial(half_step, of_text), x)

    def after_attention(self, x: Tensor, attended: Tensor, context: TextContext, skip: int, speech: tuple[Any, ...] | None) -> Tensor:
        if speech is not None:
            x, states = add_normed(x, attended, self.dropout, self.cross_attn_norm)
            attended = self.cross_attn(states, *speech)
        x, states = add_normed(x, attended, self.dropout, self.convolution.norm)
        x = add(x, self.convolution.transform(states, None if skip else context.padding, context.lengths), self.dropout)
        return normed(self.half_of(self.second_of_speech, self.second_feed_forward, x, context.num_speech - skip), self.final_norm).to(x.dtype)

    def after_attention_step(self, x: Tensor, state: Any, layer: int) -> Tensor:
        x = x + self.convolution.step(x, state.recent[layer])
        return self.final_norm(half_step(self.second_feed_forward, x))

    def text_flops(self, num_queries: int, num_keys: int, num_new_keys: int, is_step: bool = False) -> int:
        feed_forward = self.first_feed_forward.flops(num_new_keys) + self.second_feed_forward.flops(num_queries)
        return feed_forward + self.self_attn.flops(num_queries, num_keys, num_new_keys) + self.convolution.flops(num_queries, is_step)

    def key_value_flops(self, num_states: int) -> int:
        return self.first_feed_forward.flops(num_states) + self.self_attn.key_value_flops(num_states)


class DecoderConvolution(nn.Module):
    """Pointwise, gate, depthwise over time, LayerNorm, SiLU, pointwise.

    Speech and each text are convolved by themselves, with zeros around them: text begins with nothing, whatever stands before it.

    Args:
        kernel_size: of the whole filter, odd. Its first half and its middle are for all positions, its second half is for speech that
            may see later speech.
        sees_future: whether there is such speech.
    """

    def __init__(self, dim: int, kernel_size: int, sees_future: bool):
        super().__init__()
        self.dim, self.kernel_size, self.num_before = dim, kernel_size, kernel_size // 2
        self.norm = nn.LayerNorm(dim)
        self.pointwise_in = projection(dim, 2)
        bound = kernel_size**-0.5  # as torch's convolution
        self.past = nn.Parameter(torch.empty(dim, 1, self.num_before + 1).uniform_(-bound, bound))
        self.future = nn.Parameter(torch.empty(dim, 1, self.num_before).uniform_(-bound, bound)) if sees_future and self.num_before else None
        self.depthwise_norm = nn.LayerNorm(dim)
        self.pointwise_out = projection(dim)

    def transform(self, normed: Tensor, padding: Tensor | None, lengths: Sequence[int]) -> Tensor:
        """What comes after the first LayerNorm: (B, S, C) -> (B, S, C).

        Args:
            padding: (B, N) of the speech with which the sequence begins, if it does.
            lengths: of the texts that follow.
        """
        num_speech = normed.size(1) - sum(lengths)
        hidden = torch.zeros(normed.shape[:2], dtype=torch.bool, device=normed.device) if padding is None else pad(padding, (0, sum(lengths)))
        speech, *texts = gate(normed, self.pointwise_in, hidden).split([num_speech, *lengths], dim=1)
        causal = torch.cat([self.past, torch.zeros_like(self.past[..., 1:])], dim=-1)
        both = causal if self.future is None else torch.cat([self.past, self.future], dim=-1)
        parts = [depthwise(text, causal) for text in texts]
        return self.finished(torch.cat([depthwise(speech, both), *parts] if num_speech else parts, dim=1))

    def finished(self, convolved: Tensor) -> Tensor:
        return branch_end(silu(self.depthwise_norm(convolved)), self.pointwise_out)

    def step(self, x: Tensor, recent: Tensor) -> Tensor:
        """(B, K, C) newest tokens -> (B, K, C); `recent` (B, K, num_before, C) has what the filter reads of the tokens before, then of these."""
        gated = glu(self.pointwise_in(self.norm(x)), dim=-1)
        window = torch.cat([recent, gated[:, :, None]], dim=2)
        recent.copy_(window[:, :, 1:])
        return self.finished((window.float() * self.past[:, 0].t().float()).sum(2).to(x.dtype))

    def flops(self, num_states: int, is_step: bool) -> int:
        """A step's filter is no product of matrices, and not counted."""
        pointwise = matmul(num_states, self.dim, 2 * self.dim) + matmul(num_states, self.dim, self.dim)
        return pointwise + (0 if is_step else matmul(num_states, self.kernel_size, self.dim))
