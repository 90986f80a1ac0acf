"""Fused attention against the plain formulas in float64: outputs and gradients for every use. Without a GPU by Triton's interpreter."""

import importlib
from functools import partial

import pytest
import torch
from kernel_device import DEVICE

from speechllm_plugin.models.kernels.adjacent_parts import parts_of
from speechllm_plugin.models.kernels.fused_attention import fused_attention

module = importlib.import_module("speechllm_plugin.models.kernels.fused_attention")
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore:Conversion of an array")]  # inside the interpreter
DIM = 16
# use -> speech states N, text positions U, and whether the queries are all positions, or text alone, whose keys have no text in "cross"
USES = ["encoder", "xl", "prefix", "skip", "cross", "text"]


class Example:
    """Random inputs of one use, as float64, and what the plain formulas and the kernel make of them."""

    def __init__(self, use, lengths, num_text=0, causal=False, second_text=None, num_heads=2, dim=DIM):
        self.num_speech = 0 if use == "text" else max(lengths)
        self.num_heads, num_sentences = num_heads, len(lengths)
        self.first_query = self.num_speech if use in ("skip", "cross") else 0
        num_keys = self.num_speech + (0 if use in ("encoder", "xl", "cross") else num_text)
        num_queries = num_text if self.first_query else num_keys
        self.lengths = torch.tensor(lengths, device=DEVICE)
        self.options = {"num_speech": self.num_speech, "first_query": self.first_query, "causal": causal, "second_text": second_text}
        generator = torch.Generator().manual_seed(0)
        shapes = {"qkv": (num_sentences, num_keys, 3 * num_heads * dim), "query": (num_sentences, num_queries, num_heads * dim)}
        if use == "xl":
            shapes |= {"position": (num_heads, 2 * num_keys + 3, dim), "content_bias": (num_heads, dim), "position_bias": (num_heads, dim)}
        self.inputs = {name: torch.randn(shape, generator=generator).to(DEVICE).double() for name, shape in shapes.items()}
        self.out_gradient = torch.randn(num_sentences, num_heads, num_queries, dim, generator=generator).to(DEVICE)
        self.i = self.first_query + torch.arange(num_queries, device=DEVICE)[:, None]
        self.j = torch.arange(num_keys, device=DEVICE)

    def visible(self):
        """(B, 1, Q, M) True where a query sees a key."""
        num_speech, causal, second_text = self.num_speech, self.options["causal"], self.options["second_text"]
        i, j, length = self.i, self.j, self.lengths[:, None, None]
        text = (i >= num_speech) & (j <= i)
        if second_text is not None:
            text = text & ((i < second_text) | (j >= second_text))
        speech = (i >= num_speech) | (not causal) | (j <= i)
        return (torch.where(j < num_speech, speech & (j < length), text) & ((i >= num_speech) | (i < length)))[:, None]

    def run(self, attend, dtype):
        """What comes out, and the gradient of every input."""
        inputs = {name: tensor.to(dtype, copy=True).requires_grad_() for name, tensor in self.inputs.items()}
        query, key, value = (self.heads(part) for part in inputs["qkv"].chunk(3, dim=-1))
        query = query if self.first_query == 0 else self.heads(inputs["query"])
        out = attend(query, key, value, {name: tensor for name, tensor in inputs.items() if name not in ("qkv", "query")})
        out.backward(self.out_gradient.to(dtype))
        return {"out": out.detach()} | {name: tensor.grad for name, tensor in inputs.items() if tensor.grad is not None}

    def heads(self, x):
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def plain(self, query, key, value, xl):
        scores = (query + xl["content_bias"][:, None] if xl else query) @ key.transpose(-1, -2)
        if xl:
            by_lag = (query + xl["position_bias"][:, None]) @ xl["position"].transpose(-1, -2)
            scores = scores + by_lag.gather(3, (key.size(2) - 1 - self.i + self.j).expand_as(scores))
        visible = self.visible()
        return ((scores * DIM**-0.5).masked_fill(~visible, -1e300).softmax(-1) * visible) @ value

    def fused(self, query, key, value, xl, **changes):
        return fused_attention(query, key, value, **xl, **{**self.options, "lengths": self.lengths, **changes})

    def check(self, dtype=torch.float32, tolerance=2e-6):
        exact, got = self.run(self.plain, torch.float64), self.run(self.fused, dtype)
        assert got.keys() == exact.keys()
        for name, tensor in exact.items():
            error = (got[name].double() - tensor).norm() / tensor.norm().clamp(min=tensor.numel() ** 0.5)
            assert error < tolerance, (name, error)


