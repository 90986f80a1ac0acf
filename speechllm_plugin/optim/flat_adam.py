"""`--optimizer speechllm_adam`: Adam over one flat tensor of all weights.

fairseq's Adam launches several operations for each of some hundred weights, and with --bf16 copies each gradient and each weight once
more. Here weights, gradients and averages are one tensor each: the norm is one operation, and torch's fused kernel scales, clips and steps
in one pass over the gradients. With --bf16 it steps on float32 weights of its own, from which those of the model are made in one copy.
"""

import itertools
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.distributed.legacy_distributed_data_parallel import LegacyDistributedDataParallel
from fairseq.optim import FairseqOptimizer, register_optimizer
from omegaconf import II

ALIGNMENT = 64  # in elements: matrix products of 16 bits are several times slower for weights that start anywhere
WEIGHT_TYPES = (torch.float32, torch.bfloat16)
MOMENTS, WEIGHT = ("exp_avg", "exp_avg_sq"), "float32_weight"  # of a weight in a checkpoint
# A checkpoint names the class of its optimizer, without --bf16 and with it, and fairseq refuses to go on with another.
FAIRSEQ_NAMES = {False: "FairseqAdam", True: "FP16Optimizer"}


@dataclass
class FlatAdamConfig(FairseqDataclass):
    adam_betas: Any = field(default="(0.9, 0.999)", metadata={"help": "decay of the averages of the gradient and of its square"})
    adam_eps: float = field(default=1e-8, metadata={"help": "added to the root of the second average"})
    weight_decay: float = field(default=0.0, metadata={"help": "share of the weights, times the learning rate, taken off in each update"})
    lr: Any = II("optimization.lr")
    fp16: bool = II("common.fp16")


class LateValue:
    """Numbers on their way from the GPU, each read when the next one is sent."""

    def __init__(self) -> None:
        self.newest: tuple[torch.Tensor, torch.cuda.Event] | None = None

    def exchange(self, value: torch.Tensor) -> torch.Tensor:
        """Send a number; the one sent before, on the CPU, or this one if it is the first."""
        before, copy, event = self.newest, torch.empty((), pin_memory=True), torch.cuda.Event()
        copy.copy_(value, non_blocking=True)
        event.record()
        self.newest = copy, event
        answer, arrival = before or self.newest
        arrival.synchronize()
        return answer

    def newest_is_finite(self) -> bool:
        if self.newest is None:
            return True
        self.newest[1].synchronize()
        return bool(torch.isfinite(self.newest[0]))


