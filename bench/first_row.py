"""When the first row is sent: a proxy before the target that finds it in what the client says.

It hands all bytes on as they come, and reads along: PostgreSQL's messages ("Message Formats" of its protocol), of
which only CopyData counts here, and of a binary COPY what follows its header.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

from bench.servers import address, moved
from copypump.codec.framing import HEADER, TRAILER

PIECE = 1 << 18
COPY_DATA = ord("d")


class Watch:
    """What one client has said so far, as far as it matters."""

    def __init__(self) -> None:
        # The first message has no type before its length.
        self._head, self._head_size = b"", 4
        self._left, self._copying, self._copied = 0, False, 0

    def feed(self, data: bytes) -> bool:
        """Whether a row has begun by the end of this."""
        at = 0
        while at < len(data):
            if self._left:
                size = min(self._left, len(data) - at)
                self._left -= size
                self._copied += size if self._copying else 0
            else:
                size = min(self._head_size - len(self._head), len(data) - at)
                self._head += data[at : at + size]
                if len(self._head) == self._head_size:
                    self._begin()
            at += size
        return self._copied > len(HEADER) + len(TRAILER)

    def _begin(self) -> None:
        """Take in what is at the head of a message; its length counts itself, and not the type."""
        (length,) = struct.unpack(">i", self._head[-4:])
        self._copying = self._head_size == 5 and self._head[0] == COPY_DATA
        self._head, self._head_size, self._left = b"", 5, length - 4


class Proxy:
    """Stands before a server until it is closed; `dsn` leads through it, without encryption.

    `sent` is when the first row came by, of time.monotonic(); None as long as there was none.
    """

    def __init__(self, dsn: str) -> None:
        self._there = address(dsn)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.dsn = moved(dsn, port, sslmode="disable", gssencmode="disable")
        self.sent: float | None = None
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """End, once all clients have."""
        self._listener.shutdown(socket.SHUT_RDWR)  # which wakes the thread that waits for clients
        while self._threads:
            self._threads.pop(0).join()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(here,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, here: socket.socket) -> None:
        with here, contextlib.suppress(OSError), self._connect() as there:
            back = threading.Thread(target=self._carry, args=(there, here, None))
            back.start()
            self._carry(here, there, Watch())
            back.join()

    def _connect(self) -> socket.socket:
        host, port = self._there
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        there = socket.socket(socket.AF_UNIX)
        there.connect(f"{host}/.s.PGSQL.{port}")
        return there

    def _carry(self, here: socket.socket, there: socket.socket, watch: Watch | None) -> None:
        """One direction, to its end."""
        with contextlib.suppress(OSError):
            while data := here.recv(PIECE):
                if watch is not None and self.sent is None and watch.feed(data):
                    self.sent = time.monotonic()
                there.sendall(data)
        with contextlib.suppress(OSError):
            there.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def watched(dsn: str) -> Iterator[Proxy]:
    """A proxy for as long as the block lasts."""
    with contextlib.closing(Proxy(dsn)) as proxy:
        yield proxy
