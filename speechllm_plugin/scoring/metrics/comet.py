"""COMET: the metric that is a model, for whoever has installed it."""

import functools
import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechllm_plugin.scoring.metric import Metric
from speechllm_plugin.scoring.share import share

DEFAULT_MODEL = "Unbabel/wmt22-comet-da"
BATCH_SIZE = 16  # sentences
DECIMALS = 5  # the same sentence has another score in another batch, by less than this

# Not an extra of this package: COMET's metadata ask for numpy and transformers older than this package is tested with.
TO_INSTALL = (
    "COMET is not installed: pip install unbabel-comet; it is none of this package's extras because it needs numpy<2 and "
    "transformers<5, so give it an environment of its own, with sacrebleu and rapidfuzz, in which speechllm score runs as well"
)


def metric(sources: Sequence[str], model: str = DEFAULT_MODEL) -> Metric:
    """The metric for one test set, given the source text of every row. The model runs on the CPU.

    Args:
        sources: src_text of every row.
        model: a name that COMET can download, or the path of its checkpoints/model.ckpt, beside whose folder hparams.yaml is.

    Raises:
        ValueError: COMET is not installed, the model is not there, or a row has no source text.

    Source: Rei et al. 2022, COMET-22: Unbabel-IST 2022 Submission for the Metrics Shared Task. Scores are per hundred.
    """
    sources = list(sources)
    empty = [row for row, source in enumerate(sources) if not source.strip()]
    if empty:
        found = f"empty in {len(empty)} of {len(sources)} rows (first: {empty[0]}, from 0)"
        raise ValueError(f"COMET needs the source of every row, but src_text is {found}; add it to the manifest, or score without comet")
    package = _package()
    load = functools.cache(lambda: package.load_from_checkpoint(_checkpoint(package, model)))

    def statistics(hypotheses: Sequence[str], references: Sequence[str], languages: Sequence[str]) -> np.ndarray:
        if not len(sources) == len(hypotheses) == len(references):
            found = f"{len(hypotheses)} hypotheses and {len(references)} references"
            raise ValueError(f"COMET needs as many texts as there are sources ({len(sources)}), but got {found}")
        triples = [{"src": source, "mt": text, "ref": reference} for source, text, reference in zip(sources, hypotheses, references)]
        scores = load().predict(triples, batch_size=BATCH_SIZE, gpus=0, progress_bar=sys.stderr.isatty()).scores if triples else []
        scores = np.round(scores, DECIMALS)
        return np.stack([np.asarray(scores, dtype=np.float64), np.ones(len(scores))], axis=1)

    signature = f"nrefs:1|model:{model}|version:unbabel-comet-{importlib.metadata.version('unbabel-comet')}"
    return Metric("comet", "COMET", False, statistics, share, lambda languages: signature)


def check_installed(model: str = DEFAULT_MODEL) -> None:
    """Raise ValueError if COMET or a model that is named by its file is not there; nothing is downloaded."""
    package = _package()
    if model.endswith(".ckpt"):
        _checkpoint(package, model)


def _package() -> Any:
    try:
        import comet as package  # of unbabel-comet
    except ImportError as error:
        raise ValueError(f"{TO_INSTALL} ({error})") from error
    return package


def _checkpoint(package: Any, model: str) -> str:
    if not model.endswith(".ckpt"):
        try:
            return package.download_model(model)
        except KeyError as error:  # COMET's message for whatever went wrong
            raise ValueError(f"COMET has no model {model}: {error.args[0]}; check its name and the network, or give the path of a .ckpt") from error
    path = Path(model)
    for needed in (path, path.absolute().parents[1] / "hparams.yaml"):
        if not needed.is_file():
            raise ValueError(f"the COMET model {model} needs the file {needed}, which is not there; copy the whole folder of the model")
    return model
