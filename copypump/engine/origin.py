"""Where rows come from: a table or a query, described for the plan, then locked and held to it.

The order matters: the lock first, and only then the snapshot; else a TRUNCATE in between gives no rows and
no error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from copypump.codec.column import Column
from copypump.engine.options import Options
from copypump.errors import RefusedError, Side, UsageError
from copypump.postgres.catalog import (
    Table,
    find_table,
    forbid_relations,
    lock_table,
    suggest,
)
from copypump.postgres.query import bare_query, describe_query, parse
from copypump.postgres.session import Session
from copypump.transforms import Transform

# What cannot be meant where rows come from a table by its kind, and nothing of the user's is evaluated: so
# nobody can put it in the table's place. A partition may be a foreign table.
FORBIDDEN = {"r": "view, foreign-table", "p": "view", "m": "view, foreign-table"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where rows come from: a table (with its lock) or a query, and the columns of its stream, in order."""

    name: str
    table: Table | None
    columns: tuple[Column, ...]
    copy: sql.Composable


def plan_origin(
    source: Session, options: Options, transform: Transform | None, landing: Table | None
) -> Origin:
    """Describe what is read: the table's columns that are wanted, or the query's."""
    if options.query is not None:
        query = bare_query(options.query)
        copy = copy_query(sql.SQL(query))
        # The very text that will run, for its syntax; then the query as COPY sees it, for its columns.
        parse(source, copy.as_string(), ours=len("COPY (\n"))
        columns = describe_query(source, f"(\n{query}\n)", ours=len("(\n"))
        return Origin("a query", None, columns, copy)
    assert options.table is not None
    table = find_table(source, options.table)
    if table is None:
        raise no_such_table(source, options.table, "name it as SQL would: [SCHEMA.]NAME")
    columns = _chosen_columns(table, options.columns, transform, landing)
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    plain = table.kind == "r" and options.where is None and not any(c.generated for c in columns)
    if plain:
        copy = sql.SQL("COPY {} ({}) TO STDOUT (FORMAT BINARY)").format(table.qualified, names)
    else:
        select = sql.SQL("SELECT {} FROM {}{}").format(
            names, sql.SQL("ONLY " if table.kind == "r" else ""), table.qualified
        )
        if options.where is not None:
            # On lines of its own, so that a comment at its end hides nothing of ours.
            select = sql.SQL("{} WHERE (\n").format(select)
            ours = len(select.as_string())
            select = sql.SQL("{}{}\n)").format(select, sql.SQL(options.where))
            # Parsed now, so that its faults are found, and its tables locked, before anything moves.
            describe_query(source, select.as_string(), ours=ours)
        copy = copy_query(select)
    return Origin(str(table), table, columns, copy)


def no_such_table(session: Session, name: str, hint: str) -> RefusedError:
    """The error for a table that is not there, with near names of those that are."""
    near = suggest(session, name)
    message = "there is no such table" + (f"; near names: {', '.join(near)}" if near else "")
    return RefusedError(message, side=session.side, table=name, hint=hint)


def begin_origin(
    source: Session, origin: Origin, options: Options, transform: Transform | None, landing: Table | None
) -> None:
    """Begin to read: lock, then take the snapshot; what is there must still be what `origin` says.

    Raises:
        RefusedError: it changed since.

    """
    source.begin_source()
    if origin.table is not None:
        lock_table(source, origin.table)
        if options.where is None and origin.table.kind in FORBIDDEN:
            forbid_relations(source, FORBIDDEN[origin.table.kind])
    again = plan_origin(source, options, transform, landing)
    if again.columns != origin.columns or again.table != origin.table:
        raise RefusedError(
            "the source changed after the plan was made",
            side=Side.SOURCE,
            table=origin.name,
            hint="run again",
        )


def copy_query(query: sql.Composable) -> sql.Composable:
    """COPY of a query's result, which stands on lines of its own: a comment may end it."""
    return sql.SQL("COPY (\n{}\n) TO STDOUT (FORMAT BINARY)").format(query)


def _chosen_columns(
    table: Table, wanted: Sequence[str] | None, transform: Transform | None, landing: Table | None
) -> tuple[Column, ...]:
    by_name = {column.name: column for column in table.columns}
    if wanted is not None:
        for name in wanted:
            if name not in by_name:
                raise RefusedError("there is no such column", side=Side.SOURCE, table=str(table), column=name)
        if len(set(wanted)) < len(wanted):
            raise UsageError("columns names a column twice")
        return tuple(by_name[name] for name in wanted)
    # A generated column is made again by a target that generates it too; elsewhere its values are data.
    made = {column.name for column in landing.columns if column.generated} if landing else set()
    read = (transform.reads if transform is not None else None) or frozenset()
    columns = tuple(c for c in table.columns if not (c.generated and c.name in made and c.name not in read))
    if not columns:
        raise RefusedError(
            "the table has no column; rows without columns cannot be copied",
            side=Side.SOURCE,
            table=str(table),
        )
    return columns
