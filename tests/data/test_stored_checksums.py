"""One flipped bit in an archive of features is noticed when they are read, once for every utterance and training."""

import zipfile

import numpy as np
import pytest
from tiny_model import task

from speechllm_plugin.data import features, speech_dataset
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.data.speech_dataset import SpeechRows, SpeechTextDataset
from speechllm_plugin.data.speech_texts import SpeechTexts
from speechllm_plugin.preparation.feature_archive import FeatureArchive

LENGTHS = [9, 30, 21]


@pytest.fixture
def archive(tmp_path):
    """The archive and the rows of its utterances; names are as long as a user's."""
    rng = np.random.default_rng(0)
    with FeatureArchive(tmp_path / "a.zip") as writer:
        rows = [
            Utterance(f"ä_{length}", writer.add("ä" * length, rng.normal(size=(length, 80)).astype("float32")), length, "", "", "")
            for length in LENGTHS
        ]
    return tmp_path / "a.zip", rows


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    features._mapped.cache_clear()


@pytest.mark.parametrize("row", range(len(LENGTHS)))
def test_a_flipped_bit_anywhere_in_an_utterance_is_noticed_there_alone(archive, row):
    path, rows = archive
    start, size = map(int, rows[row].audio.split(":")[1:])
    for position in (start + 200, start + size // 2, start + size - 1):
        flip(path, position)
        for number, utterance in enumerate(rows):
            if number == row:
                with pytest.raises(ValueError, match=f"{utterance.audio}: is not what was stored, its checksum is another"):
                    features.check_stored(utterance.audio, path.parent)
            else:
                features.check_stored(utterance.audio, path.parent)
        flip(path, position)
    for changed in (f"{start + 1}:{size}", f"{start}:{size - 1}"):
        with pytest.raises(ValueError, match="no file of the archive begins there|is not what was stored"):
            features.check_stored(f"a.zip:{changed}", path.parent)


def test_an_archive_that_was_written_as_a_stream_has_no_checksum_there(tmp_path):
    with open(tmp_path / "s.zip", "wb") as file:
        file.seekable = lambda: False
        with zipfile.ZipFile(file, "w") as stream:
            stream.writestr("a", bytes(100))
    features.check_stored("s.zip:31:100", tmp_path)


def test_every_utterance_is_compared_once(archive, monkeypatch):
    path, rows = archive
    compared = []
    check = features.check_stored
    monkeypatch.setattr(speech_dataset, "check_stored", lambda *arguments: [compared.append(arguments[0]), check(*arguments)])
    data = SpeechTextDataset(SpeechRows(rows), path.parent, task().target_dictionary, SpeechTexts())
    for _ in range(3):
        for row in range(len(rows)):
            data[row]
    assert compared == [row.audio for row in rows]
    assert data.checked.is_shared()  # with the workers of all epochs


def test_a_damaged_row_is_named(archive):
    path, rows = archive
    flip(path, int(rows[1].audio.split(":")[1]) + 500)
    data = SpeechTextDataset(SpeechRows(rows), path.parent, task().target_dictionary, SpeechTexts())
    data[0]
    for _ in range(2):
        with pytest.raises(ValueError, match="^row 1: a.zip:.*: is not what was stored"):
            data[1]
