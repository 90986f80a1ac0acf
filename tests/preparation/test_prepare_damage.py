"""What happened to a prepared folder since is noticed by a second `speechllm prepare`, which mends what it can."""

import multiprocessing
import re

import pytest
from mustc_corpus import Corpus, contents, run

from speechllm_plugin.files.locks import locked_folder
from speechllm_plugin.files.remembered_options import FolderRecord

ARCHIVE = "fbank80.train.zip"
SIZES = ("22", "22")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The corpus, and the contents of its folder."""
    folder = tmp_path_factory.mktemp("damage")
    corpus = Corpus(folder / "mustc")
    for talk, split in enumerate(corpus.segments):
        corpus.add_talk(split, talk, [0.3, 0.5, 0.41] * 3)
    corpus.write_texts()
    run(corpus, folder / "data", sizes=SIZES)
    return corpus, folder / "data", contents(folder / "data")


def flipped(content):
    return content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 4]) + content[len(content) // 2 + 1 :]


@pytest.mark.parametrize("name", [ARCHIVE, "fbank80.dev.zip", "spm_target.model", "spm_transcript.txt"])
@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), r"has [\d,]+ bytes, but had [\d,]+ when it was finished"),
        (lambda path: path.write_bytes(flipped(path.read_bytes())), "is not what was written: its checksum is another"),
        (lambda path: path.unlink(), "is gone"),
    ],
    ids=["cut", "flipped", "gone"],
)
def test_a_damaged_file_is_said_and_made_again(prepared, caplog, name, damage, what):
    corpus, data, before = prepared
    damage(data / name)
    run(corpus, data, sizes=SIZES)
    assert re.search(f"{data / name}: {what}; it is made again", caplog.text) and len(caplog.messages) == 1
    assert contents(data) == before


def test_an_edited_manifest_is_not_replaced(prepared):
    corpus, data, before = prepared
    edited = before["dev.tsv"].replace(b"ted_", b"TED_")
    (data / "dev.tsv").write_bytes(edited)
    with pytest.raises(ValueError, match=r"dev.tsv: is not what was written: its checksum is another; remove it to have it made again, or give"):
        run(corpus, data, sizes=SIZES)
    assert (data / "dev.tsv").read_bytes() == edited
    (data / "dev.tsv").unlink()
    run(corpus, data, sizes=SIZES)
    assert contents(data) == before


def test_a_folder_from_before_there_were_checksums_is_taken_as_it_is(prepared, caplog):
    corpus, data, before = prepared
    record = FolderRecord(data, "prepare")
    old = record.read()
    for entry in old["pieces"].values():
        del entry["contents"]
    record.write(old)
    (data / "fbank80.dev.zip").unlink()
    run(corpus, data, sizes=SIZES)
    assert contents(data) == before and [message.partition(": ")[2] for message in caplog.messages] == ["is gone; it is made again"]


def test_a_second_command_does_not_touch_what_the_first_is_making(prepared, tmp_path):
    corpus, _, _ = prepared
    context = multiprocessing.get_context("fork")

    def hold(started, ended):
        with locked_folder(tmp_path / "data", "speechllm prepare"):
            started.set()
            ended.wait()

    events = context.Event(), context.Event()
    first = context.Process(target=hold, args=events)
    first.start()
    events[0].wait()
    with pytest.raises(ValueError, match=f"data: is being written by speechllm prepare, process {first.pid} on"):
        run(corpus, tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".lock"]
    events[1].set()
    first.join()
