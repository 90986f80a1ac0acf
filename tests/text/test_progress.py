"""Progress bars: on stderr once the work takes long, and nowhere if TQDM_DISABLE says so."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
from speechllm_plugin.text import progress

progress.DELAY_SECONDS = {delay}
print(list(progress.with_progress(iter("abc"), "letters", "letter", total=3)))
"""


@pytest.mark.parametrize(("delay", "disabled", "has_bar"), [(0, {}, True), (60, {}, False), (0, {"TQDM_DISABLE": "1"}, False)])
def test_a_bar_is_shown_only_where_it_is_wanted(delay, disabled, has_bar):
    environment = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"} | disabled
    ended = subprocess.run([sys.executable, "-c", PROGRAM.format(delay=delay)], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == "['a', 'b', 'c']\n"
    assert ("letters" in ended.stderr and "3/3" in ended.stderr) == has_bar and (has_bar or not ended.stderr)
