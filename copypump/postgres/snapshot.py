"""One snapshot for many sessions: exported by one that holds it, imported by all others.

Every session that holds it can export it again, also when the one that first did is gone. A session holds it
as long as its transaction lives; within it, its COPYs stand behind a savepoint, so that one that fails does
not take the snapshot along.
"""

from __future__ import annotations

import time

import psycopg
from psycopg import sql

from copypump.errors import CopypumpError
from copypump.postgres.exchange import Lost
from copypump.postgres.session import DEADLINE, Session

# Begins what may fail without the snapshot being lost; it stays, and serves one COPY after the other.
SAVEPOINT = "SAVEPOINT copypump_chunk"

EXPORT = "SELECT pg_catalog.pg_export_snapshot()"

# What the server says of a snapshot that nobody holds any more: undefined_object, before PostgreSQL 17
# invalid_parameter_value.
NO_SNAPSHOT = ("22023", "42704")


def export_snapshot(session: Session) -> str:
    """Give the identifier under which others can import the snapshot of this session's transaction.

    It is good as long as that transaction lives.
    """
    [(name,)] = session.execute(EXPORT)
    return str(name)


def export_again(session: Session) -> str:
    """Likewise, of a session that imported it, and stands behind `SAVEPOINT`: there the server refuses to."""
    release = f"RELEASE {SAVEPOINT}"
    [_, [(name,)], _] = session.together([release, EXPORT, SAVEPOINT])
    return str(name)


def importing(name: str) -> sql.Composable:
    """Give the first statement of a transaction that is to read under an exported snapshot.

    The server refuses it, with one of the SQLSTATEs `NO_SNAPSHOT`, where nobody holds that any more.
    """
    return sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(name))


def recover(session: Session) -> bool:
    """End what goes on since `SAVEPOINT`; whether the session still holds its snapshot, and can read again.

    Takes at most `DEADLINE` seconds; one that does not hold it any more is of no use.
    """
    deadline = time.monotonic() + DEADLINE
    if not session.quiesce(deadline):
        return False
    interrupt, session.interrupt = session.interrupt, None
    try:
        session.execute(f"ROLLBACK TO {SAVEPOINT}", deadline=deadline)
    except (CopypumpError, psycopg.Error, Lost, TimeoutError):
        return False
    finally:
        session.interrupt = interrupt
    return True
