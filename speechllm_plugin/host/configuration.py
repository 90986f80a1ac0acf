"""fairseq's configuration of a whole command, of which a task and a generator get one section."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fairseq.dataclass.configs import CheckpointConfig, DatasetConfig
from omegaconf import DictConfig

SECTIONS_OF_HYPOTHESES = ("generation", "common_eval")


def whole(section: object) -> DictConfig | None:
    """The configuration of the command whose section this is; None for options that no command made, as in a notebook."""
    parent = section._get_parent() if isinstance(section, DictConfig) else None
    return parent if isinstance(parent, DictConfig) else None


def correct(cfg: DictConfig) -> None:
    """Undo what fairseq concludes or fills in for a command, and what fails here.

    --bf16 is no sign of a TPU where there is no torch_xla: it means a GPU or the CPU.
    No daemon thread fills a buffer of batches: one that is inside torch at the end can abort the process, and the loader's workers read
    ahead without it. A --data-buffer-size that a user gave stays.
    """
    if find_spec("torch_xla") is None:
        for section in cfg.values():  # that of several ranks and that of the optimizer have it too
            if isinstance(section, DictConfig) and "tpu" in section:
                section.tpu = False
    if cfg.dataset.data_buffer_size == DatasetConfig().data_buffer_size:
        cfg.dataset.data_buffer_size = 0


def starting_checkpoint(cfg: DictConfig) -> Path | None:
    """The checkpoint that fairseq-train goes on from or finetunes, if there is one."""
    options = cfg.checkpoint
    if options.restore_file != CheckpointConfig().restore_file and not Path(options.restore_file).is_file():
        raise FileNotFoundError(f"--restore-file {options.restore_file}: no such file; give the checkpoint that training is to go on from")
    resumed = Path(options.save_dir, options.restore_file) if options.restore_file == CheckpointConfig().restore_file else Path(options.restore_file)
    candidates = [resumed, *([Path(options.finetune_from_model)] if options.finetune_from_model else [])]
    return next((path for path in candidates if path.is_file()), None)


def check_shard(cfg: DictConfig) -> None:
    """Check which part of the data this process is to read.

    Raises:
        ValueError: there is no such part, or the flags are those that fairseq's commands over data sets do not read.
    """
    parallel, dataset = cfg.distributed_training, cfg.dataset
    if not 0 <= (parallel.distributed_rank or 0) < parallel.distributed_world_size:
        raise ValueError(
            f"--distributed-rank must be from 0 to {parallel.distributed_world_size - 1}, as --distributed-world-size is "
            f"{parallel.distributed_world_size}, but is {parallel.distributed_rank}"
        )
    if dataset.num_shards != 1 or dataset.shard_id:
        given = f"--num-shards {dataset.num_shards}" if dataset.num_shards != 1 else f"--shard-id {dataset.shard_id}"
        raise ValueError(f"{given} has no effect in fairseq: leave it out; --distributed-world-size N --distributed-rank R splits a test set")


def finished_training(cfg: DictConfig, checkpoint: Path, state: Mapping[str, Any]) -> str:
    """Why fairseq-train has nothing more to do than what a checkpoint has done, for a message; empty if it has.

    fairseq would make one more update, and only then look at the limits.

    Args:
        state: what `checkpoint` holds.
    """
    options, limits = cfg.checkpoint, cfg.optimization
    if checkpoint != Path(options.save_dir, "checkpoint_last.pt") or options.reset_optimizer or options.reset_dataloader:
        return ""
    updates = (state.get("optimizer_history") or [{}])[-1].get("num_updates", 0)
    epochs = state.get("extra_state", {}).get("train_iterator", {}).get("epoch", 1) - 1
    if 0 < limits.max_update <= updates:
        return f"{checkpoint} has {updates:,} updates, and --max-update is {limits.max_update:,}"
    if 0 < limits.max_epoch <= epochs:
        return f"{checkpoint} has {epochs:,} epochs, and --max-epoch is {limits.max_epoch:,}"
    return ""


def keep_values(cfg: DictConfig) -> None:
    """Let `cfg.section.name` find today's values as plain attributes; later changes of these sections do not show there.

    fairseq-generate reads some twenty values for every hypothesis, each of them through OmegaConf.
    """
    for section in SECTIONS_OF_HYPOTHESES:
        node = cfg[section]
        vars(node).update({name: node[name] for name in node})
        vars(cfg)[section] = node
