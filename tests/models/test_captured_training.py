"""Training steps from CUDA graphs give what those without give: outputs, gradients, dropout, statistics of batch norm. On a CPU recordings
stand for graphs; they spoil each other's memory, wait for nothing, and show that all lies where it must."""

import copy
import itertools

import pytest
import torch
from gpu import needs_gpu
from recording import record_graphs
from tiny_model import ALL_DECODERS, DECODERS, ENCODERS, FEATURE_DIM, FEW_ENCODERS, make_model
from torch import distributed
from torch.nn.functional import pad

from speechllm_plugin.models import batch_norm, captured_training
from speechllm_plugin.models.captured_training import CapturedTraining, rounded_up
from speechllm_plugin.models.kernels.seeds import draw_seed_base

pytestmark = pytest.mark.gpu
WIDE = {"encoder_embed_dim": 64, "decoder_embed_dim": 64}  # 32 channels a head, as kernels want
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MODELS = list(dict.fromkeys([*itertools.product(DECODERS, ENCODERS), *itertools.product(ALL_DECODERS, FEW_ENCODERS)]))
if DEVICE == "cpu":
    MODELS = [("dfp-conformer", ("conformer", "xl", "weighted<=3")), ("xattn-rope", ("transformer", "none", "drop_blanks"))]
PAD = 1  # of the dictionary
DROPOUT = {"dropout": 0.2, "attention_dropout": 0.2, "activation_dropout": 0.2}


@pytest.fixture(autouse=True)
def graphs(monkeypatch):
    if DEVICE == "cpu":
        record_graphs(monkeypatch)


@pytest.fixture(autouse=True)
def same_convolutions():
    """Those of cuDNN differ from algorithm to algorithm by more than rounding."""
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def batch(number, num_frames=60, num_tokens=6, second_text=False):
    generator = torch.Generator().manual_seed(number)
    lengths = torch.randint(1, num_frames + 1, (4,), generator=generator)
    texts = torch.randint(4, 30, (2, 4, num_tokens), generator=generator)
    inputs = {"src_tokens": torch.randn(4, num_frames, FEATURE_DIM, generator=generator), "src_lengths": lengths, "prev_output_tokens": texts[0]}
    return {name: tensor.to(DEVICE) for name, tensor in (inputs | ({"kd_prev_output_tokens": texts[1]} if second_text else {})).items()}


def step(model, inputs, seed=1):
    """Logits and gradients of all that a criterion reads."""
    for weight in model.parameters():
        weight.grad.zero_()
    torch.manual_seed(seed)
    if model.captured_training is None:
        draw_seed_base(inputs["src_tokens"].device)
    output = model(**inputs)
    tensors = [output.logits, *([] if output.kd_logits is None else [output.kd_logits]), *([] if output.ctc is None else [output.ctc.logits])]
    lengths = [] if output.ctc is None else [each for each in output.ctc[1:] if each is not None]
    found = [tensor.detach().clone() for tensor in (*tensors, *lengths)]  # gradients take their place
    sum((tensor.float() ** 2).mean() for tensor in tensors).backward()
    return found, {name: weight.grad.clone() for name, weight in model.named_parameters()}


def assert_same(result, expected, tolerance=1e-4):
    for one, other in zip(result[0], expected[0], strict=True):
        assert (one - other).float().norm() <= tolerance * other.float().norm()
    scale = max(gradient.norm() for gradient in expected[1].values())
    for name, gradient in expected[1].items():
        assert (result[1][name] - gradient).norm() <= tolerance * (gradient.norm() + 1e-2 * scale), name


def pair(decoder, encoder, limit=3, **flags):
    """The same model without and with graphs."""
    model = make_model(decoder, encoder, **WIDE, **flags).to(DEVICE).train()
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    other = copy.deepcopy(model)
    for weight in other.parameters():
        weight.grad = torch.zeros_like(weight)
    other.captured_training = CapturedTraining(other, limit)
    return model, other


@pytest.mark.parametrize(("decoder", "encoder"), MODELS, ids=str)
def test_graphs_give_what_operations_give(decoder, encoder):
    plain, captured = pair(decoder, encoder)
    shapes = [(60, 6), (33, 6), (60, 9)]
    for number in range(12):  # each shape four times: without a graph, captured, and replayed
        inputs = batch(number, *shapes[number % 3], second_text=number % 3 == 2)
        assert_same(step(captured, inputs), step(plain, inputs))
    assert captured.captured_training.num_graphs >= 2  # the numbers of compressed states may all differ
    for (name, one), other in zip(plain.named_buffers(), captured.buffers()):
        assert torch.allclose(one.float(), other.float(), rtol=1e-4, atol=1e-5), name


