"""The ledger's tables, and what makes them where they are missing.

runs    a row a run: what it was asked to do, what it was found to be, how it stands
chunks  a row a committed chunk, with its counts
steps   a row a committed phase before or after the chunks, or step of one
"""

from __future__ import annotations

from psycopg import sql

from copypump.errors import CopypumpError, RefusedError, Side
from copypump.postgres.names import show_name
from copypump.postgres.session import Session
from copypump.postgres.translate import DENIED

# "copypump" in ASCII: under this lock two runs do not make the ledger at once.
MAKING = 0x636F707970756D70

# What may hold names and options of any letters is json, whose text has them as escapes in ASCII: jsonb would
# want a place for each in the database's own encoding.
_TABLES = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.runs (
    run         pg_catalog.text PRIMARY KEY,
    epoch       pg_catalog.int4 NOT NULL DEFAULT 1,
    status      pg_catalog.text NOT NULL,
    source      pg_catalog.text NOT NULL,
    target      pg_catalog.text NOT NULL,
    options     pg_catalog.json NOT NULL,
    fingerprint pg_catalog.json NOT NULL,
    split       pg_catalog.json NOT NULL,
    snapshots   pg_catalog.jsonb NOT NULL DEFAULT '[]',
    notes       pg_catalog.json NOT NULL DEFAULT '{{}}',
    error       pg_catalog.text,
    version     pg_catalog.text NOT NULL,
    started     pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    changed     pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now());
CREATE TABLE IF NOT EXISTS {schema}.chunks (
    run           pg_catalog.text NOT NULL REFERENCES {schema}.runs ON DELETE CASCADE,
    chunk         pg_catalog.int4 NOT NULL,
    snapshot      pg_catalog.int4 NOT NULL,
    rows_read     pg_catalog.int8,
    rows_written  pg_catalog.int8,
    bytes_read    pg_catalog.int8,
    bytes_written pg_catalog.int8,
    seconds       pg_catalog.float8,
    committed     pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (run, chunk));
CREATE TABLE IF NOT EXISTS {schema}.steps (
    run       pg_catalog.text NOT NULL REFERENCES {schema}.runs ON DELETE CASCADE,
    step      pg_catalog.text NOT NULL,
    tally     pg_catalog.jsonb NOT NULL DEFAULT '{{}}',
    committed pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (run, step))"""


def in_schema(schema: str, text: str, **parts: sql.Composable) -> sql.Composed:
    """Give a statement on the ledger's tables, which it names as {schema}.runs and so on."""
    return sql.SQL(text).format(schema=sql.Identifier(schema), **parts)


def exist(session: Session, schema: str) -> bool:
    """Whether the tables are there."""
    found = session.execute(
        "SELECT pg_catalog.to_regclass($1::pg_catalog.text) IS NOT NULL",
        [show_name(schema, "steps")],
    )
    return bool(found[0][0])


def make(session: Session, schema: str) -> None:
    """Make what is missing, in the session's transaction, which is to commit soon.

    Raises:
        RefusedError: the role may not, and nobody made it.

    """
    if exist(session, schema):
        return
    session.execute("SELECT pg_catalog.pg_advisory_xact_lock($1::pg_catalog.int8)", [MAKING])
    try:
        session.together([in_schema(schema, statement) for statement in _TABLES.split(";")])
    except CopypumpError as error:
        if error.sqlstate != DENIED:
            raise
        raise RefusedError(
            f"the role may not make the ledger, schema {show_name(schema)}",
            side=Side.TARGET,
            hint="GRANT CREATE ON DATABASE, or let another role run once; --ledger-schema names another",
        ) from None
