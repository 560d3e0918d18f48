"""One chunk for each value of a column: a table sharded by region, or by day.

Values that nobody had yet when the split was made are in one chunk more, and so is NULL: a run that is
resumed under another snapshot still misses no row.
"""

from __future__ import annotations

from psycopg import sql

from copypump.engine.planning.origin import where_clause
from copypump.engine.splits.chunk import Chunk, Split
from copypump.engine.splits.columns import named_column, refuse_type
from copypump.engine.splits.request import Request, Unfit
from copypump.engine.splits.weights import row_bytes

# Each value is a chunk with a commit of its own, and stands in the condition of the chunk for all others.
MOST_VALUES = 10_000


def split_by_values(request: Request) -> Split:
    """Cut into the values of the column that was named.

    Raises:
        Unfit: the column will not do, or has too many values.

    """
    by = named_column(request)
    refuse_type(request, by)
    query = sql.SQL(
        """
SELECT k::pg_catalog.text, w
  FROM (SELECT {} AS k, pg_catalog.sum({})::pg_catalog.float8 AS w FROM {}{} GROUP BY 1 LIMIT {}) AS of
 ORDER BY k"""
    ).format(
        by.compared,
        row_bytes(request),
        request.relation,
        where_clause(request.conditions),
        sql.Literal(MOST_VALUES + 2),
    )
    with request.asking(bounded=False):
        found = request.source.execute(query)
    nulls = sum(size for text, size in found if text is None)
    values = [(text, size) for text, size in found if text is not None]
    if len(values) > MOST_VALUES:
        raise Unfit(
            f"it has more than {MOST_VALUES:,} values",
            column=by.name,
            hint="--split key cuts into ranges of values",
        )
    chunks = [
        Chunk(at, f"value {at} of {len(values)} of {by}", None, by.compare("=", text), round(size))
        for at, (text, size) in enumerate(values, 1)
    ]
    others = by.is_none_of([text for text, _ in values])
    chunks.append(Chunk(len(chunks) + 1, f"rows of any other value of {by}", None, others))
    if by.nullable:
        chunks.append(Chunk(len(chunks) + 1, f"rows whose {by} is NULL", None, by.is_null, round(nulls)))
    notes = [f"one pass over the rows found the {len(values):,} values of {by}"]
    if not by.indexed:
        notes.append(f"no index begins with {by}: each chunk reads all of {request.origin.name}")
    return Split.of("values", chunks, stable=True, reasons=notes)
