"""The target's end where COPY cannot write: rows as binary parameters of INSERTs, in libpq's pipeline.

A field of COPY BINARY is what a parameter in binary format is, length and all, so every type is exact.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Callable, Iterator, Sequence

import psycopg
from psycopg import pq

from copypump.codec.framing import HEADER, TRAILER
from copypump.errors import CopypumpError, TargetError
from copypump.postgres import exchange
from copypump.postgres.exchange import Lost
from copypump.postgres.interrupt import Interrupt
from copypump.postgres.session import Query, Session
from copypump.postgres.translate import told

# Rows of one statement. 200,000 rows of four columns into a view (PostgreSQL 15, the same machine, two cores
# that others used too), thousand rows a second: 1 row 32, 10 rows 48, 30 rows 49, 300 rows 51, 1,000 rows 53.
ROWS = 50

# The protocol counts parameters in 16 bits.
_MOST_PARAMETERS = 65_535

# Statements between two looks at the socket.
_STRIDE = 16

# Seconds for the pipeline to come to an end when it is given up.
_PATIENCE = 2.0

_SAVEPOINT = b"SAVEPOINT copypump"
_ROLLBACK = b"ROLLBACK TO copypump"
_RELEASE = b"RELEASE copypump"

Row = list[bytes | None]


class Inserts:
    """Rows into a table by INSERT over a session in a transaction; used as a Target is, for whole rows.

    Args:
        session: in a transaction, which is of no use after an error.
        statement: all before the first row: INSERT INTO ... (...) VALUES.
        types: the oid of each column's wire type.

    """

    def __init__(self, session: Session, statement: Query, types: Sequence[int]) -> None:
        self._session = session
        self._head = session.encode(statement)
        self._types = list(types)
        self._step = max(1, min(ROWS, _MOST_PARAMETERS // len(types)))
        self._rows = 0
        self.waited_ns = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send the header, the trailer, or whole rows between them, and wait until the server has them.

        Raises TargetError with the number of the row that the server refuses, Aborted.
        """
        if data in (HEADER, TRAILER):
            return
        rows, first = list(_split(memoryview(data))), self._rows
        try:
            with told(self._session.side):
                self._rows += self._insert(rows)
        except TargetError as error:
            if error.lost:
                raise
            raise self._placed(error, rows, first) from None

    def finish(self) -> int:
        """Return the server's count of rows."""
        return self._rows

    def _insert(self, rows: Sequence[Row]) -> int:
        """Insert rows within a savepoint of their own; return how many landed."""
        pipeline = _Pipeline(self._session)
        whole = len(rows) - len(rows) % self._step
        with pipeline:
            pipeline.send(_SAVEPOINT)
            for step, part in ((self._step, rows[:whole]), (len(rows) - whole, rows[whole:])):
                if not part:
                    continue
                pipeline.prepare(self._statement(step), self._types * step)
                for at in range(0, len(part), step):
                    pipeline.execute([field for row in part[at : at + step] for field in row])
            pipeline.send(_RELEASE)
            landed = pipeline.end()
        self.waited_ns += pipeline.waited_ns
        return landed

    def _statement(self, rows: int) -> bytes:
        width = len(self._types)
        numbers = (
            ", ".join(f"${row * width + column}" for column in range(1, width + 1)) for row in range(rows)
        )
        return self._head + ", ".join(f"({each})" for each in numbers).encode()

    def _placed(self, error: TargetError, rows: Sequence[Row], first: int) -> CopypumpError:
        """Insert the rows of a part that failed one by one; give the error of the first that fails again."""
        pipeline = _Pipeline(self._session)
        try:
            with told(self._session.side), pipeline:
                pipeline.send(_ROLLBACK)
                pipeline.prepare(self._statement(1), self._types)
                for row in rows:
                    pipeline.execute(row)
                pipeline.end()
        except TargetError as again:
            if not again.lost and pipeline.done is not None:
                again.row = first + pipeline.done + 1
            return again
        return error


