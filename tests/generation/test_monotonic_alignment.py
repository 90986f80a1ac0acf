"""The best path of labels through speech, against a search over all paths, state by state."""

import itertools

import pytest
import torch

from speechllm_plugin.generation.monotonic_alignment import label_spans


def slow_spans(label_scores, gap_scores, is_repeated):
    """The spans of the best path: all placements of all labels are tried."""
    num_labels, num_states = label_scores.shape
    best, result = -float("inf"), None
    spans = list(itertools.combinations(range(num_states + 1), 2))
    for path in itertools.product(spans, repeat=num_labels):
        ends = [0, *(end for _, end in path)]
        starts = [*(start for start, _ in path), num_states]
        gaps = [range(end, start) for end, start in zip(ends, starts)]
        if any(end > start for end, start in zip(ends, starts)) or any(is_repeated[n] and not gaps[n] for n in range(1, num_labels)):
            continue
        score = sum(label_scores[n, start:end].sum().item() for n, (start, end) in enumerate(path))
        score += sum(gap_scores[state].item() for gap in gaps for state in gap)
        if score > best:
            best, result = score, path
    return result


@pytest.mark.parametrize("seed", range(4))
def test_spans_are_those_of_the_best_of_all_paths(seed):
    torch.manual_seed(seed)
    lengths, num_labels = [7, 4, 6], [3, 1, 2]
    label_scores, gap_scores = torch.randn(3, 3, 7), torch.randn(3, 7)
    is_repeated = torch.tensor([[False, True, False], [False, False, False], [False, seed % 2 == 0, False]])
    spans = label_spans(label_scores, gap_scores, torch.tensor(lengths), torch.tensor(num_labels), is_repeated)
    for row, (length, number) in enumerate(zip(lengths, num_labels)):
        expected = slow_spans(label_scores[row, :number, :length], gap_scores[row, :length], is_repeated[row].tolist())
        assert spans[row, :number].tolist() == [list(span) for span in expected]


def test_a_text_that_does_not_fit_still_has_ordered_spans():
    spans = label_spans(torch.zeros(1, 5, 2), torch.zeros(1, 2), torch.tensor([2]), torch.tensor([5])).flatten().tolist()
    assert all(0 <= position <= 2 for position in spans)
