"""The table of rejects on the target: a row for each row that did not land, and why."""

from __future__ import annotations

from msgspec import Struct
from psycopg import sql

from copypump.engine.chunks.ledger import MAKING
from copypump.engine.rejects.record import spelled_out
from copypump.errors import CopypumpError, RefusedError, Side, TargetError
from copypump.postgres.catalog import KINDS, may_create
from copypump.postgres.commit import DURABLE, commit
from copypump.postgres.names import parse_name, quote_name, show_name
from copypump.postgres.query import parse
from copypump.postgres.session import Session
from copypump.postgres.translate import DENIED

DEFAULT_NAME = "rejects"

# Encodings of a server that hold every character that we send, or do not look.
_HOLDS_ALL = ("UTF8", "SQL_ASCII")
_UNTRANSLATABLE = "22P05"

# Name, type and what else is said of each column, in order.
_COLUMNS = (
    ("run", "pg_catalog.text NOT NULL"),
    ("chunk", "pg_catalog.int4 NOT NULL"),
    ("stage", "pg_catalog.text NOT NULL"),
    ("reason", "pg_catalog.text NOT NULL"),
    ("sqlstate", "pg_catalog.text"),
    ("constraint_name", "pg_catalog.text"),
    ("column_name", "pg_catalog.text"),
    ("row", "pg_catalog.jsonb NOT NULL"),
    ("rejected", "pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now()"),
)


