"""The name by which the sessions of one run are known on a server, while their transactions last.

Whoever looks at pg_stat_activity sees which run a session serves; and whoever takes a run up can end what
earlier processes left behind: a network that was cut off leaves sessions that nobody serves, and their locks.
"""

from __future__ import annotations

from psycopg import sql

from copypump.postgres.session import Session, Statement

_END = """
SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a
 WHERE a.application_name OPERATOR(pg_catalog.=) $1::pg_catalog.text
   AND a.usename OPERATOR(pg_catalog.=) current_user
   AND a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
   AND a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()"""


def application_name(run: str) -> str:
    """What a run's working sessions are called; names there have 63 bytes."""
    return f"copypump {run}"[:63]


def labelling(run: str) -> sql.Composable:
    """Give what calls a session by its run until its transaction ends. Takes no snapshot."""
    return sql.SQL("SET LOCAL application_name = {}").format(sql.Literal(application_name(run)))


def ending_labelled(run: str) -> Statement:
    """Give what ends every other session of this role, in this database, that is called by the run."""
    return Statement(_END, [application_name(run)])


def end_labelled(session: Session, run: str) -> None:
    """End every other session of this role, in this database, that is called by the run."""
    session.together([ending_labelled(run)])
