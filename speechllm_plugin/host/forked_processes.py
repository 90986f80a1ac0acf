"""Memory of forked processes, such as the workers of a data loader."""

import gc
import os


def keep_what_they_inherit() -> None:
    """A forked process never collects garbage that it inherits: freeing a tensor of the GPU, or the loader of the last epoch, kills it."""
    os.register_at_fork(after_in_child=gc.freeze)
