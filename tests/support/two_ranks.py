"""A function in two processes."""

from pathlib import Path

from torch import distributed, multiprocessing

from speechllm_plugin.host import rank_numbers


def on_two_ranks(function, folder):
    """Call function(rank, folder) for ranks 0 and 1 of gloo, in new processes: forked ones would wait for locks that threads of torch held here.

    Threads of gloo that outlived their groups would abort a process now and then while Python ends.
    """
    multiprocessing.start_processes(on_rank, (function, folder), nprocs=2, start_method="spawn")


def on_rank(rank, function, folder):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    function(rank, folder)
    rank_numbers.end_threads()
    threads = [name.read_text().strip() for name in Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in threads if "gloo" in name], threads
