"""A sample of a source's rows, wherever they come from, for cuts between values."""

from __future__ import annotations

import json

from msgspec import Struct
from psycopg import sql

from copypump.engine.planning.origin import where_clause
from copypump.engine.splits.request import Request
from copypump.engine.splits.weights import sample_size
from copypump.postgres.sizes import Storage, leaves_of, storage_of

# Rows that are enough to cut by, where the server has to make all of them.
SAMPLE_ROWS = 100_000


class Population(Struct, frozen=True):
    """Rows to sample: `rows` is the SQL from FROM on, `share` the part of all rows that it gives.

    `bytes`: what all of them have, heap and TOAST; None where nothing tells, and the server makes all rows
    each time that some are asked for.
    """

    rows: sql.Composable
    share: float
    bytes: int | None


def population_of(request: Request) -> Population:
    """Find how to sample a source: blocks of a table and its partitions, else rows of all that there are."""
    stored = stored_in(request)
    if stored and all(storage.has_blocks for storage in stored):
        blocks = sum(storage.blocks for storage in stored)
        bytes_ = sum(storage.bytes for storage in stored)
        looked_at = sample_size(blocks, bytes_ // stored[0].block)
        sample: sql.Composable = sql.SQL("")
        if looked_at < blocks:
            sample = sql.SQL(" TABLESAMPLE pg_catalog.system ({}) REPEATABLE (0)").format(
                sql.Literal(100 * looked_at / blocks)
            )
        rows = sql.SQL(" FROM {}{}{}").format(request.relation, sample, where_clause(request.conditions))
        return Population(rows, looked_at / blocks if blocks else 1.0, bytes_)
    wanted = min(1.0, SAMPLE_ROWS / max(_estimated_rows(request), 1))
    conditions = request.conditions
    if wanted < 1:
        conditions.append(f"pg_catalog.random() OPERATOR(pg_catalog.<) {wanted!r}::pg_catalog.float8")
    rows = sql.SQL(" FROM {}{}").format(request.relation, where_clause(conditions))
    return Population(rows, wanted, None)


def stored_in(request: Request) -> tuple[Storage, ...]:
    """Measure what holds the rows of a table: itself, or its partitions; nothing does for a query."""
    table = request.origin.table
    if table is None:
        return ()
    if table.kind == "p":
        return leaves_of(request.source, table.oid)
    return (storage_of(request.source, table.oid),)


def _estimated_rows(request: Request) -> float:
    """How many rows the server's planner expects."""
    query = sql.SQL("EXPLAIN (FORMAT JSON) SELECT 1 FROM {}{}")
    [(plan,)] = request.source.execute(query.format(request.relation, where_clause(request.conditions)))
    return float(json.loads(plan)[0]["Plan"]["Plan Rows"])
