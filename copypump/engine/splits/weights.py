"""Where a table's bytes lie: how heavy each stretch of its blocks is, TOAST counted, from a bounded sample.

A row's TOAST is not in its block, so blocks of the same size can stand for kilobytes or for gigabytes. The
server knows the length of a TOASTed value without fetching it (pg_column_size). Where TOAST is most of a
table, reading all of its blocks for that costs little; else some blocks stand for those around them, and
those that turn out heavy are looked at again, down to their rows.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

from psycopg import sql

from copypump.engine.planning.origin import where_clause
from copypump.engine.splits.cutting import Cell
from copypump.engine.splits.request import Request
from copypump.postgres.sizes import Storage

# A sixteenth of a table's bytes may be read to plan it.
SHARE = 16
# Blocks that are looked at, at least (where there are as many), by sampling, and one after the other.
LEAST_SAMPLE = 512
MOST_SAMPLE = 4096
MOST_READ = 65_536

# Into how many parts a heavy cell falls when it is looked at again.
PARTS = 16

# pg_type.oid of types whose values need not be measured: bool, int8, int2, int4, oid, float4, float8, date,
# time, timestamp, timestamptz, timetz, uuid and numeric.
_SHORT = frozenset((16, 20, 21, 23, 26, 700, 701, 1082, 1083, 1114, 1184, 1266, 2950, 1700))

# What a row costs beside its values: HeapTupleHeader and line pointer; and a value of those types, about.
_ROW = 28
_SHORT_VALUE = 8

# What reading a block costs even if no row of it is sent, in bytes of rows that are. From cache it took a
# hundredth of a full block's time (2 us of 175), and from a disk it takes some more.
EMPTY_BLOCK = 256


def row_bytes(request: Request) -> sql.Composable:
    """The SQL of about how many bytes one row has, as an int8."""
    columns = request.columns
    short = [column for column in columns if column.wire_type.oid in _SHORT]
    measured = [
        sql.SQL("coalesce(pg_catalog.pg_column_size({}), 0)").format(sql.Identifier(column.name))
        for column in columns
        if column not in short
    ]
    fixed = sql.SQL("{}::pg_catalog.int8").format(sql.Literal(_ROW + _SHORT_VALUE * len(short)))
    return sql.SQL(" OPERATOR(pg_catalog.+) ").join([fixed, *measured])


def sample_size(blocks: int, all_blocks: int) -> int:
    """How many of a heap's blocks to look at; `all_blocks` are those of its TOAST too."""
    budget = all_blocks // SHARE
    if blocks <= max(min(budget, MOST_READ), LEAST_SAMPLE):
        return blocks
    return max(min(budget, MOST_SAMPLE), LEAST_SAMPLE)


