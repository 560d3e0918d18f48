"""The workloads' Arrow transforms, for peers that read numerics as text or as floats."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from bench import transforms
from bench.peers.job import Job

MONEY = pa.decimal128(15, 2)


def transform(job: Job) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """The job's own, after numerics have become decimals: nobody computes with text, nor takes it as numeric."""
    function: Callable[[pa.RecordBatch], pa.RecordBatch] = getattr(transforms, job.workload.function)
    numerics = job.workload.of_type("numeric")
    return lambda batch: function(_with_decimals(batch, numerics))


def _with_decimals(batch: pa.RecordBatch, names: list[str]) -> pa.RecordBatch:
    for name in names:
        at = batch.schema.get_field_index(name)
        column = batch.column(at)
        if isinstance(column, pa.ExtensionArray):
            column = column.storage
        if column.type != MONEY:
            batch = batch.set_column(at, name, column.cast(MONEY))
    return batch
