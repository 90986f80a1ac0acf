"""tests/kernels.py makes its tables; on a CPU, where plain operations take the place of kernels, of small sizes."""

import sys
from pathlib import Path

import pytest
import torch

TESTS = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tables():
    sys.path.insert(0, str(TESTS))
    try:
        import kernels
    finally:
        sys.path.remove(str(TESTS))
    return kernels


def test_tables_of_attention_and_losses(tables):
    attention = tables.attention_table(CPU, lengths=(3, 5), num_states=10)
    assert len(attention) == 4 and attention[2].startswith("| 3 | ")
    losses = tables.losses_table(CPU, ctc_sizes=[(2, 8, 3, 11)], text_sizes=[(2, 3, 9)])
    assert [line.split(" | ")[0] for line in losses[2:]] == ["| CTC, 2 x 8 states, 11 labels", "| text, 2 x 3 tokens, 9 types"]


def test_bf16_gradients_of_the_position_bias_are_near_those_in_float64(tables):
    """Of the plain operations on a CPU, which compute them in float32."""
    found, exact = (tables.bias_gradient(CPU, dtype, length=20) for dtype in (torch.bfloat16, torch.float64))
    assert 0 < (found - exact).norm() < 0.02 * exact.norm()
    assert len(tables.biases_table(CPU, length=20)) == 7


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tables, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["kernels.py", "losses"])
    with pytest.raises(SystemExit, match="tests/kernels.py: needs a GPU of NVIDIA's from Ampere on, and torch with Triton"):
        tables.main()
