"""Two processes never write one thing; what a killed one left is taken over; nothing stays behind."""

import errno
import multiprocessing
import os
import signal

import pytest

from speechllm_plugin.files import locks
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.files.locks import locked_file, locked_folder

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def holder():
    """holder(lock, path): a process in a block of `lock` that writes a file half and then waits to be killed."""
    processes = []

    def start(lock, path, written):
        ready = FORK.Event()

        def hold():
            with lock(path, "speechllm prepare"), replacing(written) as part:
                part.write_text("half")
                ready.set()
                signal.pause()

        processes.append(FORK.Process(target=hold))
        processes[-1].start()
        assert ready.wait(60)
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.join()


@pytest.mark.parametrize(("lock", "name"), [(locked_folder, "data"), (locked_file, "average.pt")])
def test_a_second_process_is_told_who_writes_and_a_killed_ones_successor_takes_over(holder, tmp_path, lock, name):
    place = tmp_path / name
    first = holder(lock, place, place / "train.tsv" if lock is locked_folder else place)
    rule = rf"^{place}: is being written by speechllm prepare, process {first.pid} on \S+, since [\d-]+ [\d:]+; wait until that ends, or give another"
    with pytest.raises(ValueError, match=rule), lock(place, "speechllm distill"):
        pass
    (partial,) = tmp_path.rglob("*.tmp")
    first.kill()
    first.join()
    with lock(place, "speechllm distill"):
        assert not partial.exists()
        with replacing(place / "x" if lock is locked_folder else place) as part:
            part.write_text("whole")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["x" if lock is locked_folder else name]


def test_a_lock_of_a_file_leaves_others_of_its_folder_alone(holder, tmp_path):
    holder(locked_file, tmp_path / "a", tmp_path / "a")
    with locked_file(tmp_path / "b", "speechllm average"):
        assert list(tmp_path.glob(".a.*.tmp"))


def test_a_folder_in_which_nothing_was_written_vanishes(tmp_path):
    (tmp_path / "there").mkdir()
    for lock, name in ((locked_folder, "there"), (locked_folder, "new"), (locked_folder, "several/new/ones"), (locked_file, "new/average.pt")):
        with pytest.raises(KeyError), lock(tmp_path / name, "speechllm prepare"):
            assert len(list(tmp_path.rglob(".*lock"))) == 1
            raise KeyError
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_a_process_forked_in_the_block_does_not_keep_the_lock(tmp_path):
    def hold():
        with locked_folder(tmp_path, "fairseq-train"):
            worker = os.fork()
            if not worker:
                signal.pause()
            sender.send(worker)
            signal.pause()

    receiver, sender = FORK.Pipe()
    process = FORK.Process(target=hold)
    process.start()
    worker = receiver.recv()
    process.kill()
    process.join()
    with locked_folder(tmp_path, "fairseq-train"):
        os.kill(worker, signal.SIGKILL)


def test_the_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError) as error, locked_folder(tmp_path / "file", "speechllm prepare"):
        pass
    assert error.value.filename == str(tmp_path / "file")


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def lockf(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.fcntl, "lockf", lockf)
    with locked_folder(tmp_path, "speechllm prepare"):
        assert "its file system has no locks (No locks available)" in caplog.text
