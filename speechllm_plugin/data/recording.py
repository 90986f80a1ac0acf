"""The place of an utterance's sound, so that it can be played."""

from pathlib import Path

from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.manifest import Utterance

RECORDING_COLUMN = "recording"  # prepare writes it where `audio` stands for stored features


def recording_of(utterance: Utterance, config: DataConfig) -> tuple[str, Path] | None:
    """The arguments with which `data.audio.read` gives the sound of an utterance; None where there are only features.

    Args:
        config: of the data folder in which the utterance's manifest lies.

    Returns:
        `file` or `file:start_sample:num_samples` (at the file's own rate), and the folder that a relative file starts from. Nobody has
        looked whether the file is still there.
    """
    if config.recording_root is not None and utterance.extra.get(RECORDING_COLUMN):
        return utterance.extra[RECORDING_COLUMN], config.recording_root
    if ".zip:" in utterance.audio or utterance.audio.endswith(".npy"):
        return None
    return utterance.audio, config.audio_root