class RejectTable(Struct, frozen=True):
    """The table's name, and the statements on it. `ours` is a schema that is made where it is missing."""

    schema: str | None
    name: str
    ours: str

    @classmethod
    def of(cls, name: str | None, ledger_schema: str) -> RejectTable:
        """The user's, as `[SCHEMA.]NAME`, or the one that is kept beside the ledger."""
        if name is None:
            return cls(ledger_schema, DEFAULT_NAME, ledger_schema)
        table = cls(*parse_name(name), ledger_schema)
        if table.schema == "pg_temp":
            raise RefusedError("the table for rejected rows would be gone with the session", table=name)
        return table

    def __str__(self) -> str:
        return show_name(*(part for part in (self.schema, self.name) if part is not None))

    @property
    def identifier(self) -> sql.Identifier:
        """The name for psycopg.sql."""
        return sql.Identifier(*(part for part in (self.schema, self.name) if part is not None))

    def statements(self, session: Session) -> tuple[sql.Composable, ...]:
        """What makes the table, and the ledger's schema (RefusedError: another one is missing)."""
        body = ", ".join(f'"{name}" {rest}' for name, rest in _COLUMNS)
        table = sql.SQL("CREATE TABLE IF NOT EXISTS {} (" + body + ")").format(self.identifier)
        index = sql.SQL("CREATE INDEX ON {} (run)").format(self.identifier)
        # Who may make tables in a schema that is there may not make schemas: IF NOT EXISTS is of no help.
        if self.schema is None or may_create(session, self.schema)[0] is not None:
            return table, index
        if self.schema != self.ours:
            raise RefusedError(
                f"there is no schema {quote_name(self.schema)} for the table of rejected rows",
                side=Side.TARGET,
                table=str(self),
                hint="if a file is meant: its name ends in .parquet or .jsonl",
            )
        schema = sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(self.schema))
        return schema, table, index

    def is_there(self, session: Session) -> bool:
        """Whether the table is there (RefusedError: what has its name does not take such rows)."""
        query = """
SELECT a.attname, c.relkind::pg_catalog.text
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.attrelid
 WHERE a.attrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1::pg_catalog.text)
   AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped"""
        found = session.execute(query, [self.identifier.as_string()])
        if not found:
            return False
        if (kind := found[0][1]) not in "rpf":
            raise self._unfit(f"it is a {KINDS.get(kind, 'relation of another kind')}")
        names = {name for name, _ in found}
        if lacking := [name for name, _ in _COLUMNS if name not in names]:
            raise self._unfit(f"it lacks the columns {', '.join(lacking)}")
        values = sql.SQL(", ").join(sql.SQL(f"NULL::{rest.split()[0]}") for _, rest in _COLUMNS[2:-1])
        try:
            parse(session, self.insert("", 0, sql.SQL("SELECT {}").format(values)).as_string())
        except RefusedError as error:
            raise self._unfit(error.message) from None
        return True

    def lacking(self, session: Session, *needed: str) -> list[str]:
        """Those of the needed privileges that the role lacks on the table, which is there."""
        query = "SELECT pg_catalog.has_table_privilege($1::pg_catalog.text, $2::pg_catalog.text)"
        name = self.identifier.as_string()
        return [each for each in needed if not session.execute(query, [name, each])[0][0]]

    def _unfit(self, why: str) -> RefusedError:
        return RefusedError(
            f"it cannot be the table for rejected rows: {why}",
            side=Side.TARGET,
            table=str(self),
            hint="name another one, which is made if it is missing: --rejects",
        )

    def make(self, session: Session) -> None:
        """Make it, if it is missing, in a transaction of its own; before and after the session stands in one.

        Others who load into other tables would wait for ours to end otherwise.
        """
        if self.is_there(session):
            return
        session.rollback()
        session.begin_target(DURABLE)  # chunks build on it
        session.execute("SELECT pg_catalog.pg_advisory_xact_lock($1::pg_catalog.int8)", [MAKING])
        try:
            if not self.is_there(session):
                for statement in self.statements(session):
                    session.execute(statement)
        except CopypumpError as error:
            if error.sqlstate != DENIED:
                raise
            raise RefusedError(
                "the role may not make the table for rejected rows",
                side=Side.TARGET,
                table=str(self),
                hint="name one that is there, or a schema where it may: --rejects SCHEMA.TABLE",
            ) from None
        commit(session)
        session.begin_target()

    def insert(self, run: str, chunk: int, rows: sql.Composable) -> sql.Composable:
        """Put in what a query gives: stage, reason, sqlstate, constraint_name, column_name, row."""
        return sql.SQL(
            "INSERT INTO {} (run, chunk, stage, reason, sqlstate, constraint_name, column_name, row)"
            " SELECT {}::pg_catalog.text, {}::pg_catalog.int4, q.* FROM ({}) AS q"
        ).format(self.identifier, sql.Literal(run), sql.Literal(chunk), rows)

    def put(self, session: Session, run: str, chunk: int, records: str) -> None:
        """Put in records: a JSON array of objects (see `engine.rejects.record`)."""
        rows = sql.SQL(
            "SELECT r OPERATOR(pg_catalog.->>) 'stage', r OPERATOR(pg_catalog.->>) 'reason',"
            " r OPERATOR(pg_catalog.->>) 'sqlstate', NULL::pg_catalog.text,"
            " r OPERATOR(pg_catalog.->>) 'column_name', r OPERATOR(pg_catalog.->) 'row'"
            " FROM pg_catalog.jsonb_array_elements($1::pg_catalog.jsonb) AS r"
        )
        insert = self.insert(run, chunk, rows)
        if records.isascii() or session.server_encoding in _HOLDS_ALL:
            session.execute(insert, [records])
            return
        session.execute("SAVEPOINT copypump_put")
        try:
            session.execute(insert, [records])
        except TargetError as error:
            if error.sqlstate != _UNTRANSLATABLE:
                raise
            session.execute("ROLLBACK TO SAVEPOINT copypump_put")
            session.execute(insert, [spelled_out(records)])
        session.execute("RELEASE SAVEPOINT copypump_put")

    def forget(self, session: Session, run: str) -> None:
        """Take a run's rows out, in the transaction that takes away what it landed."""
        query = sql.SQL("DELETE FROM {} WHERE run OPERATOR(pg_catalog.=) $1")
        session.execute(query.format(self.identifier), [run])

    def count(self, session: Session, run: str) -> int:
        """How many rows of a run were rejected."""
        query = sql.SQL("SELECT pg_catalog.count(*) FROM {} WHERE run OPERATOR(pg_catalog.=) $1")
        return int(session.execute(query.format(self.identifier), [run])[0][0])
