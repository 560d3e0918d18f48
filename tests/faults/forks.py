"""A fork server: it has imported what a run does, and each of its forks goes on as `python -m copypump`.

To import that anew costs half a second of CPU, and the suite has hundreds of processes.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]

_LONGEST = 1 << 16  # of the command lines


class Fork:
    """`copypump WORDS` in a session of its own; what it says goes into the file."""

    def __init__(self, words: tuple[str, ...], said: IO[Any]) -> None:
        self._told, telling = Pipe(duplex=False)
        with telling:
            socket.send_fds(_server(), [json.dumps(words).encode()], [said.fileno(), telling.fileno()])
        self.pid: int = self._told.recv()
        self._code: int | None = None

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit code, once it has ended; that of a signal is negative."""
        if self._code is None and self._told.poll(seconds):
            self._code = self._told.recv()
            self._told.close()
        return self._code


@functools.cache
def _server() -> socket.socket:
    """The way to it; it ends with this process."""
    # Each order is one message, so that several threads may give them.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forks"], cwd=ROOT, stdin=theirs, start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"},
        )  # fmt: skip

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours


def _serve() -> list[str]:
    """Fork for each order, and return its words there."""
    with socket.socket(fileno=os.dup(0)) as orders:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for the forks
        while True:
            order, fds, *_ = socket.recv_fds(orders, _LONGEST, 2)
            if not order:
                sys.exit()
            said, telling = fds
            if not os.fork():
                break
            os.close(said)
            os.close(telling)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with Connection(telling, readable=False) as told:
        pid = os.fork()
        if pid:
            told.send(pid)
            told.send(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            os._exit(0)
    os.setsid()
    for fd, to in ((os.open(os.devnull, os.O_RDONLY), 0), (said, 1), (said, 2)):
        os.dup2(fd, to)
    os.close(said)
    words: list[str] = json.loads(order)
    return words


if __name__ == "__main__":
    for name in ("copypump.engine.api", "tests.faults.etl"):
        importlib.import_module(name)
    sys.argv[1:] = _serve()
    runpy.run_module("copypump", run_name="__main__", alter_sys=True)
