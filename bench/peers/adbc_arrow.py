"""ADBC: Arrow batches read, transformed by pyarrow, and written by adbc_ingest, one after the other."""

from __future__ import annotations

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa

from bench.peers import arrow
from bench.peers.job import told


def main() -> None:
    """Stream from one to the other."""
    job = told()
    schema, name = job.target
    with adbc.connect(job.src) as source, adbc.connect(job.dst) as target:
        with source.cursor() as reading, target.cursor() as writing:
            reading.execute(job.query)
            reader = reading.fetch_record_batch()
            transform = arrow.transform(job)
            out = transform(pa.RecordBatch.from_pylist([], reader.schema)).schema
            batches = pa.RecordBatchReader.from_batches(out, map(transform, reader))
            writing.adbc_ingest(name, batches, mode="append", db_schema_name=schema)
        target.commit()


if __name__ == "__main__":
    main()
