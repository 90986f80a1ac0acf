"""--cuda-graphs: whether a training can run from CUDA graphs, and that it does."""

from typing import Any

import torch
from torch import distributed, nn

from speechllm_plugin.host import update_seeds
from speechllm_plugin.models.batch_norm import MaskedBatchNorm, several_processes
from speechllm_plugin.models.captured_training import CapturedTraining
from speechllm_plugin.models.speech_to_text import SpeechToTextModel
from speechllm_plugin.optim.flat_adam import FlatAdam
from speechllm_plugin.tasks.warm_up import WarmUp

HELP = (
    "on a GPU, run training steps from CUDA graphs, each captured when a shape of batches comes for the second time; keep those of so "
    "many shapes (0 = none). Needs --optimizer speechllm_adam, and batches of few shapes: --num-batch-buckets"
)


class TrainedModel:
    """The parts of a model that the task sets before every step, found once, as fairseq may have wrapped the model.

    Args:
        model: as fairseq trains it.
        optimizer: of its weights.
        num_graphs: --cuda-graphs.
        num_buckets: --num-batch-buckets.
        may_skip: --skip-bad-batches: each update must know its own norm. A late one would be answered in the next update, which is then left
            out as well.

    Raises:
        ValueError: the training cannot run from graphs.
    """

    def __init__(self, model: nn.Module, optimizer: Any, num_graphs: int, num_buckets: int = 0, may_skip: bool = False):
        self.model = model
        self.batch_norms = [module for module in model.modules() if isinstance(module, MaskedBatchNorm)]
        self.is_ours = any(isinstance(module, SpeechToTextModel) for module in model.modules())
        self.captured, self.inner = None, None
        if num_graphs < 0:
            raise ValueError(f"--cuda-graphs must not be negative (0 = none), but is {num_graphs}")
        if num_graphs:
            self.inner = next((module for module in model.modules() if isinstance(module, SpeechToTextModel)), None)
            refuse_what_cannot_be_captured(model, self.inner, optimizer, num_buckets)
            self.captured = CapturedTraining(self.inner, num_graphs)
            if not may_skip:
                optimizer.answer_late()
        self.warm_up = WarmUp(model, self.captured) if self.is_ours else None

    def prepare_step(self, ignore_grad: bool, has_shape: bool = False) -> None:
        """A rank without data left repeats a batch, which must not count in the statistics of batch norm; ranks draw masks of their own.

        Args:
            has_shape: whether the batch has a shape of --num-batch-buckets, which all ranks then have at once. NCCL wants what is captured
                to be captured and replayed by all ranks or by none.
        """
        if self.warm_up is not None:
            self.warm_up.before_batch()
        for batch_norm in self.batch_norms:
            batch_norm.counts = not ignore_grad
        if self.is_ours and several_processes():
            # fairseq seeds all ranks alike: in batches of one shape the same elements would be dropped on all of them.
            update_seeds.seed(int(torch.randint(2**62, ())) + distributed.get_rank())
        if self.inner is not None:
            can_run_from_graphs = has_shape or not several_processes()
            self.inner.captured_training = self.captured if can_run_from_graphs and not ignore_grad else None


def refuse_what_cannot_be_captured(model: nn.Module, inner: Any, optimizer: Any, num_buckets: int) -> None:
    """
    Raises:
        ValueError: the training cannot run from graphs; says why.
    """
    if inner is None:
        raise ValueError(f"--cuda-graphs is for dfp_transformer and xattn_transformer, but the model is {type(model).__name__}: leave it out")
    device = next(inner.parameters()).device
    if device.type != "cuda":
        raise ValueError(f"--cuda-graphs needs a GPU, but the training is on {device}: leave it out")
    if not isinstance(optimizer, FlatAdam):
        raise ValueError(f"--cuda-graphs adds gradients in place, but the optimizer is {type(optimizer).__name__}: give --optimizer speechllm_adam")
    if torch.is_autocast_enabled("cuda"):
        raise ValueError("--cuda-graphs does not go with --amp: give --bf16")
    if any(isinstance(module, nn.parallel.DistributedDataParallel) for module in model.modules()):
        raise ValueError("--cuda-graphs on several GPUs needs --ddp-backend legacy_ddp, which adds gradients up after the backward pass")
    if several_processes() and not num_buckets:
        raise ValueError("--cuda-graphs on several GPUs needs batches that have the same shape on all of them: give --num-batch-buckets")
