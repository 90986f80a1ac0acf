"""The utterances that a report shows: those that were asked for, where each system loses most, and where two differ most."""

from collections.abc import Sequence

import numpy as np

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.reporting.options import Options
from speechllm_plugin.reporting.parts.score_part import Scores
from speechllm_plugin.reporting.results import loss_of_sentences
from speechllm_plugin.reporting.study import Study
from speechllm_plugin.reporting.tables import formats

MOST_PICTURES = 3  # utterances whose attention is drawn, if none were asked for


def rows_of_ids(ids: Sequence[str], utterances: Sequence[Utterance]) -> list[int]:
    """The rows of the utterances that were asked for by id.

    Raises:
        ValueError: the manifest has no such id.
    """
    row_of = {utterance.id: row for row, utterance in enumerate(utterances)}
    for name in ids:
        if name not in row_of:
            raise ValueError(f"--utterances must be ids of the manifest, but there is no {name!r} (ids are like {utterances[0].id!r}); correct it")
    return [row_of[name] for name in dict.fromkeys(ids)]


def example_rows(study: Study, scores: Scores, chosen_rows: Sequence[int], options: Options) -> dict[int, str]:
    """The row of each example -> why it is shown.

    First the utterances that were asked for, then num_examples others. These are taken in turn from several lists: the greatest losses of each
    system; where the first system loses more than another one; where it loses less. Each list begins with its worst utterance. The loss of an
    utterance is by how much the score of the corpus would be better without it.
    """
    reasons = dict.fromkeys(chosen_rows, "chosen")
    quantity, wanted = scores.main, len(chosen_rows) + options.num_examples
    names, losses = study.names, [loss_of_sentences(quantity, system) for system in range(len(study.systems))]
    lists = [(loss, f"among the greatest losses of {name}") for name, loss in zip(names, losses)]
    for name, loss in zip(names[1:], losses[1:]):
        lists += [(losses[0] - loss, f"{names[0]} loses more than {name}"), (loss - losses[0], f"{name} loses more than {names[0]}")]
    queues = [(iter(np.argsort(-loss, kind="stable")), loss, reason) for loss, reason in lists]
    while queues and len(reasons) < wanted:
        for queue in list(queues):
            rows, loss, reason = queue
            row = next((int(row) for row in rows if int(row) not in reasons), None)
            if row is None or not loss[row] > 0:
                queues.remove(queue)
            elif len(reasons) < wanted:
                reasons[row] = f"{reason}: {formats.number(float(loss[row]), 3)} points of {quantity.heading}"
    return reasons


def picture_rows(chosen_rows: list[int], example_rows: dict[int, str]) -> list[int]:
    """The utterances whose attention is drawn: those that were asked for, else the first examples."""
    return chosen_rows or list(example_rows)[:MOST_PICTURES]
