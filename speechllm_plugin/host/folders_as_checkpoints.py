"""Model folders where fairseq takes a checkpoint: `fairseq-generate --path FOLDER`, `Model.from_pretrained(FOLDER)`."""

from collections.abc import Callable
from typing import Any

from fairseq import checkpoint_utils
from omegaconf import OmegaConf


def accept(is_folder: Callable[[str], bool], read: Callable[[str], dict[str, Any]]) -> None:
    """Let fairseq read such paths by `read`, which gives a checkpoint's dictionary; other paths as ever."""
    stock = checkpoint_utils.load_checkpoint_to_cpu

    def load_checkpoint_to_cpu(path: str, arg_overrides: dict[str, Any] | None = None, load_on_all_ranks: bool = False) -> dict[str, Any]:
        if not is_folder(path):
            return stock(path, arg_overrides, load_on_all_ranks)
        state = read(path)
        state["cfg"] = OmegaConf.create(state["cfg"], flags={"allow_objects": True})  # as fairseq does
        if arg_overrides is not None:
            checkpoint_utils.overwrite_args_by_name(state["cfg"], arg_overrides)
        return checkpoint_utils._upgrade_state_dict(state)

    checkpoint_utils.load_checkpoint_to_cpu = load_checkpoint_to_cpu
