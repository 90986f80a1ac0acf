"""What a speech model learns of a teacher: its texts, and its probabilities of words."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch.utils.data import ConcatDataset

from speechllm_plugin.data import manifest
from speechllm_plugin.data.kd_texts import kd_texts
from speechllm_plugin.data.teacher_cache import TopKCache
from speechllm_plugin.tasks.manifest_task import ManifestTask


def kd_targets(task: ManifestTask, split: str) -> list[list[np.ndarray]]:
    """The token ids of the teacher's texts of every row."""
    path = Path(task.cfg.data) / f"{split}.tsv"
    rows = manifest.read(path)
    texts_of_rows = kd_texts(path, rows, several=task.data_config.sample_kd_texts)
    return [[task.encode_target(row.id, text, row.tgt_lang) for text in texts] for row, texts in zip(rows, texts_of_rows)]


def probabilities(
    task: ManifestTask, parts: Sequence[tuple[str, range]], ids: Sequence[str], targets: Sequence[np.ndarray]
) -> ConcatDataset[tuple[np.ndarray, np.ndarray]]:
    """What the teacher's cache has for the target of every row; `parts` are the splits, and which rows are theirs."""
    caches = []
    for split, rows in parts:
        own_ids, own_targets = ([texts[row] for row in rows] for texts in (ids, targets))
        caches.append(TopKCache(Path(task.word_kd_cache) / split, task.target.digest(), own_ids, own_targets))
    return ConcatDataset(caches)
