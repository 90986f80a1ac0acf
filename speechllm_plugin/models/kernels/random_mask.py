"""Dropout within kernels: which elements stay is a hash of a seed and of the element's number, so that backward finds them again."""

# mypy: disallow-untyped-defs=False, check-untyped-defs=False
import triton
import triton.language as tl


@triton.jit
def random_word(number, seed):
    """32 random bits for each number: murmur3's finaliser mixes it with the seed.

    A counter-based generator such as Philox would cost more than the memory that these kernels move.
    """
    word = number.to(tl.uint32) * 0x9E3779B1 + seed.to(tl.uint32)
    word = (word ^ (word >> 16)) * 0x85EBCA6B
    word = (word ^ (word >> 13)) * 0xC2B2AE35
    return word ^ (word >> 16)


@triton.jit
def keeps(number, seed, threshold):
    """True where the element of this number stays."""
    return random_word(number, seed) >= threshold.to(tl.uint32)
