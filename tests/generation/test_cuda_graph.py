"""What happens while a CUDA graph is captured; with a mark in the place of the graph, there is no GPU."""

import gc
import weakref

import pytest

from speechllm_plugin.generation.cuda_graph import capturing


class Mark:
    is_captured = False

    def capture_begin(self, pool, capture_error_mode):
        assert not self.is_captured

    def capture_end(self):
        self.is_captured = True


def test_no_garbage_is_collected_in_a_capture():
    """Graphs of a dropped model are part of a cycle."""
    older, graph = Mark(), Mark()
    older.cycle, end = older, weakref.ref(older)
    del older
    with capturing(graph, None):
        kept = [[number] for number in range(200_000)]  # of which the collector takes notice
        assert end() is not None and not graph.is_captured
    assert graph.is_captured and gc.isenabled()
    del kept
    gc.collect()
    assert end() is None


def test_a_capture_that_fails_ends():
    graph = Mark()
    with pytest.raises(ValueError, match="of the function"), capturing(graph, None):
        raise ValueError("of the function")
    assert graph.is_captured and gc.isenabled()
