"""A Python with torch and fairseq imported, which forks for every command, so that the commands of a test start at once.

Importing the two takes longer than most commands that the end-to-end tests run. Every command still has a process of its own with its own
arguments, environment, folder, standard files, exit status and last words; this package is imported by the command, as in a fresh Python.

The class is the tests' side. Run as a script, this file is the Python that forks; its argument is the number of a socket, and each message
there is one command, with its three standard files and the pipe that takes the number of its process and its exit status.
"""

import gc
import json
import logging
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading

MESSAGE_BYTES = 150_000


class WarmPython:
    """Runs commands in forks of one process; threads may share it."""

    def __init__(self, environment):
        self.socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        nothing = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with other:
            arguments = [sys.executable, __file__, str(other.fileno())]
            self.process = subprocess.Popen(arguments, env=environment, pass_fds=[other.fileno()], **nothing)

    def close(self):
        """Ends the Python that forks: it finds its socket closed."""
        self.socket.close()
        self.process.wait()

    def run(self, command, cwd, environment, python_path, input, timeout):
        """The finished process, as subprocess.run returns it.

        Args:
            command: a Python script, or `python -m MODULE`, with arguments.
            python_path: folder that comes first in sys.path, or None.
        """
        request = {"command": command, "cwd": str(cwd), "environment": environment, "python_path": python_path and str(python_path)}
        message = json.dumps(request).encode()
        assert len(message) <= MESSAGE_BYTES
        receiving, sending = os.pipe()
        with open(receiving) as answer, tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            stdin.write((input or "").encode())
            stdin.seek(0)
            with open(sending, "wb") as sent:
                socket.send_fds(self.socket, [message], [file.fileno() for file in (stdin, stdout, stderr, sent)])
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


def next_command(requests):
    """A request, in the process that is to run it; the forking one never returns from here, and ends when there are no more requests."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait
    while True:
        message, files, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, 4)
        if not message:
            os._exit(0)
        if os.fork():
            for file in files:
                os.close(file)
            continue
        # This process waits for the command, the next one runs it.
        requests.close()
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
    if request["python_path"]:
        sys.path.insert(1, request["python_path"])
    return module


if __name__ == "__main__":
    import fairseq  # noqa: F401  torch comes with it

    gc.freeze()
    request = next_command(socket.socket(fileno=int(sys.argv[1])))
    # What the command raises ends this script, as it would end its own: with the excepthook and the exit functions that it installed.
    if module := become(request):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(request["command"][0], run_name="__main__")
