"""Ranges of a column's values: they mean the same rows under any snapshot.

The cuts are quantiles of a sample, weighed by the rows' bytes, so that ranges are even also where values or
sizes are not. Where the cuts lie is a matter of speed alone: the first range has no beginning and the last no
end, so every value is in exactly one range, and so are those that appear later. NULL has a chunk of its own.
"""

from __future__ import annotations

from itertools import pairwise

from psycopg import sql

from copypump.engine.splits.chunk import Chunk, Split
from copypump.engine.splits.columns import SplitColumn, key_column, named_column, refuse_order, refuse_type
from copypump.engine.splits.cutting import PASSES_PER_WORKER, count
from copypump.engine.splits.population import Population, population_of
from copypump.engine.splits.request import Request
from copypump.engine.splits.weights import row_bytes

# Of a text, so many characters make a cut: any text may be one.
CUT_LENGTH = 100


def split_by_key(request: Request) -> Split:
    """Cut into ranges of the values of the column that was named, else of a unique key.

    Raises:
        Unfit: no column will do.

    """
    by = key_column(request) if request.options.split_by is None else named_column(request)
    refuse_type(request, by)
    refuse_order(request, by)
    population = population_of(request)
    number, notes = _number(request, by, population)
    ranges, nulls = _quantiles(request, by, population, number)
    if len(ranges) == 1:
        if number > 1:
            notes.append(f"a sample of {by} had no second value to cut at")
        everything = Chunk(1, f"all of {request.origin.name}", bytes=round(ranges[0][1] + nulls))
        return Split.of("key", [everything], stable=True, reasons=notes)
    cuts = [None, *(begin for begin, _ in ranges[1:]), None]
    chunks = [
        Chunk(at, f"{by} range {at} of {len(ranges)}", None, _between(by, begin, end), round(size))
        for at, ((begin, end), (_, size)) in enumerate(zip(pairwise(cuts), ranges, strict=True), 1)
    ]
    if by.nullable:
        chunks.append(Chunk(len(chunks) + 1, f"rows whose {by} is NULL", None, by.is_null, round(nulls)))
    return Split.of("key", chunks, stable=True, reasons=notes)


def _number(request: Request, by: SplitColumn, population: Population) -> tuple[int, list[str]]:
    """How many ranges there shall be, and what the plan says of them."""
    notes = []
    if not by.unique and not by.of_query:
        notes.append(f"{by} has no unique index: its ranges are exact, but a frequent value is in one alone")
    most = PASSES_PER_WORKER * request.jobs
    if population.bytes is None:
        notes.append(
            f"the rows were made once to find the cuts, and each of up to {most} chunks makes them again"
        )
        return most, notes
    number = count(population.bytes, request.jobs, request.options.chunk_bytes)
    if not by.indexed:
        notes.append(
            f"no index begins with {by}: each chunk reads the whole table, so there are {most} at most"
        )
        number = min(number, most)
    return number, notes


def _quantiles(
    request: Request, by: SplitColumn, population: Population, number: int
) -> tuple[list[tuple[str, float]], float]:
    """The text of the least value and the bytes of up to `number` even ranges; and the bytes of NULL's rows.

    A value is in the range that the middle of its rows is in. At least one range, which may be empty. (All
    operators that are written OPERATOR() bind alike, so each stands in parentheses of its own.)
    """
    first = "pg_catalog.left(k::pg_catalog.text, {})" if by.is_text else "k::pg_catalog.text"
    query = sql.SQL(
        """
WITH sample AS (
    SELECT {key} AS k, pg_catalog.sum({bytes})::pg_catalog.float8 AS w{rows} GROUP BY 1),
ranked AS (
    SELECT k, w, pg_catalog.floor(
               (pg_catalog.sum(w) OVER (ORDER BY k ROWS UNBOUNDED PRECEDING)
                OPERATOR(pg_catalog.-) (w OPERATOR(pg_catalog./) 2::pg_catalog.float8))
               OPERATOR(pg_catalog.*) {number}::pg_catalog.float8
               OPERATOR(pg_catalog./) pg_catalog.sum(w) OVER ()) AS bucket
      FROM sample WHERE k IS NOT NULL)
(SELECT DISTINCT ON (bucket) bucket, {first}, pg_catalog.sum(w) OVER (PARTITION BY bucket)
  FROM ranked ORDER BY bucket, ranked.k)
UNION ALL SELECT -1, NULL, w FROM sample WHERE k IS NULL"""
    ).format(
        key=by.compared,
        bytes=row_bytes(request),
        rows=population.rows,
        number=sql.Literal(number),
        first=sql.SQL(first).format(sql.Literal(CUT_LENGTH)),
    )
    with request.asking(bounded=False):
        found = sorted(request.source.execute(query), key=lambda row: row[0])
    sizes: dict[str, float] = {}
    nulls = 0.0
    for _, text, size in found:
        if text is None:
            nulls = size / population.share
        else:  # two texts may begin alike: their ranges are one then
            sizes[text] = sizes.get(text, 0.0) + size / population.share
    return list(sizes.items()) or [("", 0.0)], nulls


def _between(by: SplitColumn, begin: str | None, end: str | None) -> str:
    bounds = []
    if begin is not None:
        bounds.append(by.compare(">=", begin))
    if end is not None:
        bounds.append(by.compare("<", end))
    return " AND ".join(bounds)
