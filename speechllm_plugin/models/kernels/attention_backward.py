"""Backward kernels of fused attention: gradients of queries, of keys and values, and of the relative positions.

Each kernel computes the weights of its tiles anew from the normaliser of the forward pass, and sums in an order of its own: along
the keys, along the queries, along the diagonal. So every sum stays in registers, and no result depends on which program ends first.
"""

# mypy: disallow-untyped-defs=False, check-untyped-defs=False
import triton
import triton.language as tl

from speechllm_plugin.models.kernels.attention_tiles import (
    COUNTS,
    by_key,
    by_lag,
    first_lag,
    kept,
    load_queries,
    load_rows,
    random_words,
    select_lags,
    tile_rows,
    visible,
)


@triton.jit
def weights_and_gradient(
    scores, seen, normaliser, weight_gradient, product, query_bits, key_bits, threshold, keep_scale, DROPOUT: tl.constexpr
):  # fmt: skip
    """(BLOCK_Q, BLOCK_K) weights as the values meet them, and the gradient of the scores before scaling.

    `scores` and `normaliser` are logarithms to base 2; `product` is the sum over channels of the output times its gradient.
    """
    weights = tl.where(seen, tl.exp2(scores - normaliser[:, None]), 0.0)
    met = weights
    if DROPOUT:
        keep = kept(query_bits, key_bits, threshold)
        met = tl.where(keep, weights * keep_scale, 0.0)
        weight_gradient = tl.where(keep, weight_gradient * keep_scale, 0.0)
    return met, weights * (weight_gradient - product[:, None])


