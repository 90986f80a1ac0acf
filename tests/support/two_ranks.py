"""A function in two processes."""

from torch import multiprocessing


def on_two_ranks(function, folder):
    """Call function(rank, folder) for ranks 0 and 1, in new processes: forked ones would wait for locks that threads of torch held here."""
    multiprocessing.start_processes(function, (folder,), nprocs=2, start_method="spawn")
