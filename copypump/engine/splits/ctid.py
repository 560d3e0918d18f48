"""Ranges of ctid: where a row lies in its table. Exact under one snapshot, and under no other.

A row's place changes when it is updated, so such a chunk cannot be read again once its snapshot is gone.
PostgreSQL 14 and later go straight to a range's blocks; before that each chunk would read the whole table.
"""

from __future__ import annotations

from psycopg import sql

from copypump.engine.splits.chunk import Chunk, Split
from copypump.engine.splits.cutting import Cell, Place, Stretch, count, cut
from copypump.engine.splits.request import PATIENCE, Request, TooLong, Unfit
from copypump.engine.splits.weights import refine, weigh
from copypump.postgres.sizes import Storage, storage_of

TID_RANGE_SCANS = 140000  # the server version that they came with

ENDS = "chunks by ctid mean nothing once their snapshot is gone; those by --split key still do"


def split_by_ctid(request: Request) -> Split:
    """Cut a table into ranges of its blocks.

    Raises:
        Unfit: it has none, or the load could not begin again.

    """
    table = request.origin.table
    if table is None:
        raise Unfit("a query's rows have no ctid", hint="name one of its columns: --split-by COLUMN")
    if table.kind == "p":
        raise Unfit(
            f"the rows of {table} lie in its partitions, each with ctids of its own",
            hint="--split partitions cuts large partitions by ctid",
        )
    storage = storage_of(request.source, table.oid)
    refuse_ctid(request, storage)
    stretches, notes = stretches_of(request, request.relation, storage)
    chunks = chunks_of(stretches, str(table))
    cut = len(chunks) > 1
    return Split.of("ctid", chunks, stable=not cut, reasons=[*notes, ENDS] if cut else notes)


def refuse_ctid(request: Request, storage: Storage) -> None:
    """Raise Unfit unless this relation can be cut by ctid, and the load begin again."""
    if not storage.has_blocks:
        raise Unfit(f"{storage} is not stored in blocks of PostgreSQL's own: its rows have no ranges of ctid")
    if request.source.server_version < TID_RANGE_SCANS:
        raise Unfit("reading ranges of ctid needs PostgreSQL 14 or later on the source")
    if not storage.can_select:
        raise Unfit(f"the role may read columns of {storage}, but not ctid: that takes SELECT on the table")
    if not request.options.snapshot:
        raise Unfit(
            "such chunks are exact only under one snapshot, and --no-snapshot gives each its own",
            hint="--split key: a row changes its place more often than its key",
        )
    if not request.startable_over:
        raise Unfit(
            "such chunks cannot be read again once their snapshot is gone, and this load cannot start over",
            hint="--split-by a unique key, or --mode replace, or a target that is empty",
        )


def stretches_of(
    request: Request, relation: sql.Composable, storage: Storage, number: int | None = None
) -> tuple[list[Stretch], list[str]]:
    """Cut a relation (as it is named after FROM) into stretches of even weight, and say how.

    `number`: how many; as many as its size wants by default.
    """
    notes = []
    try:
        with request.asking(bounded=True):
            cells = weigh(request, relation, storage)
            number = number or count(_total(cells), request.jobs, request.options.chunk_bytes)
            cells = refine(request, relation, cells, number)
    except TooLong:
        cells = [Cell((0, 0), max(storage.blocks, 1), storage.bytes)]
        number = number or count(storage.bytes, request.jobs, request.options.chunk_bytes)
        notes.append(
            f"weighing the blocks of {storage} took more than {PATIENCE:g} s: its chunks have equally many"
        )
    return cut(cells, number), notes


def _total(cells: list[Cell]) -> float:
    return sum(cell.weight for cell in cells)


def chunks_of(
    stretches: list[Stretch], name: str, relation: str | None = None, first: int = 1
) -> list[Chunk]:
    """Make the chunks of a relation's stretches, numbered from `first`."""
    return [
        Chunk(number, _label(stretch, name), relation, _condition(stretch), round(stretch.weight))
        for number, stretch in enumerate(stretches, first)
    ]


def _label(stretch: Stretch, name: str) -> str:
    if stretch.start == (0, 0) and stretch.end is None:
        return f"all of {name}"
    if stretch.end is None:
        return f"ctid from {_place(stretch.start)} on of {name}"
    if stretch.start[1] == stretch.end[1] == 0:
        return f"ctid blocks {stretch.start[0]}-{stretch.end[0] - 1} of {name}"
    return f"ctid {_place(stretch.start)} to before {_place(stretch.end)} of {name}"


def _place(place: Place) -> str:
    return f"({place[0]},{place[1]})"


def _condition(stretch: Stretch) -> str | None:
    """The SQL of a stretch; none of all."""
    bounds = []
    if stretch.start > (0, 0):
        bounds.append(f"ctid OPERATOR(pg_catalog.>=) '{_place(stretch.start)}'::pg_catalog.tid")
    if stretch.end is not None:
        bounds.append(f"ctid OPERATOR(pg_catalog.<) '{_place(stretch.end)}'::pg_catalog.tid")
    return " AND ".join(bounds) or None
