"""A peer: read through ADBC, transform with pyarrow, adbc_ingest. Arguments: SRC DST WORKLOAD TABLE [--empty]."""

from __future__ import annotations

import sys

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa

from bench import transforms
from bench.workloads import WORKLOADS


def main(src: str, dst: str, workload: str, table: str, *rest: str) -> None:
    """Stream batches from one to the other."""
    name = WORKLOADS[workload].table
    transform = {"people": transforms.people}[name]
    with adbc.connect(src) as source, adbc.connect(dst) as target:
        with source.cursor() as reading, target.cursor() as writing:
            reading.execute(f"SELECT * FROM {name}" + (" WHERE false" if "--empty" in rest else ""))
            reader = reading.fetch_record_batch()
            schema = transform(pa.RecordBatch.from_pylist([], reader.schema)).schema
            batches = (transform(batch) for batch in reader)
            writing.adbc_ingest(table, pa.RecordBatchReader.from_batches(schema, batches), mode="append")
        target.commit()


if __name__ == "__main__":
    main(*sys.argv[1:])
