"""Registration of the plugin in the process in which fairseq is loaded, whichever of the two is imported first.

`import speechllm_plugin` alone must be quick: the scoring of a file needs neither torch nor fairseq. But a notebook that imports the
plugin and then fairseq's tasks must find the plugin's among them, as one that imports fairseq first does, and as --user-dir does.
Without this hook the order of two imports would decide, and fairseq's message for an unknown task would not say so.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

PACKAGE_NAME = __name__.partition(".")[0]


def with_fairseq(register: Callable[[], None]) -> None:
    """Call `register` once: now if fairseq is loaded, else at the end of the import that loads it."""
    if "fairseq" in sys.modules:
        register()
    else:
        sys.meta_path.insert(0, _ImportsThatLoadFairseq(register))


class _ImportsThatLoadFairseq(MetaPathFinder):
    """Waits for the outermost import of fairseq, or of a module of this package, after which fairseq is loaded.

    Only the outermost one: a module of this package that imports fairseq is not complete before its own import ends, and `register`
    may need it.
    """

    def __init__(self, register: Callable[[], None]):
        self._register = register
        self._depth = 0  # imports that are being executed, one within the other

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """What the other finders find, with an execution that counts."""
        if name != "fairseq" and not name.startswith(f"{PACKAGE_NAME}."):
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module
            spec.loader.exec_module = lambda module: self._execute(execute, module)  # type: ignore[method-assign]
        return spec

    def _execute(self, execute: Callable[[ModuleType], None], module: ModuleType) -> None:
        self._depth += 1
        try:
            execute(module)
        finally:
            self._depth -= 1
        if not self._depth and "fairseq" in sys.modules and self in sys.meta_path:
            sys.meta_path.remove(self)
            self._register()
