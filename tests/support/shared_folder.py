"""A folder that all processes of a test session share, so that what takes long is made once, whichever of them needs it first."""

import fcntl
import os
import pickle

import pytest


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """made_once(name, make): what make(folder) returned for a new folder of that name, in this process or in another one."""
    folder = tmp_path_factory.getbasetemp()
    shared = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "shared"
    shared.mkdir(exist_ok=True)

    def result(name, make):
        stored = shared / f"{name}.pickle"
        with open(shared / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
            if not stored.exists():
                (shared / name).mkdir()
                made = make(shared / name)
                stored.write_bytes(pickle.dumps(made))
        return pickle.loads(stored.read_bytes())

    return result