class _Pipeline:
    """libpq's pipeline mode, from the first statement to the one answer to all; entered and left once.

    `done` counts the INSERTs that went well before the first error.
    """

    def __init__(self, session: Session) -> None:
        self.done: int | None = None
        self.waited_ns = 0
        self._session = session
        self._pgconn = session.pgconn
        self._inserts: list[bool] = []  # of each command that was sent, in order, whether it is one
        self._synced = False
        self._settled = False

    def __enter__(self) -> _Pipeline:
        try:
            self._pgconn.enter_pipeline_mode()
        except psycopg.Error as error:
            raise Lost(exchange.said(self._pgconn)) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the mode, whatever happened; a session that does not get there in time is closed."""
        pgconn = self._pgconn
        if pgconn.status != pq.ConnStatus.OK:
            return
        try:
            if not self._settled:
                self._give_up()
            pgconn.exit_pipeline_mode()
        except (psycopg.Error, Lost, TimeoutError):
            self._session.hang_up()

    def send(self, statement: bytes) -> None:
        """Queue a statement without parameters."""
        self._queue(lambda: self._pgconn.send_query_params(statement, []))

    def prepare(self, statement: bytes, types: Sequence[int]) -> None:
        """Queue the parsing of the statement that `execute` then means."""
        self._queue(lambda: self._pgconn.send_prepare(b"", statement, types))

    def execute(self, fields: Sequence[bytes | None]) -> None:
        """Queue the prepared statement with these parameters, all of them in binary format."""
        formats = [pq.Format.BINARY] * len(fields)
        self._queue(lambda: self._pgconn.send_query_prepared(b"", fields, formats), insert=True)

    def end(self) -> int:
        """Wait for the answers to all; return how many rows the INSERTs put in.

        Raises psycopg.Error of the first that failed, Lost, Aborted.
        """
        try:
            self._pgconn.pipeline_sync()
        except psycopg.Error as error:
            raise Lost(exchange.said(self._pgconn)) from error
        self._synced = True
        self._flush(self._session.interrupt)
        return self._collect(self._session.interrupt)

    def _queue(self, send: Callable[[], None], *, insert: bool = False) -> None:
        try:
            send()
        except psycopg.Error as error:
            raise Lost(exchange.said(self._pgconn)) from error
        self._inserts.append(insert)
        if len(self._inserts) % _STRIDE == 0:
            self._flush(self._session.interrupt)

    def _flush(self, interrupt: Interrupt | None, deadline: float | None = None) -> None:
        """See what is queued off; what the server says meanwhile is taken, so that it never waits for us."""
        pgconn = self._pgconn
        try:
            while pgconn.flush():
                if self._wait(interrupt, deadline, writing=True):
                    pgconn.consume_input()
        except psycopg.Error:
            raise exchange.broken(pgconn) from None

    def _collect(self, interrupt: Interrupt | None, deadline: float | None = None) -> int:
        """Read the results: one of each command, and that of the sync; Nones stand between them."""
        pgconn, at, rows = self._pgconn, 0, 0
        failed: psycopg.Error | Lost | None = None
        while True:
            try:
                while pgconn.is_busy():
                    self._wait(interrupt, deadline)
                    pgconn.consume_input()
            except (psycopg.Error, Lost):
                raise failed or exchange.broken(pgconn) from None
            result = pgconn.get_result()
            if result is None:
                if pgconn.status != pq.ConnStatus.OK:
                    raise failed or exchange.broken(pgconn)
                continue
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                break
            if result.status == pq.ExecStatus.FATAL_ERROR and failed is None:
                failed = exchange.error_of(pgconn, result)
                self.done = sum(self._inserts[:at]) if self._inserts[at] else None
            elif self._inserts[at]:
                rows += result.command_tuples or 0
            at += 1
        self._settled = True
        if failed is not None:
            raise failed
        return rows

    def _wait(self, interrupt: Interrupt | None, deadline: float | None, *, writing: bool = False) -> bool:
        began = time.monotonic_ns()
        try:
            return exchange.wait(self._pgconn, writing=writing, interrupt=interrupt, deadline=deadline)
        finally:
            self.waited_ns += time.monotonic_ns() - began

    def _give_up(self) -> None:
        """Have the server stop, and read to the end of what it was sent."""
        deadline = time.monotonic() + _PATIENCE
        cancel = exchange.Cancel(self._pgconn)
        if not self._synced:
            self._pgconn.pipeline_sync()
        self._flush(None, deadline)
        with contextlib.suppress(psycopg.errors.Error):
            self._collect(None, deadline)
        if not self._settled or not cancel.done(deadline):
            raise TimeoutError


_COUNT, _LENGTH = struct.Struct("!h"), struct.Struct("!i")


def _split(data: memoryview) -> Iterator[Row]:
    """Cut whole rows, as COPY BINARY has them, into their fields; whoever made them has checked them."""
    at = 0
    while at < len(data):
        (count,) = _COUNT.unpack_from(data, at)
        at += _COUNT.size
        row: Row = []
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size
            row.append(bytes(data[at : at + length]) if length >= 0 else None)
            at += max(length, 0)
        yield row
