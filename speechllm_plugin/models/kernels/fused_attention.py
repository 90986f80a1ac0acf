"""Attention whose scores never reach memory in the forward pass, for all that the models attend to: Triton kernels for GPUs.

The backward pass computes the weights anew, once, and stores them and the gradients of the scores for the products that follow:
those of one call, of as many sentences at a time as `STORED_BYTES` take.

Queries and keys are two parts of one sequence: `num_speech` speech states, of which each sentence has its own number of real ones,
then text. So it serves an encoder (all speech), the decoder of prepended speech (both), cross-attention (text queries over speech
keys) and the self-attention of text (no speech).

Source: Dao 2023, FlashAttention-2 (arXiv:2307.08691); relative positions: Dai et al. 2019, Transformer-XL (arXiv:1901.02860).
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from speechllm_plugin.models.kernels.adjacent_parts import are_adjacent
from speechllm_plugin.models.kernels.attention_call import POSITION_PROGRAMS, STORED_ALIGNMENT, STORED_BYTES, Call, position_strides, strides
from speechllm_plugin.models.kernels.seeds import draw_seed, seed_base

# Channels of a head that the kernels take. In float32, whose products are no work for tensor cores, 128 would not fit into registers.
HEAD_DIMS = {torch.bfloat16: (16, 32, 64, 128), torch.float16: (16, 32, 64, 128), torch.float32: (16, 32, 64)}


def fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    num_speech: int,
    lengths: Tensor | None = None,
    position: Tensor | None = None,
    content_bias: Tensor | None = None,
    position_bias: Tensor | None = None,
    first_query: int = 0,
    second_text: int | None = None,
    causal: bool = False,
    dropout: float = 0.0,
    scale: float | None = None,
) -> Tensor:
    """(B, H, Q, D) weighted means of the values; its memory is (B, Q, H, D), so that joining the heads copies nothing.

    Args:
        query: (B, H, Q, D), any strides but the last.
        key, value: (B, H, M, D), likewise; M = num_speech + text positions.
        num_speech: speech states, padding included, that stand before the text.
        lengths: (B,) real speech states of every sentence; None if all are.
        position: (H, P, D) keys of the lags M - 1 ... 1 - M, and rows that nobody reads; for speech alone.
        content_bias, position_bias: (H, D) added to the queries that meet the keys and the positions; needed with `position`.
        first_query: place of the first query in the sequence: 0, or `num_speech` if the queries are text only.
        second_text: place where a second text begins, which does not see the first.
        causal: whether speech sees no later speech. Text never sees later text.
        dropout: probability with which a weight is dropped. The others grow accordingly.
        scale: factor of all scores; None for 1 / sqrt(D).

    Returns:
        Zero, with zero gradients, where a query is padding or sees nothing.
    """
    if not supports(query):
        raise ValueError(f"fused attention takes heads of {HEAD_DIMS} channels, but got {query.dtype} and {query.size(-1)}")
    if position is not None and (num_speech != key.size(2) or num_speech != query.size(2) or first_query):
        raise ValueError(f"relative positions are for speech that reads itself, but {query.size(2)} queries read {key.size(2)} keys")
    if first_query not in (0, num_speech):
        raise ValueError(f"first_query must be 0 or num_speech ({num_speech}), but is {first_query}")
    lengths = lengths if num_speech else None
    seed = draw_seed(dropout)
    rows = [tensor.transpose(1, 2) for tensor in (query, key, value)]
    rows = [tensor if tensor.stride(-1) == 1 else tensor.contiguous() for tensor in rows]
    position = None if position is None else position.to(query.dtype)
    total = first_query + query.size(2)
    out = _FusedAttention.apply(
        *rows, lengths, position, content_bias, position_bias, seed, num_speech, first_query,
        total if second_text is None else second_text, causal, dropout, query.size(-1) ** -0.5 if scale is None else scale,
    )  # fmt: skip
    return out.transpose(1, 2)


def supports(query: Tensor) -> bool:
    """Whether the kernel can take queries (..., D) of this type and size."""
    return query.size(-1) in HEAD_DIMS.get(query.dtype, ())


def forward(
    query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None, position: Tensor | None, content_bias: Tensor | None,
    position_bias: Tensor | None, seed: int, num_speech: int, first_query: int,
    second_text: int, causal: bool, dropout: float, scale: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(B, Q, H, D) and the (B, H, Q) logarithms of the sums of weights, to base 2."""
    from speechllm_plugin.models.kernels.attention_forward import forward_kernel

    call = Call(query, key, position, num_speech, first_query, second_text, causal, dropout, scale)
    launch = call.launch("forward")
    out, lse = empty_outputs(query)
    forward_kernel[(call.query_programs(launch),)](
        query, key, value, position, content_bias, position_bias, lengths, seed, seed_base(query.device), out, lse,
        *strides(query, key, value), *position_strides(position), *call.sizes, **call.switches(launch, lengths),
    )  # fmt: skip
    return out, lse


def empty_outputs(query: Tensor) -> tuple[Tensor, Tensor]:
    num_sentences, num_queries, num_heads, dim = query.shape
    out = query.new_empty(num_sentences, num_queries, num_heads, dim)
    return out, query.new_empty(num_sentences, num_heads, num_queries, dtype=torch.float32)


