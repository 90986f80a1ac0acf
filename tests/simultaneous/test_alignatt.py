"""The policy: where writing stops, which words are finished, and which states are attended to, with and without compression."""

import pytest
import torch
from tiny_model import COMPRESSIONS, make_model, make_speech, task

from speechllm_plugin.generation.speech_alignment import over_states
from speechllm_plugin.models.merging import Segments, slow_segments
from speechllm_plugin.simultaneous.alignatt import most_attended, num_accepted
from speechllm_plugin.simultaneous.incremental_model import Hypothesis, IncrementalModel
from speechllm_plugin.simultaneous.latency_units import UNITS, num_finished
from speechllm_plugin.simultaneous.simulation import Simulation
from speechllm_plugin.simultaneous.streams import Heard, Writer


@pytest.mark.parametrize(
    "attended, num_written, threshold, accepted",
    [
        ([3, 5, 9, 2], 0, 2, 4),  # of 12 states, 10 and 11 are late
        ([3, 5, 10, 2], 0, 2, 2),  # the first late token stops, whatever comes behind it
        ([11, 5, 9], 1, 2, 3),  # what stands already is not judged again
        ([11, 11], 0, 0, 2),
        ([0, 0], 0, 12, 0),
        ([0, 0], 2, 100, 2),
        ([], 0, 2, 0),
    ],
)
def test_writing_stops_before_the_first_new_token_that_reads_late_speech(attended, num_written, threshold, accepted):
    assert num_accepted(attended, num_written, 12, threshold) == accepted


def test_a_merged_state_stands_for_its_last_state_that_counts():
    segments = Segments(torch.tensor([[0, 0, 1, 1, 1, 2]]), torch.tensor([[0.5, 0.5, 0.6, 0.4, 0.0, 1.0]]))
    weights = torch.tensor([[0.5, 0.4, 0.1], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7], [0.4, 0.4, 0.2]])
    assert most_attended(weights, segments).tolist() == [1, 3, 5, 1]
    assert most_attended(weights, None).tolist() == [0, 1, 2, 0]


PIECES = ["▁Five", "▁", "z", "ero", "▁nine", "."]


def text_of(tokens):
    return "".join(PIECES[token] for token in tokens if token < len(PIECES)).replace("▁", " ").strip()


@pytest.mark.parametrize(
    "tokens, accepted, written, words, characters",
    [
        ([0, 1, 2, 3, 5, 9], 5, 0, 5, 5),  # the end of sentence comes next
        ([0, 1, 2, 3, 4, 9], 4, 0, 4, 4),  # the next token begins a word
        ([0, 1, 2, 3, 4, 9], 3, 0, 2, 3),  # "z" may go on
        ([0, 1, 2, 3, 4, 9], 1, 0, 0, 1),  # "▁" alone has not begun a word yet
        ([0, 1, 2, 3, 4, 9], 3, 2, 2, 3),
        ([0, 5, 4, 9], 1, 0, 0, 1),  # a full stop belongs to its word
        ([0, 5, 4, 9], 0, 0, 0, 0),
    ],
)
def test_only_finished_units_are_written(tokens, accepted, written, words, characters):
    assert num_finished(tokens, accepted, written, UNITS["word"], text_of) == words
    assert num_finished(tokens, accepted, written, UNITS["char"], text_of) == characters


def test_units_of_a_text():
    assert UNITS["word"].units(" Five  zero. ") == ["Five", "zero."] and UNITS["char"].units("今 日。") == ["今", "日", "。"]


def incremental(decoder, compression, **options):
    model = IncrementalModel(make_model(decoder, ("conformer", "xl", compression)), task(), **options)
    model.search.search.max_len_b = 12  # weights are random: most texts would not end
    return model


def heard_of(model, features, is_all):
    lengths = torch.tensor([features.size(1)])
    encoder = model.model.encoder
    with torch.no_grad():
        speech = encoder(features, lengths, with_ctc=encoder.ctc_head is not None)
    return Heard(speech, int(encoder.subsampling.num_states(lengths)), 10.0 * features.size(1), is_all, 0.0)


