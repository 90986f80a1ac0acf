"""Updates that cannot be made: gradients that are not finite, and batches that do not fit into memory.

fairseq prints the norm of every weight's gradient in the first case, and in the second leaves the batch out, in the log only. Neither
names the utterances. Here the task says what to do (`FailingBatches`), for a task that has it; others stay as they are.
"""

from typing import Any, Protocol

import torch

from speechllm_plugin.text import out_of_memory


class GradientNotFinite(Exception):
    """Raised where fairseq has the norm of the gradient, and caught around its whole update."""


class FailingBatches(Protocol):
    """What a task has as `failing_batches`."""

    def before_update(self, trainer: Any, samples: list[dict[str, Any]]) -> None:
        """Called before every update, with its batches."""

    def skip(self, trainer: Any) -> None:
        """Undo what an update without a finite gradient has changed. Raises ValueError if training is to end."""

    def too_large(self, samples: list[dict[str, Any]], error: BaseException) -> str:
        """The message about batches that do not fit into memory."""


def name_batches() -> None:
    """Let fairseq's trainer ask the task about such updates."""
    from fairseq.logging import metrics
    from fairseq.trainer import Trainer

    clip_grad_norm, train_step, valid_step = Trainer.clip_grad_norm, Trainer.train_step.__wrapped__, Trainer.valid_step.__wrapped__

    def checked_norm(trainer: Any, clip_norm: float) -> Any:
        if not hasattr(trainer.task, "failing_batches") or trainer.cfg.common.amp:  # which looks for a smaller scale of the loss
            return clip_grad_norm(trainer, clip_norm)
        try:
            norm = clip_grad_norm(trainer, clip_norm).cpu()  # the one wait of an update: fairseq reads it next, and finds it here
        except FloatingPointError as error:  # of --fp16, at the smallest scale
            raise GradientNotFinite from error
        if not torch.isfinite(norm).all():
            raise GradientNotFinite
        return norm

    @metrics.aggregate("train")
    def named_train_step(trainer: Any, samples: list[dict[str, Any]], raise_oom: bool = False) -> Any:
        failing = getattr(trainer.task, "failing_batches", None)
        if failing is None:
            return train_step(trainer, samples, raise_oom)
        failing.before_update(trainer, samples)
        try:
            return train_step(trainer, samples, raise_oom=True)
        except GradientNotFinite:
            failing.skip(trainer)
            return None  # as fairseq says of an update that was not made
        except (RuntimeError, MemoryError) as error:
            _name(error, failing, samples)
            raise

    @metrics.aggregate("valid")
    def named_valid_step(trainer: Any, sample: dict[str, Any], raise_oom: bool = False) -> Any:
        try:
            return valid_step(trainer, sample, raise_oom)
        except (RuntimeError, MemoryError) as error:
            _name(error, getattr(trainer.task, "failing_batches", None), [sample])
            raise

    Trainer.clip_grad_norm, Trainer.train_step, Trainer.valid_step = checked_norm, named_train_step, named_valid_step


def _name(error: BaseException, failing: FailingBatches | None, samples: list[dict[str, Any]]) -> None:
    """Raise an error that names the batch, where memory is short."""
    if failing is not None and not isinstance(error, out_of_memory.BatchTooLarge) and out_of_memory.is_meant(error):
        raise out_of_memory.BatchTooLarge(failing.too_large(samples, error)) from error
