"""From a DSN to an open session: what libpq takes, with defaults that notice a dead network."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from copypump.errors import Side, UsageError
from copypump.postgres import exchange
from copypump.postgres.interrupt import Interrupt
from copypump.postgres.translate import error_class, one_line

Connection = psycopg.Connection[Any]

APPLICATION_NAME = "copypump"

# Seconds for one host to answer; libpq itself would wait for minutes.
CONNECT_TIMEOUT = 10

# A network that is gone is noticed while we only wait (keepalives: 30 + 3 * 10 seconds), and while
# unanswered bytes are on the way (user timeout, milliseconds). The latter also ends a peer that reads
# nothing for so long, a target that waits for somebody's lock in the middle of a row, so it is far longer.
# A DSN or service file overrides each.
TCP_DEFAULTS = {
    "keepalives_idle": (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 30),
    "keepalives_interval": (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 10),
    "keepalives_count": (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
    "tcp_user_timeout": (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 600_000),
}


def parse_dsn(dsn: str, side: Side) -> dict[str, Any]:
    """Return the DSN's own parameters (an empty DSN has none); UsageError, which never repeats the DSN."""
    with contextlib.suppress(psycopg.Error, UnicodeError):
        return dict(conninfo_to_dict(dsn))
    # Raised outside of the handler: libpq's words, which quote the DSN, are then no context of this error.
    raise UsageError(
        f"the {side}'s DSN is neither a conninfo string nor a postgresql:// URI that libpq can read",
        side=side,
        hint='write "host=... dbname=... user=..." or "postgresql://user@host/dbname"; in a URI, special '
        "characters are percent-encoded. The DSN is not shown, as it may hold a password",
    )


def connect(dsn: str, side: Side, *, interrupt: Interrupt | None = None) -> Connection:
    """Open a session in autocommit mode; "" means what the PG* variables say.

    psycopg connects on a thread of its own, because name resolution cannot be woken: on Ctrl-C, or
    `Aborted` by the interrupt, this returns at once, and the thread closes whatever it still gets. Raises
    UsageError, SourceError or TargetError (libpq's own words, which hold no password).
    """
    params = parse_dsn(dsn, side)
    params.setdefault("fallback_application_name", APPLICATION_NAME)
    params.setdefault("client_encoding", "UTF8")
    if "PGCONNECT_TIMEOUT" not in os.environ:
        params.setdefault("connect_timeout", CONNECT_TIMEOUT)
    attempt = _Attempt(make_conninfo("", **params))
    try:
        connection = attempt.wait(interrupt)
    except BaseException:
        attempt.give_up()
        raise
    finally:
        attempt.close()
    if isinstance(connection, psycopg.ProgrammingError):  # say, a connect_timeout that is no number
        raise UsageError(one_line(str(connection)), side=side)
    if isinstance(connection, psycopg.Error):
        error = error_class(side)(
            one_line(str(connection)),
            side=side,
            sqlstate=connection.sqlstate,
            hint=f"see whether psql gets in with the DSN of the {side}: it connects in the same way",
        )
        error.lost = connection.sqlstate is None
        raise error
    if isinstance(connection, BaseException):
        raise connection
    _notice_dead_network(connection)
    return connection


class _Attempt:
    """One connect on a daemon thread; whoever started it takes the session, or gives it up."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._outcome: Connection | BaseException | None = None
        self._given_up = False
        self._lock = threading.Lock()
        self._done = Interrupt()
        self._thread = threading.Thread(target=self._connect, name="copypump connect", daemon=True)
        self._thread.start()

    def _connect(self) -> None:
        outcome: Connection | BaseException
        try:
            outcome = psycopg.Connection.connect(self._conninfo, autocommit=True, prepare_threshold=None)
        except BaseException as error:
            outcome = error
        with self._lock:
            if self._given_up and isinstance(outcome, psycopg.Connection):
                outcome.close()
            self._outcome = outcome
        self._done.set()

    def wait(self, interrupt: Interrupt | None) -> Connection | BaseException:
        """Return the session, or what was raised instead; raises Aborted."""
        poller = select.poll()
        poller.register(self._done.fd, select.POLLIN)
        if interrupt is not None:
            poller.register(interrupt.fd, select.POLLIN)
        poller.poll()
        if interrupt is not None:
            interrupt.check()
        assert self._outcome is not None
        return self._outcome

    def give_up(self) -> None:
        """Close the session, now or when it comes."""
        with self._lock:
            self._given_up = True
            if isinstance(self._outcome, psycopg.Connection):
                self._outcome.close()

    def close(self) -> None:
        """Give back what it waited by."""
        self._done.close()


def _notice_dead_network(connection: Connection) -> None:
    """Set `TCP_DEFAULTS` on the socket, but for those that a DSN, a service file or a variable has set."""
    given = connection.info.get_parameters()
    with contextlib.suppress(OSError), exchange.line(connection.pgconn) as line:
        if line.family in (socket.AF_INET, socket.AF_INET6) and given.get("keepalives", "1") != "0":
            for name, (level, option, value) in TCP_DEFAULTS.items():
                if name not in given and hasattr(socket, option):  # macOS lacks some
                    line.setsockopt(level, getattr(socket, option), value)
