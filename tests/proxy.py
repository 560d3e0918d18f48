"""A TCP proxy in front of a server, that breaks on command: cuts, stalls and loses answers.

    with Proxy(server.address()) as proxy:
        proxy.fault = Fault("up", seeing=b"COMMIT", action="lose answer")
        ... connect to 127.0.0.1, proxy.port

A fault fires once, on whichever connection gets there first; connections after it pass through. A `Gate`
holds a connection at a place, so that a test can do harm at that very moment.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from psycopg.conninfo import make_conninfo

Direction = Literal["up", "down"]
Action = Literal["rst", "fin", "stall", "lose answer"]

# A pattern may begin in one piece and end in the next; none is longer than this.
_LONGEST = 400


@dataclass
class Fault:
    """What goes wrong, and where: at byte `at` of one direction, or where `seeing` first comes.

    `more` counts bytes of that direction too, but from when the fault is set, over all connections.

    "up" is from the client to the server. Actions:
      rst, fin      bytes before `at` (none of the piece that holds `seeing`) pass, then both sides are cut
      stall         the same, but nothing is closed: a half-open network, both ways
      lose answer   the piece passes, the server's answer is awaited and dropped, then the client is cut
    """

    direction: Direction
    action: Action
    at: int | None = None
    seeing: bytes | None = None
    more: int | None = None
    fired: bool = False
    passing: int = 0

    def place(self, before: int, data: bytes) -> int | None:
        """Return how many bytes of `data`, which begins at byte `before`, still pass; None when all do."""
        if self.seeing is not None:
            return 0 if self.seeing in data else None
        if self.more is not None:
            self.more -= len(data)
            return len(data) + self.more if self.more < 0 else None
        assert self.at is not None
        return self.at - before if before <= self.at < before + len(data) else None


@dataclass
class Gate:
    """Holds the connection on which `seeing` comes for the `number`-th time, over all connections.

    Or, with `more`, the one on which so many bytes of its direction have come since the gate was set. The
    piece that holds the place waits, until `let_go`; the other connections go on.

    `met` are the places so far, `port` is the proxy's own on its way to the server (TCP), by which that knows
    the held session.
    """

    direction: Direction
    seeing: re.Pattern[bytes] | None = None
    number: int = 1
    more: int | None = None
    met: list[bytes] = field(default_factory=list)
    port: int | None = None
    held: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)
    then: Action | None = None

    def let_go(self, then: Action | None = None) -> None:
        """Let the piece pass; or do what `then` says to its connection (see `Fault`), but the first time only."""
        if not self.gone.is_set():
            self.then = then
            self.gone.set()

    def due(self, before: bytes, data: bytes) -> bool:
        """Whether the place is in `data`, which comes after `before` on its connection."""
        if self.held.is_set():
            return False
        if self.seeing is None:
            assert self.more is not None
            self.more -= len(data)
            return self.more < 0
        for found in self.seeing.finditer(before + data):
            if found.end() > len(before):
                self.met.append(found[0])
                if len(self.met) == self.number:
                    return True
        return False


class Proxy:
    """See the module; `passed` counts bytes by direction over all connections."""

    def __init__(self, server: tuple[str, int] | str) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.fault: Fault | None = None
        self.gate: Gate | None = None
        self.passed = {"up": 0, "down": 0}
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def dsn(self, dsn: str, **overrides: Any) -> str:
        """Return `dsn` with its way led through here."""
        return make_conninfo(dsn, host="127.0.0.1", port=self.port, **overrides)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _connect(self) -> socket.socket:
        if isinstance(self._server, str):
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            return server
        return socket.create_connection(self._server)

    def _serve(self, client: socket.socket) -> None:
        """Pass one connection's bytes both ways until one side closes or a fault ends it."""
        try:
            server = self._connect()
        except OSError:
            client.close()
            return
        ways: dict[socket.socket, tuple[Direction, socket.socket]]
        ways = {client: ("up", server), server: ("down", client)}
        counts = {"up": 0, "down": 0}
        before = {"up": b"", "down": b""}
        with client, server, contextlib.suppress(OSError):
            while not self._closing.is_set():
                for origin in select.select(list(ways), [], [], 0.05)[0]:
                    direction, destination = ways[origin]
                    data = origin.recv(65536)
                    if not data:
                        return
                    gate = self._held(direction, before[direction], data, server)
                    before[direction] = (before[direction] + data)[-_LONGEST:]
                    if gate is not None and gate.then is not None:
                        self._break(Fault(direction, gate.then), data, client, server)
                        return
                    fault = self._due(direction, counts[direction], data)
                    if fault is not None:
                        self._break(fault, data, client, server)
                        return
                    destination.sendall(data)
                    counts[direction] += len(data)
                    self.passed[direction] += len(data)

    def _held(self, direction: Direction, before: bytes, data: bytes, server: socket.socket) -> Gate | None:
        """Hold what the gate wants held; give the gate once that may go."""
        with self._lock:
            gate = self.gate
            if gate is None or gate.direction != direction or not gate.due(before, data):
                return None
            if server.family != socket.AF_UNIX:
                gate.port = server.getsockname()[1]
            gate.held.set()
        while not gate.gone.wait(0.05) and not self._closing.is_set():
            pass
        return gate

    def _due(self, direction: Direction, before: int, data: bytes) -> Fault | None:
        with self._lock:
            fault = self.fault
            if fault is None or fault.fired or fault.direction != direction:
                return None
            place = fault.place(before, data)
            if place is None:
                return None
            fault.fired, fault.passing = True, place
            return fault

    def _break(self, fault: Fault, data: bytes, client: socket.socket, server: socket.socket) -> None:
        destination = server if fault.direction == "up" else client
        if fault.action == "lose answer":
            destination.sendall(data)
            server.settimeout(10)
            server.recv(65536)
            time.sleep(0.05)
            _reset_on_close(client)
            return
        destination.sendall(data[: fault.passing])
        if fault.action == "stall":
            self._closing.wait()
        elif fault.action == "rst":
            _reset_on_close(client)
            if server.family != socket.AF_UNIX:
                _reset_on_close(server)


def _reset_on_close(line: socket.socket) -> None:
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