@pytest.mark.parametrize("compression", ["none", "weighted", "drop_blanks", "drop_blanks<=3"])
@pytest.mark.parametrize("decoder", ["dfp", "xattn"])
def test_whole_speech_gives_the_text_of_the_search_and_prefixes_stay(decoder, compression):
    model = incremental(decoder, compression, beam=1)
    features, lengths = make_speech([90])
    parts = [heard_of(model, features[:, :length], length == 90) for length in (20, 45, 70, 90)]
    whole = {"net_input": {"src_tokens": features, "src_lengths": lengths}}
    [[expected]] = model.search.search.generate([], whole)
    alone = Writer(model, 1000, UNITS["word"], tag=None)
    alone.write(parts[-1])
    assert list(alone.written) == expected["tokens"].tolist()[:-1]
    for threshold, waits in ((0, False), (4, False), (1000, True)):
        writer = Writer(model, threshold, UNITS["word"], tag=None)
        for heard in parts:
            before = writer.units
            assert writer.write(heard)[0] == len(before) and writer.units[: len(before)] == before
            assert heard.is_all or not waits or not writer.units
        if waits:
            assert writer.written == alone.written


def test_a_word_that_changes_later_is_as_late_as_its_change():
    class Scripted:
        """Hypotheses by the number of parts that have arrived; 9 is the end of sentence."""

        text = staticmethod(text_of)

        def continuation(self, speech, written):
            return Hypothesis(*speech, 0.5)

    # "Five" stands, as "nine" begins another word; then the full stop comes, and "zero" after it.
    speeches = [([0, 4, 9], [0, 7, 7]), ([0, 5, 1, 2, 3, 9], [0, 1, 1, 1, 15, 15]), ([0, 5, 1, 2, 3, 9], [0, 1, 1, 1, 15, 15])]
    heard = [Heard(speech, 8 * number, 100.0 * number, number == 3, 1.0) for number, speech in enumerate(speeches, 1)]
    unit = UNITS["word"]
    found = Simulation(None, [2], 100, unit).under(2, heard[:1] + heard[2:], Writer(Scripted(), 2, unit, tag=None))
    assert found == (2, "Five. zero", [300.0, 300.0], [3300.0, 3300.0], 300.0)
    found = Simulation(None, [2], 100, unit).under(2, heard, Writer(Scripted(), 2, unit, tag=None))
    assert found == (2, "Five. zero", [200.0, 300.0], [3200.0, 4800.0], 300.0)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("decoder", ["dfp-causal", "xattn"])
def test_attended_states_are_those_of_the_mean_head(decoder, compression):
    model = incremental(decoder, compression, beam=2, layer=2)
    heard = heard_of(model, make_speech([77])[0], is_all=False)
    tokens, attended, _ = model.continuation(heard.speech, [7, 5])
    assert tokens[:2] == [7, 5] and tokens[-1] == model.eos and len(attended) == len(tokens)
    previous = torch.tensor([[model.eos, *tokens[:-1]]])
    with torch.no_grad():
        weights = model.model.decoder.attention_to_speech(previous, heard.speech, layer=1)
    if compression == "none":
        assert attended == over_states(weights, None)[0].argmax(-1).tolist()
        return
    logits = heard.speech.ctc.logits[0]
    of_blank = logits.softmax(-1)[:, -1].tolist()
    segments = slow_segments(logits.argmax(-1).tolist(), logits.size(-1) - 1, model.model.encoder.cfg, of_blank)
    assert attended == [max(segments[number]) for number in weights[0].argmax(-1).tolist()]


@pytest.mark.parametrize("compression", ["none", "avg"])
@pytest.mark.parametrize("decoder", ["dfp-causal", "xattn"])
def test_of_all_layers_the_latest_state_counts(decoder, compression):
    both, *single = (incremental(decoder, compression, beam=1, layer=layer) for layer in (None, 1, 2))
    for each in single:
        each.model.load_state_dict(both.model.state_dict())
    heard = heard_of(both, make_speech([77])[0], is_all=False)
    tokens, attended, _ = both.continuation(heard.speech, [])
    of_layers = [each.continuation(heard.speech, []) for each in single]
    assert attended == [max(states) for states in zip(*(each.attended for each in of_layers))] and of_layers[0].attended != of_layers[1].attended
    assert tokens == of_layers[0].tokens


def test_layers_that_there_are_not_are_errors():
    with pytest.raises(ValueError, match="--attention-layer must be from 1 to 2, the number of decoder layers, but is 0"):
        IncrementalModel(make_model("xattn"), task(), beam=1, layer=0)
