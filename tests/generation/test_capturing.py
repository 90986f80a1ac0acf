"""A capture that fails says why."""

import gc

import pytest
import torch

from speechllm_plugin.generation.cuda_graph import capturing


class Graph:
    """A graph that CUDA cannot end once something went wrong."""

    def capture_begin(self, **options):
        self.ended = False

    def capture_end(self):
        self.ended = True
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture")


def test_the_first_error_is_the_one_that_is_raised():
    graph = Graph()
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"), capturing(graph, None):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert graph.ended and gc.isenabled()
    with pytest.raises(RuntimeError, match="previous error"), capturing(graph, None):
        pass
    assert gc.isenabled()
