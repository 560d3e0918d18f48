"""A batch to transform, and short ways to do it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from copypump.codec.decoder import ROW_INDEX
from copypump.transforms import Transform

SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.utf8()), ("age", pa.int32())])
BATCH = pa.record_batch(
    {"id": [1, 2, 3], "name": ["a", None, "c"], "age": pa.array([10, 20, 30], pa.int32())}
)
ROWS = pa.record_batch({"age": BATCH["age"], ROW_INDEX: pa.array([0, 1, 2], pa.int32())})


def probed(*functions: Any, schema: pa.Schema = SCHEMA, **options: Any) -> Transform:
    transform = Transform(functions, **options)
    transform.probe(schema)
    return transform


def apply(transform: Transform, batch: pa.RecordBatch = BATCH) -> list[pa.RecordBatch]:
    return transform.apply(batch, batch_number=7, first_row=1001, last_row=1003)


def rows(batches: list[pa.RecordBatch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.to_pylist()]


def older(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.set_column(2, "age", pc.add(batch["age"], pa.scalar(1, pa.int32())))


def as_generator(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    changed = older(batch)
    yield changed.slice(0, 1)
    yield changed.slice(1)
