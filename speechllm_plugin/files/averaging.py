"""The mean of the last checkpoints of a run, as a checkpoint for fairseq-generate."""

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from speechllm_plugin.files.checkpoint_file import load
from speechllm_plugin.text.progress import with_progress

# fairseq's names: checkpoint_EPOCH_UPDATES.pt within an epoch, checkpointEPOCH.pt at its end. Best and last do not count.
NUMBERED_NAMES = {"updates": re.compile(r"checkpoint_\d+_(\d+)\.pt"), "epochs": re.compile(r"checkpoint(\d+)\.pt")}


def last_checkpoints(folder: str | Path, num: int, by: str | None = None) -> list[Path]:
    """The paths of the `num` checkpoints with the highest numbers, ascending.

    Args:
        folder: where fairseq-train saved them.
        num: how many, from 1.
        by: a key of NUMBERED_NAMES; None takes the one kind that the folder holds.

    Raises:
        ValueError: fewer than `num` are there, two have the same number, or both kinds are there and `by` is None.
    """
    folder = Path(folder)
    if num < 1:
        raise ValueError(f"--num must be at least 1, but is {num}")
    if not folder.is_dir():
        raise ValueError(f"--inputs must be a folder with checkpoints, but {folder} is none")
    numbered = {kind: _numbered(folder, pattern) for kind, pattern in NUMBERED_NAMES.items()}
    if by is None:
        kinds = [kind for kind, found in numbered.items() if found]
        if len(kinds) > 1:
            raise ValueError(f"{folder}: holds checkpoints by updates and by epochs; choose with --by updates or --by epochs")
        by = kinds[0] if kinds else "updates"
    found = numbered[by]
    if len(found) < num:
        names = ", ".join(path.name for path in sorted(folder.glob("*.pt"))) or "no .pt file"
        raise ValueError(
            f"{folder}: --num {num} needs as many checkpoints by {by}, but {len(found)} of the files there are "
            f"({names}); lower --num or let fairseq-train keep more"
        )
    for (number, path), (next_number, next_path) in itertools.pairwise(found):
        if number == next_number:
            raise ValueError(f"{folder}: {path.name} and {next_path.name} have the same number; remove the one of another run")
    return [path for _, path in found[-num:]]


def average(paths: Sequence[str | Path]) -> dict[str, Any]:
    """The last checkpoint with its model replaced by the mean of all, without the optimizer's state.

    Args:
        paths: checkpoints of one run, ascending.

    Returns:
        fairseq's checkpoint dictionary. Floating-point tensors are means, summed in float32 at least and kept so;
        everything else (counters, configuration, a criterion's own weights) is the last checkpoint's.

    Raises:
        ValueError: a file is no readable checkpoint, names or shapes of the tensors differ, or a value is not finite.
    """
    first = load(paths[0])["model"]
    totals = {
        name: torch.zeros_like(value, dtype=torch.promote_types(value.dtype, torch.float32)) for name, value in first.items() if _is_floating(value)
    }
    for path in with_progress(paths, "checkpoints", "file"):
        state = load(path)
        _check_same_tensors(first, paths[0], state["model"], path)
        for name, total in totals.items():
            total += state["model"][name]
    damaged = next((name for name, total in totals.items() if not total.isfinite().all()), None)
    if damaged is not None:
        raise ValueError(_not_finite(paths, damaged))
    for name, total in totals.items():
        state["model"][name] = total.div_(len(paths))
    state.pop("last_optimizer_state", None)
    for weights in ("ema", "ema_fp32_params"):  # of the last checkpoint alone: not what this file is
        state.get("extra_state", {}).pop(weights, None)
    state["averaged_checkpoints"] = [Path(path).name for path in paths]
    return state


def _numbered(folder: Path, pattern: re.Pattern[str]) -> list[tuple[int, Path]]:
    matches = ((pattern.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in matches if match)


def _is_floating(value: object) -> bool:
    return torch.is_tensor(value) and value.is_floating_point()


def _not_finite(paths: Sequence[str | Path], name: str) -> str:
    """The message about a tensor that has NaN or infinity in one of the checkpoints, or in their sum."""
    for path in paths:
        value = load(path, whole=False)["model"][name]
        if not value.isfinite().all():
            number = (~value.isfinite()).sum()
            return f"{path}: {name} has NaN or infinity in {number:,} of {value.numel():,} places: the training failed; average earlier checkpoints"
    return f"{paths[0]}: the sum of {name} over {len(paths)} checkpoints is not finite; average fewer or earlier ones"


def _check_same_tensors(first: Mapping[str, Any], first_path: str | Path, other: Mapping[str, Any], other_path: str | Path) -> None:
    differing = sorted(first.keys() ^ other.keys())
    if differing:
        only_path = first_path if differing[0] in first else other_path
        raise ValueError(
            f"{other_path}: must have the same tensors as {first_path}, but {len(differing)} are in one only "
            f"(first: {differing[0]}, in {only_path}); average checkpoints of one run"
        )
    for name, value in first.items():
        shapes = [tuple(each.shape) if torch.is_tensor(each) else None for each in (value, other[name])]
        if shapes[0] != shapes[1] or _is_floating(value) != _is_floating(other[name]):
            raise ValueError(
                f"{other_path}: {name} must be {shapes[0]} {_kind(value)} as in {first_path}, "
                f"but is {shapes[1]} {_kind(other[name])}; average checkpoints of one run"
            )


def _kind(value: Any) -> str:
    return str(value.dtype) if torch.is_tensor(value) else type(value).__name__
