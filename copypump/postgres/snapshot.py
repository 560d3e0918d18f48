"""One snapshot for many sessions: exported by one that holds it, imported by all others.

Every session that holds it can export it again, also when the one that first did is gone. A session holds it
as long as its transaction lives; within it, each COPY stands behind a savepoint, so that one that fails does
not take the snapshot along.
"""

from __future__ import annotations

import time

import psycopg
from psycopg import sql

from copypump.errors import CopypumpError
from copypump.postgres.exchange import Lost
from copypump.postgres.session import DEADLINE, Session

_SAVEPOINT = "copypump_chunk"


def export_snapshot(session: Session) -> str:
    """Give the identifier under which others can import the snapshot of this session's transaction.

    It is good as long as that transaction lives.
    """
    [(name,)] = session.execute("SELECT pg_catalog.pg_export_snapshot()")
    return str(name)


def import_snapshot(session: Session, name: str) -> None:
    """Begin to read under an exported snapshot.

    Raises SourceError, with SQLSTATE 22023 where nobody holds it any more.
    """
    session.begin_source()
    session.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(name)))


def set_savepoint(session: Session) -> None:
    """Begin what may fail without the snapshot being lost."""
    session.execute(f"SAVEPOINT {_SAVEPOINT}")


def release_savepoint(session: Session) -> None:
    """End what did not fail."""
    session.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")


def recover(session: Session) -> bool:
    """End what goes on since `set_savepoint`; whether the session still holds its snapshot.

    Takes at most `DEADLINE` seconds; one that does not hold it any more is of no use.
    """
    deadline = time.monotonic() + DEADLINE
    if not session.quiesce(deadline):
        return False
    interrupt, session.interrupt = session.interrupt, None
    try:
        session.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}", deadline=deadline)
        release_savepoint(session)
    except (CopypumpError, psycopg.Error, Lost, TimeoutError):
        return False
    finally:
        session.interrupt = interrupt
    return True
