"""Several experiments at a time, spread over the GPUs of a machine."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

Experiment = TypeVar("Experiment")
Result = TypeVar("Result")


def run_at_once(
    run: Callable[[Experiment, str], Result], experiments: Sequence[Experiment], at_once: int, devices: Sequence[str], stop: Callable[[], None]
) -> list[Result]:
    """What run(experiment, device) returns for each of the experiments, so many of them at once; stop() ends those that run when one raises.

    An experiment starts on the device that has been free for longest; with more at once than devices, a device has several.
    """
    free: SimpleQueue[str] = SimpleQueue()
    for place in range(at_once):
        free.put(devices[place % len(devices)])

    def run_on_a_free_device(experiment: Experiment) -> Result:
        device = free.get()
        try:
            return run(experiment, device)
        finally:
            free.put(device)

    with ThreadPoolExecutor(at_once) as pool:
        try:
            return list(pool.map(run_on_a_free_device, experiments))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # after Ctrl-C nothing more is started
            stop()
            raise