@pytest.mark.parametrize("num_text, second_text", [(1, None), (9, 4), (40, 33)])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("use", USES)
def test_outputs_and_gradients_are_those_of_the_formulas(use, causal, num_text, second_text):
    lengths = [37, 20, 1]
    num_speech = 0 if use == "text" else max(lengths)
    Example(use, lengths, num_text, causal, second_text and num_speech + second_text).check()


@pytest.mark.parametrize("use", ["encoder", "xl", "prefix", "cross"])
def test_every_length_in_one_batch(use):
    Example(use, list(range(1, 71, 1 if DEVICE == "cuda" else 3)), num_text=5, num_heads=1).check()


@pytest.mark.parametrize("use", ["xl", "prefix"])
@pytest.mark.parametrize("longest", [1, 2, 31, 32, 33, 63, 64, 65, 96, 97, 131])
def test_every_width_around_the_tiles(use, longest):
    Example(use, [longest, 1 + longest // 2], num_text=1 + longest % 40, causal=bool(longest % 2), num_heads=1).check()


@pytest.mark.parametrize("dtype, tolerance", [(torch.float16, 2e-3), (torch.bfloat16, 1.5e-2)])
@pytest.mark.parametrize("use", USES)
def test_half_precision(use, dtype, tolerance):
    if DEVICE == "cpu" and dtype == torch.bfloat16:
        pytest.skip("triton's interpreter reads the bits of bfloat16 as integers")
    Example(use, [70, 20, 1], num_text=9).check(dtype, tolerance)


@pytest.mark.parametrize("use", ["encoder", "cross", "xl"])
def test_an_empty_sentence_gives_zero(use):
    example = Example(use, [5, 0], num_text=3)
    example.check()
    assert example.run(example.fused, torch.float32)["out"][1].eq(0).all()


@pytest.mark.parametrize("shape", [(0, 3, 3), (2, 0, 3), (2, 3, 0), (2, 0, 0)])  # sentences, queries, keys
@pytest.mark.parametrize("has_position", [False, True])
def test_where_there_is_nothing_gradients_are_zero(shape, has_position):
    num_sentences, num_queries, num_keys = shape
    if has_position and num_queries != num_keys:
        pytest.skip("relative positions are for speech that reads itself")
    query, key, value, position, *biases = inputs = [
        torch.randn(size, device=DEVICE, requires_grad=True)
        for size in (
            (num_sentences, 2, num_queries, 16),
            *[(num_sentences, 2, num_keys, 16)] * 2,
            (2, max(1, 2 * num_keys - 1), 16),
            (2, 16),
            (2, 16),
        )
    ]
    xl = {"position": position, "content_bias": biases[0], "position_bias": biases[1]} if has_position else {}
    lengths = torch.full((num_sentences,), num_keys, device=DEVICE)
    out = fused_attention(query, key, value, num_speech=num_keys, lengths=lengths, first_query=0 if num_queries == num_keys else num_keys, **xl)
    out.sum().backward()
    assert out.shape == query.shape and all((tensor.grad == 0).all() for tensor in inputs[: 6 if has_position else 3])


@pytest.mark.parametrize("use", ["encoder", "xl", "prefix", "cross"])
def test_what_padding_holds_does_not_show(use):
    example = Example(use, [40, 33, 7], num_text=6)
    clean = example.run(example.fused, torch.float32)
    padding = torch.arange(example.num_speech, device=DEVICE) >= example.lengths[:, None]
    example.inputs["qkv"][:, : example.num_speech][padding] = 1e4
    if not example.first_query:
        example.out_gradient.transpose(1, 2)[:, : example.num_speech][padding] = 1e4
    soiled = example.run(example.fused, torch.float32)
    assert all(torch.equal(clean[name], soiled[name]) for name in clean)
    assert soiled["qkv"][:, : example.num_speech][padding].eq(0).all()


@pytest.mark.parametrize("use", ["encoder", "xl", "prefix", "cross"])
def test_states_do_not_depend_on_batch_neighbours(use):
    together = Example(use, [40, 33], num_text=6)
    alone = Example(use, [33], num_text=6)
    for name in ("qkv", "query"):
        rows = together.inputs[name][1:]
        speech = rows[:, : together.num_speech][:, : alone.num_speech]
        alone.inputs[name] = rows if name == "query" and use == "cross" else torch.cat([speech, rows[:, together.num_speech :]], dim=1)
    if use == "xl":  # lag 0 stands in the row of the longest utterance's last state
        offset = together.num_speech - alone.num_speech
        alone.inputs |= {"position": together.inputs["position"][:, offset : offset + 2 * alone.num_speech - 1]}
        alone.inputs |= {name: together.inputs[name] for name in ("content_bias", "position_bias")}
    both, one = together.run(together.fused, torch.float32)["out"][1], alone.run(alone.fused, torch.float32)["out"][0]
    if use == "cross":
        torch.testing.assert_close(both, one, rtol=0, atol=1e-6)
    else:
        torch.testing.assert_close(both[:, :33], one[:, :33], rtol=0, atol=1e-6)
        torch.testing.assert_close(both[:, 40:], one[:, 33:], rtol=0, atol=1e-6)


@pytest.fixture
def nan_in_new_memory():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("use, causal", [("xl", False), ("xl", True), ("prefix", True), ("skip", False), ("cross", False)])
def test_some_sentences_at_a_time_give_the_same_and_nothing_is_read_that_was_not_written(nan_in_new_memory, monkeypatch, use, causal):
    example = Example(use, [70, 20, 1], num_text=40, causal=causal, second_text=70 + 9)

    def run():
        torch.manual_seed(0)
        return example.run(partial(example.fused, dropout=0.1), torch.float16)

    together = run()
    monkeypatch.setattr(module, "STORED_BYTES", 1)
    alone = run()
    assert all(tensor.isfinite().all() for tensor in together.values())
    for name, tensor in alone.items():
        torch.testing.assert_close(tensor, together[name], rtol=1e-3, atol=1e-3)


@pytest.fixture
def dropped_weights():
    """Weights of 64 keys as dropout leaves them, read off with the identity as values; `fused` for other values, and the same random bits."""
    example = Example("xl", [64], dim=64)
    xl = {name: tensor.float() for name, tensor in example.inputs.items() if name not in ("qkv", "query")}
    query, key, _ = (0.1 * example.heads(part) for part in example.inputs["qkv"].float().chunk(3, dim=-1))

    def fused(value, seed, dropout=0.3):
        torch.manual_seed(seed)
        return example.fused(query, key, value, xl, dropout=dropout)

    identity = torch.eye(64, device=DEVICE).expand(1, 2, 64, 64)
    return fused, lambda seed, dropout=0.3: fused(identity, seed, dropout)


def test_dropout_drops_its_share_and_keeps_the_mean(dropped_weights):
    _, weights = dropped_weights
    exact = weights(0, dropout=0.0)
    rounds = [weights(seed) for seed in range(12)]
    kept = torch.stack([dropped > 0 for dropped in rounds]).double()  # 12 x 8192 weights
    assert abs(kept.mean() - 0.7) < 5 * (0.3 * 0.7 / kept.numel()) ** 0.5
    for axis in (2, 3, 4):  # heads with queries, with keys, and queries with keys
        assert abs((kept.mean((0, axis)) - 0.7) / (0.3 * 0.7 / 12 / kept.size(axis)) ** 0.5).max() < 5.5
    for dropped in rounds:
        torch.testing.assert_close(dropped, torch.where(dropped > 0, exact / 0.7, 0))


def test_dropped_weights_do_not_depend_on_each_other(dropped_weights):
    _, weights = dropped_weights
    kept = torch.stack([weights(seed) > 0 for seed in range(12)]).double() - 0.7
    variance = 0.3 * 0.7
    for other in (kept.roll(1, -1), kept.roll(1, -2), kept.roll(3, -1), kept.roll(1, 0), kept.roll((1, 1), (-1, -2))):
        assert abs((kept * other).mean() / variance) < 5 / kept.numel() ** 0.5
    corners = kept[..., :32, :32] * kept[..., 32:, :32] * kept[..., :32, 32:] * kept[..., 32:, 32:]  # two queries with two keys
    assert abs(corners.mean() / variance**2) < 5 / corners.numel() ** 0.5


def test_backward_drops_the_same_weights(dropped_weights):
    fused, weights = dropped_weights
    generator = torch.Generator().manual_seed(3)
    value, gradient = (torch.randn(1, 2, 64, 64, generator=generator).to(DEVICE) for _ in range(2))
    value.requires_grad_()
    out = fused(value, seed=7)
    out.backward(gradient)
    torch.testing.assert_close(out, weights(7) @ value)
    torch.testing.assert_close(value.grad, weights(7).transpose(-1, -2) @ gradient)


def test_query_gradient_under_dropout_is_that_of_the_dropped_formula():
    example = Example("encoder", [20, 13])
    generator = torch.Generator().manual_seed(1)
    query, key, value, gradient = (torch.randn(2, 2, 20, DIM, generator=generator).to(DEVICE).requires_grad_() for _ in range(4))
    torch.manual_seed(5)
    example.fused(query, key, value, {}, dropout=0.3).backward(gradient)
    torch.manual_seed(5)
    identity = torch.eye(20, 32, device=DEVICE)[:, :DIM], torch.eye(20, 32, device=DEVICE)[:, DIM:]  # too wide for one call
    parts = []
    for columns in identity:
        torch.manual_seed(5)
        parts.append(example.fused(query, key, columns.expand(2, 2, 20, DIM), {}, dropout=0.3))
    kept = (torch.cat(parts, dim=-1)[..., :20] > 0).double()
    exact = [tensor.detach().double().requires_grad_() for tensor in (query, key)]
    visible = example.visible()
    weights = (exact[0] @ exact[1].transpose(-1, -2) * DIM**-0.5).masked_fill(~visible, -1e300).softmax(-1) * visible
    (weights * kept / 0.7 @ value.double()).backward(gradient.double())
    torch.testing.assert_close(query.grad.double(), exact[0].grad, rtol=0, atol=1e-5)
    torch.testing.assert_close(key.grad.double(), exact[1].grad, rtol=0, atol=1e-5)


def test_joining_the_heads_copies_nothing():
    query, key, value = torch.randn(2, 9, 3 * 32, device=DEVICE).unflatten(-1, (6, DIM)).transpose(1, 2).chunk(3, dim=1)
    assert fused_attention(query, key, value, num_speech=9).transpose(1, 2).is_contiguous()


@pytest.mark.parametrize("num_parts, first_query", [(3, 0), (2, 9)])  # of queries, keys and values, or with queries of their own
def test_gradients_of_a_projection_are_not_copied(num_parts, first_query):
    projected = torch.randn(2, 9, num_parts * 32, device=DEVICE, requires_grad=True)
    alone = [torch.randn(2, 5, 32, device=DEVICE)] if num_parts == 2 else []
    gradients = []
    for parts in (projected.chunk(num_parts, -1), parts_of(projected, num_parts)):
        seen = []
        for part in parts:
            part.register_hook(seen.append)
        heads = (part.unflatten(-1, (2, DIM)).transpose(1, 2) for part in [*alone, *parts])
        out = fused_attention(*heads, num_speech=9, first_query=first_query)
        gradients += torch.autograd.grad(out, projected, torch.ones_like(out))
    assert torch.equal(*gradients)
    assert gradients[1].is_contiguous() and gradients[1].data_ptr() == seen[0].data_ptr()


def test_unknown_sizes_are_refused():
    with pytest.raises(ValueError, match=r"channels, but got torch.float32 and 24"):
        fused_attention(*torch.randn(3, 1, 1, 4, 24, device=DEVICE), num_speech=4)
    with pytest.raises(ValueError, match="but 4 queries read 4 keys"):
        fused_attention(*torch.randn(3, 1, 1, 4, 16, device=DEVICE), num_speech=3, position=torch.randn(1, 8, 16, device=DEVICE))
    with pytest.raises(ValueError, match=r"must be 0 or num_speech \(4\), but is 2"):
        fused_attention(*torch.randn(3, 1, 1, 4, 16, device=DEVICE), num_speech=4, first_query=2)
