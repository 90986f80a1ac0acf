"""Time, memory and errors of the training kernels beside torch's operations, on a GPU, as tables: those of docs/training.md.

    python3 tests/kernels.py [attention] [losses] [biases]

`attention`: with relative positions, forward and backward. `losses`: CTC and label-smoothed cross-entropy, at large vocabularies too; memory is that
beside the logits, over which the kernels write their gradient. `biases`: gradients of the position bias in bfloat16 for every kernel of torch's.
"""

import argparse
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import ctc_loss, log_softmax

from speechllm_plugin.criterions.ctc_cross_entropy import label_smoothed_cross_entropy
from speechllm_plugin.files.text_table import markdown
from speechllm_plugin.models import kernels
from speechllm_plugin.models.attention import Sight
from speechllm_plugin.models.kernels.seeds import draw_seed_base
from speechllm_plugin.models.relative_positions import XLSelfAttention

NUM_STATES, DIM, HEADS = 80_000, 512, 8  # of a batch of 320,000 frames; of the paper's models
MIB = 2**20
CTC_SIZES = [(107, 750, 120, 5001), (400, 200, 40, 5001), (107, 750, 120, 32001)]  # sentences, states, labels, types
TEXT_SIZES = [(500, 40, 8000), (500, 40, 32000)]  # sentences, tokens, types
without_kernels = partial(patch.object, kernels, "HAS_TRITON", False)


def measured(step, device, leaves=(), repeats=6):
    """Milliseconds of a step, the median without the first, and the MiB that it needs beside what is there, gradients of its leaves included; a CPU
    does not tell those."""
    on_gpu, times, peak = device.type == "cuda", [], float("nan")
    for _ in range(repeats):
        before = 0
        for leaf in leaves:
            leaf.grad = None
        if on_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        start = time.perf_counter()
        step()
        if on_gpu:
            torch.cuda.synchronize()
            peak = (torch.cuda.max_memory_allocated() - before) / MIB
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[1:]), peak


