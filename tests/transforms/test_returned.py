"""What a transform returns, in any allowed shape, arrives the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from copypump.transforms import Transform
from tests.transforms.conftest import BATCH, SCHEMA, apply, as_generator, older, probed, rows


class OnlyArray:
    """The least that a producer may be: one struct array over the PyCapsule protocol."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    def __arrow_c_array__(self, requested_schema: object = None) -> Any:
        return self.batch.__arrow_c_array__(requested_schema)


def as_duckdb(batch: pa.RecordBatch) -> duckdb.DuckDBPyRelation:
    return duckdb.connect().from_arrow(pa.table(batch)).project("id, name, age + 1 as age")


SHAPES: dict[str, Callable[[pa.RecordBatch], Any]] = {
    "batch": older,
    "table": lambda batch: pa.table(older(batch)),
    "chunked table": lambda batch: pa.Table.from_batches(list(as_generator(batch)), older(batch).schema),
    "list": lambda batch: [older(batch)],
    "list of tables": lambda batch: [pa.table(older(batch))],
    "generator": as_generator,
    "reader": lambda batch: pa.RecordBatchReader.from_batches(older(batch).schema, as_generator(batch)),
    "array capsule": lambda batch: OnlyArray(older(batch)),
    "polars": lambda batch: pl.DataFrame(batch).with_columns(age=pl.col("age") + 1),
    "duckdb": as_duckdb,
    "reordered": lambda batch: older(batch).select(["age", "id", "name"]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_result_arrives_the_same(shape: str) -> None:
    assert rows(apply(probed(older))) == [
        {"id": 1, "name": "a", "age": 11},
        {"id": 2, "name": None, "age": 21},
        {"id": 3, "name": "c", "age": 31},
    ]
    transform = probed(SHAPES[shape])
    got = rows(apply(transform))
    assert [{name: row[name] for name in SCHEMA.names} for row in got] == rows(apply(probed(older)))


def test_an_index_of_pandas_is_a_column_if_it_has_a_name() -> None:
    def adults(batch: pa.RecordBatch) -> pd.DataFrame:
        frame = batch.to_pandas()
        return frame[frame["age"] >= 20].sort_values("age", ascending=False)

    transform = Transform([adults])
    assert transform.probe(SCHEMA).names == ["id", "name", "age"]
    assert [row["id"] for row in rows(apply(transform))] == [3, 2]

    def indexed(batch: pa.RecordBatch) -> pd.DataFrame:
        return batch.to_pandas().set_index("id")

    assert rows(apply(probed(indexed))) == rows([BATCH])
