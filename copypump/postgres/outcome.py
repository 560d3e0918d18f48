"""What became of a COMMIT whose answer was lost: ask the server until it is final."""

from __future__ import annotations

import contextlib
import enum
import time

import psycopg
from msgspec import Struct
from psycopg.conninfo import make_conninfo

from copypump.errors import CopypumpError, Side
from copypump.postgres import exchange
from copypump.postgres.connect import CONNECT_TIMEOUT, Connection, connect
from copypump.postgres.exchange import Lost

# Seconds (GUARANTEES, promise 1): a server that restarts after a crash is back by then, or nobody knows when.
PATIENCE = 30.0

# A backend that has not noticed the loss of its client holds the outcome open (and its locks) until its own
# keepalives end it, hours by default. It is our own, nobody serves it any more, and ending it makes the
# outcome final, either way.
_ORPHAN_AFTER = 3.0


class Outcome(enum.Enum):
    """What is known about a transaction."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    UNKNOWN = "unknown"
    DOUBTFUL = "doubtful"  # committed, but its server crashed meanwhile, and the id may be another's by now


# In a crash a server loses the ids whose first record had not reached its disk, and gives them out again:
# their status is another transaction's then. A shutdown keeps the server's statistics and a crash discards
# them, so the moment of their reset tells if there was one (pgstat_reset_after_failure of PostgreSQL's
# pgstat.c). Spelled as bytes, since two sessions may differ in their time zones and styles of dates.
STATISTICS_SINCE = (
    "pg_catalog.encode(pg_catalog.timestamptz_send(pg_catalog.pg_stat_get_bgwriter_stat_reset_time()), 'hex')"
)


class Transaction(Struct, frozen=True):
    """A writing transaction, as its own server knows it.

    Its 64-bit id, its backend, since when the server had gathered statistics, and the server's version.
    """

    xid: int
    pid: int
    statistics_since: str | None
    server_version: int

    @property
    def _status(self) -> str:
        if self.server_version >= 130000:
            return f"pg_catalog.pg_xact_status('{self.xid}'::pg_catalog.xid8)"
        return f"pg_catalog.txid_status({self.xid})"

    @property
    def query(self) -> str:
        """What to ask the server."""
        return f"SELECT {self._status}"

    @property
    def query_with_crash(self) -> str:
        """The same, and `STATISTICS_SINCE`."""
        return f"SELECT {self._status}, {STATISTICS_SINCE}"

    @property
    def end_orphan(self) -> str:
        """What ends its backend, if that still is in this very transaction."""
        return (
            f"SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity "
            f"WHERE pid OPERATOR(pg_catalog.=) {self.pid} "
            f"AND backend_xid::pg_catalog.text OPERATOR(pg_catalog.=) '{self.xid & 0xFFFFFFFF}'"
        )


def resolve(dsn: str, side: Side, transaction: Transaction, patience: float) -> Outcome:
    """Ask again on new sessions, at most for `patience` seconds; Ctrl-C stops asking."""
    started = time.monotonic()
    deadline = started + patience
    while True:
        with contextlib.suppress(CopypumpError, psycopg.Error, Lost, TimeoutError):
            try:
                outcome = _ask(dsn, side, transaction, deadline, orphan_at=started + _ORPHAN_AFTER)
            except psycopg.errors.InvalidParameterValue:
                return Outcome.ABORTED  # not given out yet: it was lost in a crash, and all of it with it
            if outcome is not Outcome.UNKNOWN:
                return outcome
        if time.monotonic() >= deadline:
            return Outcome.UNKNOWN
        time.sleep(0.5)


def _ask(dsn: str, side: Side, transaction: Transaction, deadline: float, orphan_at: float) -> Outcome:
    """Ask on one new session until the answer is final."""
    timeout = max(2, min(CONNECT_TIMEOUT, int(deadline - time.monotonic())))
    connection = connect(make_conninfo(dsn, connect_timeout=timeout), side)
    try:
        while time.monotonic() < deadline:
            status, since = _row(connection, transaction.query_with_crash, deadline)
            if status == "committed" and since != transaction.statistics_since:
                return Outcome.DOUBTFUL
            if status in ("committed", "aborted"):
                return Outcome(status)
            if status is None:  # so old that the server has forgotten it
                return Outcome.UNKNOWN
            if time.monotonic() >= orphan_at:
                exchange.run(connection.pgconn, transaction.end_orphan.encode(), deadline=deadline)
            time.sleep(0.2)
    finally:
        exchange.hang_up(connection)
    return Outcome.UNKNOWN


def _row(connection: Connection, query: str, deadline: float) -> list[str | None]:
    """Return a query's only row."""
    result = exchange.run(connection.pgconn, query.encode(), deadline=deadline)[-1]
    values = (result.get_value(0, column) for column in range(result.nfields))
    return [None if value is None else value.decode() for value in values]
