"""The logarithm by which logits become log-probabilities, read from memory once."""

# mypy: disallow-untyped-defs=False, check-untyped-defs=False
import triton
import triton.language as tl

TYPES_AT_ONCE = 1024


@triton.jit
def log_normaliser(row, num_types, TYPES: tl.constexpr):
    """The logarithm of the sum of the exponentials of the logits at `row`, and the sum of the logits; in float32."""
    most = tl.full([TYPES], float("-inf"), tl.float32)
    total = tl.zeros([TYPES], tl.float32)
    plain = tl.zeros([TYPES], tl.float32)
    for first in range(0, num_types, TYPES):
        place = first + tl.arange(0, TYPES)
        value = tl.load(row + place, mask=place < num_types, other=float("-inf")).to(tl.float32)
        new_most = tl.maximum(most, value)
        shift = tl.where(new_most == float("-inf"), 0.0, new_most)
        total = total * tl.exp(most - shift) + tl.exp(value - shift)
        plain += tl.where(place < num_types, value, 0.0)
        most = new_most
    highest = tl.max(most, 0)
    highest = tl.where(highest == float("-inf"), 0.0, highest)
    return highest + tl.log(tl.sum(total * tl.exp(most - highest), 0)), tl.sum(plain, 0)
