"""The seed of every update.

torch.manual_seed also asks the kinds of devices that this machine does not have, and notes for each of them the whole stack of calls, in case
it comes to life: up to 0.7 ms. fairseq copies the states of all generators before, in case that it is to restore them.
"""

import functools

import torch


def set_quickly() -> None:
    """Let fairseq's trainer seed what it trains on, and keep no states."""
    from fairseq.trainer import Trainer

    of_fairseq = Trainer._set_seed

    @functools.wraps(of_fairseq)
    def set_seed(self: Trainer) -> None:
        if self.tpu:
            of_fairseq(self)
        else:
            seed(self.cfg.common.seed + self.get_num_updates())

    Trainer._set_seed = set_seed


def seed(number: int) -> None:
    """As torch.manual_seed, for the CPU and, where this process uses them, NVIDIA's GPUs."""
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(number)
    torch.default_generator.manual_seed(number)
