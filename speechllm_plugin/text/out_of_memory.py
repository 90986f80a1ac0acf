"""Memory that a process asked for and did not get: on the GPU, on the CPU, of numpy or of a data loader's worker."""

import re

# Of torch.OutOfMemoryError and what other libraries of CUDA say; of torch's CPU allocator; of a worker that the system ended.
_SIGNS = re.compile(r"out of memory|can't allocate memory|Unable to allocate|CUBLAS_STATUS_ALLOC_FAILED|is killed by signal: Killed")
_AMOUNT = re.compile(r"(?:[Tt]ried to allocate|Unable to allocate) [\d.]+ \w+")


class BatchTooLarge(RuntimeError):
    """A batch that does not fit into memory; its message says which flag makes it smaller."""


def is_meant(error: BaseException) -> bool:
    """Whether an error says that memory is short."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(_SIGNS.search(str(error))))


def reason(error: BaseException) -> str:
    """How much was asked for, where the error says so, and where."""
    amount = _AMOUNT.search(str(error))
    place = "the GPU" if "CUDA" in str(error) or "CUBLAS" in str(error) else "this machine"
    return f"memory of {place} is short" + (f": {amount[0][0].lower()}{amount[0][1:]}" if amount else "")