@register_optimizer("speechllm_adam", dataclass=FlatAdamConfig)
class FlatAdam(FairseqOptimizer):
    """Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019), as fairseq's `adam`.

    The model's weights become views of one tensor, and their gradients of another. Checkpoints hold for each weight what fairseq's hold,
    and the float32 weight where the model's is shorter; they carry the name of fairseq's optimizer, so that either resumes the other's
    training.

    Args:
        cfg: FlatAdamConfig.
        params: float32 or bfloat16 weights, all alike and on one device; they keep their identity.

    Raises:
        ValueError: --fp16; weights of other types, or on several devices.
    """

    def __init__(self, cfg, params: Iterable[torch.nn.Parameter]):
        super().__init__(cfg)
        if cfg.fp16:
            raise ValueError("--optimizer speechllm_adam does not scale losses, as --fp16 needs it: give --bf16, or --optimizer adam")
        self.weights = list(params)
        kinds = {(weight.dtype, weight.device) for weight in self.weights}
        if len(kinds) != 1 or self.weights[0].dtype not in WEIGHT_TYPES:
            found = ", ".join(sorted(f"{str(dtype).removeprefix('torch.')} on {device}" for dtype, device in kinds))
            raise ValueError(f"--optimizer speechllm_adam needs float32 or bfloat16 weights on one device, but these are {found}")
        ends = list(itertools.accumulate(-(-weight.numel() // ALIGNMENT) * ALIGNMENT for weight in self.weights))
        self.starts, self.size = [0, *ends[:-1]], ends[-1]
        self.models = self.joined(self.weights, self.weights[0].dtype)
        self.gradient = torch.zeros_like(self.models)
        self.flat = torch.nn.Parameter(self.models.float())  # shares memory with the model's weights where they are float32
        for weight, data, grad in zip(self.weights, self.parts(self.models), self.parts(self.gradient)):
            weight.data, weight.grad = data, grad
        self._optimizer = torch.optim.AdamW([self.flat], fused=True, **self.optimizer_config)
        self.factor: float | torch.Tensor = 1.0
        self.num_steps = 0
        self.late_norm: LateValue | None = None
        self.found_inf: torch.Tensor | None = None
        self.__class__ = type(FAIRSEQ_NAMES[self.is_short], (FlatAdam,), {})

    @property
    def optimizer_config(self) -> dict:
        lr, betas = self.cfg.lr, self.cfg.adam_betas
        return {
            "lr": lr[0] if isinstance(lr, Collection) else lr,
            "betas": tuple(float(beta) for beta in betas.strip("()[] ").split(",")) if isinstance(betas, str) else tuple(betas),
            "eps": self.cfg.adam_eps,
            "weight_decay": self.cfg.weight_decay,
        }

    @property
    def is_short(self) -> bool:
        """Whether the model's weights are of 16 bits."""
        return self.models.dtype != self.flat.dtype

    def parts(self, flat: torch.Tensor) -> list[torch.Tensor]:
        """What of a flat tensor belongs to each weight, in its shape."""
        return [flat[start : start + weight.numel()].view_as(weight) for start, weight in zip(self.starts, self.weights)]

    def joined(self, parts: Iterable[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
        """A flat tensor of one part for each weight, zero between them."""
        flat = torch.zeros(self.size, dtype=dtype, device=self.weights[0].device)
        for own, part in zip(self.parts(flat), parts):
            own.copy_(part.detach().view_as(own))
        return flat

    def all_reduce_grads(self, module: torch.nn.Module) -> None:
        """Make the gradients the mean of those of all ranks; with --ddp-backend legacy_ddp, which would copy each one twice, in one operation."""
        ranks = getattr(module, "module", None)
        if not isinstance(ranks, LegacyDistributedDataParallel) or not self.has_all_of(ranks):
            super().all_reduce_grads(module)
            return
        self.gradient /= ranks.world_size
        torch.distributed.all_reduce(self.gradient, group=ranks.process_group)

    def has_all_of(self, ranks: LegacyDistributedDataParallel) -> bool:
        """Whether the weights that are reduced are those of this optimizer; as the wrapper lists them: torch's walk would take a millisecond."""
        reduced = itertools.chain.from_iterable(ranks.per_device_params)
        return sum(weight.numel() for weight in reduced if weight.requires_grad) == sum(weight.numel() for weight in self.weights)

    def multiply_grads(self, c) -> None:
        """Scale the gradients by c, when the next step reads them; the trainer of several ranks has c as a tensor of 64 bits."""
        self.factor = self.factor * (c.float() if torch.is_tensor(c) else c)

    def clip_grad_norm(self, max_norm: float, aggregate_norm_fn=None) -> torch.Tensor:
        """The norm of the scaled gradients, on the CPU: the one wait of an update. The next step clips them to max_norm, 0 for not.

        After `answer_late` it is that of the update before.
        """
        norm = torch.linalg.vector_norm(self.gradient, dtype=torch.float32) * self.factor
        if aggregate_norm_fn is not None:
            norm = aggregate_norm_fn(norm)
        if max_norm > 0:
            self.factor = self.factor * (max_norm / (norm + 1e-6)).clamp(max=1.0)  # 1e-6: fairseq's
        if self.late_norm is None:
            return norm.cpu()
        self.found_inf = (~torch.isfinite(norm)).float()  # on the device: such a step changes nothing
        return self.late_norm.exchange(norm)

    def answer_late(self) -> None:
        """From now on no update waits for the GPU.

        The norms that clip_grad_norm returns are those of one update earlier, so that fairseq notices one that is not finite an update
        later. Until then the weights stay as they are.
        """
        self.late_norm = LateValue()

    def step(self, closure=None, scale: float = 1.0, groups=None) -> None:
        """One update; the gradients stay as they are."""
        factor = torch.ones((), device=self.flat.device) * self.factor / scale  # waits for no copy from the host
        self._optimizer.grad_scale = factor.reciprocal()  # the fused kernel divides by it
        self._optimizer.found_inf = torch.zeros_like(factor) if self.found_inf is None else self.found_inf
        self.num_steps += 1
        group = self.param_groups[0]
        # fairseq adds epsilon before the correction for the first steps' bias, torch after it.
        group["eps"] = self.cfg.adam_eps / math.sqrt(1 - group["betas"][1] ** self.num_steps)
        self.flat.grad = self.gradient.float()
        self._optimizer.step(closure)
        self.flat.grad = None
        if self.is_short:
            self.models.copy_(self.flat.detach())

    def zero_grad(self) -> None:
        self.gradient.zero_()
        self.factor = 1.0

    def state_dict(self) -> dict:
        """As fairseq's: an entry with `step` and both averages for each weight, and the float32 weight where the model's is shorter.

        Raises:
            FloatingPointError: the last update was not made, as its gradient was not finite, and nobody has noticed yet.
        """
        if self.late_norm is not None and not self.late_norm.newest_is_finite():
            raise FloatingPointError("the gradient of the last update is not finite, so that the update was not made")
        own = self._optimizer.state_dict()
        group = own["param_groups"][0] | {"params": list(range(len(self.weights))), "eps": self.cfg.adam_eps}
        if not own["state"]:
            return {"state": {}, "param_groups": [group]}
        flat = {name: own["state"][0][name] for name in MOMENTS} | ({WEIGHT: self.flat.detach()} if self.is_short else {})
        of_weights = zip(*map(self.parts, flat.values()))
        state = {number: {"step": self.num_steps} | dict(zip(flat, parts)) for number, parts in enumerate(of_weights)}
        return {"state": state, "param_groups": [group]}

    def load_state_dict(self, state_dict: dict, optimizer_overrides: dict | None = None) -> None:
        """Go on from what this class or fairseq's Adam stored.

        Raises:
            ValueError: the state is that of other weights.
        """
        state, group = state_dict["state"], state_dict["param_groups"][0]
        own = {}
        if state:
            entries = [state[number] for number in sorted(state)]
            numbers = [[part.numel() for part in parts] for parts in (self.weights, [entry[MOMENTS[0]] for entry in entries])]
            if numbers[0] != numbers[1]:
                raise ValueError(
                    f"the checkpoint's optimizer has averages of {sum(numbers[1]):,} weights in {len(numbers[1])} tensors, but the model has "
                    f"{sum(numbers[0]):,} in {len(numbers[0])}: give --reset-optimizer to start with new ones"
                )
            averages = {name: self.joined([entry[name] for entry in entries], torch.float32) for name in MOMENTS}
            self.num_steps = int(entries[0]["step"])
            own = {0: {"step": torch.tensor(float(self.num_steps))} | averages}
            if self.is_short and all(WEIGHT in entry for entry in entries):
                stored = self.joined([entry[WEIGHT] for entry in entries], torch.float32)
                if torch.equal(stored.to(self.models.dtype), self.models):  # else fairseq has trained on since, and kept them as they were
                    self.flat.data.copy_(stored)
        kept = self._optimizer.state_dict()["param_groups"][0]
        group = {name: group.get(name, value) for name, value in kept.items()} | {"params": [0], "fused": True}
        self._optimizer.load_state_dict({"state": own, "param_groups": [group]})
        if optimizer_overrides:
            for own_group in self.param_groups:
                own_group.update(optimizer_overrides)
