"""In the place of a CUDA graph on a CPU: operations run again with the tensors and numbers of the first time, and their results go where
those of the first time lay."""

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = ("nonzero", "_local_scalar_dense", "masked_select", "_unique2", "equal")


class Recording(TorchDispatchMode):
    """The operations of a function, for another time."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        assert operation._opname not in WAITS, f"{operation} waits for the device"
        results = operation(*args, **(kwargs or {}))
        aliases = [result.alias_info for result in operation._schema.returns]
        if not all(alias is not None and not alias.is_write for alias in aliases):  # else a view, which needs no repetition
            self.operations.append((operation, args, kwargs or {}, results, all(alias is None for alias in aliases)))
        return results

    def replay(self):
        for operation, args, kwargs, results, is_new in self.operations:
            again = operation(*args, **kwargs)
            if is_new:
                for result, new in zip(tree_leaves(results), tree_leaves(again)):
                    result.copy_(new)


class RecordedFunction:
    """In the place of a CapturedFunction."""

    def __init__(self, function):
        self.function, self.recordings, self.num_replays = function, {}, 0

    def __call__(self, *inputs):
        key = tuple(tensor.shape for tensor in inputs)
        if key not in self.recordings:
            self.recordings[key] = None
            return self.function(*inputs)
        if self.recordings[key] is None:
            own = [tensor.clone() for tensor in inputs]
            with Recording() as recording:
                outputs = self.function(*own)
            self.recordings[key] = own, recording, outputs
        own, recording, outputs = self.recordings[key]
        for buffer, tensor in zip(own, inputs):
            buffer.copy_(tensor)
        recording.replay()
        self.num_replays += 1
        return tuple(output.clone() for output in outputs)
