"""CTC prefix scores are sums over all paths, which the tests enumerate."""

import itertools
import math

import pytest
import torch

from speechllm_plugin.generation.ctc_prefix import SILENT, CTCPrefixScorer, JointScores

BLANK = 3  # after the labels 0, 1, 2
EOS = 0
# Target tokens: eos, then the labels in another order, and a tag
LABELS = torch.tensor([0, 2, 0, 1, SILENT])
LENGTHS = [5, 3, 1]


def collapsed(path):
    """The labels that a path says: repeats merged, blanks dropped."""
    return tuple(label for label, _ in itertools.groupby(path) if label != BLANK)


def spoken(tokens):
    return tuple(LABELS[token].item() for token in tokens if LABELS[token] != SILENT)


def slow_scores(logits, length):
    """Text -> probability that the speech begins with it, and that it is all that is said: the sums over every path."""
    log_probs = logits[:length].double().log_softmax(-1)
    begins, is_all = {}, {}
    for path in itertools.product(range(BLANK + 1), repeat=length):
        probability, text = math.exp(sum(log_probs[state, label].item() for state, label in enumerate(path))), collapsed(path)
        is_all[text] = is_all.get(text, 0) + probability
        for end in range(len(text) + 1):
            begins[text[:end]] = begins.get(text[:end], 0) + probability
    return begins, is_all


def make_scorer(num_hypotheses, scale=3.0):
    logits = scale * torch.randn(len(LENGTHS), max(LENGTHS), BLANK + 1)
    for row, length in enumerate(LENGTHS):
        logits[row, length:] = 50 * torch.randn(BLANK + 1)  # garbage at padding
    return logits, CTCPrefixScorer(logits, torch.tensor(LENGTHS), LABELS, EOS, num_hypotheses)


def log(probability):
    return math.log(probability) if probability else -math.inf


@pytest.mark.parametrize("seed", range(6))
def test_scores_of_all_texts_are_sums_over_all_paths(seed):
    torch.manual_seed(seed)
    num_hypotheses, num_tokens = 4, len(LABELS)
    logits, scorer = make_scorer(num_hypotheses)
    slow = [slow_scores(row, length) for row, length in zip(logits, LENGTHS)]
    texts, num_compared = [[()] * num_hypotheses for _ in LENGTHS], 0
    for _ in range(4):
        candidates = torch.stack([torch.randperm(num_tokens) for _ in range(3 * num_hypotheses)]).view(3, num_hypotheses, num_tokens)
        scores = scorer.score(candidates)
        for row, beam, place in itertools.product(range(3), range(num_hypotheses), range(num_tokens)):
            (begins, is_all), text, token = slow[row], texts[row][beam], candidates[row, beam, place].item()
            before = begins.get(spoken(text), 0)
            if before == 0:  # more labels than states: no path says the text
                continue
            expected = is_all.get(spoken(text), 0) if token == EOS else begins.get(spoken((*text, token)), 0)
            if expected:
                assert scores[row, beam, place].item() == pytest.approx(log(expected) - log(before), abs=1e-5)
                num_compared += 1
            else:
                assert scores[row, beam, place] < -1e4
        source_beam, token = torch.randint(num_hypotheses, (3, num_hypotheses)), torch.randint(1, num_tokens, (3, num_hypotheses))
        scorer.advance(source_beam, token)
        texts = [[(*texts[row][source_beam[row, beam]], token[row, beam].item()) for beam in range(num_hypotheses)] for row in range(3)]
    assert num_compared > 60


def test_repeated_labels_need_a_blank_between_them():
    always_first = torch.full((1, 2, BLANK + 1), -100.0)
    always_first[..., 2] = 0.0
    scorer = CTCPrefixScorer(always_first, torch.tensor([2]), LABELS, EOS, 1)
    assert scorer.score(torch.tensor([[[1]]])).item() == pytest.approx(0, abs=1e-6)
    scorer.advance(torch.tensor([[0]]), torch.tensor([[1]]))
    assert scorer.score(torch.tensor([[[1]]])).item() < -90
    assert scorer.score(torch.tensor([[[EOS]]])).item() == pytest.approx(0, abs=1e-6)


def test_a_long_utterance_scores_as_torchs_ctc_loss():
    num_states, text = 700, torch.randint(1, 4, (60,))
    logits = 4 * torch.randn(1, num_states, BLANK + 1)
    scorer, total = CTCPrefixScorer(logits, torch.tensor([num_states]), LABELS, EOS, 1), 0.0
    for token in [*text.tolist(), EOS]:
        total += scorer.score(torch.tensor([[[token]]])).item()
        scorer.advance(torch.tensor([[0]]), torch.tensor([[token]]))
    log_probs = logits[0].double().log_softmax(-1)[:, None]
    loss = torch.nn.functional.ctc_loss(log_probs, LABELS[text][None], [num_states], [len(text)], blank=BLANK, reduction="sum")
    assert total == pytest.approx(-loss.item(), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_score_as_the_same_numbers_in_float32(dtype):
    logits, _ = make_scorer(1)
    logits, candidates = logits.to(dtype), torch.arange(4).expand(3, 1, 4)
    half, full = (CTCPrefixScorer(each, torch.tensor(LENGTHS), LABELS, EOS, 1).score(candidates) for each in (logits, logits.float()))
    torch.testing.assert_close(half, full)


def test_chosen_sentences_are_scored_as_before():
    _, scorer = make_scorer(2)
    scorer.advance(torch.tensor([[0, 1]] * 3), torch.tensor([[1, 2]] * 3))
    candidates = torch.arange(5).expand(3, 2, 5)
    expected = scorer.score(candidates)[[2, 0]]
    scorer.select(torch.tensor([2, 0]))
    torch.testing.assert_close(scorer.score(candidates[:2]), expected)


def test_the_mixture_is_of_the_best_tokens_and_eos_and_keeps_what_is_forbidden():
    _, scorer = make_scorer(2)
    log_probs = torch.randn(3, 2, 5).log_softmax(-1)
    log_probs[:, 0, EOS] = -20.0
    log_probs[1, 1, EOS] = -math.inf
    mixed = JointScores(scorer, 0.3, 2).mix(log_probs, log_probs)
    scores = scorer.score(torch.arange(5).expand(3, 2, 5)).float()
    for row, beam in itertools.product(range(3), range(2)):
        possible = {EOS, log_probs[row, beam].argmax().item()} if not {EOS} & set(log_probs[row, beam].topk(2).indices.tolist()) else None
        possible = possible or set(log_probs[row, beam].topk(2).indices.tolist())
        for token in range(5):
            expected = 0.7 * log_probs[row, beam, token] + 0.3 * scores[row, beam, token] if token in possible else torch.tensor(-math.inf)
            torch.testing.assert_close(mixed[row, beam, token], expected)
    assert mixed[1, 1, EOS] == -math.inf
