"""Pools of sessions: one of the user's, or one of ours over a DSN, both psycopg_pool's.

Ours opens a session when one is wanted, and closes it when it comes back: a run keeps what it takes.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import psycopg
import psycopg_pool

from copypump.errors import CopypumpError, RefusedError, Side, UsageError
from copypump.postgres.connect import Connection, connect
from copypump.postgres.interrupt import Interrupt
from copypump.postgres.translate import error_class, one_line, translate

Pool = psycopg_pool.ConnectionPool[Any]

# Seconds to wait for somebody else to give a session of the user's pool back.
_PATIENCE = 10.0

# What ends a connect that goes on now, in this thread.
_interrupt: ContextVar[Interrupt | None] = ContextVar("copypump_connect_interrupt", default=None)


class _Ours(psycopg.Connection[Any]):
    """Makes a pool connect as we do elsewhere: it can be woken, and notices a dead network."""

    side = Side.SOURCE

    @classmethod
    def connect(cls, conninfo: str = "", **_kwargs: Any) -> Connection:  # type: ignore[override]
        """See `copypump.postgres.connect`; the pool's own `connect_timeout` is not ours."""
        return connect(conninfo, cls.side, interrupt=_interrupt.get())


class _OfTarget(_Ours):
    side = Side.TARGET


def make_pool(dsn: str, side: Side, size: int) -> Pool:
    """A pool of at most `size` sessions over a DSN; it is the caller's to close."""
    kind: type[Any] = _Ours if side is Side.SOURCE else _OfTarget
    return psycopg_pool.NullConnectionPool(
        dsn, connection_class=kind, max_size=size, open=True, name=f"copypump {side}"
    )


def check_pool(pool: Pool, side: Side, needed: int) -> None:
    """RefusedError where a pool can never give as many sessions as a run needs."""
    if pool.max_size and pool.max_size < needed:  # of a NullConnectionPool, 0 is any number
        raise RefusedError(
            f"the {side}'s pool has at most {pool.max_size} sessions, and the run needs {needed}",
            side=side,
            hint="give it a larger max_size, or fewer jobs",
        )


def take(pool: Pool, side: Side, interrupt: Interrupt | None) -> Connection:
    """Take a session out of a pool.

    Raises UsageError: it is no pool; SourceError or TargetError: it is closed, gives none in time, or cannot
    connect; Aborted.
    """
    if not isinstance(pool, psycopg_pool.ConnectionPool):
        raise UsageError(
            f"the {side} is a DSN, a psycopg connection or a ConnectionPool, and no {type(pool).__name__}",
            side=side,
        )
    token = _interrupt.set(interrupt)
    try:
        connection: Connection = pool.getconn(_PATIENCE)
    except psycopg_pool.PoolTimeout as error:
        failure = error_class(side)(one_line(f"the pool gave no session: {error}"), side=side)
        failure.lost = True
        raise failure from None
    except psycopg.Error as error:
        raise _failure(error, side) from None
    finally:
        _interrupt.reset(token)
    return connection


def _failure(error: psycopg.Error, side: Side) -> CopypumpError:
    if isinstance(error, psycopg_pool.PoolClosed):
        return RefusedError(one_line(str(error)), side=side)
    return translate(error, side)
