"""Forward kernel of fused attention: one program per tile of queries, head and sentence."""

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
    tile_rows,
    visible,
)


@triton.jit(do_not_specialize=COUNTS)
def forward_kernel(
    query, key, value, position, content_bias, position_bias, lengths, seed, seed_base, out, lse,
    query_b, query_s, query_h, key_b, key_s, key_h, value_b, value_s, value_h, position_h, position_s,
    num_heads, num_queries, num_keys, num_speech, first_query, second_text, num_lags, lag_zero, scale, threshold, keep_scale,
    D: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    POSITION: tl.constexpr, LENGTHS: tl.constexpr, CAUSAL: tl.constexpr, TEXT: tl.constexpr, SECOND: tl.constexpr,
    DROPOUT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    query_total = first_query + num_queries
    num_tiles = tl.cdiv(num_speech - first_query, BLOCK_Q) + tl.cdiv(query_total - num_speech, BLOCK_Q)
    sequence, tile = tl.program_id(0) // num_tiles, tl.program_id(0) % num_tiles
    sentence, head = (sequence // num_heads).to(tl.int64), sequence % num_heads
    length = num_speech
    if LENGTHS:
        length = tl.load(lengths + sentence).to(tl.int32)
    start, end, limit, query_text = tile_rows(tile, first_query, num_speech, query_total, length, BLOCK_Q)
    i = start + tl.arange(0, BLOCK_Q)

    query += sentence * query_b + head * query_h
    key += sentence * key_b + head * key_h
    value += sentence * value_b + head * value_h
    by_content = load_queries(query, content_bias, head, i, first_query, query_s, limit, D, POSITION)
    if POSITION:
        by_position = load_queries(query, position_bias, head, i, first_query, query_s, limit, D, POSITION)
        position += head * position_h
        lag = first_lag(start, 0, lag_zero, BLOCK_Q) + tl.arange(0, BLOCK_Q)
        earlier = tl.dot(by_position, tl.trans(load_rows(position, lag, position_s, num_lags, D)), input_precision=PRECISION)
    if DROPOUT:
        query_words = random_words(seed, seed_base, sequence, i - first_query, num_queries)

    speech_end = length
    if CAUSAL:
        speech_end = tl.where(query_text, length, tl.minimum(length, start + BLOCK_Q))
    speech_tiles = tl.cdiv(speech_end, BLOCK_K)
    key_tiles = speech_tiles
    if TEXT:
        text_end = tl.where(query_text, tl.minimum(num_keys, start + BLOCK_Q), num_speech)
        key_tiles += tl.cdiv(text_end - num_speech, BLOCK_K)
    key_tiles = tl.where(start < limit, key_tiles, 0)

    scale *= 1.4426950408889634  # exp2 is what the chip has
    highest = tl.full([BLOCK_Q], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_Q], tl.float32)
    attended = tl.zeros([BLOCK_Q, D], tl.float32)
    for key_tile in range(0, key_tiles):
        key_text = key_tile >= speech_tiles
        key_start = tl.where(key_text, num_speech + (key_tile - speech_tiles) * BLOCK_K, key_tile * BLOCK_K)
        key_limit = tl.where(key_text, num_keys, length)
        j = key_start + tl.arange(0, BLOCK_K)
        scores = tl.dot(by_content, tl.trans(load_rows(key, j, key_s, key_limit, D)), input_precision=PRECISION)
        if POSITION:
            lag = first_lag(start, key_start, lag_zero, BLOCK_Q) + BLOCK_Q + tl.arange(0, BLOCK_Q)
            later = tl.dot(by_position, tl.trans(load_rows(position, lag, position_s, num_lags, D)), input_precision=PRECISION)
            scores += by_key(select_lags(earlier, later, BLOCK_Q), BLOCK_Q)
            earlier = later
        scores = scores * scale + hidden_keys(j, key_limit)
        if CAUSAL or TEXT:
            scores = tl.where(visible(i, j, query_text, key_text, second_text, CAUSAL, SECOND), scores, float("-inf"))
        now_highest = tl.maximum(highest, tl.max(scores, 1))
        base = tl.where(now_highest == float("-inf"), 0.0, now_highest)
        weights = tl.exp2(scores - base[:, None])
        shrink = tl.exp2(highest - base)
        total = total * shrink + tl.sum(weights, 1)
        if DROPOUT:
            weights = tl.where(kept(query_words, j, threshold), weights, 0.0)
        values = load_rows(value, j, value_s, key_limit, D)
        attended = tl.dot(weights.to(values.dtype), values, attended * shrink[:, None], input_precision=PRECISION)
        highest = now_highest

    empty = total == 0.0
    attended = attended * tl.where(empty | (i >= limit), 0.0, keep_scale / tl.where(empty, 1.0, total))[:, None]
    place = (sentence * num_queries + i - first_query) * num_heads + head
    tl.store(out + place[:, None] * D + tl.arange(0, D)[None, :], attended.to(out.dtype.element_ty), mask=(i < end)[:, None])
    normaliser = tl.where(empty, 0.0, highest + tl.log2(tl.where(empty, 1.0, total)))
    tl.store(lse + sequence.to(tl.int64) * num_queries + i - first_query, normaliser, mask=i < end)
