"""How one chunk is read: its COPY TO STDOUT."""

from __future__ import annotations

from psycopg import sql

from copypump.engine.options import Options
from copypump.engine.planning.origin import Origin, copy_query, copy_rows, from_item, select_rows
from copypump.engine.splits.chunk import Chunk
from copypump.postgres.catalog import Table
from copypump.postgres.query import bare_query


def chunk_copy(origin: Origin, options: Options, chunk: Chunk) -> sql.Composable:
    """COPY of one chunk TO STDOUT (FORMAT BINARY), with the columns of `origin` in their order."""
    conditions = own_conditions(options)
    if chunk.where is not None:
        conditions.append(chunk.where)
    return copy_rows(_rows(origin, options), origin.columns, origin.texts, conditions, chunk.relation)


def first_rows(origin: Origin, options: Options, count: int) -> sql.Composable:
    """COPY of so many rows at the most, whichever the server reads first."""
    select = select_rows(
        _rows(origin, options), origin.columns, origin.texts, own_conditions(options)
    ) + sql.SQL("\nLIMIT {}").format(sql.Literal(count))
    return copy_query(select)


def relation_of(origin: Origin, options: Options) -> sql.Composable:
    """Give the table or the query as it stands after FROM."""
    return from_item(_rows(origin, options))


def _rows(origin: Origin, options: Options) -> Table | str:
    rows = origin.table if options.query is None else bare_query(options.query)
    assert rows is not None
    return rows


def own_conditions(options: Options) -> list[str]:
    """Give the user's condition, if there is one, fit to stand before others.

    Within parentheses of its own: "a) OR (b" is a condition, too, and AND would hold for its end alone.
    """
    return [] if options.where is None else [f"(\n{options.where}\n)"]
