"""One side's session: of a DSN, opened and closed; one given, which comes back as it was; or a pool's.

A Session runs statements in one thread at a time, each under the run's Interrupt; Source and Target move
bytes over it. Whatever ends a statement early (Ctrl-C, Aborted, a deadline), `rollback()` or leaving the
session brings the connection back to idle, and closes it when that cannot be done in time.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

import psycopg
from msgspec import Struct
from psycopg import pq, sql

from copypump.errors import (
    CopypumpError,
    RefusedError,
    Side,
    UsageError,
)
from copypump.postgres import exchange
from copypump.postgres.connect import APPLICATION_NAME, Connection, connect
from copypump.postgres.exchange import Lost
from copypump.postgres.interrupt import Interrupt
from copypump.postgres.together import Message, together
from copypump.postgres.translate import refused_text, told, translate
from copypump.postgres.values import Param, Value, dump, rows_of

if TYPE_CHECKING:
    from copypump.postgres.pool import Pool

log = logging.getLogger("copypump.session")

Query = str | sql.Composable

Rows = list[tuple[Value, ...]]


class Statement(Struct, frozen=True):
    """One that is sent together with others: `params` are bound to $1, $2 ...

    With `parse`, it is only parsed, which takes its locks, and a fault of its text is a RefusedError.
    """

    query: Query
    params: Sequence[Param] = ()
    parse: bool = False


# What gives a session: see `Session`.
Where: TypeAlias = "str | Connection | Pool"

# The catalog queries use what PostgreSQL 12 has (pg_attribute.attgenerated).
OLDEST_SERVER = 120000

# Seconds for one side to end politely; then it is closed. Both together have 10 (GUARANTEES).
DEADLINE = 4.0

# Seconds that closing in the middle of a query gives its cancel request to get away.
_CANCEL_PATIENCE = 0.5

# What a role's, a database's or a connection's own settings must not change under us. SET LOCAL, because
# SELECT set_config() would take the snapshot before the table is locked, and because it ends with the
# transaction.
_SETTINGS = (
    ("client_encoding", "'UTF8'", 0),
    ("statement_timeout", "0", 0),
    ("lock_timeout", "{lock_timeout}", 0),
    ("idle_in_transaction_session_timeout", "0", 0),
    ("transaction_timeout", "0", 170000),
    ("row_security", "off", 0),
    # A trigger that chatters for each row: see Target. Whatever is said in a COPY is then an error.
    ("client_min_messages", "error", 0),
)


BEGIN_SOURCE = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
BEGIN_TARGET = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"


def opening(begin: str, version: int, lock_timeout: int = 0) -> tuple[str, ...]:
    """Give the statements that begin a transaction of ours on a server of this version, settings included.

    `lock_timeout` is in milliseconds; with 0 locks are waited for without an end.
    """
    settings = (f"SET LOCAL {name} = {value}" for name, value, since in _SETTINGS if version >= since)
    return (begin, *(setting.format(lock_timeout=lock_timeout) for setting in settings))


class Session:
    """A session on one side; `where` is a DSN ("" for the PG* variables), a connection or a pool.

    A connection that is given must be open, idle, not in pipeline mode and not in use by another thread, else
    UsageError; its lock is held until the session is left, and nothing about it changes but the size of
    libpq's buffers. Leaving rolls an open transaction back, then closes what we opened. A given connection
    that could not be brought back to idle is closed, too; that is told to `warn`, and is the `closed` of an
    error of ours that passes. `lock_timeout` is that of each transaction, in milliseconds.

    `committed` says how the last COMMIT ended: None before it, and while nobody can say.
    """

    def __init__(
        self,
        where: Where,
        side: Side,
        *,
        interrupt: Interrupt | None = None,
        warn: Callable[[str], object] = log.warning,
        lock_timeout: int = 0,
    ) -> None:
        self.side = side
        self.lock_timeout = lock_timeout
        self.owned = isinstance(where, str)
        self.interrupt = interrupt
        self._warn = warn
        self.committed: bool | None = None
        self.notices = 0
        self.grown = False  # libpq's input buffer, for good, by Source
        self._where = where
        self._notice_handler: Callable[[pq.abc.PGresult], None] | None = None
        self._native = threading.Lock()
        self._connection: Connection | None = None

    # Coming and going

    def __enter__(self) -> Session:
        if isinstance(self._where, str):
            self._connection = connect(self._where, self.side, interrupt=self.interrupt)
        elif isinstance(self._where, psycopg.Connection):
            self._borrow(self._where)
        else:
            from copypump.postgres.pool import take  # most runs have no pool, and start sooner without it

            taken = take(self._where, self.side, self.interrupt)
            try:
                self._borrow(taken)
            except BaseException:
                self._where.putconn(taken)
                raise
        self._notice_handler = self.pgconn.notice_handler
        self.pgconn.notice_handler = self._count_notice
        if self.server_version < OLDEST_SERVER:
            version = self.server_version // 10000
            self.close()
            raise RefusedError(f"the server is PostgreSQL {version}; 12 or later is needed", side=self.side)
        return self

    def _borrow(self, given: Connection) -> None:
        """Take the lock of a connection that can be used, or say why it cannot."""
        if not given.lock.acquire(blocking=False):
            raise UsageError("the given connection is in use by another thread", side=self.side)
        fault = None
        if given.closed:
            fault = "is closed"
        elif given.pgconn.pipeline_status != pq.PipelineStatus.OFF:
            fault = "is in pipeline mode"
        elif given.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            fault = "is in a transaction: commit or roll it back first"
        if fault:
            given.lock.release()
            raise UsageError(f"the given connection {fault}", side=self.side)
        self._connection = given

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        given = self._connection if isinstance(self._where, psycopg.Connection) else None
        try:
            self.rollback()
        finally:
            self.close()
            if given is not None and given.closed:
                note = f"the given connection to the {self.side} could not come back to idle, and was closed"
                self._warn(note)
                if isinstance(error, CopypumpError):
                    error.closed = (*error.closed, self.side)
                elif error is not None:
                    error.add_note(note)

    def close(self) -> None:
        """Close what we opened; give back what was given. Harmless when repeated.

        Does not wait for the server; see `rollback()` for the polite way.
        """
        connection = self._connection
        if connection is None:
            return
        connection.pgconn.notice_handler = self._notice_handler
        status = connection.pgconn.transaction_status
        if status == pq.TransactionStatus.ACTIVE:
            # A server that computes does not look at its socket: without a cancel it would go on for nobody.
            exchange.Cancel(connection.pgconn).done(time.monotonic() + _CANCEL_PATIENCE)
        if status != pq.TransactionStatus.IDLE:
            self.hang_up()
        elif self.owned:
            connection.close()
        self._connection = None
        if not self.owned:
            connection.lock.release()
        if not isinstance(self._where, str | psycopg.Connection):
            self._where.putconn(connection)

    def _count_notice(self, notice: pq.abc.PGresult) -> None:
        """Keep count, and let psycopg have it."""
        self.notices += 1
        if self._notice_handler is not None:
            self._notice_handler(notice)

    @contextlib.contextmanager
    def native(self) -> Iterator[int]:
        """Give the address of libpq's connection to a native loop; nobody frees it meanwhile.

        Raises the side's error when the connection is closed.
        """
        with self._native:
            handle = exchange.address(self.pgconn)
            if not handle:
                raise translate(Lost("the connection is closed"), self.side)
            yield handle

    def hang_up(self) -> None:
        """Close as the last resort: end the socket, which ends a native loop on another thread, then free.

        Harmless where that thread has closed the session meanwhile.
        """
        connection = self._connection
        if connection is None:
            return
        exchange.shut(connection)
        with self._native:
            connection.close()

    def quiesce(self, deadline: float) -> bool:
        """End what the session is doing, its transaction aside; False when it had to be closed for that."""
        # A native loop on another thread would have to be stopped by its interrupt first.
        if not self._native.acquire(timeout=max(0.0, deadline - time.monotonic())):
            self.hang_up()
            return False
        try:
            quiet = exchange.quiesce(self.pgconn, deadline)
        finally:
            self._native.release()
        if not quiet:
            self.hang_up()
        return quiet

    # What it is

    @property
    def connection(self) -> Connection:
        """The psycopg connection; an error of ours when the session is not open."""
        if self._connection is None:
            raise RuntimeError("the session is not open")
        return self._connection

    @property
    def pgconn(self) -> pq.abc.PGconn:
        """The connection of libpq below it."""
        return self.connection.pgconn

    @property
    def dsn(self) -> str:
        """What opens another session like this one."""
        return self._where if isinstance(self._where, str) else _dsn_of(self.connection)

    @property
    def server_version(self) -> int:
        """As libpq counts: 150018 for 15.18."""
        return self.pgconn.server_version

    @property
    def server_encoding(self) -> str:
        """The database's encoding by PostgreSQL's name: UTF8, LATIN1, SQL_ASCII ..."""
        return (self.pgconn.parameter_status(b"server_encoding") or b"").decode()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, failed or not."""
        return self.pgconn.transaction_status in (
            pq.TransactionStatus.INTRANS,
            pq.TransactionStatus.INERROR,
            pq.TransactionStatus.ACTIVE,
        )

    def backend_pid(self) -> int:
        """Return the process that serves us now, also behind a pooler, where libpq knows another."""
        return int(self.execute("SELECT pg_catalog.pg_backend_pid()")[0][0])

    # Statements

    def execute(
        self, query: Query, params: Sequence[Param] | None = None, *, deadline: float | None = None
    ) -> list[tuple[Value, ...]]:
        """Run one statement and return its rows; `params` are bound to $1, $2 ...

        The types of parameters are left to the server. bool, int and float columns come as such, all others
        as the server's text. Raises SourceError or TargetError, Aborted, TimeoutError after `deadline` (of
        time.monotonic()).
        """
        with told(self.side):
            return rows_of(self.pgconn, self.results(query, params, deadline)[-1])

    def results(
        self, query: Query, params: Sequence[Param] | None = None, deadline: float | None = None
    ) -> list[pq.abc.PGresult]:
        """Run a query and return libpq's own results; raises psycopg.Error, Lost, Aborted, TimeoutError."""
        encoded = self.encode(query)
        bound = None if params is None else [dump(value) for value in params]
        return exchange.run(self.pgconn, encoded, bound, interrupt=self.interrupt, deadline=deadline)

    def together(self, statements: Sequence[Query | Statement]) -> list[Rows]:
        """Run statements in one round trip, and return the rows of each; none begins after one that failed.

        COPY cannot be among them. Raises as `execute` does.
        """
        return self._together(statements, self.encode)

    def _together(
        self, statements: Sequence[Query | Statement], encode: Callable[[Query], bytes]
    ) -> list[Rows]:
        asked = [each if isinstance(each, Statement) else Statement(each) for each in statements]
        messages = [_message(each, encode(each.query)) for each in asked]
        found: list[pq.abc.PGresult] = []
        with told(self.side):
            try:
                together(self.pgconn, messages, found, interrupt=self.interrupt)
            except psycopg.Error as error:
                if asked[len(found)].parse and (refused := refused_text(error, self.side)):
                    raise refused from None
                raise
            return [rows_of(self.pgconn, result) for result in found]

    def encode(self, query: Query) -> bytes:
        """Return the query's text as this session sends it."""
        text = query if isinstance(query, str) else query.as_string(self.connection)
        return text.encode(exchange.encoding(self.pgconn))

    # Transactions

    def begin_source(self, *first: Query | Statement) -> list[Rows]:
        """Begin to read: one snapshot, taken by the first statement that needs one, and no write.

        What is to be done `first` goes in the same round trip; its rows are returned (see `together`).
        """
        return self._begin(BEGIN_SOURCE, first)

    def begin_target(self, *first: Query | Statement) -> list[Rows]:
        """Begin to write, seeing what others commit meanwhile; the rest as for `begin_source`."""
        return self._begin(BEGIN_TARGET, first)

    def _begin(self, begin: str, first: Sequence[Query | Statement]) -> list[Rows]:
        statements = opening(begin, self.server_version, self.lock_timeout)
        if first:
            # They are read by a server that has been told of UTF-8, which this connection was not yet.
            return self._together([*statements, *first], _in_utf8)[len(statements) :]
        with told(self.side):
            self.results("; ".join(statements))
        return []

    def rollback(self, deadline: float | None = None) -> bool:
        """End whatever goes on and roll back, in any state, before `deadline` (default: in `DEADLINE` s).

        Returns whether the connection is idle; one that is not has been closed. Raises nothing of the
        server's.
        """
        if self._connection is None:
            return True
        if deadline is None:
            deadline = time.monotonic() + DEADLINE
        try:
            if not self.quiesce(deadline):
                return False
            idle = _rolled_back(self.pgconn, deadline)
        except BaseException:  # a second Ctrl-C: no more waiting
            self.hang_up()
            raise
        if not idle:
            self.hang_up()
        return idle


