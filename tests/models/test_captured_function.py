"""Which shapes of a captured function have graphs; with marks in the place of graphs, there is no GPU."""

from collections import Counter, OrderedDict

import torch

from speechllm_plugin.models.captured_function import CapturedFunction
from speechllm_plugin.models.captured_part import CapturedPart


def marked(kind, limit):
    """A function of one tensor whose graphs are marks; and the widths that were captured and replayed, in this order."""
    captured, replayed = [], []

    class Mark:
        def __init__(self, part, inputs, forms):
            self.width = inputs[0].size(0)
            captured.append(self.width)

    class Marked(kind):
        graph_type = Mark

        def __init__(self):
            self.function, self.limit, self.forms, self.calls, self.graphs = lambda x: (2 * x,), limit, {}, Counter(), OrderedDict()
            self.num_captures = self.num_launches = 0

        def replay(self, graph, inputs):
            replayed.append(graph.width)
            return self.function(*inputs)

    return Marked(), captured, replayed


def call(function, widths):
    for width in widths:
        assert torch.equal(function(torch.ones(width))[0], torch.full((width,), 2.0))


def test_shapes_that_take_turns_are_not_captured_over_and_over():
    function, captured, replayed = marked(CapturedFunction, limit=2)
    call(function, [1, 2, 3, 4] * 5)
    assert captured == [1, 2] and replayed == [1, 2] * 4
    assert (function.num_captures, function.num_launches) == (2, 20 - 2 * 4)


def test_a_shape_that_comes_more_often_gets_a_graph():
    function, captured, replayed = marked(CapturedFunction, limit=2)
    call(function, [1, 1, 2, 2, 3, 3, 3, 3, 2])
    assert captured == [1, 2, 3] and replayed == [1, 2, 3, 3, 2]
    assert (function.num_captures, function.num_launches) == (3, 4)


def test_in_training_the_newest_have_graphs():
    function, captured, _ = marked(CapturedPart, limit=2)
    call(function, [1, 1, 1, 1, 2, 2, 2, 3, 3, 2, 1])
    assert captured == [1, 2, 3, 1] and [key[0][0][0] for key in function.graphs] == [2, 1]
