"""Hot words: the bonus of a text is what a slow count over all ways to cover it gives, whatever pieces it is written in."""

import random

import pytest
import torch
from hot_word_coverage import UNSPACED, coverage, random_vocabulary, random_words
from searched_models import LENGTHS, joint_search, make_sample, make_searched_model, scores_of_its_own
from tiny_model import NUM_SPECIAL, NUM_TARGET_WORDS

from speechllm_plugin.generation.hot_word_tables import LONGEST_LIST
from speechllm_plugin.generation.hot_words import HotWords

EOS, BONUS = 2, 0.75
LETTERS = {"with blanks": "ab▁", "without blanks": f"ab▁{UNSPACED}", "marks": "ab▁'\u0330"}
TOKENS = [None] * NUM_SPECIAL + random_vocabulary(random.Random(1), "ab▁", NUM_TARGET_WORDS)
WORDS = random_words(random.Random(2), "ab▁", 12)


def text_of(tokens):
    return "".join(TOKENS[token] for token in tokens if token != EOS)


@pytest.mark.parametrize("num_words, num_pieces", [(1, 8), (6, 20), (40, 100)])
@pytest.mark.parametrize("letters", LETTERS.values(), ids=LETTERS)
def test_tokens_add_what_they_add_to_the_coverage(letters, num_words, num_pieces):
    rng = random.Random(f"{letters} {num_words}")
    words = random_words(rng, letters, num_words)
    tokens = [None] * NUM_SPECIAL + random_vocabulary(rng, letters, num_pieces)
    hot_words = HotWords(words, tokens, EOS, bonus=1.0)
    assert hot_words.unwritable == []
    scores, texts, num_covered = hot_words.start(1, 20, torch.device("cpu")), [""] * 20, 0
    for _ in range(10):
        added = scores.add_to(torch.zeros(1, 20, len(tokens)))[0]
        for text, of_tokens in zip(texts, added.tolist()):
            before = coverage(text, words, is_ended=False)
            num_covered += before
            assert of_tokens[EOS] == coverage(text, words, is_ended=True) - before
            for token in rng.sample(range(NUM_SPECIAL, len(tokens)), 4):
                assert of_tokens[token] == coverage(text + tokens[token], words, is_ended=False) - before, (text, tokens[token])
        # Hypotheses go on from others, mostly with what a word goes on with.
        source, favoured = torch.tensor([rng.choices(range(20), k=20)]), (added[:, NUM_SPECIAL:] + 2 * torch.rand(20, num_pieces)).argmax(1)
        token = favoured[source] + NUM_SPECIAL
        scores.advance(source, token)
        texts = [texts[beam] + tokens[each] for beam, each in zip(source[0].tolist(), token[0].tolist())]
    assert num_covered > 50
    assert num_pieces < 100 or (hot_words.goes_on // len(tokens)).bincount().max() > LONGEST_LIST  # so that a state has its own row


@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
@pytest.mark.parametrize("weight", [0, 0.4])
@torch.no_grad()
def test_a_hypothesis_has_the_decoders_score_and_the_bonus(decoder, weight):
    model, sample, coverages = make_searched_model(decoder), make_sample(), []
    for row, best in enumerate(joint_search(model, weight, sample, hot_words=HotWords(WORDS, TOKENS, EOS, BONUS))):
        for hypothesis in best:
            by_decoder, by_ctc = scores_of_its_own(model, sample, row, hypothesis["tokens"])
            if not weight or by_ctc > -1e4:  # else impossible, but finite in the search
                coverages.append(coverage(text_of(hypothesis["tokens"].tolist()), WORDS, is_ended=True))
                expected = (1 - weight) * by_decoder + (weight * by_ctc if weight else 0) + BONUS * coverages[-1]
                assert hypothesis["score"].item() == pytest.approx(expected, abs=1e-3)
    assert len(coverages) > 6 and len(set(coverages)) > 1


@pytest.mark.parametrize("weight", [0, 0.3])
@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
def test_without_words_every_number_is_that_of_the_search(decoder, weight):
    model, sample = make_searched_model(decoder), make_sample()
    without = joint_search(model, weight, sample)
    for words in ([], ["xyz"]):  # none, and none that can be written
        for ours, theirs in zip(joint_search(model, weight, sample, hot_words=HotWords(words, TOKENS, EOS, BONUS)), without):
            for one, other in zip(ours, theirs, strict=True):
                assert one["tokens"].tolist() == other["tokens"].tolist() and one["score"] == other["score"]
                assert torch.equal(one["positional_scores"], other["positional_scores"])


@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
def test_texts_do_not_depend_on_batch_neighbours(decoder):
    model, sample, hot_words = make_searched_model(decoder), make_sample(), HotWords(WORDS, TOKENS, EOS, BONUS)
    features, lengths = sample["net_input"].values()
    for row, (length, together) in enumerate(zip(LENGTHS, joint_search(model, 0, sample, hot_words=hot_words))):
        one = slice(row, row + 1)
        (alone,) = joint_search(model, 0, {"net_input": {"src_tokens": features[one, :length], "src_lengths": lengths[one]}}, hot_words=hot_words)
        assert [hypothesis["tokens"].tolist() for hypothesis in together] == [hypothesis["tokens"].tolist() for hypothesis in alone]


def test_a_forced_prefix_counts_as_any_text():
    model, sample = make_searched_model("dfp"), make_sample()
    prefix = torch.tensor([[20, 5]] * 3 + [[20, EOS]])
    for row, best in enumerate(joint_search(model, 0, sample, prefix, hot_words=HotWords(WORDS, TOKENS, EOS, BONUS))):
        for hypothesis in best:
            assert hypothesis["tokens"].tolist()[:2] == prefix[row].tolist()
            expected = scores_of_its_own(model, sample, row, hypothesis["tokens"])[0]
            expected += BONUS * coverage(text_of(hypothesis["tokens"].tolist()), WORDS, is_ended=True)
            assert hypothesis["score"].item() == pytest.approx(expected, abs=1e-3)


def test_a_word_that_pieces_cannot_spell_is_named():
    pieces = [None] * NUM_SPECIAL + ["▁", "A", "n", "▁Th", "o", "mas", "語"]
    words = ["Anm", "Thomas", "Thomas on", "Bo", "mas", "語on", "語b", "thOmas"]
    assert HotWords(words, pieces, EOS, 1.0).unwritable == ["Anm", "Bo", "語b", "thOmas"]
    assert bonus_of(["thomas"], pieces, [7, 8, 9, EOS]) == 6  # at the beginning of a sentence


def test_a_vocabulary_without_capitals_writes_names_in_lower_case():
    pieces = [None] * NUM_SPECIAL + ["▁", "th", "o", "mas"]
    assert bonus_of(["Thomas", "MAS"], pieces, [4, 5, 6, 7, 4, 7, EOS]) == 9


def bonus_of(words, pieces, tokens):
    scores, total = HotWords(words, pieces, EOS, 1.0).start(1, 1, torch.device("cpu")), 0.0
    for token in tokens:
        total += scores.add_to(torch.zeros(1, 1, len(pieces)))[0, 0, token].item()
        scores.advance(torch.zeros(1, 1, dtype=torch.long), torch.tensor([[token]]))
    return total