def weigh(request: Request, relation: sql.Composable, storage: Storage) -> list[Cell]:
    """Weigh a relation (as it is named after FROM) by its blocks; at least one cell, the first at (0, 0).

    Only rows for which the user's condition holds have a weight.
    """
    blocks = storage.blocks
    looked_at = sample_size(blocks, storage.bytes // storage.block)
    if looked_at < blocks:
        return _sampled(request, relation, _parts(0, blocks, looked_at))
    found = _every_block(request, relation)
    cells = [Cell((block, 0), 1, EMPTY_BLOCK + found.get(block, 0)) for block in range(blocks)]
    return cells or [Cell((0, 0), 1, EMPTY_BLOCK)]


def refine(request: Request, relation: sql.Composable, cells: list[Cell], number: int) -> list[Cell]:
    """Look again at the cells that are too heavy to be cut well into `number` stretches."""
    for _ in range(8):  # no table has PARTS ** 8 blocks in one cell
        again = _uneven(cells, number)
        if not again:
            break
        spans = [span for at in again for span in _parts(cells[at].start[0], cells[at].blocks, PARTS)]
        kept = [cell for at, cell in enumerate(cells) if at not in again]
        cells = sorted([*kept, *_sampled(request, relation, spans)], key=lambda cell: cell.start)
    return _into_rows(request, relation, cells, number)


def _parts(first: int, blocks: int, parts: int) -> list[tuple[int, int]]:
    """Cut blocks evenly into parts: the first block of each, and how many it has."""
    parts = min(parts, blocks)
    borders = [first + blocks * part // parts for part in range(parts + 1)]
    return [(start, end - start) for start, end in pairwise(borders)]


def _uneven(cells: Sequence[Cell], number: int) -> set[int]:
    """Find the cells that weigh much, and more than most, and those beside them: there the weight begins."""
    total = sum(cell.weight for cell in cells)
    mean = total / sum(max(cell.blocks, 1) for cell in cells)
    heavy = [
        at
        for at, cell in enumerate(cells)
        if cell.blocks and cell.weight > total / number / 2 and cell.weight > 2 * mean * cell.blocks
    ]
    heavy = sorted(heavy, key=lambda at: -cells[at].weight)[: MOST_SAMPLE // PARTS]
    around = {at + step for at in heavy for step in (-1, 0, 1)}
    return {at for at in around if 0 <= at < len(cells) and cells[at].blocks > 1}


def _into_rows(request: Request, relation: sql.Composable, cells: Sequence[Cell], number: int) -> list[Cell]:
    """Take single blocks apart that weigh a good part of a chunk."""
    most = sum(cell.weight for cell in cells) / number / 4
    heavy = [cell.start[0] for cell in cells if cell.blocks == 1 and cell.weight > most]
    if not heavy:
        return list(cells)
    rows: dict[int, list[tuple[int, int]]] = {}
    for block, row, size in _rows_of(request, relation, heavy):
        rows.setdefault(block, []).append((row, size))
    taken = []
    for cell in cells:
        block = cell.start[0]
        if block not in rows:
            taken.append(cell)
            continue
        (_, first), *others = rows[block]
        taken.append(Cell((block, 0), 0, EMPTY_BLOCK + first))
        taken += [Cell((block, row), 0, size) for row, size in others]
    return taken


def _every_block(request: Request, relation: sql.Composable) -> dict[int, int]:
    """Add up the rows' bytes by block, of those blocks that have rows."""
    query = sql.SQL(
        """
SELECT (ctid::pg_catalog.text::pg_catalog.point)[0]::pg_catalog.int8, pg_catalog.sum({})::pg_catalog.int8
  FROM {}{}
 GROUP BY 1"""
    ).format(row_bytes(request), relation, where_clause(request.conditions))
    return dict(request.source.execute(query))


def _sampled(request: Request, relation: sql.Composable, spans: Sequence[tuple[int, int]]) -> list[Cell]:
    """Make a cell of each span (first block, blocks), in which any one of its blocks stands for all."""
    choose = random.Random(0).randrange  # the same plan each time
    chosen = [first + choose(blocks) for first, blocks in spans]
    bytes_ = sql.SQL("pg_catalog.sum({})::pg_catalog.int8 AS bytes").format(row_bytes(request))
    query = _of_blocks(request, relation, sql.SQL("of.bytes"), bytes_)
    found: dict[int, int | None] = dict(request.source.execute(query, [_array(chosen)]))
    return [
        Cell((first, 0), blocks, blocks * (EMPTY_BLOCK + (found[block] or 0)))
        for (first, blocks), block in zip(spans, chosen, strict=True)
    ]


def _rows_of(request: Request, relation: sql.Composable, blocks: Sequence[int]) -> list[tuple[int, int, int]]:
    """List the rows of some blocks: block, row within it, bytes; in their order."""
    row = sql.SQL("(of.place::pg_catalog.text::pg_catalog.point)[1]::pg_catalog.int4, of.bytes")
    inner = sql.SQL("ctid AS place, {} AS bytes").format(row_bytes(request))
    query = _of_blocks(request, relation, row, inner) + sql.SQL(" ORDER BY 1, 2")
    return request.source.execute(query, [_array(blocks)])


def _of_blocks(
    request: Request, relation: sql.Composable, outer: sql.Composable, inner: sql.Composable
) -> sql.Composable:
    """SELECT of something of each block in $1, which each time reads that one block only.

    OFFSET 0 keeps the inner SELECT by itself, so that its bounds are known before it begins: the scan of a
    range of ctids (PostgreSQL 14) needs that. The name beside it is one that no column is called by.
    """
    ours = """ctid OPERATOR(pg_catalog.>=) pg_catalog.format('(%s,0)', "copypump: one".block)::pg_catalog.tid
          AND ctid OPERATOR(pg_catalog.<)
              pg_catalog.format('(%s,0)', "copypump: one".block OPERATOR(pg_catalog.+) 1)::pg_catalog.tid"""
    return sql.SQL(
        """
SELECT "copypump: one".block, {}
  FROM pg_catalog.unnest($1::pg_catalog.int8[]) AS "copypump: one" (block)
 CROSS JOIN LATERAL (SELECT {} FROM {}{} OFFSET 0) AS of"""
    ).format(outer, inner, relation, where_clause([*request.conditions, ours]))


def _array(numbers: Sequence[int]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"
