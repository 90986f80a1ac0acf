"""An archive that is not as long as it was made is noticed at the start, as `speechllm prepare` notices it."""

import pytest

from speechllm_plugin.data.prepared_archives import check_sizes
from speechllm_plugin.files import recorded_files
from speechllm_plugin.files.remembered_options import FolderRecord


@pytest.fixture
def folder(tmp_path):
    pieces = {}
    for split in ("train", "test"):
        archive = tmp_path / f"fbank80.{split}.zip"
        archive.write_bytes(bytes(1000))
        names = [f"{split}.tsv", f"{split}_asr.tsv", archive.name]
        pieces[split] = {"files": names, "contents": {archive.name: recorded_files.record(archive), names[0]: {"bytes": 5, "crc32": ""}}}
    FolderRecord(tmp_path, "prepare").write({"pieces": pieces})
    return tmp_path


@pytest.mark.parametrize("size", [0, 600, 1001])
def test_an_archive_of_another_size_is_an_error_for_its_own_manifests(folder, size):
    (folder / "fbank80.test.zip").write_bytes(bytes(size))
    check_sizes(folder, "train.tsv")
    for name in ("test.tsv", "test_asr.tsv"):
        with pytest.raises(ValueError, match=rf"test.zip: has {size:,} bytes, but had 1,000 when it was finished: prepare the data again"):
            check_sizes(folder, name)


def test_what_is_not_recorded_or_not_there_is_not_looked_at(folder, tmp_path):
    (folder / "fbank80.test.zip").unlink()
    check_sizes(folder, "test.tsv")
    check_sizes(folder, "other.tsv")
    check_sizes(None, "train.tsv")
    (folder / "fbank80.train.zip").write_bytes(b"")
    record = FolderRecord(folder, "prepare").read()
    for piece in record["pieces"].values():
        del piece["contents"]
    FolderRecord(folder, "prepare").write(record)  # of an older folder
    check_sizes(folder, "train.tsv")
