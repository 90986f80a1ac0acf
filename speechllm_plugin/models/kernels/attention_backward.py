"""Backward kernels of fused attention: gradients of queries, of keys and values, and of the relative positions.

The first computes the weights anew from the normaliser of the forward pass, along the keys, and stores them and the gradients of the
scores in the precision of the inputs, as the products of the others read them: along the queries, and along the lags. So every sum
stays in registers, and no result depends on which program ends first.

`weights` and `score_gradients` are (B, H, queries, keys), speech and text each filled up to whole tiles. What no query of a tile may
see is not written.
"""

# mypy: disallow-untyped-defs=False, check-untyped-defs=False
import triton
import triton.language as tl

from speechllm_plugin.models.kernels.attention_tiles import (
    COUNTS,
    by_key,
    first_lag,
    hidden_keys,
    kept,
    load_queries,
    load_rows,
    random_words,
    select_lags,
    stored_place,
    tile_rows,
    visible,
)


@triton.jit(do_not_specialize=COUNTS)
def query_gradient_kernel(
    query, key, value, position, content_bias, position_bias, lengths, seed, seed_base, out, lse, out_gradient,
    query_gradient, query_sums, weights, score_gradients,
    query_b, query_s, query_h, key_b, key_s, key_h, value_b, value_s, value_h, position_h, position_s, gradient_b, gradient_s, gradient_h,
    stored_h, stored_s, written_s, first_sequence,
    num_heads, num_queries, num_keys, num_speech, first_query, second_text, num_lags, lag_zero, scale, threshold, keep_scale,
    D: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    POSITION: tl.constexpr, LENGTHS: tl.constexpr, CAUSAL: tl.constexpr, TEXT: tl.constexpr, SECOND: tl.constexpr,
    DROPOUT: tl.constexpr, PRECISION: tl.constexpr, ALIGNMENT: tl.constexpr,
):  # fmt: skip
    """One program per tile of queries: their gradient, its sums over the tile by content and by position, and what is stored.

    `first_sequence` is the number, among heads of all sentences, of the first one here: some sentences come at a time.
    Dropout makes the weights that it keeps larger by `keep_scale`; here the factor comes last.
    """
    query_total = first_query + num_queries
    num_tiles = tl.cdiv(num_speech - first_query, BLOCK_Q) + tl.cdiv(query_total - num_speech, BLOCK_Q)
    sequence, tile = tl.program_id(0) // num_tiles, tl.program_id(0) % num_tiles
    sentence, head = (sequence // num_heads).to(tl.int64), sequence % num_heads
    length = num_speech
    if LENGTHS:
        length = tl.load(lengths + sentence).to(tl.int32)
    start, end, limit, query_text = tile_rows(tile, first_query, num_speech, query_total, length, BLOCK_Q)
    i, channel = start + tl.arange(0, BLOCK_Q), tl.arange(0, D)

    query += sentence * query_b + head * query_h
    key += sentence * key_b + head * key_h
    value += sentence * value_b + head * value_h
    out_gradient += sentence * gradient_b + head * gradient_h
    weights += sequence.to(tl.int64) * stored_h
    score_gradients += sequence.to(tl.int64) * stored_h
    stored_rows = (stored_place(start, first_query, num_speech, ALIGNMENT) + tl.arange(0, BLOCK_Q)) * stored_s
    by_content = load_queries(query, content_bias, head, i, first_query, query_s, limit, D, POSITION)
    d_out = load_rows(out_gradient, i - first_query, gradient_s, limit - first_query, D)
    row = (sentence * num_queries + i - first_query)[:, None]
    attended = tl.load(out + row * num_heads * D + head * D + channel[None, :], mask=(i < limit)[:, None], other=0.0)
    products = tl.sum(attended.to(tl.float32) * d_out.to(tl.float32), 1) / keep_scale
    normaliser = tl.load(lse + sequence.to(tl.int64) * num_queries + i - first_query, mask=i < limit, other=float("inf"))
    if POSITION:
        by_position = load_queries(query, position_bias, head, i, first_query, query_s, limit, D, POSITION)
        position += head * position_h
        lag = first_lag(start, 0, lag_zero, BLOCK_Q) + tl.arange(0, BLOCK_Q)
        earlier = tl.dot(by_position, tl.trans(load_rows(position, lag, position_s, num_lags, D)), input_precision=PRECISION)
    if DROPOUT:
        query_words = random_words(seed, seed_base, first_sequence + sequence, i - first_query, num_queries)

    speech_end = length
    if CAUSAL:
        speech_end = tl.where(query_text, length, tl.minimum(length, start + BLOCK_Q))
    speech_tiles = tl.cdiv(speech_end, BLOCK_K)
    key_tiles = speech_tiles
    if TEXT:
        text_end = tl.where(query_text, tl.minimum(num_keys, start + BLOCK_Q), num_speech)
        key_tiles += tl.cdiv(text_end - num_speech, BLOCK_K)
    key_tiles = tl.where(start < limit, key_tiles, 0)

    total = tl.zeros([BLOCK_Q, D], tl.float32)
    for key_tile in range(0, key_tiles):
        key_text = key_tile >= speech_tiles
        key_start = tl.where(key_text, num_speech + (key_tile - speech_tiles) * BLOCK_K, key_tile * BLOCK_K)
        key_limit = tl.where(key_text, num_keys, length)
        j = key_start + tl.arange(0, BLOCK_K)
        keys = load_rows(key, j, key_s, key_limit, D)
        scores = tl.dot(by_content, tl.trans(keys), input_precision=PRECISION)
        if POSITION:
            lag = first_lag(start, key_start, lag_zero, BLOCK_Q) + BLOCK_Q + tl.arange(0, BLOCK_Q)
            later = tl.dot(by_position, tl.trans(load_rows(position, lag, position_s, num_lags, D)), input_precision=PRECISION)
            scores += by_key(select_lags(earlier, later, BLOCK_Q), BLOCK_Q)
            earlier = later
        scores = scores * (scale * 1.4426950408889634) + hidden_keys(j, key_limit)
        if CAUSAL or TEXT:
            scores = tl.where(visible(i, j, query_text, key_text, second_text, CAUSAL, SECOND), scores, float("-inf"))
        values = load_rows(value, j, value_s, key_limit, D)
        weight_gradient = tl.dot(d_out, tl.trans(values), input_precision=PRECISION)
        weight = tl.exp2(scores - normaliser[:, None])
        met = weight
        if DROPOUT:
            met = tl.where(kept(query_words, j, threshold), weight, 0.0)
        gradient = (met * weight_gradient - weight * products[:, None]).to(keys.dtype)
        total = tl.dot(gradient, keys, total, input_precision=PRECISION)
        stored = stored_rows[:, None] + (stored_place(key_start, 0, num_speech, ALIGNMENT) + tl.arange(0, BLOCK_K))[None, :]
        tl.store(weights + stored, met.to(keys.dtype))
        tl.store(score_gradients + stored, gradient)
    scale *= keep_scale
    total *= scale
    if POSITION:
        sums = query_sums + (sequence.to(tl.int64) * num_tiles + tile) * 2 * D + channel
        tl.store(sums, tl.sum(total, 0))
        tl.debug_barrier()  # what other threads of this program have stored is read
        by_lag = tl.zeros([BLOCK_Q, D], tl.float32)
        lags = first_lag(start, 0, lag_zero, BLOCK_Q) + tl.arange(0, 2 * BLOCK_K)
        for _ in range(0, tl.where(start < limit, tl.cdiv(length + BLOCK_Q - 1, 2 * BLOCK_K), 0)):  # two tiles: half as many waits
            gradient = load_lags(score_gradients, i, lags, stored_s, length, lag_zero, CAUSAL)
            by_lag = tl.dot(gradient, load_rows(position, lags, position_s, num_lags, D), by_lag, input_precision=PRECISION)
            lags += 2 * BLOCK_K
        by_lag *= scale
        tl.store(sums + D, tl.sum(by_lag, 0))
        total += by_lag
    place = row * written_s + head * D + channel[None, :]
    tl.store(query_gradient + place, total.to(query_gradient.dtype.element_ty), mask=(i < end)[:, None])


@triton.jit
def load_lags(score_gradients, i, lag, stored_s, length, lag_zero, CAUSAL: tl.constexpr):
    """(rows of i, lags) gradients of the scores of relative positions, zero where a query sees no key, from `length` on for one."""
    num_keys = tl.where(i < length, tl.minimum(i + 1, length) if CAUSAL else length, 0)
    j = i[:, None] + (lag - lag_zero)[None, :]
    seen = j.to(tl.uint32) < num_keys.to(tl.uint32)[:, None]  # without its sign, a place before the first key is large
    return tl.load(score_gradients + i[:, None] * stored_s + j, mask=seen, other=0.0)


@triton.jit(do_not_specialize=COUNTS)
def key_gradient_kernel(
    query, content_bias, lengths, out_gradient, weights, score_gradients, key_gradient, value_gradient,
    query_b, query_s, query_h, gradient_b, gradient_s, gradient_h, stored_h, stored_s, written_s,
    num_heads, num_queries, num_keys, num_speech, first_query, second_text, num_lags, lag_zero, scale, threshold, keep_scale,
    D: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    POSITION: tl.constexpr, LENGTHS: tl.constexpr, CAUSAL: tl.constexpr, TEXT: tl.constexpr, SECOND: tl.constexpr,
    DROPOUT: tl.constexpr, PRECISION: tl.constexpr, ALIGNMENT: tl.constexpr,
):  # fmt: skip
    """One program per tile of keys: the gradients of its keys and values."""
    num_tiles = tl.cdiv(num_speech, BLOCK_K) + tl.cdiv(num_keys - num_speech, BLOCK_K)
    sequence, tile = tl.program_id(0) // num_tiles, tl.program_id(0) % num_tiles
    sentence, head = (sequence // num_heads).to(tl.int64), sequence % num_heads
    length = num_speech
    if LENGTHS:
        length = tl.load(lengths + sentence).to(tl.int32)
    start, end, limit, key_text = tile_rows(tile, 0, num_speech, num_keys, length, BLOCK_K)
    j, channel = start + tl.arange(0, BLOCK_K), tl.arange(0, D)

    query += sentence * query_b + head * query_h
    out_gradient += sentence * gradient_b + head * gradient_h
    stored_columns = sequence.to(tl.int64) * stored_h + stored_place(start, 0, num_speech, ALIGNMENT) + tl.arange(0, BLOCK_K)
    weights += stored_columns[None, :]
    score_gradients += stored_columns[None, :]

    query_total = first_query + num_queries
    speech_tiles = tl.where(key_text | (first_query > 0), 0, tl.cdiv(length, BLOCK_Q))
    first_tile = 0
    if CAUSAL:
        first_tile = tl.where(speech_tiles > 0, start // BLOCK_Q, 0)
    if TEXT:
        first_tile = tl.where(key_text, (start - num_speech) // BLOCK_Q, first_tile)
    last_tile = tl.where(start < limit, speech_tiles + tl.cdiv(query_total - num_speech, BLOCK_Q), first_tile)

    key_part = tl.zeros([BLOCK_K, D], tl.float32)
    value_part = tl.zeros([BLOCK_K, D], tl.float32)
    for query_tile in range(first_tile, last_tile):
        query_text = query_tile >= speech_tiles
        query_start = tl.where(query_text, num_speech + (query_tile - speech_tiles) * BLOCK_Q, query_tile * BLOCK_Q)
        query_limit = tl.where(query_text, query_total, length)
        i = query_start + tl.arange(0, BLOCK_Q)
        by_content = load_queries(query, content_bias, head, i, first_query, query_s, query_limit, D, POSITION)
        d_out = load_rows(out_gradient, i - first_query, gradient_s, query_limit - first_query, D)
        stored_rows = (stored_place(query_start, first_query, num_speech, ALIGNMENT) + tl.arange(0, BLOCK_Q)) * stored_s
        met = tl.load(weights + stored_rows[:, None], mask=(i < query_limit)[:, None], other=0.0)
        gradient = tl.load(score_gradients + stored_rows[:, None], mask=(i < query_limit)[:, None], other=0.0)
        if CAUSAL or TEXT:  # else what was not written is of padded keys, whose gradients are left out below
            seen = visible(i, j, query_text, key_text, second_text, CAUSAL, SECOND)
            met, gradient = tl.where(seen, met, 0.0), tl.where(seen, gradient, 0.0)
        value_part = tl.dot(tl.trans(met), d_out, value_part, input_precision=PRECISION)
        key_part = tl.dot(tl.trans(gradient), by_content, key_part, input_precision=PRECISION)

    key_part = tl.where((j < limit)[:, None], key_part * (scale * keep_scale), 0.0)
    value_part = tl.where((j < limit)[:, None], value_part * keep_scale, 0.0)
    place = (sentence * num_keys + j)[:, None] * written_s + head * D + channel[None, :]
    tl.store(key_gradient + place, key_part.to(key_gradient.dtype.element_ty), mask=(j < end)[:, None])
    tl.store(value_gradient + place, value_part.to(value_gradient.dtype.element_ty), mask=(j < end)[:, None])


@triton.jit(do_not_specialize=COUNTS)
def position_gradient_kernel(
    query, position_bias, lengths, score_gradients, lag_sums, query_b, query_s, query_h, stored_h, stored_s,
    num_sentences, num_heads, num_queries, lag_zero, scale,
    D: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, LENGTHS: tl.constexpr, CAUSAL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One program per tile of lags, head and share of the sentences: its part of `lag_sums` (shares, H, tiles, BLOCK_K, D)."""
    tile, head = tl.program_id(0), tl.program_id(1)
    share, num_shares = tl.program_id(2), tl.num_programs(2)
    channel, lag = tl.arange(0, D), tile * BLOCK_K + tl.arange(0, BLOCK_K)
    apart = tile * BLOCK_K - lag_zero  # places from the query to the key at the first lag
    total = tl.zeros([BLOCK_K, D], tl.float32)
    for sentence in range(share, num_sentences, num_shares):
        length = num_queries
        if LENGTHS:
            length = tl.load(lengths + sentence).to(tl.int32)
        where = tl.cast(sentence, tl.int64)
        rows = score_gradients + (where * num_heads + head) * stored_h
        for start in range(tl.maximum(0, 1 - apart - BLOCK_K), tl.minimum(length, length - apart), BLOCK_Q):
            i = start + tl.arange(0, BLOCK_Q)
            by_position = load_queries(query + where * query_b + head * query_h, position_bias, head, i, 0, query_s, length, D, True)
            gradient = load_lags(rows, i, lag, stored_s, length, lag_zero, CAUSAL)
            total = tl.dot(tl.trans(gradient), by_position, total, input_precision=PRECISION)
    place = ((tl.cast(share, tl.int64) * tl.num_programs(1) + head) * tl.num_programs(0) + tile) * BLOCK_K + tl.arange(0, BLOCK_K)
    tl.store(lag_sums + place[:, None] * D + channel[None, :], total * scale)
