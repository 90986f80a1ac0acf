"""What a folder remembers of the command that made it: written and read as it is, compared flag by flag."""

import pytest

from speechllm_plugin.files.remembered_options import FolderRecord

OPTIONS = {"--task": "st", "--kbest": 3, "--hold-out": None}


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = FolderRecord(tmp_path / "out", "prepare")
    assert record.read() is None
    record.write(OPTIONS)
    assert FolderRecord(tmp_path / "out", "prepare").read() == OPTIONS
    assert (tmp_path / "out/.prepare.json").read_text() == '{\n "--task": "st",\n "--kbest": 3,\n "--hold-out": null\n}\n'
    assert FolderRecord(tmp_path / "out", "distill").read() is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"--task": "asr"}, "--task is asr, but .*out was made with st; choose another --out"), ({"--new": 1}, "--new is 1, but .* was made with None")],
)
def test_another_value_of_a_flag_is_an_error(tmp_path, changes, message):
    record = FolderRecord(tmp_path / "out", "prepare")
    record.check_options(OPTIONS, OPTIONS)
    record.check_options(OPTIONS, {"--task": "st"})
    with pytest.raises(ValueError, match=message):
        record.check_options(OPTIONS, OPTIONS | changes)


def test_a_manifest_of_somebody_else_is_not_replaced(tmp_path):
    record = FolderRecord(tmp_path, "distill")
    record.check_not_foreign([tmp_path / "train.tsv"])
    (tmp_path / "train.tsv").touch()
    with pytest.raises(ValueError, match="train.tsv: speechllm distill did not make this manifest and would replace it; choose another --out"):
        record.check_not_foreign([tmp_path / "dev.tsv", tmp_path / "train.tsv"])