@triton.jit(do_not_specialize=COUNTS)
def query_gradient_kernel(
    query, key, value, position, content_bias, position_bias, lengths, query_seed, key_seed, seed_base, out, lse, out_gradient, product,
    query_gradient, query_sums,
    query_b, query_s, query_h, key_b, key_s, key_h, value_b, value_s, value_h, position_h, position_s, gradient_b, gradient_s, gradient_h,
    num_heads, num_queries, num_keys, num_speech, first_query, second_text, num_lags, lag_zero, scale, threshold, keep_scale,
    D: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    POSITION: tl.constexpr, LENGTHS: tl.constexpr, CAUSAL: tl.constexpr, TEXT: tl.constexpr, SECOND: tl.constexpr,
    DROPOUT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One program per tile of queries: their gradient, its sum over the tile, and `product` for the other kernels."""
    if DROPOUT:
        query_seed, key_seed = query_seed + tl.load(seed_base), key_seed + tl.load(seed_base)
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
    by_content = load_queries(query, content_bias, head, i, first_query, query_s, limit, D, POSITION)
    d_out = load_rows(out_gradient, i - first_query, gradient_s, limit - first_query, D)
    place = ((sentence * num_queries + i - first_query) * num_heads + head)[:, None] * D + channel[None, :]
    attended = tl.load(out + place, mask=(i < limit)[:, None], other=0.0)
    products = tl.sum(attended.to(tl.float32) * d_out.to(tl.float32), 1)
    row = sequence.to(tl.int64) * num_queries + i - first_query
    tl.store(product + row, products, mask=i < end)
    normaliser = tl.load(lse + row, mask=i < end, other=0.0)
    if POSITION:
        by_position = load_queries(query, position_bias, head, i, first_query, query_s, limit, D, POSITION)
        position += head * position_h
        lag = first_lag(start, 0, lag_zero, BLOCK_Q) + tl.arange(0, BLOCK_Q)
        earlier = tl.dot(by_position, tl.trans(load_rows(position, lag, position_s, num_lags, D)), input_precision=PRECISION)
        turned_before = tl.zeros([BLOCK_Q, BLOCK_Q], query.dtype.element_ty)
    query_bits = i
    if DROPOUT:
        query_bits = random_words(query_seed, sequence, i - first_query, num_queries)

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
            lag = first_lag(start, key_start, lag_zero, BLOCK_Q) + tl.arange(0, BLOCK_Q)
            later_positions = load_rows(position, lag + BLOCK_Q, position_s, num_lags, D)
            later = tl.dot(by_position, tl.trans(later_positions), input_precision=PRECISION)
            scores += by_key(select_lags(earlier, later, BLOCK_Q), BLOCK_Q)
            earlier = later
        seen = visible(i, j, limit, key_limit, query_text, key_text, second_text, CAUSAL, TEXT, SECOND)
        key_bits = j
        if DROPOUT:
            key_bits = random_words(key_seed, sequence, j, num_keys)
        values = load_rows(value, j, value_s, key_limit, D)
        weight_gradient = tl.dot(d_out, tl.trans(values), input_precision=PRECISION)
        _, gradient = weights_and_gradient(
            scores * (scale * 1.4426950408889634), seen, normaliser, weight_gradient, products, query_bits, key_bits,
            threshold, keep_scale, DROPOUT,
        )  # fmt: skip
        gradient = gradient.to(keys.dtype)
        total = tl.dot(gradient, keys, total, input_precision=PRECISION)
        if POSITION:
            turned = by_lag(gradient, BLOCK_Q)
            earlier_positions = load_rows(position, lag, position_s, num_lags, D)
            total = tl.dot(select_lags(turned, turned_before, BLOCK_Q), earlier_positions, total, input_precision=PRECISION)
            turned_before = turned
    if POSITION:
        lag = first_lag(start, key_tiles * BLOCK_K, lag_zero, BLOCK_Q) + tl.arange(0, BLOCK_Q)
        last_positions = load_rows(position, lag, position_s, num_lags, D)
        last = select_lags(tl.zeros_like(turned_before), turned_before, BLOCK_Q)
        total = tl.dot(last, last_positions, total, input_precision=PRECISION)
    total *= scale
    if POSITION:
        tl.store(query_sums + (sequence.to(tl.int64) * num_tiles + tile) * D + channel, tl.sum(total, 0))
    tl.store(query_gradient + place, total.to(query_gradient.dtype.element_ty), mask=(i < end)[:, None])


@triton.jit(do_not_specialize=COUNTS)
def key_gradient_kernel(
    query, key, value, position, content_bias, position_bias, lengths, query_seed, key_seed, seed_base, lse, out_gradient, product,
    key_gradient, value_gradient, content_sums,
    query_b, query_s, query_h, key_b, key_s, key_h, value_b, value_s, value_h, position_h, position_s, gradient_b, gradient_s, gradient_h,
    num_heads, num_queries, num_keys, num_speech, first_query, second_text, num_lags, lag_zero, scale, threshold, keep_scale,
    D: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    POSITION: tl.constexpr, LENGTHS: tl.constexpr, CAUSAL: tl.constexpr, TEXT: tl.constexpr, SECOND: tl.constexpr,
    DROPOUT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One program per tile of keys: the gradients of its keys and values, and the part of the queries' sums that comes through the tile."""
    if DROPOUT:
        query_seed, key_seed = query_seed + tl.load(seed_base), key_seed + tl.load(seed_base)
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
    keys = load_rows(key + sentence * key_b + head * key_h, j, key_s, limit, D)
    values = load_rows(value + sentence * value_b + head * value_h, j, value_s, limit, D)
    row = sequence.to(tl.int64) * num_queries - first_query
    if POSITION:
        position += head * position_h
    key_bits = j
    if DROPOUT:
        key_bits = random_words(key_seed, sequence, j, num_keys)

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
    key_sums = tl.zeros([BLOCK_K], tl.float32)
    for query_tile in range(first_tile, last_tile):
        query_text = query_tile >= speech_tiles
        query_start = tl.where(query_text, num_speech + (query_tile - speech_tiles) * BLOCK_Q, query_tile * BLOCK_Q)
        query_limit = tl.where(query_text, query_total, length)
        i = query_start + tl.arange(0, BLOCK_Q)
        by_content = load_queries(query, content_bias, head, i, first_query, query_s, query_limit, D, POSITION)
        scores = tl.dot(by_content, tl.trans(keys), input_precision=PRECISION)
        if POSITION:
            by_position = load_queries(query, position_bias, head, i, first_query, query_s, query_limit, D, POSITION)
            lag = first_lag(query_start, start, lag_zero, BLOCK_Q) + tl.arange(0, BLOCK_Q)
            earlier = tl.dot(by_position, tl.trans(load_rows(position, lag, position_s, num_lags, D)), input_precision=PRECISION)
            later = tl.dot(by_position, tl.trans(load_rows(position, lag + BLOCK_Q, position_s, num_lags, D)), input_precision=PRECISION)
            scores += by_key(select_lags(earlier, later, BLOCK_Q), BLOCK_Q)
        seen = visible(i, j, query_limit, limit, query_text, key_text, second_text, CAUSAL, TEXT, SECOND)
        query_bits = i
        if DROPOUT:
            query_bits = random_words(query_seed, sequence, i - first_query, num_queries)
        d_out = load_rows(out_gradient, i - first_query, gradient_s, query_limit - first_query, D)
        normaliser = tl.load(lse + row + i, mask=i < query_limit, other=0.0)
        products = tl.load(product + row + i, mask=i < query_limit, other=0.0)
        weight_gradient = tl.dot(d_out, tl.trans(values), input_precision=PRECISION)
        met, gradient = weights_and_gradient(
            scores * (scale * 1.4426950408889634), seen, normaliser, weight_gradient, products, query_bits, key_bits,
            threshold, keep_scale, DROPOUT,
        )  # fmt: skip
        value_part = tl.dot(tl.trans(met.to(d_out.dtype)), d_out, value_part, input_precision=PRECISION)
        key_part = tl.dot(tl.trans(gradient.to(by_content.dtype)), by_content, key_part, input_precision=PRECISION)
        if POSITION:
            key_sums += tl.sum(gradient, 0)

    if POSITION:
        content_sum = tl.sum(key_sums[:, None] * keys.to(tl.float32), 0) * scale
        tl.store(content_sums + (sequence.to(tl.int64) * num_tiles + tile) * D + channel, content_sum)
    place = ((sentence * num_keys + j) * num_heads + head)[:, None] * D + channel[None, :]
    tl.store(key_gradient + place, (key_part * scale).to(key_gradient.dtype.element_ty), mask=(j < end)[:, None])
    tl.store(value_gradient + place, value_part.to(value_gradient.dtype.element_ty), mask=(j < end)[:, None])


@triton.jit(do_not_specialize=COUNTS)
def position_gradient_kernel(
    query, key, value, position, content_bias, position_bias, lengths, query_seed, key_seed, seed_base, lse, out_gradient, product, lag_sums,
    query_b, query_s, query_h, key_b, key_s, key_h, value_b, value_s, value_h, position_h, position_s, gradient_b, gradient_s, gradient_h,
    num_sentences, num_heads, num_queries, num_lags, lag_zero, scale, threshold, keep_scale,
    D: tl.constexpr, BLOCK: tl.constexpr, LENGTHS: tl.constexpr, CAUSAL: tl.constexpr, DROPOUT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One program per diagonal of tiles, head and share of the sentences: the gradient of the 2 BLOCK positions that it meets.

    Diagonal 0 has the last queries and the first keys. `lag_sums` is (shares, H, diagonals, 2 BLOCK, D).
    """
    if DROPOUT:
        query_seed, key_seed = query_seed + tl.load(seed_base), key_seed + tl.load(seed_base)
    num_blocks = tl.cdiv(num_queries, BLOCK)
    diagonal, head = tl.program_id(0), tl.program_id(1)
    share, num_shares = tl.program_id(2), tl.num_programs(2)
    apart = diagonal - (num_blocks - 1)  # tiles from the query's to the key's
    channel, within = tl.arange(0, D), tl.arange(0, BLOCK)
    lag = first_lag(0, apart * BLOCK, lag_zero, BLOCK) + within
    earlier_positions = load_rows(position + head * position_h, lag, position_s, num_lags, D)
    later_positions = load_rows(position + head * position_h, lag + BLOCK, position_s, num_lags, D)
    earlier_part = tl.zeros([BLOCK, D], tl.float32)
    later_part = tl.zeros([BLOCK, D], tl.float32)
    for sentence in range(share, num_sentences, num_shares):
        length = num_queries
        if LENGTHS:
            length = tl.load(lengths + sentence).to(tl.int32)
        where = tl.cast(sentence, tl.int64)
        sequence = sentence * num_heads + head
        real_blocks = tl.cdiv(length, BLOCK)
        for tile in range(tl.maximum(0, -apart), tl.minimum(real_blocks, real_blocks - apart)):
            i, j = tile * BLOCK + within, (tile + apart) * BLOCK + within
            query_rows = query + where * query_b + head * query_h
            by_content = load_queries(query_rows, content_bias, head, i, 0, query_s, length, D, True)
            by_position = load_queries(query_rows, position_bias, head, i, 0, query_s, length, D, True)
            keys = load_rows(key + where * key_b + head * key_h, j, key_s, length, D)
            values = load_rows(value + where * value_b + head * value_h, j, value_s, length, D)
            d_out = load_rows(out_gradient + where * gradient_b + head * gradient_h, i, gradient_s, length, D)
            row = tl.cast(sequence, tl.int64) * num_queries + i
            normaliser = tl.load(lse + row, mask=i < length, other=0.0)
            products = tl.load(product + row, mask=i < length, other=0.0)
            earlier = tl.dot(by_position, tl.trans(earlier_positions), input_precision=PRECISION)
            later = tl.dot(by_position, tl.trans(later_positions), input_precision=PRECISION)
            scores = tl.dot(by_content, tl.trans(keys), by_key(select_lags(earlier, later, BLOCK), BLOCK), input_precision=PRECISION)
            seen = visible(i, j, length, length, False, False, 0, CAUSAL, False, False)
            query_bits, key_bits = i, j
            if DROPOUT:
                query_bits = random_words(query_seed, sequence, i, num_queries)
                key_bits = random_words(key_seed, sequence, j, num_queries)
            weight_gradient = tl.dot(d_out, tl.trans(values), input_precision=PRECISION)
            _, gradient = weights_and_gradient(
                scores * (scale * 1.4426950408889634), seen, normaliser, weight_gradient, products, query_bits, key_bits,
                threshold, keep_scale, DROPOUT,
            )  # fmt: skip
            turned = by_lag(gradient.to(keys.dtype), BLOCK)
            nothing = tl.zeros_like(turned)
            earlier_gradient, later_gradient = select_lags(turned, nothing, BLOCK), select_lags(nothing, turned, BLOCK)
            earlier_part = tl.dot(tl.trans(earlier_gradient), by_position, earlier_part, input_precision=PRECISION)
            later_part = tl.dot(tl.trans(later_gradient), by_position, later_part, input_precision=PRECISION)
    sums = ((tl.cast(share, tl.int64) * tl.num_programs(1) + head) * tl.num_programs(0) + diagonal) * 2 * BLOCK
    place = (sums + within)[:, None] * D + channel[None, :]
    tl.store(lag_sums + place, earlier_part * scale)
    tl.store(lag_sums + place + BLOCK * D, later_part * scale)
