"""What a speech model learns of a teacher: its texts, and its probabilities of words."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch.utils.data import ConcatDataset

from speechllm_plugin.data.kd_texts import kd_texts
from speechllm_plugin.data.teacher_cache import TopKCache
from speechllm_plugin.tasks.manifest_task import ManifestTask


def kd_targets(task: ManifestTask, path: Path, columns: Mapping[str, Sequence[str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The token ids of the teacher's texts of a block of rows, one text behind the other, (texts,) lengths, and how many texts each row has."""
    texts_of_rows = kd_texts(path, columns, several=task.data_config.sample_kd_texts)
    sizes = np.array([len(texts) for texts in texts_of_rows])
    ids, languages = (np.repeat(columns[name], sizes).tolist() for name in ("id", "tgt_lang"))
    return *task.encode_targets(ids, list(itertools.chain.from_iterable(texts_of_rows)), languages), sizes


def probabilities(
    task: ManifestTask, parts: Sequence[tuple[str, range]], ids: Sequence[str], targets: Sequence[np.ndarray]
) -> ConcatDataset[tuple[np.ndarray, np.ndarray]]:
    """What the teacher's cache has for the target of every row; `parts` are the splits, and which rows are theirs."""
    caches = []
    for split, rows in parts:
        own_ids, own_targets = ([texts[row] for row in rows] for texts in (ids, targets))
        caches.append(TopKCache(Path(task.word_kd_cache) / split, task.target.digest(), own_ids, own_targets))
    return ConcatDataset(caches)
