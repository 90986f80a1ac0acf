"""speechllm_plugin: speech-to-text with dense feature prepending or cross-attention, for the stock fairseq commands.

Importing it registers the tasks, criterions, models and optimizers in fairseq: at once where fairseq is loaded, as in its commands, else when
something loads it. So an import that needs neither fairseq nor torch, as of `speechllm_plugin.scoring`, waits for neither.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from speechllm_plugin.host import registration

if TYPE_CHECKING:
    from speechllm_plugin.transcription.speech_model import SpeechModel

__version__ = "0.1.0"


def load(folder: "str | Path", device: "str | None" = None, dtype: str = "float32") -> "SpeechModel":
    """The model of a folder that `speechllm export` wrote; its transcribe() makes texts of recordings.

    Args:
        device: cpu, cuda or cuda:N; None is the first GPU, or the CPU where there is none.
        dtype: of the computation: float32, or for GPUs bfloat16 or float16.

    Raises:
        FileNotFoundError, ValueError: the folder is incomplete, damaged, or not of this package; there is no such device.
    """
    from speechllm_plugin.host.logging_of_fairseq import log_left_alone

    with log_left_alone():
        from speechllm_plugin.transcription.speech_model import SpeechModel

    return SpeechModel(folder, device, dtype)


def register() -> None:
    """The plugin in fairseq's registries, and what it changes in fairseq and torch."""
    from speechllm_plugin import criterions, host, models, optim, tasks  # noqa: F401
    from speechllm_plugin.files import atomic, checkpoint_file, interruption, locks, model_folder
    from speechllm_plugin.host import folders_as_checkpoints, stock_command, stock_files
    from speechllm_plugin.models import speech_to_text  # noqa: F401

    host.install()
    folders_as_checkpoints.accept(model_folder.is_model_folder, model_folder.read_checkpoint)
    stock_files.write_whole(checkpoint_file.save, atomic.replacing, locks.locked_file)
    if stock_command.name():
        interruption.end_program(stock_command.name())


registration.with_fairseq(register)
