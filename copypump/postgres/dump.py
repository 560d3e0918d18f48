"""A table's definition as pg_dump tells it: the statements that make another like it, around its rows.

pg_restore writes the sections of the archive as scripts for psql, which are taken apart into statements here,
for a session of ours to carry out. What a script sets for its session is set for one transaction; of it is
left out what concerns how long or how loud a session works, which is settled already.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from copypump.errors import RefusedError, Side
from copypump.postgres.catalog import Table
from copypump.postgres.names import quote_name
from copypump.postgres.query import statements_of
from copypump.postgres.session import Session
from copypump.postgres.tools import ToolError, Tools, run, way_to

# Settings of a script's session that a transaction of ours has in its own way, or has no use for.
_SETTLED = frozenset(
    {
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "transaction_timeout",
        "client_encoding",
        "check_function_bodies",
        "client_min_messages",
        "row_security",
    }
)

_SET = re.compile(r"SET (\w+) = (.*)", re.DOTALL)
_SET_LOCAL = re.compile(r"SET LOCAL (\w+) = ")
_PATH = re.compile(r"SELECT pg_catalog\.set_config\('search_path', '', false\)")

# A stamp of the server's own among a column's options, which PostgreSQL 15.20 gives to what it makes.
# A pg_dump of an earlier minor version writes it, and an earlier server takes no such option.
_NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_OPTIONS = re.compile(rf"(ALTER TABLE ONLY {_NAME}\.{_NAME} ALTER COLUMN {_NAME} SET) \((.*)\)", re.DOTALL)
_STAMP = re.compile(r"pg_attver=\d+")

# Around a script since the minor versions of August 2025: psql then takes no other of its commands.
_RESTRICT = re.compile(r"^\\(?:un)?restrict \w+$", re.MULTILINE)


class Section(Struct, frozen=True):
    """What one section of a dump has a transaction do: its settings, and then its statements, in order."""

    settings: tuple[str, ...]
    statements: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """The settings and the statements; nothing where there is no statement."""
        return (*self.settings, *self.statements) if self.statements else ()

    def of(self, statements: Sequence[str]) -> Section:
        """Some of its statements, with its settings."""
        return Section(self.settings, tuple(statements))


class Dump(Struct, frozen=True):
    """Both sections of a table: itself, and its indexes, constraints, triggers, rules and policies."""

    before: Section
    after: Section


def dump_table(session: Session, table: Table, tools: Tools) -> Dump:
    """Let pg_dump tell how the table of a session is made.

    Owners, grants and tablespaces are left out: they name what belongs to the server that the table comes
    from.

    Raises:
        RefusedError: the database's encoding is none, and the definition is not UTF-8.
        SourceError: pg_dump fails.

    """
    name = f"{quote_name(table.schema)}.{quote_name(table.name)}"  # as a pattern, literal within its quotes
    dump: list[Path | str] = [
        tools.pg_dump,
        "--format=custom",
        "--schema-only",
        "--encoding=UTF8",
        "--no-password",
    ]
    restore: list[Path | str] = [
        tools.pg_restore,
        "--file=-",
        "--no-owner",
        "--no-privileges",
        "--no-tablespaces",
    ]
    try:
        with way_to(session) as (conninfo, environment):
            told = [*dump, "--strict-names", f"--table={name}", f"--dbname={conninfo}"]
            archive = run(told, session.interrupt, environment=environment)
        before, after = (
            run([*restore, f"--section={section}"], session.interrupt, given=archive)
            for section in ("pre-data", "post-data")
        )
    except ToolError as error:
        error.side, error.table = session.side, str(table)
        raise
    return Dump(_section(table, before), _section(table, after))


def _section(table: Table, script: bytes) -> Section:
    try:
        text = script.decode()
    except UnicodeDecodeError:
        raise RefusedError(
            "its definition is not in UTF-8, and the database does not say in which encoding it is",
            side=Side.SOURCE,
            table=str(table),
            hint="make the table yourself, or let --create make it",
        ) from None
    return section_of(text)


def section_of(script: str) -> Section:
    """Take a script of pg_restore's apart.

    Raises:
        RefusedError: it has a command for psql that is not known here.

    """
    settings: list[str] = []
    statements: list[str] = []
    for statement in statements_of(_without_restrict(script)):
        if statement.startswith("\\"):
            raise RefusedError("pg_restore wrote a command that only psql understands")
        found = _SET.fullmatch(statement)
        if _PATH.fullmatch(statement):
            statement = "SET LOCAL search_path = ''"
        elif found is not None:
            if found[1] in _SETTLED:
                continue
            statement = f"SET LOCAL {found[1]} = {found[2]}"
        elif (options := _OPTIONS.fullmatch(statement)) is not None:
            kept = [option for option in options[2].split(", ") if not _STAMP.fullmatch(option)]
            if not kept:
                continue
            statement = f"{options[1]} ({', '.join(kept)})"
        (settings if statement.startswith("SET LOCAL ") else statements).append(statement)
    return Section(tuple(settings), tuple(statements))


def _without_restrict(script: str) -> str:
    """Leave out the lines with which psql is told to take no command but the last of them.

    They are the first and the last that look so: a comment or a default may have such a line, too.
    """
    found = list(_RESTRICT.finditer(script))
    if not found:
        return script
    first, last = found[0], found[-1]
    return script[: first.start()] + script[first.end() : last.start()] + script[last.end() :]


def carry_out(session: Session, section: Section) -> None:
    """Have a session do what a section says; its settings are then as before.

    Raises:
        psycopg.Error: the server's own, as only the caller knows whether it may quote values.
        Lost: likewise.

    """
    with _settings_kept(session, section.settings):
        for statement in section.all:
            session.results(statement)


@contextlib.contextmanager
def _settings_kept(session: Session, settings: Sequence[str]) -> Iterator[None]:
    """Put back what these SET LOCAL change once the body is through; after an error, the rollback does."""
    names = [found[1] for setting in settings if (found := _SET_LOCAL.match(setting))]
    before = [
        (name, session.execute("SELECT pg_catalog.current_setting($1::pg_catalog.text)", [name])[0][0])
        for name in dict.fromkeys(names)
    ]
    yield
    for name, value in before:
        session.execute(
            "SELECT pg_catalog.set_config($1::pg_catalog.text, $2::pg_catalog.text, true)", [name, value]
        )


_LEFT_OUT = """
SELECT c.relispartition,
       c.relacl IS NOT NULL
       OR EXISTS (SELECT FROM pg_catalog.pg_attribute a
                   WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attacl IS NOT NULL),
       (SELECT pg_catalog.string_agg(s.stxname::pg_catalog.text, ', ' ORDER BY s.stxname)
          FROM pg_catalog.pg_statistic_ext s WHERE s.stxrelid OPERATOR(pg_catalog.=) c.oid)
  FROM pg_catalog.pg_class c
 WHERE c.oid OPERATOR(pg_catalog.=) $1::pg_catalog.oid"""


class Beside(Struct, frozen=True):
    """What a table is, or has, that its dump does not tell: a partition, grants, extended statistics."""

    is_partition: bool
    has_grants: bool
    statistics: str | None


def beside(session: Session, table: Table) -> Beside:
    """Look for what `dump_table` leaves out."""
    [found] = session.execute(_LEFT_OUT, [table.oid])
    return Beside(*found)
