"""Checkpoints in the fairseq commands: a file that cannot be used ends in one line that names it.

fairseq reads a checkpoint by torch's safe loader, whose message for a damaged file, or for one that holds code, ends with the advice to
load it unsafely. What does not fit the model is a page of names, or whatever the first line of code raises that meets it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from speechllm_plugin.host import command_errors, safe_loading
from speechllm_plugin.text.listing import first_few
from speechllm_plugin.text.one_line import excerpt


def explain_errors() -> None:
    """Let fairseq's readers of checkpoints raise ValueErrors: in every command, also those of this package."""
    from fairseq import checkpoint_utils
    from fairseq.trainer import Trainer

    checkpoint_utils.load_checkpoint_to_cpu = _explained(checkpoint_utils.load_checkpoint_to_cpu, _first, safe_loading.refusal)
    checkpoint_utils.load_model_ensemble_and_task = _explained(checkpoint_utils.load_model_ensemble_and_task, _all, _misfit)
    Trainer.load_checkpoint = _explained(Trainer.load_checkpoint, _second, _no_resumption)


def _first(path: str, *_: Any) -> str:
    return path


def _second(_: Any, path: str, *__: Any) -> str:
    return path


def _all(paths: Sequence[str], *_: Any) -> str:
    return ", ".join(paths)


def _explained(function: Callable[..., Any], place: Callable[..., str], message: Callable[[BaseException], str]) -> Callable[..., Any]:
    """The function with ValueErrors that begin with the file's name.

    Args:
        place: the file or files, of the arguments of the function.
        message: of what the function raises, unless this package has raised it for a user.
    """

    @functools.wraps(function)
    def explained(*arguments: Any, **options: Any) -> Any:
        if place is _all and None in arguments[0]:  # fairseq-validate does not ask for it
            raise ValueError("--path must name the checkpoint, but is not given")
        try:
            return function(*arguments, **options)
        except Exception as error:
            if isinstance(error, OSError):
                raise
            path, own = place(*arguments), command_errors.message_of_this_package(error)
            if own.startswith(path):
                raise
            raise ValueError(f"{path}: {own or message(error)}") from error

    return explained


def _misfit(error: BaseException) -> str:
    return f"cannot be used with this task and data ({reason(error)}); give a checkpoint that was trained with them"


def _no_resumption(error: BaseException) -> str:
    remedy = "give the flags that it was trained with, --reset-optimizer, or another --save-dir or --restore-file"
    return f"training cannot go on from this checkpoint ({reason(error)}); {remedy}"


def reason(error: BaseException) -> str:
    """What was wrong, in a few words: the first few names where weights are missing or of another shape."""
    *_, error = command_errors.with_causes(error)
    heading, *parts = str(error).strip().splitlines() or [""]
    if "state_dict" not in heading or not parts:
        return f"{type(error).__name__}: {excerpt(heading)[1:-1]}"
    return first_few([first_few(part.strip(" .\t").split(", ")) for part in parts])
