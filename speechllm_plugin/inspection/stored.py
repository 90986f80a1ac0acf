"""The inspection of a model on a split, and the file that keeps it. Reading it needs neither torch nor fairseq."""

import json
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speechllm_plugin.files.atomic import replacing


class Picture(NamedTuple):
    """The attention of a decoder to the speech while it writes a text.

    tokens:             the U pieces of the text, with the tag, if any, before it and `</s>` behind it.
    weights:            (U, T') float32, mean weight of a frame in each of T' columns; those of all frames sum to 1 for every token.
    seconds_per_column: of speech.
    """

    tokens: list[str]
    weights: np.ndarray
    seconds_per_column: float


class Inspection(NamedTuple):
    """The inspection of a model on a split.

    compression_rates: (rows of the manifest,) states before / after compression; None for a model without.
    pictures:          row of the manifest, from 0 -> Picture.
    """

    compression_rates: np.ndarray | None
    pictures: dict[int, Picture]


def read(path) -> tuple[dict, Inspection] | None:
    """The inspection in a file, and what each of its parts, by name, was made from; None if there is no such file.

    Raises:
        ValueError: it is damaged, or another file.
    """
    if not Path(path).exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            made_from = json.loads(str(arrays["made_from"]))
            pictures = {
                int(row): Picture(arrays[f"tokens_{row}"].tolist(), arrays[f"weights_{row}"], float(arrays[f"seconds_per_column_{row}"]))
                for row in arrays["rows"]
            }
            return made_from, Inspection(arrays.get("compression_rates"), pictures)
    except PermissionError:
        raise
    # NotImplementedError is zipfile's answer to a damaged number of a compression or a version.
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, OSError, EOFError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: must be a file of inspections, but is damaged or another ({error}): remove it") from error


def write(path, made_from: dict, inspection: Inspection) -> None:
    arrays = {"made_from": np.array(json.dumps(made_from)), "rows": np.array(list(inspection.pictures), dtype=np.int64)}
    if inspection.compression_rates is not None:
        arrays["compression_rates"] = inspection.compression_rates
    for row, picture in inspection.pictures.items():
        arrays |= {f"{name}_{row}": np.array(value) for name, value in picture._asdict().items()}
    with replacing(path) as temporary, open(temporary, "wb") as file:  # given a name, numpy would append .npz to it
        np.savez_compressed(file, **arrays)
