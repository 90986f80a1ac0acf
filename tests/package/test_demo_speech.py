"""The demo's speech: each utterance is spoken by a process that began anew, and no process waits for ever."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("espeakng_loader", reason="the demo's requirements are not installed")


@pytest.fixture
def synthesise(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples/demo")
    import synthesise

    yield synthesise
    del sys.modules["synthesise"], sys.modules["sentences"]


@pytest.fixture
def some(synthesise):
    return synthesise.utterances(1, {"train": 6})["train"]


def test_each_utterance_is_spoken_by_a_process_of_its_own_that_one_thread_has_forked(synthesise, some, monkeypatch):
    monkeypatch.setattr(synthesise, "speak", lambda utterance: np.array([os.getpid(), len(os.listdir(f"/proc/{os.getppid()}/task"))]))
    processes, threads = zip(*synthesise.speak_all(some))
    assert len(set(processes)) == 6 and set(threads) == {1}


def test_what_is_said_does_not_depend_on_what_was_said_before(synthesise, some):
    for one, other in zip(synthesise.speak_all(some), reversed(synthesise.speak_all(some[::-1]))):
        assert len(one) > 10_000 and np.array_equal(one, other)


@pytest.mark.parametrize(
    ("ends", "message"),
    [(lambda utterance: os.kill(os.getpid(), 9), "ended with status -9 at"), (lambda utterance: int("no voice"), "invalid literal")],
)
def test_a_process_that_ends_says_why(synthesise, some, monkeypatch, ends, message):
    monkeypatch.setattr(synthesise, "speak", ends)
    with pytest.raises(ValueError, match=message):
        synthesise.speak_all(some)
