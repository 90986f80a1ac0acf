"""The encoder from graphs gives what its operations give, bit by bit; on a CPU with a recording of them in the place of the graph."""

import copy

import pytest
import torch
from gpu import needs_gpu
from recording import record_graphs
from tiny_model import ENCODERS, FEW_ENCODERS, make_model, make_speech

from speechllm_plugin.models import captured_encoder
from speechllm_plugin.models.captured_encoder import CapturedEncoder, capture_encoder
from speechllm_plugin.models.compressions import COMPRESSIONS

LENGTHS = [[57, 40, 22, 1], [30, 57, 57, 9], [57, 31, 8, 44]]  # of one shape


@pytest.fixture
def recorded(monkeypatch):
    record_graphs(monkeypatch)


def parts_of(speech):
    """All tensors of SpeechStates."""
    ctc = [] if speech.ctc is None else [each for each in speech.ctc if each is not None]
    return [speech.states, speech.padding, *ctc, *(speech.segments or [])]


@torch.no_grad()
def assert_same(encoder, with_ctc, device="cpu"):
    """Batches of two shapes in turn, each without a graph at first; results are looked at after all calls."""
    results = []
    for number, lengths in enumerate([*LENGTHS, [12, 5], *LENGTHS, [8, 12]]):
        features, lengths = (tensor.to(device) for tensor in make_speech(lengths))
        features += 0.1 * number
        results.append((encoder(features, lengths, with_ctc), encoder.forward_by_operations(features, lengths, with_ctc)))
    for captured, plain in results:
        for one, other in zip(parts_of(captured), parts_of(plain), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("with_ctc", [True, False])
@pytest.mark.parametrize("encoder", FEW_ENCODERS, ids="-".join)
def test_a_recorded_encoder_gives_what_its_operations_give(encoder, with_ctc, recorded):
    own = make_model("xattn", encoder).eval().encoder
    own.captured = CapturedEncoder(own)
    assert_same(own, with_ctc)
    lower = [part for (name, *_), part in own.captured.parts.items() if name in ("whole", "below")]
    assert [num_replays(part) for part in lower] == [6]


def num_replays(part):
    return sum(graph.forward.num_replays for graph in part.graphs.values())


@pytest.mark.parametrize("strategy", COMPRESSIONS)
def test_every_compression_can_be_recorded(strategy, recorded):
    own = make_model("dfp", ("transformer", "none", strategy)).eval().encoder
    own.captured = CapturedEncoder(own)
    assert_same(own, with_ctc=False)


def recorded_encoder():
    model = make_model("dfp", ("conformer", "xl", "none")).eval()
    model.encoder.captured = CapturedEncoder(model.encoder)
    return model


def encode(model, lengths=LENGTHS[0]):
    torch.manual_seed(1)
    with torch.no_grad():
        return model.encoder(*make_speech(lengths), with_ctc=False).states


def test_weights_in_another_place_are_captured_anew(recorded):
    model = recorded_encoder()
    for _ in range(3):
        states = encode(model)
    model.double()
    assert encode(model).dtype == torch.float64 and states.dtype == torch.float32
    torch.testing.assert_close(encode(model).float(), states)


def test_replaced_weights_are_captured_anew(recorded):
    model, others = recorded_encoder(), [make_model("dfp", ("conformer", "xl", "none")).encoder.state_dict() for _ in range(2)]
    for replaced in (others[0], {name: tensor for name, tensor in others[1].items() if "running" in name}):  # buffers alone, too
        for _ in range(3):
            before = encode(model)
        model.encoder.load_state_dict(replaced, strict=False, assign=True)
        torch.manual_seed(1)
        with torch.no_grad():
            expected = model.encoder.forward_by_operations(*make_speech(LENGTHS[0]), with_ctc=False).states
        assert torch.equal(encode(model), expected) and not torch.equal(before, expected)


def test_training_gradients_and_copies_run_without_graphs(recorded):
    model = recorded_encoder()
    encode(model)
    assert model.encoder(*make_speech(LENGTHS[0])).states.requires_grad
    model.train()
    encode(model)
    assert [num_replays(part) for part in model.encoder.captured.parts.values()] == [0]
    assert copy.deepcopy(model).encoder.captured is None and model.encoder.up_to_compression().captured is None


def test_a_longer_utterance_leaves_graphs_their_positions():
    model = make_model("dfp", ("transformer", "none", "none")).eval()
    positions = model.encoder.positions.absolute
    positions.table = positions.build(20)
    read = positions(0, 15)
    encode(model, [120])
    assert positions.table.size(0) == 60 and [table.data_ptr() for table in positions.outgrown] == [read.data_ptr()]


def test_a_large_batch_runs_without_graphs(monkeypatch, recorded):
    monkeypatch.setattr(captured_encoder, "FRAMES_IN_GRAPHS", 4 * 57 - 1)
    model = recorded_encoder()
    encode(model)
    assert not model.encoder.captured.parts


def test_a_model_on_a_cpu_stays_as_it_is():
    model = make_model("dfp")
    capture_encoder(model)
    assert model.encoder.captured is None


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("with_ctc", [True, False])
@pytest.mark.parametrize("encoder", ENCODERS, ids="-".join)
def test_graphs_give_what_operations_give(encoder, with_ctc, dtype):
    model = make_model("xattn", encoder).eval().to("cuda", dtype)
    capture_encoder(model)
    assert_same(model.encoder, with_ctc, "cuda")
    assert sum(len(part.graphs) for part in model.encoder.captured.parts.values()) >= 2
