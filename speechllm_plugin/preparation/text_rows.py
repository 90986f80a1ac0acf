"""Parallel texts of a corpus that nobody recorded: a text translation model trains on them as well (`--train-subset train,texts`)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from speechllm_plugin.data import manifest
from speechllm_plugin.preparation import hold_out, speed_perturbation
from speechllm_plugin.preparation.corpora import CORPORA, TRAIN_SPLIT, with_pair
from speechllm_plugin.preparation.settings import Settings

TEXTS_SPLIT = "texts"
NO_FRAMES = 1  # a manifest has no row without frames


def write(settings: Settings, pairs: Sequence[tuple]) -> int:
    """Write texts.tsv, as often as training has each recording; returns the number of texts.

    No file where the task is not st, or the corpus has no such texts. Of rows that training must not see (--hold-out) there are none.
    """
    path, texts = Path(settings.out) / f"{TEXTS_SPLIT}.tsv", CORPORA[settings.corpus].texts
    if settings.task != "st" or texts is None or TRAIN_SPLIT not in settings.splits:
        return 0
    path.unlink(missing_ok=True)
    rows = [row for pair in pairs for row in with_pair(texts(settings.root, *pair), pair if len(pairs) > 1 else None)]
    rows = [row for row in rows if not hold_out.is_met(row, settings.hold_out)]
    played = speed_perturbation.apply({TRAIN_SPLIT: rows}, settings.speed_perturbation)[TRAIN_SPLIT]
    if rows:
        manifest.write(path, [replace(row.utterance, audio="", n_frames=NO_FRAMES) for row in played])
    return len(rows)
