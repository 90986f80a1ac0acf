"""Numbers that ranks exchange in every update, as those of tokens and the norm of the gradient: from host to host, past the GPUs.

fairseq sends them over the GPUs and reads the sums at once, so that each host waits until its GPU has done all that it was told before, and
the GPU then waits for the host. Where a rank has died, hosts notice at once, and NCCL only when its time is out.
"""

import functools
import gc
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed.nn  # its functions have as a default the group that there is when they are read, and keep it for ever
from torch import distributed

CONSISTENT = 1e-6  # norms of one gradient, relative: fairseq's bound


def exchange_on_hosts() -> None:
    """Let fairseq's trainer on several GPUs sum numbers that hosts know by gloo; sums of what is on the GPUs stay there and wait for nothing.

    A norm that comes an update late, when its step is made, is compared with those of other ranks in the next exchange, so that it needs none of
    its own: ranks whose gradients differ end one update later.
    """
    from fairseq.distributed import utils
    from fairseq.trainer import Trainer

    over_gpus, check = utils.all_reduce_dict, Trainer._check_grad_norms
    unchecked: list[tuple[Trainer, torch.Tensor]] = []  # the late norm

    @functools.wraps(over_gpus)
    def all_reduce_dict(data: Mapping[str, Any], device: torch.device, group: Any) -> dict[str, Any]:
        on_hosts = [name for name, value in data.items() if not torch.is_tensor(value)]
        if device.type != "cuda" or not on_hosts:
            return over_gpus(data, device, group)
        late = unchecked.pop() if unchecked else None
        numbers = [data[name] for name in on_hosts]
        exchanged = sums_of_hosts(numbers if late is None else [*numbers, *at_own_place(float(late[1]))])
        if late is not None and not agree(exchanged[len(numbers) :]):
            check(*late)
        sums = dict(zip(on_hosts, exchanged))
        on_gpus = {name: value for name, value in data.items() if name not in sums}
        if on_gpus and all(value.dim() == 0 and value.device.type == "cuda" for value in on_gpus.values()):
            rest = sums_of_gpus(on_gpus, group)
        else:
            rest = over_gpus(on_gpus, device, group)
        return {name: sums[name] if name in sums else rest[name] for name in data}

    @functools.wraps(check)
    def check_grad_norms(self: Trainer, grad_norm: torch.Tensor) -> None:
        if self._grad_norm_buf is None or grad_norm.device.type != "cpu":
            check(self, grad_norm)
        elif getattr(self.optimizer, "late_norm", None) is not None:
            unchecked[:] = [(self, grad_norm)]
        elif not agree(sums_of_hosts(at_own_place(float(grad_norm)))):
            check(self, grad_norm)

    utils.all_reduce_dict, Trainer._check_grad_norms = all_reduce_dict, check_grad_norms


def sums_of_hosts(numbers: Sequence[float]) -> list[float]:
    """Of each number the sum over ranks."""
    total = torch.tensor(numbers, dtype=torch.double)
    distributed.all_reduce(total, group=hosts())
    return total.tolist()


def sums_of_gpus(numbers: Mapping[str, torch.Tensor], group: Any) -> dict[str, torch.Tensor]:
    """Of each number the sum over ranks in 64 bits, as fairseq's, which launches as many operations again to copy the sums."""
    values = list(numbers.values())
    is_one_type = len({value.dtype for value in values}) == 1
    total = torch.stack(values).double() if is_one_type else torch.stack([value.double() for value in values])
    distributed.all_reduce(total, group=group)
    return dict(zip(numbers, total.unbind()))


def at_own_place(number: float) -> list[float]:
    """The number where this rank stands among all, zeros for the others: their sum over ranks has the number of each."""
    own = [0.0] * distributed.get_world_size()
    own[distributed.get_rank()] = number
    return own


def agree(norms: Sequence[float]) -> bool:
    return all(abs(norm - norms[0]) < CONSISTENT * (norms[0] + CONSISTENT) for norm in norms)  # not so if one is no number


@functools.cache
def hosts() -> distributed.ProcessGroup:
    """All ranks, connected by gloo; made when all of them first ask."""
    return distributed.new_group(backend="gloo")


def end_threads() -> None:
    """End the threads of gloo before Python ends: one that lets go of its last tensor meanwhile aborts the process, whose training has succeeded.

    They end with their groups, once nothing holds these. Groups of NCCL stay as they are: CUDA graphs may hold them, and they have no such threads.
    """
    if not distributed.is_initialized():
        return
    from fairseq.distributed import utils

    if distributed.get_backend() == "gloo":
        utils.get_global_group.__dict__.pop("_global_group", None)
        distributed.destroy_process_group()
        gc.collect()  # models that hold a group
    elif hosts.cache_info().currsize:
        distributed.destroy_process_group(hosts())
    hosts.cache_clear()
