"""Sums that the programs of a kernel have made apart, added up in a fixed order by one small kernel; torch's take two or three launches."""

# mypy: disallow-untyped-defs=False, check-untyped-defs=False
import torch
import triton
import triton.language as tl
from torch import Tensor

SUMMED_COLUMNS = 8  # of a tile: the 32 bytes that memory hands out at a time


@triton.jit(do_not_specialize=["num_programs"])
def _add_up(sums, out, num_programs, dim, PROGRAMS: tl.constexpr, COLUMNS: tl.constexpr):
    """out (kinds, C): the sums (kinds, programs, C) over all programs, of which there may be PROGRAMS."""
    program, column = tl.arange(0, PROGRAMS), tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row, inside = tl.program_id(1) * num_programs + program, (program < num_programs)[:, None] & (column < dim)[None]
    total = tl.sum(tl.load(sums + row[:, None] * dim + column[None], mask=inside, other=0.0), 0)
    tl.store(out + tl.program_id(1) * dim + column, total.to(out.dtype.element_ty), mask=column < dim)


def added_up(sums: Tensor, dtype: torch.dtype) -> Tensor:
    """(kinds, programs, C) float32 -> (kinds, C) of the type."""
    kinds, programs, dim = sums.shape
    out = torch.empty(kinds, dim, dtype=dtype, device=sums.device)
    if out.numel():
        _add_up[(triton.cdiv(dim, SUMMED_COLUMNS), kinds)](sums, out, programs, dim, triton.next_power_of_2(max(1, programs)), SUMMED_COLUMNS)
    return out