def attention_example(length, num_sentences, device, dtype=torch.bfloat16, dropout=0.1):
    """A layer, its (B, S, 3, H, D) queries, keys and values, and a function that attends with them; numbers that bfloat16 has, in any dtype."""
    torch.manual_seed(1)
    layer = XLSelfAttention(DIM, HEADS, dropout).bfloat16().to(device, dtype).train()
    lengths = torch.full((num_sentences,), length, device=device)
    context = SimpleNamespace(
        positions=XLSelfAttention.positions(length, DIM, HEADS, device).bfloat16(),
        sight=Sight(length, lengths),
        mask=torch.ones(num_sentences, 1, 1, length, dtype=torch.bool, device=device),
        lengths=lengths,
    )
    qkv = torch.randn(num_sentences, length, 3, HEADS, DIM // HEADS, device=device).bfloat16().to(dtype).requires_grad_()
    draw_seed_base(device)
    return layer, qkv, lambda: layer.attend(*(qkv[:, :, part].transpose(1, 2) for part in range(3)), context)


def attention_table(device, lengths=(100, 300, 750), num_states=NUM_STATES):
    rows = []
    for length in lengths:
        layer, qkv, attend = attention_example(length, num_states // length, device)
        gradient = torch.randn_like(attend())

        def both(attend=attend, gradient=gradient):
            attend().backward(gradient)

        cells = []
        for form in (patch.object(kernels, "HAS_TRITON", kernels.HAS_TRITON), without_kernels()):
            with form:
                forward, (whole, mib) = measured(attend, device)[0], measured(both, device, [qkv, *layer.parameters()])
            cells.append((f"{forward:.1f} + {whole - forward:.1f}", f"{mib:,.0f}"))
        rows.append([f"{length}", *(cell[0] for cell in cells), *(cell[1] for cell in cells)])
    return markdown(["states of an utterance", "fused, ms", "torch's with a bias", "fused, MiB", "torch's"], rows)


def as_of_a_model(logits):
    """Logits that autograd has computed, over which a loss may write their gradient."""
    return logits.add_(torch.zeros(1, device=logits.device, dtype=logits.dtype, requires_grad=True))


def loss_row(name, logits, loss, device):
    def step():
        torch.autograd.grad(loss(), logits)

    ours = measured(step, device)
    with without_kernels():
        theirs = measured(step, device)
    size = logits.numel() * logits.element_size() / MIB
    return [name, f"{size:,.0f}", *(text for ms, mib in (ours, theirs) for text in (f"{ms:.1f}", f"{mib:,.0f}"))]


def losses_table(device, ctc_sizes=CTC_SIZES, text_sizes=TEXT_SIZES):
    rows = []
    for num_sentences, num_states, num_labels, num_types in ctc_sizes:
        torch.manual_seed(1)
        logits = as_of_a_model(torch.randn(num_sentences, num_states, num_types, device=device, dtype=torch.bfloat16))
        labels = torch.randint(0, num_types - 1, (num_sentences, num_labels), device=device)
        lengths = torch.randint(num_states // 2, num_states + 1, (num_sentences,), device=device)
        own = torch.randint(num_labels // 2, num_labels + 1, (num_sentences,), device=device)
        numbers = labels, lengths, own, num_types - 1

        def ctc(logits=logits, numbers=numbers):
            if kernels.for_training(logits):
                return kernels.ctc_loss(logits, *numbers)
            normalised = log_softmax(logits, -1, dtype=torch.float32).transpose(0, 1)
            return ctc_loss(normalised, *numbers[:3], blank=numbers[3], reduction="sum", zero_infinity=True)

        rows.append(loss_row(f"CTC, {num_sentences} x {num_states} states, {num_types:,} labels", logits, ctc, device))
        del logits, ctc
    for num_sentences, num_tokens, num_types in text_sizes:
        logits = as_of_a_model(torch.randn(num_sentences, num_tokens, num_types, device=device, dtype=torch.bfloat16))
        target = torch.randint(4, num_types, (num_sentences, num_tokens), device=device)
        text = partial(lambda logits, target: label_smoothed_cross_entropy(logits, target, 0.1, 1)[0], logits, target)
        rows.append(loss_row(f"text, {num_sentences} x {num_tokens} tokens, {num_types:,} types", logits, text, device))
        del logits, text
    return markdown(["loss", "logits, MiB", "kernels, ms", "MiB beside", "torch, ms", "MiB beside"], rows)


def bias_gradient(device, dtype, length=300):
    layer, _, attend = attention_example(length, 4, device, dtype, dropout=0.0)
    torch.manual_seed(2)
    out = attend()
    out.backward(torch.randn(out.shape, device=device).bfloat16().to(dtype))
    return layer.position_bias.grad.double()


def biases_table(device, length=300):
    with without_kernels(), sdpa_kernel(SDPBackend.MATH):
        exact = bias_gradient(device, torch.float64, length)
    rows = []
    of_torch = (SDPBackend.MATH, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION)
    for name, backend in [("fused", None), *((f"torch's {backend.name}", backend) for backend in of_torch)]:
        try:
            if backend is None:
                found = bias_gradient(device, torch.bfloat16, length)
            else:
                with without_kernels(), sdpa_kernel(backend):
                    found = bias_gradient(device, torch.bfloat16, length)
            rows.append([name, f"{100 * float((found - exact).norm() / exact.norm()):.2f} %"])
        except RuntimeError as error:
            rows.append([name, f"refuses: {str(error).splitlines()[0][:60]}"])
    return markdown(["kernel", "gradient of the position bias off by"], rows)


TABLES = {"attention": attention_table, "losses": losses_table, "biases": biases_table}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], metavar="TABLE", help=f"of {', '.join(TABLES)} (default: all)")
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not kernels.available(torch.empty(0, device=device)):
        sys.exit("tests/kernels.py: needs a GPU of NVIDIA's from Ampere on, and torch with Triton")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    for name in args.tables or TABLES:
        print("", *TABLES[name](device), sep="\n", flush=True)


if __name__ == "__main__":
    main()
