"""The source's end of a COPY: wire bytes as the server sends them; no Arrow, no framing."""

from __future__ import annotations

import time

from psycopg import pq

from copypump.codec._buffers import Buffers
from copypump.errors import SourceError
from copypump.postgres import _copy, exchange
from copypump.postgres.interrupt import Aborted
from copypump.postgres.session import DEADLINE, Query, Session
from copypump.postgres.translate import told, translate

# One message of this size makes libpq's input buffer, 16 kB at first, 1 MiB for good, so that one read can
# take all that has gathered in the socket. 256 kB and 4 MiB cost the same CPU, the latter 12 MB more memory.
GROW_BYTES = (1 << 20) - 4096

# Nanoseconds in which a byte is thought to come (650 MB/s) until a stream has shown it: the native loop lets
# data gather for as long as that takes.
PACE = 1.5


class Source:
    """One COPY OUT in binary format over a session in a transaction.

    `start()`, then `read()` until None; only then `rows` is known. Anything else is ended by `cancel()`, or
    by leaving the session. `waited_ns` is the time spent waiting for the server.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._buffers = Buffers()
        self.rows: int | None = None
        self.messages = 0
        self.bytes = 0
        self.waited_ns = 0
        self._pace = PACE

    def start(self, statement: Query) -> int:
        """Run a COPY ... TO STDOUT (FORMAT BINARY); return its number of columns.

        Waits until the server begins to send, whatever it has to do before. Raises SourceError, Aborted.
        """
        session = self._session
        began = time.monotonic_ns()
        try:
            if not session.grown:
                session.execute(f"SELECT pg_catalog.repeat(' ', {GROW_BYTES})")
                session.grown = True
            with told(session.side):
                result = session.results(statement)[-1]
        finally:
            self.waited_ns += time.monotonic_ns() - began
        if result.status != pq.ExecStatus.COPY_OUT or not result.binary_tuples:
            raise ValueError("not a COPY ... TO STDOUT (FORMAT BINARY)")
        return result.nfields

    def read(self, max_bytes: int, max_rows: int = 1 << 62) -> bytearray | None:
        """Return the next bytes of the stream; None after the end.

        At least `max_bytes` bytes or `max_rows` messages (PostgreSQL sends one a row), less only at the
        end; more by at most 16 kB. The bytearray is used again when nothing refers to it any more. Raises
        SourceError with the server's own words, Aborted.
        """
        if self.rows is not None:
            return None
        session = self._session
        interrupt = session.interrupt
        if interrupt is not None:
            interrupt.check()
        data = self._buffers.take()
        with session.native() as handle:
            status, rows, waited, self._pace = _copy.drain(
                handle,
                -1 if interrupt is None else interrupt.fd,
                data,
                max_bytes,
                max_rows,
                pace=self._pace,
            )
        self.messages += rows
        self.bytes += len(data)
        self.waited_ns += waited
        if status == _copy.END:
            self._finish()
            return data or None
        if status == _copy.LOST:
            raise translate(exchange.broken(session.pgconn), session.side)
        if status == _copy.STOPPED:
            raise Aborted
        return data

    def _finish(self) -> None:
        """Take the command's result: the server's count of rows, or its error."""
        session = self._session
        with told(session.side):
            found = exchange.results(session.pgconn, interrupt=session.interrupt)
        self.rows = found[-1].command_tuples if found else None
        if self.rows is None:
            raise SourceError("the server ended COPY without saying how many rows it sent", side=session.side)

    def cancel(self, deadline: float | None = None) -> bool:
        """End the COPY before its end: cancel, then drain; whether the session can be used again.

        Its transaction has then failed and wants a rollback. `deadline` is of time.monotonic(), by default in
        `DEADLINE` seconds. A session that cannot be used any more has been closed.
        """
        return self._session.quiesce(time.monotonic() + DEADLINE if deadline is None else deadline)
