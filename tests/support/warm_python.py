"""A Python with torch and fairseq imported, which forks for every command, so that the commands of a test start at once.

Importing the two takes longer than most commands that the end-to-end tests run. Every command still has a process of its own with its own
arguments, environment, folder, standard files, exit status and last words; this package is imported by the command, as in a fresh Python.

The class is the tests' side. Run as a script, this file is the Python that forks; its arguments are the number of a socket, at whose end it
ends, and the folder in which it listens. Each connection brings one message: a command, with its three standard files and the pipe that takes
the number of its process and its exit status.

Recipes get the same by a folder that comes first in PATH: what is called python3 or fairseq-train there is warm_command.py.
"""

import gc
import importlib
import json
import logging
import os
import runpy
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import warm_command
from warm_command import MESSAGE_BYTES

# What most commands import, of other packages: fairseq with torch, and what torch imports when an optimizer is made.
IMPORTED = ("fairseq", "torch._dynamo", "torch.distributed.fsdp", "kaldi_native_fbank", "langcodes", "regex", "sentencepiece", "soundfile", "soxr")
WARM_COMMANDS = ("python3", "fairseq-train", "fairseq-generate")


class WarmPython:
    """Runs commands in forks of one process; threads may share it."""

    def __init__(self, environment):
        self.folder = Path(tempfile.mkdtemp())
        self.owner, other = socket.socketpair()
        nothing = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with other, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            warm_command.at_socket(self.folder, listener.bind)
            listener.listen(64)
            numbers = [other.fileno(), listener.fileno()]
            self.process = subprocess.Popen([sys.executable, __file__, *map(str, numbers)], env=environment, pass_fds=numbers, **nothing)

    def close(self):
        """Ends the Python that forks: it finds its socket closed."""
        self.owner.close()
        self.process.wait()
        shutil.rmtree(self.folder)

    @property
    def path(self):
        """The folder with the commands that recipes find."""
        commands = self.folder / "bin"
        if not commands.exists():
            made = Path(tempfile.mkdtemp(dir=self.folder))
            for name in WARM_COMMANDS:
                call = [sys.executable, "-IS", warm_command.__file__, str(self.folder), str(Path(sys.executable).with_name(name))]
                (made / name).write_text(f'#!/bin/sh\nexec {shlex.join(call)} "$@"\n')
                (made / name).chmod(0o755)
            made.rename(commands)
        return commands

    def run(self, command, cwd, environment, input, timeout):
        """The finished process, as subprocess.run returns it.

        Args:
            command: a Python script, or `python -m MODULE`, with arguments.
        """
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            stdin.write((input or "").encode())
            stdin.seek(0)
            standard_files = [file.fileno() for file in (stdin, stdout, stderr)]
            with warm_command.begin(self.folder, command, str(cwd), environment, standard_files) as answer:
                pid = int(answer.readline())
                timer = threading.Timer(timeout, os.killpg, (pid, signal.SIGKILL))
                timer.start()
                returncode = int(answer.readline())
                timer.cancel()
            outputs = [read_from_start(file) for file in (stdout, stderr)]
        if returncode == -signal.SIGKILL:
            raise subprocess.TimeoutExpired(command, timeout, *outputs)
        return subprocess.CompletedProcess(command, returncode, *outputs)


def read_from_start(file):
    file.seek(0)
    return file.read().decode()


def next_command(owner, listener):
    """A request, in the process that is to run it; the forking one never returns from here, and ends when its owner does."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait
    while True:
        if owner in select.select([owner, listener], [], [])[0]:
            os._exit(0)
        connection, _ = listener.accept()
        message, files, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, 4)
        connection.close()
        if not message:
            continue
        if os.fork():
            for file in files:
                os.close(file)
            continue
        # This process waits for the command, the next one runs it.
        owner.close()
        listener.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        *standard_files, answer = files
        if pid := os.fork():
            os.write(answer, f"{pid}\n".encode())
            _, status = os.waitpid(pid, 0)
            os.write(answer, f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os._exit(0)
        os.close(answer)
        for number, file in enumerate(standard_files):
            os.dup2(file, number)
            os.close(file)
        return json.loads(message)


def become(request):
    """Take over the arguments, the environment and the folder of a command; returns its script or module."""
    os.setsid()
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    command = request["command"]
    module = command[2] if command[1:2] == ["-m"] else None
    sys.argv = command[2:] if module else command
    sys.orig_argv = command if module else [sys.executable, *command]
    sys.path[0] = request["cwd"] if module else os.path.dirname(command[0])
    if os.path.basename(command[0]) == "fairseq-train":
        # The import of fairseq has set up logging. This command, unlike the others, does that itself before it imports fairseq.
        logging.getLogger().handlers.clear()
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return module


if __name__ == "__main__":
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    request = next_command(*(socket.socket(fileno=int(number)) for number in sys.argv[1:]))
    # What the command raises ends this script, as it would end its own: with the excepthook and the exit functions that it installed.
    if module := become(request):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(request["command"][0], run_name="__main__")
