"""The transforms of the workloads, as a user would write them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

import copypump

ONE = pa.scalar(1, pa.decimal128(1, 0))


def people(batch: pa.RecordBatch) -> pa.RecordBatch:
    """W1: a year older, and salary gives way to what is left of it after tax."""
    columns = {name: batch.column(name) for name in batch.schema.names}
    columns["age"] = pc.add(columns["age"], pa.scalar(1, pa.int32()))
    columns["salary_after_tax"] = pc.multiply(columns.pop("salary"), 0.8)
    return pa.RecordBatch.from_pydict(columns)


def discounted(price: pa.Array, discount: pa.Array) -> pa.Array:
    """Give price * (1 - discount), rounded to 2 places half away from zero, as the server's round(x, 2)."""
    exact = pc.multiply(price, pc.subtract(pa.scalar(1, pa.decimal128(1, 0)), discount))
    return pc.round(exact, 2, round_mode="half_towards_infinity")


def lineitem(batch: pa.RecordBatch) -> pa.RecordBatch:
    """W2, reading every column."""
    at = batch.schema.get_field_index("l_extendedprice")
    price = discounted(batch.column(at), batch.column("l_discount"))
    return batch.set_column(at, "l_extendedprice", price)


@copypump.reads("l_extendedprice", "l_discount", rows="same")
def lineitem_two(batch: pa.RecordBatch) -> pa.RecordBatch:
    """W2, reading its two columns; the other fourteen pass as bytes."""
    return lineitem(batch)