def _message(statement: Statement, query: bytes) -> Message:
    """What queues a statement's message."""
    if statement.parse:
        return lambda pgconn: pgconn.send_prepare(b"", query)
    bound = [dump(value) for value in statement.params]
    return lambda pgconn: pgconn.send_query_params(query, bound)


def _in_utf8(query: Query) -> bytes:
    return (query if isinstance(query, str) else query.as_string()).encode()


def _rolled_back(pgconn: pq.abc.PGconn, deadline: float) -> bool:
    """Bring a quiet session to idle; whether that worked."""
    # Twice, as a cancel request of quiesce() that came too late may hit the first.
    for _ in range(2):
        if pgconn.transaction_status == pq.TransactionStatus.IDLE:
            break
        try:
            exchange.run(pgconn, b"ROLLBACK", deadline=deadline)
        except psycopg.errors.QueryCanceled:
            continue
        except (psycopg.Error, Lost, TimeoutError):
            return False
    return pgconn.transaction_status == pq.TransactionStatus.IDLE


def _dsn_of(connection: Connection) -> str:
    """Return what opens the same session again, its password included."""
    parameters = connection.info.get_parameters()
    parameters["application_name"] = APPLICATION_NAME
    if connection.info.password:
        parameters["password"] = connection.info.password
    return psycopg.conninfo.make_conninfo("", **parameters)
