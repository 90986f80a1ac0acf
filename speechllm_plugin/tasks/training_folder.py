"""The folder of a training's checkpoints (--save-dir): one training at a time writes there, and a finished one is not gone on with."""

import logging
import sys
from pathlib import Path

from fairseq.distributed import utils as distributed
from omegaconf import DictConfig

from speechllm_plugin.files import checkpoint_file, interruption
from speechllm_plugin.files.locks import locked_folder
from speechllm_plugin.host import configuration, stock_command

logger = logging.getLogger(__name__)


def enter(cfg: DictConfig) -> None:
    """Lock the folder until this process ends, or end it where the training has ended before; nothing in commands that do not train.

    Args:
        cfg: of the command as a whole.

    Raises:
        ValueError: another training writes there.
        SystemExit: there is nothing to do, with status 0.
    """
    if not stock_command.trains():
        return
    if distributed.is_master(cfg.distributed_training) and not cfg.checkpoint.no_save:
        interruption.until_the_end.enter_context(locked_folder(cfg.checkpoint.save_dir, stock_command.name()))
    last = Path(cfg.checkpoint.save_dir, "checkpoint_last.pt")
    if cfg.checkpoint.restore_file == last.name and last.is_file():
        reason = configuration.finished_training(cfg, last, checkpoint_file.load(last, whole=False))
        if reason:
            logger.info(f"already finished: {reason}")
            sys.exit(0)
