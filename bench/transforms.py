"""The workloads' transforms on Arrow batches, as a user would write them; peers that speak Arrow run them too."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

# Made once: pyarrow looks for dateutil whenever it converts a number, which takes 0.1 ms where there is none.
YEAR = pa.scalar(1, pa.int32())
KEPT = pa.scalar(0.8)
WHOLE = pa.scalar(1, pa.decimal128(1, 0))
HALF_CENT = pa.scalar(Decimal("0.0050"), pa.decimal128(5, 4))
CENTS = pa.decimal128(30, 2)


def people(batch: pa.RecordBatch) -> pa.RecordBatch:
    """W1: a year older, and salary gives way to what is left of it after tax."""
    columns = {name: batch.column(name) for name in batch.schema.names}
    columns["age"] = pc.add(columns["age"], YEAR)
    columns["salary_after_tax"] = pc.multiply(columns.pop("salary"), KEPT)
    return pa.RecordBatch.from_pydict(columns)


def lineitem(batch: pa.RecordBatch) -> pa.RecordBatch:
    """W2: price * (1 - discount), rounded to 2 places half away from zero, as the server's round(x, 2)."""
    at = batch.schema.get_field_index("l_extendedprice")
    exact = pc.multiply(batch.column(at), pc.subtract(WHOLE, batch.column("l_discount")))
    # No price is below zero, and of what is not, this is pc.round(exact, 2, "half_towards_infinity"), which took
    # 59 ns a row in place of 23.
    price = pc.cast(pc.add(exact, HALF_CENT), CENTS, safe=False)
    return batch.set_column(at, "l_extendedprice", price)


def rebuild(batch: pa.RecordBatch) -> pa.RecordBatch:
    """W3 - W6: every row taken, so that every column is built anew and nothing passes as it came."""
    return batch.take(numbers(batch.num_rows))


def numbers(rows: int) -> pa.Array[pa.Int32Scalar]:
    """0, 1, ... below `rows`; made once, because a Python step a row would be the most of what is measured."""
    if rows > len(_made[0]):
        _made[0] = pa.array(range(max(rows, 1 << 16)), pa.int32())
    return _made[0].slice(0, rows)


_made = [pa.array([], pa.int32())]
