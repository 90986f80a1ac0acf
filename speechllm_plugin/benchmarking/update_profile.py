"""What the updates of a training run, or the passes of a search: kernels on a GPU, operations on a CPU, in groups and one by one."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from speechllm_plugin.files import text_table
from speechllm_plugin.files.atomic import replacing

# The first pattern that a name contains says its group. Names of Triton's kernels are those of models/kernels.
KERNEL_GROUPS = [
    ("communication", r"nccl|gloo|c10d::|all_?reduce|SumOverProcesses"),
    ("optimizer", r"adam|multi_tensor|lpnorm|vector_norm|foreach"),
    ("CTC", r"ctc|^_label_scores|^_recursions|^_logit_gradient"),
    ("attention", r"flash|fmha|attention|attn|^forward_kernel|^(query|key|position)_gradient_kernel"),
    ("convolution", r"conv|^_weight_gradient|dgrad|wgrad|im2col"),
    ("products", r"gemm|cutlass|nvjet|xmma|cublas|splitk|matmul|addmm|::b?mm\b|linear|dot_kernel"),
    ("norm", r"norm|^_forward|^_backward|^_sums|^_gradient|^_through_silu"),
    ("softmax, loss", r"softmax|logsumexp|nll_loss|^_token_"),
    ("dropout", r"dropout|bernoulli|philox|random|distribution"),
    ("activation", r"^_activate|^_gate|silu|sigmoid|relu|gelu|::glu|glu_"),
    ("gather", r"index|gather|scatter|embedding|take|sort|searchsorted"),
    ("reduction", r"reduce|::sum\b|::mean\b|cumsum|::max\b|::any\b"),
    ("copy, fill", r"copy|memcpy|memset|fill|clone|contiguous|::cat\b|CatArray|::zeros?_?\b|::empty|::to\b|pad"),
    ("elementwise", r"elementwise|vectorized|::(add|mul|div|sub|neg|where|sqrt|rsqrt|square|pow|exp)_?\b|^triton_"),
]
OTHER = "other"
KERNELS_SHOWN = 25


class Kernel(NamedTuple):
    """A kernel or operation: milliseconds and launches of an update."""

    name: str
    milliseconds: float
    launches: float


def group_of(name: str) -> str:
    return next((group for group, pattern in KERNEL_GROUPS if re.search(pattern, name, re.IGNORECASE)), OTHER)


class UpdateProfile:
    """Profiles a few updates: `start` before the first of them, `stop` after the last. `what` is one of them, in words."""

    def __init__(self, device: torch.device, num_updates: int, what: str = "an update"):
        self.on_gpu, self.num_updates, self.what = device.type == "cuda", num_updates, what
        kinds = torch.profiler.ProfilerActivity
        self.profiler = torch.profiler.profile(activities=[kinds.CPU, kinds.CUDA] if self.on_gpu else [kinds.CPU])

    def start(self) -> None:
        self.profiler.__enter__()

    def stop(self) -> None:
        self.profiler.__exit__(None, None, None)

    def kernels(self) -> list[Kernel]:
        """The longest first. On a CPU an operation's time is without that of the operations that it calls."""
        kind = torch.autograd.DeviceType.CUDA if self.on_gpu else torch.autograd.DeviceType.CPU
        found = []
        for event in self.profiler.key_averages():
            microseconds = event.self_device_time_total if self.on_gpu else event.self_cpu_time_total
            if event.device_type == kind and microseconds > 0 and not event.is_user_annotation:
                found.append(Kernel(event.key, microseconds / 1000 / self.num_updates, event.count / self.num_updates))
        return sorted(found, key=lambda kernel: -kernel.milliseconds)

    def write(self, folder: Path, name: str, milliseconds: float) -> dict[str, Any]:
        """Write NAME.txt, a table, and NAME.trace.json.gz, for ui.perfetto.dev; returns what the JSON file of the benchmark gets.

        Args:
            milliseconds: of an update, without the profiler.
        """
        kernels = self.kernels()
        with replacing(folder / f"{name}.trace.json.gz") as temporary:  # torch compresses what ends with .gz
            whole = temporary.with_name(f"{temporary.name}.gz")
            self.profiler.export_chrome_trace(str(whole))
            whole.replace(temporary)
        with replacing(folder / f"{name}.txt") as temporary:
            temporary.write_text("\n".join(table(self.what, kernels, milliseconds)) + "\n", encoding="utf-8")
        return summary(kernels, milliseconds)


def summary(kernels: list[Kernel], milliseconds: float) -> dict[str, Any]:
    """kernel_milliseconds and launches of an update, busy_share (of an update's milliseconds), and both of each group, the longest first."""
    groups: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for kernel in kernels:
        group = groups[group_of(kernel.name)]
        group[0] += kernel.milliseconds
        group[1] += kernel.launches
    total = sum(kernel.milliseconds for kernel in kernels)
    return {
        "kernel_milliseconds": total,
        "launches": sum(kernel.launches for kernel in kernels),
        "busy_share": total / milliseconds,
        "groups": {
            name: {"milliseconds": time, "launches": launches} for name, (time, launches) in sorted(groups.items(), key=lambda item: -item[1][0])
        },
    }


def table(what: str, kernels: list[Kernel], milliseconds: float) -> list[str]:
    """Lines: the groups, then the kernels that take longest."""
    found = summary(kernels, milliseconds)
    total = found["kernel_milliseconds"]
    groups = [
        [name, f"{group['milliseconds']:.2f}", f"{100 * group['milliseconds'] / total:.1f} %", f"{group['launches']:,.0f}"]
        for name, group in found["groups"].items()
    ]
    single = [[f"{kernel.milliseconds:.2f}", f"{kernel.launches:,.0f}", group_of(kernel.name), kernel.name] for kernel in kernels[:KERNELS_SHOWN]]
    return [
        f"{what} of {milliseconds:,.1f} ms runs {found['launches']:,.0f} kernels or operations, which take {total:,.1f} ms "
        f"({100 * found['busy_share']:.0f} %)",
        "",
        *text_table.aligned(["group", "ms", "of them", "launches"], groups),
        "",
        text_table.aligned_row(["ms", "launches", "group", "name"], [9, 9, -14]),
        *(text_table.aligned_row(row, [9, 9, -14]) for row in single),
    ]
