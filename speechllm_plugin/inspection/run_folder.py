"""The inspection of a run, kept in its folder and made anew when something that it depends on has changed."""

import logging
from collections.abc import Mapping
from pathlib import Path

from speechllm_plugin.files.digests import file_digest
from speechllm_plugin.inspection import stored
from speechllm_plugin.inspection.stored import Inspection

logger = logging.getLogger(__name__)
VERSION = 1  # raise it when other code makes something else of the same model


def inspect(run, checkpoint, data, split: str, hypotheses: Mapping[int, str], device: str = "cpu") -> Inspection:
    """Compression rates of a split, and attention pictures of some of its rows, of the model of a run.

    They are kept in RUN/inspection-SPLIT.npz and read from there as long as the checkpoint, the manifest, config.yaml and, for the
    pictures, the hypotheses are the same; torch and fairseq are imported only if something is to be made.

    Args:
        run: folder that gets the file.
        checkpoint: of fairseq-train, `speechllm average` or `speechllm import`.
        data: folder of SPLIT.tsv and of the vocabularies that the checkpoint was trained with.
        hypotheses: row of the manifest, from 0 -> text to draw the attention for.

    Raises:
        FileNotFoundError: the checkpoint or something in the data folder is missing.
        ValueError: the checkpoint is of another model or vocabulary; there is no such row; the kept file is damaged.
    """
    path, checkpoint, data = Path(run) / f"inspection-{split}.npz", Path(checkpoint), Path(data)
    for needed in (checkpoint, data / f"{split}.tsv"):
        if not needed.is_file():
            raise FileNotFoundError(f"{needed}: no such file, but the inspection of {run} needs it")
    sources = {"version": VERSION, "checkpoint": file_digest(checkpoint), "manifest": file_digest(data / f"{split}.tsv")}
    if (data / "config.yaml").is_file():
        sources["config"] = file_digest(data / "config.yaml")
    made_from = {"compression_rates": sources, "pictures": {**sources, "hypotheses": [[row, text] for row, text in hypotheses.items()]}}
    before, inspection = stored.read(path) or ({}, Inspection(None, {}))
    stale = {part for part, source in made_from.items() if before.get(part) != source}
    if stale:
        inspection = inspection._replace(**make(stale, checkpoint, data, split, hypotheses, device))
        try:
            stored.write(path, made_from, inspection)
        except OSError as error:  # somebody else's run: all is there, but for this time only
            logger.warning(f"{path}: cannot be written ({error.strerror or error}), so that the next report makes it again")
    return inspection


def make(parts: set[str], checkpoint: Path, data: Path, split: str, hypotheses: Mapping[int, str], device: str) -> dict:
    """The named fields of an Inspection."""
    from speechllm_plugin.inspection.attention_maps import attention_pictures
    from speechllm_plugin.inspection.compression_rates import compression_rates
    from speechllm_plugin.inspection.trained_model import load

    model, task, _ = load(checkpoint, data, device)
    makers = {
        "compression_rates": lambda: compression_rates(model, task, split),
        "pictures": lambda: attention_pictures(model, task, split, hypotheses),
    }
    return {part: makers[part]() for part in parts}
