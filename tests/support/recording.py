"""In the place of CUDA graphs on a CPU: operations run again with the tensors and numbers of the first time, and their results go where
those of the first time lay."""

from contextlib import nullcontext
from types import SimpleNamespace
from weakref import WeakSet

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = ("nonzero", "_local_scalar_dense", "masked_select", "_unique2", "equal")


class Recording(TorchDispatchMode):
    """The operations of a function, for another time."""

    def __init__(self):
        super().__init__()
        self.operations, self.before = [], []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        assert operation._opname not in WAITS, f"{operation} waits for the device"
        written = [given for slot, given in zip(operation._schema.arguments, args) if slot.alias_info is not None and slot.alias_info.is_write]
        self.before += [(tensor, tensor.clone()) for tensor in tensors_of(written)]
        results = operation(*args, **(kwargs or {}))
        aliases = [result.alias_info for result in operation._schema.returns]
        if not aliases or not all(alias is not None and not alias.is_write for alias in aliases):  # else a view, which needs no repetition
            self.operations.append((operation, args, kwargs or {}, results, bool(aliases) and all(alias is None for alias in aliases)))
        return results

    def replay(self):
        for operation, args, kwargs, results, is_new in self.operations:
            again = operation(*args, **kwargs)
            if is_new:
                for result, new in zip(tensors_of(results), tensors_of(again)):
                    result.copy_(new)

    def undo(self):
        """Let what was written to be as it was: a capture computes nothing."""
        for tensor, content in reversed(self.before):
            tensor.copy_(content)
        self.before = []

    def spoil(self):
        """Let nothing remain of the results, as if the memory had other users."""
        for *_, results, is_new in self.operations:
            if is_new:
                for result in tensors_of(results):
                    result.fill_(torch.nan if result.is_floating_point() else 1)


def tensors_of(results):
    return [result for result in tree_leaves(results) if isinstance(result, torch.Tensor)]


class RecordedGraph:
    """In the place of torch.cuda.CUDAGraph. A replay spoils the results of all graphs of its pool but of the one captured before it: a backward
    pass reads those of its forward pass."""

    made = WeakSet()

    @torch.no_grad()
    def capture_begin(self, pool, capture_error_mode):
        self.others = [graph for graph in self.made if graph.pool is pool]
        self.pool, self.recording, self.num_replays = pool, Recording(), 0
        self.recording.__enter__()

    @torch.no_grad()
    def capture_end(self):
        self.recording.__exit__(None, None, None)
        self.recording.undo()
        self.before = max(self.others, key=lambda graph: graph.number, default=None)
        self.number = 0 if self.before is None else self.before.number + 1
        self.made.add(self)

    @torch.no_grad()
    def replay(self):
        self.num_replays += 1
        for graph in self.made:
            if graph.pool is self.pool and graph is not self and graph is not self.before:
                graph.recording.spoil()
        self.recording.replay()


def record_graphs(monkeypatch):
    """Let CUDA graphs be recordings, on a CPU."""
    stream = SimpleNamespace(device=torch.device("cpu"), wait_stream=lambda other: None)
    names = {
        "CUDAGraph": RecordedGraph,
        "Stream": lambda device: stream,
        "current_stream": lambda: stream,
        "stream": lambda stream: nullcontext(),
        "graph_pool_handle": object,
        "synchronize": lambda: None,
        "empty_cache": lambda: None,
    }
    for name, stand_in in names.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