@needs_gpu
@pytest.mark.parametrize("encoder", [("conformer", "xl", "avg"), ("conformer", "xl", "none"), ("transformer", "none", "none")], ids="-".join)
@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
def test_dropout_is_new_in_every_step_and_follows_the_seed(decoder, encoder):
    plain, captured = pair(decoder, encoder, **DROPOUT)
    inputs = batch(1)
    for _ in range(2):
        step(captured, inputs)
    assert_same(step(captured, inputs, seed=1), step(plain, inputs, seed=1))
    replayed = [step(captured, inputs, seed) for seed in (2, 2, 3)]
    assert_same(replayed[0], replayed[1])
    assert (replayed[0][0][0] - replayed[2][0][0]).norm() > 1e-2 * replayed[0][0][0].norm()


def padded(inputs, more_frames, more_tokens):
    """The same batch in a larger shape, with garbage behind the speech."""
    features, lengths, tokens = inputs.values()
    features = pad(features, (0, 0, 0, more_frames))
    features[torch.arange(features.size(1), device=DEVICE) >= lengths[:, None]] = 3.0
    return {"src_tokens": features, "src_lengths": lengths, "prev_output_tokens": pad(tokens, (0, more_tokens), value=PAD)}


def real_step(model, inputs, num_tokens):
    """Logits where there are a text and states, and the gradients that these bring."""
    for weight in model.parameters():
        weight.grad.zero_()
    output = model(**inputs)
    outputs = [output.logits[:, :num_tokens]]
    if output.ctc is not None:
        outputs.append(torch.cat([logits[:length] for logits, length in zip(output.ctc.logits, output.ctc.lengths)]))
    sum((tensor**2).sum() for tensor in outputs).backward()
    return [tensor.detach().clone() for tensor in outputs], {name: weight.grad.clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize(("decoder", "encoder"), MODELS, ids=str)
def test_padding_to_a_shape_changes_nothing(decoder, encoder):
    """As of --num-batch-buckets, from the graphs of both shapes."""
    _, captured = pair(decoder, encoder, limit=8)
    small = batch(5)
    for _ in range(3):
        results = [real_step(captured, inputs, 6) for inputs in (small, padded(small, 15, 3))]
    assert not captured.captured_training.num_launches > 2 * len(captured.captured_training.parts)
    for one, other in zip(*(outputs for outputs, _ in results), strict=True):
        assert (one - other).norm() <= 1e-5 * other.norm()
    assert_same(results[1], results[0])


def test_the_shapes_not_used_for_longest_are_forgotten():
    plain, captured = pair("dfp", ("transformer", "none", "none"), limit=2)
    for number, num_frames in enumerate([20, 20, 30, 30, 40, 40, 20, 30, 40, 20]):
        inputs = batch(number, num_frames)
        assert_same(step(captured, inputs), step(plain, inputs))
    assert captured.captured_training.num_graphs == 2


def test_gradients_are_added_up_over_batches():
    plain, captured = pair("xattn", ("conformer", "xl", "avg"))
    results = []
    for model in (plain, captured):
        for number in range(6):
            step(model, batch(number))
        for weight in model.parameters():
            weight.grad.zero_()
        for number in range(3):
            (model(**batch(number)).logits.float() ** 2).mean().backward()
        results.append({name: weight.grad.clone() for name, weight in model.named_parameters()})
    assert_same(([], results[1]), ([], results[0]))


def test_another_call_before_the_backward_pass_is_an_error():
    """The graphs have written over what the first call's would read."""
    _, captured = pair("dfp", ("transformer", "none", "none"))
    for number in range(2):
        step(captured, batch(number))
    outputs = [captured(**batch(number)).logits.sum() for number in range(2)]
    outputs[1].backward()
    with pytest.raises(RuntimeError, match="called again before the backward pass of its last call"):
        outputs[0].backward()


def test_weights_without_a_place_for_gradients_are_an_error():
    with pytest.raises(ValueError, match="speechllm_adam"):
        CapturedTraining(make_model("dfp").to(DEVICE), 1)


def test_numbers_of_compressed_states_are_few():
    rounded = [rounded_up(number) for number in range(1, 1500)]
    assert all(number <= up <= 1.07 * number for number, up in enumerate(rounded, 1))
    assert len(set(rounded)) < 130


@needs_gpu
@pytest.mark.parametrize("encoder", [("conformer", "xl", "none"), ("conformer", "xl", "avg")])
def test_sums_of_batch_norm_over_processes_can_be_captured(encoder, tmp_path, monkeypatch):
    """By NCCL; one process, which takes itself for one of several, is all that one GPU can have."""
    distributed.init_process_group("nccl", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        for module in (batch_norm, captured_training):
            monkeypatch.setattr(module, "several_processes", lambda: True)
        plain, captured = pair("dfp", encoder)
        for number in (1, 2, 3, 4):
            assert_same(step(captured, batch(number)), step(plain, batch(number)))
        assert captured.captured_training.num_graphs >= 1
        for one, other in zip(plain.buffers(), captured.buffers()):
            torch.testing.assert_close(one, other)
        for part in captured.captured_training.parts:
            part.graphs.clear()  # NCCL waits for them
    finally:
        distributed.destroy_process_group()
