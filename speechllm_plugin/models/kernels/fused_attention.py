"""Attention whose scores never reach memory, forward and backward, for all that the models attend to: a Triton kernel for GPUs.

Queries and keys are two parts of one sequence: `num_speech` speech states, of which each sentence has its own number of real ones,
then text. So it serves an encoder (all speech), the decoder of prepended speech (both), cross-attention (text queries over speech
keys) and the self-attention of text (no speech).

Source: Dao 2023, FlashAttention-2 (arXiv:2307.08691); relative positions: Dai et al. 2019, Transformer-XL (arXiv:1901.02860).
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import pad

from speechllm_plugin.models.kernels.attention_call import POSITION_PROGRAMS, Call, position_strides, strides
from speechllm_plugin.models.kernels.seeds import draw_seed, seed_base

# Channels of a head that the kernels take. In float32, whose products are no work for tensor cores, 128 would not fit into registers.
KEYS = 0x2545F491  # turns the seed of the queries into another one for the keys
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
        *rows, lengths, position, content_bias, position_bias, seed, seed ^ KEYS, num_speech, first_query,
        total if second_text is None else second_text, causal, dropout, query.size(-1) ** -0.5 if scale is None else scale,
    )  # fmt: skip
    return out.transpose(1, 2)


def supports(query: Tensor) -> bool:
    """Whether the kernel can take queries (..., D) of this type and size."""
    return query.size(-1) in HEAD_DIMS.get(query.dtype, ())


def forward(
    query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None, position: Tensor | None, content_bias: Tensor | None,
    position_bias: Tensor | None, query_seed: int, key_seed: int, num_speech: int,
    first_query: int, second_text: int, causal: bool, dropout: float, scale: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(B, Q, H, D) and the (B, H, Q) logarithms of the sums of weights, to base 2."""
    from speechllm_plugin.models.kernels.attention_forward import forward_kernel

    call = Call(query, key, position, num_speech, first_query, second_text, causal, dropout, scale)
    launch = call.launch("forward")
    out, lse = empty_outputs(query)
    forward_kernel[(call.query_programs(launch),)](
        query, key, value, position, content_bias, position_bias, lengths, query_seed, key_seed, seed_base(query.device), out, lse,
        *strides(query, key, value), *position_strides(position), *call.sizes, **call.switches(launch, lengths),
    )  # fmt: skip
    return out, lse


def empty_outputs(query: Tensor) -> tuple[Tensor, Tensor]:
    num_sentences, num_queries, num_heads, dim = query.shape
    out = query.new_empty(num_sentences, num_queries, num_heads, dim)
    return out, query.new_empty(num_sentences, num_heads, num_queries, dtype=torch.float32)


def backward(
    out_gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None, position: Tensor | None,
    content_bias: Tensor | None, position_bias: Tensor | None, out: Tensor, lse: Tensor, query_seed: int, key_seed: int,
    num_speech: int, first_query: int, second_text: int, causal: bool, dropout: float, scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of query, key, value, position and both biases; the last three are empty without positions."""
    from speechllm_plugin.models.kernels import attention_backward

    assert (position is None) == (content_bias is None) == (position_bias is None)
    call = Call(query, key, position, num_speech, first_query, second_text, causal, dropout, scale)
    gradients = empty_gradients(query, key, position, content_bias, position_bias)
    inputs = query, key, value, position, content_bias, position_bias, lengths, query_seed, key_seed, seed_base(query.device)
    layout = *strides(query, key, value), *position_strides(position), *strides(out_gradient)
    product = torch.empty_like(lse)

    def sums(num_programs: int) -> Tensor | None:  # over the rows of a tile, for the biases
        shape = len(query), query.size(2), num_programs // (len(query) * query.size(2)), query.size(3)
        return None if position is None else query.new_empty(shape, dtype=torch.float32)

    launch = call.launch("query_gradient")
    num_programs = call.query_programs(launch)
    query_sums = sums(num_programs)
    attention_backward.query_gradient_kernel[(num_programs,)](
        *inputs, out, lse, out_gradient, product, gradients[0], query_sums, *layout, *call.sizes, **call.switches(launch, lengths)
    )
    launch = call.launch("key_gradient")
    num_programs = call.key_programs(launch)
    content_sums = sums(num_programs)
    attention_backward.key_gradient_kernel[(num_programs,)](
        *inputs, lse, out_gradient, product, *gradients[1:3], content_sums, *layout, *call.sizes, **call.switches(launch, lengths)
    )
    if position is None or content_bias is None or position_bias is None or query_sums is None or content_sums is None:
        return gradients
    content_sum = content_sums.sum((0, 2))
    position_sum = query_sums.sum((0, 2)) - content_sum
    launch = call.launch("position_gradient")
    num_diagonals = 2 * -(-query.size(1) // launch.block_q) - 1
    num_shares = min(len(query), max(1, POSITION_PROGRAMS // (num_diagonals * query.size(2))))
    lag_sums = query.new_empty(num_shares, query.size(2), num_diagonals, 2, launch.block_q, query.size(3), dtype=torch.float32)
    attention_backward.position_gradient_kernel[(num_diagonals, query.size(2), num_shares)](
        *inputs, lse, out_gradient, product, lag_sums, *layout, *call.sizes_of_positions, **call.switches_of_positions(launch, lengths)
    )
    return (
        *gradients[:3],
        join_lags(lag_sums.sum(0), query.size(1), position),
        content_sum.to(content_bias.dtype),
        position_sum.to(position_bias.dtype),
    )


def empty_gradients(
    query: Tensor, key: Tensor, position: Tensor | None, content_bias: Tensor | None, position_bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    extra = [query.new_empty(0) if tensor is None else torch.empty_like(tensor) for tensor in (position, content_bias, position_bias)]
    query, key, value = (tensor.new_empty(tensor.shape) for tensor in (query, key, key))
    return query, key, value, extra[0], extra[1], extra[2]


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
        gradients = backward(out_gradient, *inputs, out, lse, *ctx.sizes)  # type: ignore[call-arg]  # mypy counts the star as one
        has_position = ctx.saved_tensors[4] is not None
        return *gradients[:3], None, *(gradients[3:] if has_position else (None,) * 3), *(None,) * 8


def join_lags(sums: Tensor, num_states: int, position: Tensor) -> Tensor:
    """(H, diagonals, 2, BLOCK, D) sums of the two blocks of positions that each diagonal of tiles meets -> the gradient of `position`.

    A block is the later one of one diagonal and the earlier one of the next.
    """
    blocks = pad(sums[:, :, 0], (0, 0, 0, 0, 0, 1)) + pad(sums[:, :, 1], (0, 0, 0, 0, 1, 0))
    rows = blocks.flatten(1, 2)  # the first one is that of a lag of one less than whole tiles of keys
    beyond = rows.size(1) // 2 - num_states
    rows = rows[:, beyond : beyond + position.size(1)]
    return pad(rows, (0, 0, 0, position.size(1) - rows.size(1))).to(position.dtype)
