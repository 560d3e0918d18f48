"""The partitions of a table, each read by its own name; large ones are cut by ctid where that can be."""

from __future__ import annotations

import math

from psycopg import sql

from copypump.engine.planning.origin import Origin
from copypump.engine.splits.chunk import Chunk, Split
from copypump.engine.splits.ctid import ENDS, chunks_of, refuse_ctid, stretches_of
from copypump.engine.splits.cutting import count
from copypump.engine.splits.request import Request, Unfit
from copypump.errors import RefusedError, Side
from copypump.postgres.session import Session
from copypump.postgres.sizes import Storage, leaves_of


def split_by_partitions(request: Request) -> Split:
    """Make a chunk of each partition that holds rows, or several of one that is large.

    Raises:
        Unfit: there are none, or the role may not read them by their own names.

    """
    table = request.origin.table
    if table is None or table.kind != "p":
        raise Unfit(f"{request.origin.name} has no partitions")
    leaves = leaves_of(request.source, table.oid)
    if not leaves:
        raise Unfit(f"{table} has no partitions")
    for leaf in leaves:
        if not leaf.can_select:
            raise Unfit(f"the role may read {table}, but not its partition {leaf} by itself")
        if leaf.row_security:
            raise Unfit(f"row-level security holds for the partition {leaf} by itself")
    total = sum(leaf.bytes for leaf in leaves)
    size = total / count(total, request.jobs, request.options.chunk_bytes)
    chunks: list[Chunk] = []
    notes: list[str] = []
    uncut: dict[str, int] = {}
    for leaf in leaves:
        number = math.ceil(leaf.bytes / size) if size else 1
        try:
            if number > 1:
                refuse_ctid(request, leaf)
        except Unfit as unfit:
            uncut[unfit.reason] = uncut.get(unfit.reason, 0) + 1
            number = 1
        chunks += _cut(request, leaf, number, len(chunks) + 1, notes)
    notes += [f"{times} large partitions are not cut by ctid: {reason}" for reason, times in uncut.items()]
    if len(chunks) > len(leaves):
        notes.append(ENDS)
    return Split.of("partitions", chunks, stable=len(chunks) == len(leaves), reasons=notes)


def _cut(request: Request, leaf: Storage, number: int, first: int, notes: list[str]) -> list[Chunk]:
    """Make the chunks of one partition, up to `number`, and add to `notes` what the plan says of them."""
    relation = leaf.qualified.as_string()
    if number <= 1:
        return [Chunk(first, f"all of {leaf}", relation, None, leaf.bytes)]
    stretches, said = stretches_of(request, sql.SQL(relation), leaf, number)
    notes += said
    return chunks_of(stretches, str(leaf), relation, first)


def check_split(source: Session, origin: Origin, split: Split) -> None:
    """Hold a split against what is there: call it once the table is locked, and under each new snapshot.

    All splits but this one are of all rows whatever happens to the table; this one is of the partitions that
    there were. A lock of the table keeps them from going, not from coming.

    Raises:
        RefusedError: there are other partitions now.

    """
    read = {chunk.relation for chunk in split.chunks if chunk.relation is not None}
    if not read or origin.table is None:
        return
    leaves = {leaf.qualified.as_string(): str(leaf) for leaf in leaves_of(source, origin.table.oid)}
    if leaves.keys() != read:
        new = sorted(name for relation, name in leaves.items() if relation not in read)
        raise RefusedError(
            "its partitions are not those of the plan" + (f"; new ones: {', '.join(new[:5])}" if new else ""),
            side=Side.SOURCE,
            table=origin.name,
            hint="plan a new run, or cut by something else than partitions: --split key",
        )
