"""A command that is told to stop cleans up, says so in one line and dies of the signal; its workers die first."""

import functools
import os
import signal
import subprocess
import sys
import time

import pytest
from commands import ROOT

COMMAND = """
import multiprocessing, sys, time
from speechllm_plugin.commands import cli
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.files.locks import locked_folder

def run(args):
    with locked_folder("out", "speechllm x"), replacing("out/file") as part:
        part.write_text("half")
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=[600], daemon=True)
        worker.start()
        print(worker.pid, flush=True)
        time.sleep(600)

parser = cli.build_parser(None)
parser.set_defaults(run=run)
cli.build_parser = lambda command: parser
sys.exit(cli.main(["prepare"]))  # a name for which torch is not imported
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_stays_behind(tmp_path, number):
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    # Whoever runs the tests may ignore the signal, as a shell does for SIGINT of what it starts in the background; children inherit that.
    settings["preexec_fn"] = functools.partial(signal.signal, number, signal.SIG_DFL)
    process = subprocess.Popen([sys.executable, "-c", COMMAND], cwd=tmp_path, **settings)
    worker = int(process.stdout.readline())
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (-number, f"speechllm: stopped by {number.name}\n")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_what_somebody_ignores_stays_ignored(tmp_path):
    code = "import signal\nfrom speechllm_plugin.files import interruption\ninterruption.catch_signals()\nprint(signal.getsignal(signal.SIGHUP).name)"
    command = f"trap '' HUP; exec {sys.executable} -c '{code}'"
    process = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert process.stdout == "SIG_IGN\n"


def test_a_worker_that_does_not_hear_is_killed(tmp_path):
    worker_code = "def deaf():\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    open('deaf', 'w').close()\n    time.sleep(600)\n\n"
    code = COMMAND.replace("target=time.sleep, args=[600]", "target=deaf").replace("def run(args):", worker_code + "def run(args):")
    code = code.replace("import multiprocessing,", "import multiprocessing, signal,")
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, **settings)
    worker, deadline = int(process.stdout.readline()), time.monotonic() + 60
    while not (tmp_path / "deaf").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM and errors == "speechllm: stopped by SIGTERM\n"
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