def backward(
    out_gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None, position: Tensor | None,
    content_bias: Tensor | None, position_bias: Tensor | None, out: Tensor, lse: Tensor, seed: int, *sizes: Any,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Gradients of query, key and value; with positions, of these and both biases as well."""
    stored = Call(query, key, position, *sizes).stored
    at_once = max(1, STORED_BYTES // max(1, 2 * math.prod(stored) * query.element_size()))
    gradients = empty_gradients(query, key, value)
    sums = []
    for first in range(0, len(query), at_once):
        of_sentences = out_gradient, query, key, value, lengths, out, lse, *gradients
        some: list[Any] = [None if tensor is None else tensor[first : first + at_once] for tensor in of_sentences]
        sums.append(backward_of_some(*some, position, content_bias, position_bias, seed, first, *sizes))
    if position is None or content_bias is None or position_bias is None:
        return gradients
    if not sums:  # no sentence
        return *gradients, *(torch.zeros_like(tensor) for tensor in (position, content_bias, position_bias))
    of_lags, of_tiles = (torch.stack(parts).sum(0) if len(parts) > 1 else parts[0] for parts in zip(*sums))
    return *gradients, of_lags.to(position.dtype), of_tiles[0].to(content_bias.dtype), of_tiles[1].to(position_bias.dtype)


def backward_of_some(
    out_gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None, out: Tensor, lse: Tensor,
    query_gradient: Tensor, key_gradient: Tensor, value_gradient: Tensor, position: Tensor | None, content_bias: Tensor | None,
    position_bias: Tensor | None, seed: int, first: int, *sizes: Any,
) -> tuple[Tensor, Tensor] | None:  # fmt: skip
    """Writes the gradients of sentences, the first of which is number `first`; what they add to those of positions and of both biases."""
    from speechllm_plugin.models.kernels import attention_backward

    call = Call(query, key, position, *sizes)
    weights, score_gradients = (query.new_empty(len(query), *call.stored) for _ in range(2))
    layout_of_stored = weights.stride()[1:3]
    launch = call.launch("query_gradient")
    num_programs = call.query_programs(launch)
    shape = len(query), query.size(2), num_programs // (len(query) * query.size(2)), 2, query.size(3)
    query_sums = None if position is None else query.new_empty(shape, dtype=torch.float32)
    attention_backward.query_gradient_kernel[(num_programs,)](
        query, key, value, position, content_bias, position_bias, lengths, seed, seed_base(query.device), out, lse, out_gradient,
        query_gradient, query_sums, weights, score_gradients, *strides(query, key, value), *position_strides(position),
        *strides(out_gradient), *layout_of_stored, query_gradient.stride(1), first * query.size(2), *call.sizes,
        **call.switches(launch, lengths), ALIGNMENT=STORED_ALIGNMENT,
    )  # fmt: skip
    launch = call.launch("key_gradient")
    attention_backward.key_gradient_kernel[(call.key_programs(launch),)](
        query, content_bias, lengths, out_gradient, weights, score_gradients, key_gradient, value_gradient, *strides(query, out_gradient),
        *layout_of_stored, key_gradient.stride(1), *call.sizes, **call.switches(launch, lengths), ALIGNMENT=STORED_ALIGNMENT,
    )  # fmt: skip
    if position is None or query_sums is None:
        return None
    launch = call.launch("position_gradient")
    num_tiles = -(-position.size(1) // launch.block_k)
    num_shares = min(len(query), max(1, POSITION_PROGRAMS // (num_tiles * query.size(2))))
    lag_sums = query.new_empty(num_shares, query.size(2), num_tiles * launch.block_k, query.size(3), dtype=torch.float32)
    attention_backward.position_gradient_kernel[(num_tiles, query.size(2), num_shares)](
        query, position_bias, lengths, score_gradients, lag_sums, *strides(query), *layout_of_stored, len(query), query.size(2),
        query.size(1), call.lags[1], call.factors[0] * call.factors[2], **call.shared_switches(launch, lengths),
    )  # fmt: skip
    return lag_sums.sum(0)[:, : position.size(1)], query_sums.sum((0, 2)).transpose(0, 1)


def empty_gradients(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
    """Side by side in each row if the inputs are, as parts of one projection."""
    width = key.size(2) * key.size(3)
    if are_adjacent((query, key, value), width):
        return key.new_empty(*key.shape[:2], 3, *key.shape[2:]).unbind(2)
    if are_adjacent((key, value), width):
        return query.new_empty(query.shape), *key.new_empty(*key.shape[:2], 2, *key.shape[2:]).unbind(2)
    return tuple(tensor.new_empty(tensor.shape) for tensor in (query, key, value))


class _FusedAttention(Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        out, lse = forward(*inputs)
        ctx.save_for_backward(*inputs[:7], out, lse)
        ctx.sizes = inputs[7:]
        return out

    @staticmethod
    def backward(ctx: Any, out_gradient: Tensor) -> tuple[Any, ...]:
        if out_gradient.stride(-1) != 1:
            out_gradient = out_gradient.contiguous()
        *inputs, out, lse = ctx.saved_tensors
        gradients = backward(out_gradient, *inputs, out, lse, *ctx.sizes)
        return *gradients[:3], None, *(gradients[3:] or (None,) * 3), *(None,) * 7
