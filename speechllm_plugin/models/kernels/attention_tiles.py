"""Parts of a tile of attention scores that forward and backward kernels share: rows, visibility, lags, dropout.

A tile holds BLOCK_Q queries and BLOCK_K keys. Rows are numbered by their place in the whole sequence: the speech first, from 0,
then the text, from `num_speech`. A tile never mixes the two, so that what it may see is known for the tile as a whole.
"""

# mypy: disallow-untyped-defs=False, check-untyped-defs=False
import triton
import triton.language as tl

from speechllm_plugin.models.kernels.random_mask import random_word

# Of these no value is worth a compilation of its own.
COUNTS = [
    "num_queries",
    "num_keys",
    "num_speech",
    "first_query",
    "second_text",
    "num_lags",
    "lag_zero",
    "threshold",
    "seed",
    "first_sequence",
    "num_sentences",
]


@triton.jit
def tile_rows(tile, first, num_speech, total, length, BLOCK: tl.constexpr):
    """Where a tile starts, where the memory of its part ends, where the real rows of its part end, and whether it is text.

    `first` is the place of the first row that is stored: 0, or `num_speech` where only text is.
    """
    speech_tiles = tl.cdiv(num_speech - first, BLOCK)
    is_text = tile >= speech_tiles
    start = tl.where(is_text, num_speech + (tile - speech_tiles) * BLOCK, tile * BLOCK)
    return start, tl.where(is_text, total, num_speech), tl.where(is_text, total, length), is_text


@triton.jit
def stored_place(start, first, num_speech, ALIGNMENT: tl.constexpr):
    """Where the row of a tile that starts at `start` stands in what backward kernels store: text begins at a multiple of `ALIGNMENT`."""
    text = start - num_speech + tl.cdiv(num_speech - first, ALIGNMENT) * ALIGNMENT
    return tl.multiple_of(tl.where(start < num_speech, start, text), 16)


@triton.jit
def load_rows(pointer, rows, stride, limit, D: tl.constexpr):
    """(rows, D), zero for rows outside 0 ... limit - 1."""
    inside = (rows >= 0) & (rows < limit)
    return tl.load(pointer + rows[:, None] * stride + tl.arange(0, D)[None, :], mask=inside[:, None], other=0.0)


@triton.jit
def load_queries(pointer, bias, head, rows, first, stride, limit, D: tl.constexpr, BIAS: tl.constexpr):
    """(rows, D) queries plus the bias of their head, rounded as a sum in the queries' own precision is."""
    query = load_rows(pointer, rows - first, stride, limit - first, D)
    if BIAS:
        query = (query.to(tl.float32) + tl.load(bias + head * D + tl.arange(0, D)).to(tl.float32)[None, :]).to(query.dtype)
    return query


@triton.jit
def hidden_keys(j, key_limit):
    """(1, BLOCK_K) to be added to scores: -inf where a key is padding."""
    return tl.where(j < key_limit, 0.0, float("-inf"))[None, :]


@triton.jit
def visible(i, j, query_text, key_text, second_text, CAUSAL: tl.constexpr, SECOND: tl.constexpr):
    """(BLOCK_Q, BLOCK_K) True where query row i may see key row j, which is no padding.

    Text, and causal speech, sees nothing after itself; a second text does not see the first.
    """
    both_ways = (key_text == 0) & ((query_text != 0) | (not CAUSAL))
    seen = both_ways | (j[None, :] <= i[:, None])
    if SECOND:
        seen = seen & ((key_text == 0) | (i < second_text)[:, None] | (j >= second_text)[None, :])
    return seen


@triton.jit
def select_lags(earlier, later, BLOCK: tl.constexpr):
    """What each row of a square tile has of two (BLOCK, BLOCK) blocks of lags that follow each other.

    The keys of a tile of BLOCK queries lie 2 BLOCK - 1 lags apart, and row i meets those from BLOCK - 1 - i on: in the later block
    just the columns that it does not meet in the earlier one.
    """
    return tl.where(tl.arange(0, BLOCK)[:, None] + tl.arange(0, BLOCK)[None, :] >= BLOCK - 1, earlier, later)


@triton.jit
def by_key(selected, BLOCK: tl.constexpr):
    """Selected scores by lag -> scores by key: every row turns by its number."""
    row, column = tl.arange(0, BLOCK)[:, None], tl.arange(0, BLOCK)[None, :]
    return tl.gather(selected, (column - row + BLOCK - 1) % BLOCK, 1)


@triton.jit
def first_lag(query_start, key_start, lag_zero, BLOCK: tl.constexpr):
    """The row of the positions with which `earlier` of a tile starts; `later` starts BLOCK rows behind it."""
    return lag_zero - query_start + key_start - (BLOCK - 1)


@triton.jit
def random_words(seed, seed_base, sequence, rows, limit):
    """(rows,) of the 32 random bits that each query of one head of one sentence has, for dropout."""
    return random_word(sequence.to(tl.int64) * limit + rows, seed + tl.load(seed_base))


@triton.jit
def kept(query_words, j, threshold):
    """(BLOCK_Q, BLOCK_K) True where dropout keeps the weight: a hash of the query's word and the key's place, whatever the tiling.

    A generator for each weight would cost more than the products of the tile; two rounds of multiply and shift mix a word that is
    random already with multiples of an odd number.
    """
    word = (query_words[:, None] ^ (j.to(tl.uint32) * 0x9E3779B1)[None, :]) * 0xC2B2AE35
    word = (word ^ (word >> 15)) * 0x85EBCA77
    return word >= threshold.to(tl.uint32)
