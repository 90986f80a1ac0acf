"""What a CUDA graph repeats: a recording of a step's operations, played again on the same memory, decodes as the search itself.

The recording stands for the graph on a CPU: operations run again with the tensors and numbers of the first time, and their results go
where those of the first time lay. Whatever the host would have to decide, look up or place anew in a step shows as another n-best list.
"""

import random
from contextlib import nullcontext

import pytest
import torch
from hot_word_coverage import random_vocabulary, random_words
from searched_models import GRAPHED_OPTIONS, make_sample, make_searched_model
from searches import beam_search, random_prefix
from tiny_model import DECODERS, NUM_SPECIAL, NUM_TARGET_WORDS, task
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from speechllm_plugin.generation.hot_words import HotWords

WAITS = ("nonzero", "_local_scalar_dense", "masked_select", "_unique2", "equal")


class Recording(TorchDispatchMode):
    """The operations of a function, for another time."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        assert operation._opname not in WAITS, f"{operation} waits for the device"
        results = operation(*args, **(kwargs or {}))
        aliases = [result.alias_info for result in operation._schema.returns]
        if not all(alias is not None and not alias.is_write for alias in aliases):  # else a view, which needs no repetition
            self.operations.append((operation, args, kwargs or {}, results, all(alias is None for alias in aliases)))
        return results

    def replay(self):
        for operation, args, kwargs, results, is_new in self.operations:
            again = operation(*args, **kwargs)
            if is_new:
                for result, new in zip(tree_leaves(results), tree_leaves(again)):
                    result.copy_(new)


class RecordedStep:
    """In the place of a GraphedStep; the first call of a recording computes while it records."""

    def __init__(self):
        self.num_recordings = self.num_replays = 0
        self.recording = None

    def on_stream(self):
        return nullcontext()

    def __call__(self, function):
        if self.recording is None:
            self.num_recordings += 1
            with Recording() as self.recording:
                function()
        else:
            self.num_replays += 1
            self.recording.replay()

    def forget(self):
        self.recording = None

    def release(self):
        self.forget()


def compare(models, sample, options, **generate_options):
    """The recording's n-best lists, which are those of the search without one; and how often it recorded and played."""
    options = {"max_len_b": 15, **options}
    plain, graphed = (beam_search(models, task().target_dictionary, **options) for _ in range(2))
    graphed.graphed_step = RecordedStep()
    expected, actual = (search.generate(None, sample, **generate_options) for search in (plain, graphed))
    for ours, theirs in zip(actual, expected, strict=True):
        assert [hypothesis["tokens"].tolist() for hypothesis in ours] == [hypothesis["tokens"].tolist() for hypothesis in theirs]
        for one, other in zip(ours, theirs):
            torch.testing.assert_close(one["positional_scores"], other["positional_scores"], atol=1e-4, rtol=1e-4)
    return graphed.graphed_step


@pytest.mark.parametrize("options", GRAPHED_OPTIONS.values(), ids=GRAPHED_OPTIONS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_a_recorded_step_decodes_as_the_search(decoder, options):
    step = compare([make_searched_model(decoder, ("conformer", "xl", "avg"))], make_sample(), options)
    if options.get("min_len") == 68:
        assert step.num_recordings == 2 and step.num_replays > 60


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
