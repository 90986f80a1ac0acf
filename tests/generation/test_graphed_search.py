"""What a CUDA graph repeats: a recording of a step's operations, played again on the same memory, decodes as the search itself.

The recording stands for the graph on a CPU. Whatever the host would have to decide, look up or place anew in a step shows as another
n-best list.
"""

import itertools
import random
import weakref
from contextlib import nullcontext

import pytest
import torch
from hot_word_coverage import random_vocabulary, random_words
from recording import Recording
from searched_models import GRAPHED_OPTIONS, make_labels, make_sample, make_searched_model
from searches import beam_search, random_prefix
from tiny_model import ALL_DECODERS, DECODERS, NUM_SPECIAL, NUM_TARGET_WORDS, task

from speechllm_plugin.generation.ctc_prefix import JointDecoding
from speechllm_plugin.generation.cuda_graph import GraphedStep
from speechllm_plugin.generation.held_tensors import HeldTensors
from speechllm_plugin.generation.hot_words import HotWords
from speechllm_plugin.models.ctc import CTCOutput


class Played:
    """A recording; while it was made it computed already."""

    def __init__(self, recording):
        self.recording, self.is_new = recording, True

    def replay(self):
        if not self.is_new:
            self.recording.replay()
        self.is_new = False


class RecordedStep(GraphedStep):
    """A GraphedStep with recordings in the place of graphs."""

    def __init__(self):
        self.device = torch.device("cpu")
        self.graphs, self.is_current, self.kept, self.to_keep, self.max_kept_bytes = [], False, None, None, 2**20
        self.num_recordings = self.num_calls = 0

    def on_stream(self):
        return nullcontext()

    def __call__(self, function):
        self.num_calls += 1
        super().__call__(function)

    def capture(self, function):
        self.num_recordings += 1
        with Recording() as recording:
            function()
        return Played(recording)


PAD = 1


def searches_of(models, options):
    """The same search without and with recordings."""
    plain, graphed = (beam_search(models, task().target_dictionary, **{"max_len_b": 15, **options}) for _ in range(2))
    graphed.graphed_step = RecordedStep()
    return plain, graphed


def compare(models, sample, options, **generate_options):
    """The recording's n-best lists, which are those of the search without one; and how often it recorded and played."""
    plain, graphed = searches_of(models, options)
    assert_same(plain, graphed, sample, **generate_options)
    return graphed.graphed_step


def assert_same(plain, graphed, sample, **generate_options):
    expected, actual = (search.generate(None, sample, **generate_options) for search in (plain, graphed))
    for ours, theirs in zip(actual, expected, strict=True):
        assert [hypothesis["tokens"].tolist() for hypothesis in ours] == [hypothesis["tokens"].tolist() for hypothesis in theirs]
        for one, other in zip(ours, theirs):
            torch.testing.assert_close(one["positional_scores"], other["positional_scores"], atol=1e-4, rtol=1e-4)


CASES = [*itertools.product(DECODERS, GRAPHED_OPTIONS), *((decoder, "length") for decoder in ALL_DECODERS if decoder not in DECODERS)]


@pytest.mark.parametrize(("decoder", "name"), CASES, ids=str)
def test_a_recorded_step_decodes_as_the_search(decoder, name):
    options = GRAPHED_OPTIONS[name]
    step = compare([make_searched_model(decoder, ("conformer", "xl", "avg"))], make_sample(), options)
    if options.get("min_len") == 68:
        assert step.num_recordings == 2 and step.num_calls > 60


@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
def test_hot_words_are_in_the_recording(decoder):
    texts = [None] * NUM_SPECIAL + random_vocabulary(random.Random(1), "ab▁", NUM_TARGET_WORDS)
    words = HotWords(random_words(random.Random(2), "ab▁", 12), texts, eos=2, bonus=0.75)
    compare([make_searched_model(decoder)], make_sample(), {"beam_size": 5, "hot_words": words})


@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
def test_forced_prefixes_come_before_the_recording(decoder):
    prefix = random_prefix(task().target_dictionary, len(make_sample()["net_input"]["src_lengths"]), allow_eos=True)
    compare([make_searched_model(decoder)], make_sample(), {"beam_size": 5}, prefix_tokens=prefix)


def test_several_models_share_a_recording():
    compare([make_searched_model("xattn"), make_searched_model("dfp")], make_sample(), {"beam_size": 5})


@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
def test_a_smaller_batch_is_recorded_anew(decoder):
    lengths = [57, 40, 22, 1, 80, 33, 64, 12]
    num_recordings = []
    for seed in range(8):
        torch.manual_seed(seed)
        step = compare([make_searched_model(decoder)], make_sample(lengths), {"beam_size": 3, "max_len_b": 30})
        num_recordings.append(step.num_recordings)
    assert max(num_recordings) > 1


@pytest.mark.parametrize(("decoder", "name"), CASES, ids=str)
def test_a_batch_of_the_same_shape_is_not_recorded_anew(decoder, name):
    options = GRAPHED_OPTIONS[name]
    plain, graphed = searches_of([make_searched_model(decoder)], options)
    for lengths in ([57, 40, 22, 1], [57, 3, 9, 57], [30, 57, 57, 57]):
        assert_same(plain, graphed, make_sample(lengths))
    assert graphed.graphed_step.kept is not None or options.get("max_len_b") == 0
    first = graphed.graphed_step.kept
    assert_same(plain, graphed, make_sample([57, 1, 57, 57]))
    assert graphed.graphed_step.kept is first


