"""The sound of an utterance inside the page."""

import base64
import io

import soundfile

from speechllm_plugin.data import audio
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.data.recording import recording_of

MOST_SECONDS = 60  # of one player: a recording of an hour would make a page that no browser opens


def data_uri(utterance: Utterance, config: DataConfig | None) -> tuple[str, str]:
    """The address of a player's sound, `data:audio/mpeg;base64,...`, and "" or why there is no sound.

    Args:
        config: of the utterance's data folder; None where there is none.

    Returns:
        (address, ""), or ("", reason).
    """
    if config is None:
        return "", "no config.yaml beside the manifest says where the recordings are"
    place = recording_of(utterance, config)
    if place is None:
        return "", "only features are stored, and the manifest has no column recording"
    try:
        waveform = audio.read(*place)
    except ValueError as error:
        return "", str(error)
    if "MP3" not in soundfile.available_formats():
        return "", f"libsndfile {soundfile.__libsndfile_version__} cannot write MP3; install soundfile's wheel"
    encoded = io.BytesIO()
    soundfile.write(encoded, waveform[: MOST_SECONDS * audio.SAMPLE_RATE], audio.SAMPLE_RATE, format="MP3")
    return f"data:audio/mpeg;base64,{base64.b64encode(encoded.getvalue()).decode('ascii')}", ""
