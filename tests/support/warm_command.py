"""A command that runs in a fork of the warm Python, as recipes call it: warm_command.py FOLDER PROGRAM ARGUMENT...

FOLDER holds the socket of the warm Python, PROGRAM is the command that this one stands for. It has its standard files, environment, folder
and exit status, dies of the signal that the command dies of, and passes SIGINT, SIGTERM and SIGHUP on. Of what `python3` runs it is the
`speechllm` commands; all else starts from nothing.
"""

import json
import os
import signal
import socket
import sys

MESSAGE_BYTES = 150_000
MODULE = ("-m", "speechllm_plugin.commands.cli")


def at_socket(folder, call):
    """Call with the address of the socket in a folder, which may be longer than addresses can be."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        call(f"/proc/self/fd/{number}/socket")
    finally:
        os.close(number)


def begin(folder, command, cwd, environment, standard_files):
    """Start a command; returns the lines of its process number and its exit status, as a file."""
    message = json.dumps({"command": command, "cwd": cwd, "environment": environment}).encode()
    assert len(message) <= MESSAGE_BYTES
    receiving, sending = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        at_socket(folder, connection.connect)
        socket.send_fds(connection, [message], [*standard_files, sending])
    os.close(sending)
    return open(receiving)


def main(folder, program, *arguments):
    command = [program, *arguments]
    if os.path.basename(program) == "python3" and arguments[:2] != MODULE:
        os.execv(program, command)
    with begin(folder, command, os.getcwd(), dict(os.environ), [0, 1, 2]) as answer:
        pid = int(answer.readline())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: os.killpg(pid, number))
        status = int(answer.readline())
    if status >= 0:
        sys.exit(status)
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)


if __name__ == "__main__":
    main(*sys.argv[1:])