def test_a_batch_with_other_prefixes_of_the_same_width_is_not_recorded_anew():
    plain, graphed = searches_of([make_searched_model("dfp")], {"beam_size": 4, "min_len": 8})
    prefixes = [torch.tensor([[7, 9], [8, PAD], [6, 6], [PAD, PAD]]), torch.tensor([[5, PAD], [6, 7], [9, 5], [8, PAD]])]
    given = [prefix.clone() for prefix in prefixes]
    for prefix in prefixes:
        assert_same(plain, graphed, make_sample(), prefix_tokens=prefix)
    assert graphed.graphed_step.num_recordings == 1
    assert all(map(torch.equal, given, prefixes))  # nobody writes into what is the caller's
    assert_same(plain, graphed, make_sample())
    assert graphed.graphed_step.num_recordings == 2


def test_joint_scores_and_hot_words_are_kept_too():
    model = make_searched_model("dfp", ("conformer", "xl", "none"))
    texts = [None] * NUM_SPECIAL + random_vocabulary(random.Random(1), "ab▁", NUM_TARGET_WORDS)
    words = HotWords(random_words(random.Random(2), "ab▁", 12), texts, eos=2, bonus=0.75)
    joint = JointDecoding(0.3, make_labels())
    plain, graphed = searches_of([model], {"beam_size": 4, "hot_words": words, "joint": joint, "min_len": 5})
    for lengths in ([57, 40, 22, 1], [57, 3, 9, 57]):
        assert_same(plain, graphed, make_sample(lengths))
    assert graphed.graphed_step.num_recordings == 1


def test_another_shape_other_settings_and_moved_weights_are_recorded_anew():
    model = make_searched_model("xattn")
    plain, graphed = searches_of([model], {"beam_size": 4, "min_len": 5})
    step, samples = graphed.graphed_step, [make_sample([57, 40, 22, 1]), make_sample([56, 40, 22, 1])]
    for number, sample in enumerate([samples[0], samples[0], samples[1], samples[0], samples[0]]):
        assert_same(plain, graphed, sample)
        assert step.num_recordings == [1, 1, 2, 3, 3][number]
    plain.temperature = graphed.temperature = 1.5
    assert_same(plain, graphed, samples[0])
    model.decoder.output_projection.weight.data = model.decoder.output_projection.weight.data.clone()
    assert_same(plain, graphed, samples[0])
    assert step.num_recordings == 5
    step.max_kept_bytes = 100
    assert_same(plain, graphed, samples[1])
    assert step.kept is None


def test_replaced_weights_are_recorded_anew():
    model, other, third = (make_searched_model("xattn") for _ in range(3))
    plain, graphed = searches_of([model], {"beam_size": 4, "min_len": 5})
    for _ in range(2):
        assert_same(plain, graphed, make_sample())
    model.decoder.load_state_dict(other.decoder.state_dict(), assign=True)  # other tensors, while those that were captured live on
    assert_same(plain, graphed, make_sample())
    model.decoder.layers[0] = third.decoder.layers[0]
    for _ in range(2):
        assert_same(plain, graphed, make_sample())
    assert graphed.graphed_step.num_recordings == 3


def test_joint_decoding_moves_its_labels_once():
    joint, ctc = JointDecoding(0.3, make_labels()), CTCOutput(torch.zeros(1, 3, 5, device="meta"), torch.zeros(1, device="meta"))
    first = joint.start(ctc, eos=2, num_hypotheses=2).scorer.labels
    assert first.device.type == "meta" and joint.start(ctc, eos=2, num_hypotheses=2).scorer.labels is first


def test_of_a_search_only_what_was_counted_is_kept(monkeypatch):
    """Not its decoder's state, which grows after the capture."""
    model, states = make_searched_model("dfp"), []
    start = model.decoder.start

    def watched(*arguments):
        state = start(*arguments)
        states.append(weakref.ref(state))
        return state

    monkeypatch.setattr(model.decoder, "start", watched)
    _, graphed = searches_of([model], GRAPHED_OPTIONS["two rooms"])
    graphed.generate(None, make_sample())
    assert graphed.graphed_step.kept is not None and [state() for state in states] == [None]


def test_a_beam_of_the_whole_vocabulary_begins_as_without_a_recording():
    beam_size = len(task().target_dictionary) - 1
    plain, graphed = searches_of([make_searched_model("xattn")], {"beam_size": beam_size, "min_len": 0, "max_len_b": 3})
    for _ in range(5):
        assert_same(plain, graphed, make_sample())


def test_what_is_left_to_a_later_search_is_described():
    one, other = HeldTensors([{"a": torch.ones(2)}, [3, None]]), HeldTensors([{"a": torch.zeros(2)}, [3, None]])
    assert one.description == other.description and one.num_bytes == 8
    for different in ([{"a": torch.ones(3)}, [3, None]], [{"a": torch.ones(2)}, [4, None]], [{"a": torch.ones(2)}, [3, ()]]):
        assert HeldTensors(different).description != one.description
    assert HeldTensors([(torch.ones(2),)]).description != HeldTensors([(torch.ones(2),)]).description  # a tuple keeps its tensors
