"""Damaged inputs of all commands: one clear line, or accepted with the right value; never a traceback, never wrong in silence.

`python3 tests/support/damaged_inputs.py` prints the counts that docs/reliability.md has.
"""

import damaged_inputs
import pytest


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    return list(damaged_inputs.judge_all(tmp_path_factory.mktemp("sound"), damaged_inputs.all_cases()))


def test_every_damaged_input_ends_in_one_clear_line_or_is_accepted_rightly(verdicts):
    assert len(verdicts) >= 200
    assert {verdict.case.name: verdict.why for verdict in verdicts if verdict.why} == {}
    assert {verdict.outcome for verdict in verdicts} == {damaged_inputs.CLEAN, damaged_inputs.RIGHT}


def test_no_two_cases_have_the_same_name(verdicts):
    names = [verdict.case.name for verdict in verdicts]
    assert len(names) == len(set(names))
