"""Where the sound of a manifest's row is, so that it can be played."""

from pathlib import Path

from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.manifest import Utterance

RECORDING_COLUMN = "recording"  # that prepare writes where `audio` stands for stored features


def recording_of(utterance: Utterance, config: DataConfig) -> tuple[str, Path] | None:
    """The arguments that give `data.audio.read` the sound of an utterance; None where only features are there.

    Args:
        config: of the data folder that the utterance's manifest lies in.

    Returns:
        `file` or `file:start_sample:num_samples` (at the file's own rate), and the folder that a relative file starts from. The file
        may have been moved or deleted since: reading it says so.
    """
    if config.recording_root is not None and utterance.extra.get(RECORDING_COLUMN):
        return utterance.extra[RECORDING_COLUMN], config.recording_root
    if ".zip:" in utterance.audio or utterance.audio.endswith(".npy"):
        return None
    return utterance.audio, config.audio_root
