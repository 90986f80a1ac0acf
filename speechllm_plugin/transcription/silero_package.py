"""Silero's package, which gives the whole process one thread when it is imported and when it loads its network: here torch keeps those it had."""

import contextlib
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor


@contextlib.contextmanager
def threads_kept() -> Iterator[None]:
    """A block after which torch has the threads of before."""
    number = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(number)


with threads_kept():
    import silero_vad

get_speech_timestamps_from_probs = silero_vad.get_speech_timestamps_from_probs


def published_weights() -> dict[str, Tensor]:
    """Those of the network that the package brings, by their names in it."""
    with threads_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript, in which the network is published, is deprecated
        return dict(silero_vad.load_silero_vad().state_dict())
