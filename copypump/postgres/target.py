"""The target's end of a COPY: wire bytes as the Encoder made them; no Arrow, no framing."""

from __future__ import annotations

import socket
import time

import psycopg
from psycopg import pq

from copypump.errors import CopypumpError, TargetError
from copypump.postgres import _copy, exchange
from copypump.postgres.exchange import COPY_FAIL, Lost
from copypump.postgres.interrupt import Aborted
from copypump.postgres.session import DEADLINE, Query, Session
from copypump.postgres.translate import told, translate

# Bytes of one CopyData message; libpq copies each into its output buffer, which grows to twice of it. For
# 294 MB in writes of 1 MiB (PostgreSQL 15, the same machine), s of client CPU by TCP / Unix socket: 16 kB
# 0.14 - 0.28 / 0.6 - 0.9, 64 kB 0.17 - 0.19 / 0.17 - 0.22, 256 kB 0.11 - 0.16 / 0.15 - 0.18, 1 MiB 0.10 -
# 0.13 / 0.16 - 0.20. libpq sends multiples of 8 kB, and the rest by itself: with the message's head of five
# bytes there is none.
PIECE = (1 << 18) - 5

# Bytes that a Unix socket to the target shall hold, which Linux doubles. By default it holds 208 kB, and lets
# us write again once three quarters of them are gone: the server is left with little to read until we come.
# For TPC-H lineitem (6,001,215 rows, 1.3 GB), in turn: client CPU 2.9 s by default, 2.4 s with 1 MiB, wall
# 0.95 and 0.87 of a raw pipe's; 512 kB to 4 MiB were alike. TCP's buffers grow by themselves.
SEND_BUFFER = 1 << 19

# Seconds for the rest of a message that is neither an error nor whole (a notice in two segments).
_GRACE = 1.0


def _hold_more(pgconn: pq.abc.PGconn) -> None:
    with exchange.line(pgconn) as line:
        if line.family == socket.AF_UNIX:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)


class Target:
    """One COPY IN in binary format over a session in a transaction.

    `start()`, `write()` any cut of the stream, trailer included, and `finish()` on purpose. Anything else
    is ended by `abort()`, or by leaving the session: then nothing is kept. `waited_ns` is the time spent
    waiting for the server.
    """

    def __init__(self, session: Session, *, table: str | None = None) -> None:
        self._session = session
        self._table = table
        self._notices = 0
        self.bytes = 0
        self.waited_ns = 0

    def start(self, statement: Query) -> int:
        """Run a COPY ... FROM STDIN (FORMAT BINARY); return its number of columns.

        Raises TargetError, Aborted.
        """
        session = self._session
        began = time.monotonic_ns()
        try:
            with told(session.side, table=self._table):
                result = session.results(statement)[-1]
        finally:
            self.waited_ns += time.monotonic_ns() - began
        _hold_more(session.pgconn)
        self._notices = session.notices
        if result.status != pq.ExecStatus.COPY_IN or not result.binary_tuples:
            raise ValueError("not a COPY ... FROM STDIN (FORMAT BINARY)")
        return result.nfields

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; returns when all of them are with the kernel.

        Raises TargetError with the server's words as soon as it refuses what was sent before, Aborted.
        """
        session = self._session
        interrupt = session.interrupt
        sent = 0
        while True:
            with session.native() as handle:
                status, sent, waited = _copy.push(
                    handle, -1 if interrupt is None else interrupt.fd, data, sent, piece=PIECE
                )
            self.waited_ns += waited
            if status == _copy.MORE:
                break
            if status == _copy.STOPPED:
                raise Aborted
            if status == _copy.LOST or self._refused():
                raise self._refusal()
        self.bytes += sent

    def _refused(self) -> bool:
        """Read what the server says in the middle of our COPY: a notice is passed on, an error ends the copy.

        libpq keeps an error to itself until CopyDone or CopyFail, so it is told from its first byte on the
        socket, or, where that is encrypted, from not being a notice. Servers before 14 may also report a
        changed parameter there, so with them it waits for the end of the copy.
        """
        session = self._session
        pgconn = session.pgconn
        seen = session.notices
        # After notices, half of one may be with libpq, and the next byte in the middle of it.
        if not pgconn.ssl_in_use and seen == self._notices and exchange.peek(pgconn) in (b"E", b""):
            return True
        deadline = time.monotonic() + _GRACE
        while True:
            try:
                pgconn.consume_input()
                pgconn.is_busy()  # parses notices
                if session.notices != seen or session.server_version < 140000:
                    return False
                exchange.wait(pgconn, interrupt=session.interrupt, deadline=deadline)
            except TimeoutError:
                return True
            except (psycopg.Error, Lost):
                return True

    def _refusal(self) -> CopypumpError:
        """End the COPY and return the server's error."""
        session = self._session
        try:
            exchange.end_copy(session.pgconn, COPY_FAIL, deadline=time.monotonic() + DEADLINE)
        except (psycopg.Error, Lost) as error:
            return translate(error, session.side, table=self._table)
        except TimeoutError:
            pass
        return TargetError(
            "the server ended COPY early, and did not say why", side=session.side, table=self._table
        )

    def finish(self) -> int:
        """Send CopyDone and return the server's count of rows. Raises TargetError, Aborted."""
        session = self._session
        began = time.monotonic_ns()
        try:
            with told(session.side, table=self._table):
                found = exchange.end_copy(session.pgconn, interrupt=session.interrupt)
        finally:
            self.waited_ns += time.monotonic_ns() - began
        # Other statements may follow the COPY in its query.
        rows = next((result.command_tuples for result in found if result.command_tuples is not None), None)
        if rows is None:
            raise TargetError("the server ended COPY without saying how many rows it took", side=session.side)
        return rows

    def abort(self, deadline: float | None = None) -> bool:
        """End the COPY so that nothing of it is kept; whether the session can be used again.

        CopyFail with a constant text, then a cancel if the server is busy, before `deadline` (of
        time.monotonic(), by default in `DEADLINE` seconds). The transaction has then failed. A session that
        cannot be used is closed.
        """
        return self._session.quiesce(time.monotonic() + DEADLINE if deadline is None else deadline)
