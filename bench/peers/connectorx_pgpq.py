"""ConnectorX reads all into an Arrow table, pyarrow transforms it, pgpq encodes it, psycopg sends it."""

from __future__ import annotations

from typing import Any

import connectorx
import pgpq
import psycopg
import pyarrow as pa
from pgpq.encoders import LargeStringEncoderBuilder, StringEncoderBuilder
from pgpq.schema import Jsonb

from bench.peers import arrow
from bench.peers.job import told

BATCH_ROWS = 65_536


def encoder_of(schema: pa.Schema, documents: set[str]) -> pgpq.ArrowToPostgresBinaryEncoder:
    """Pgpq's own choices; it has to be told which strings become jsonb."""
    encoders: dict[str, Any] = {}
    for field in schema:
        if field.name in documents:
            string = LargeStringEncoderBuilder if field.type == pa.large_utf8() else StringEncoderBuilder
            encoders[field.name] = string.new_with_output(field, Jsonb())
        else:
            encoders[field.name] = pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(field)
    return pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(schema, encoders)


def main() -> None:
    """Read, transform and write."""
    job = told()
    table = connectorx.read_sql(job.src, job.query, return_type="arrow")
    batches = map(arrow.transform(job), table.to_batches(BATCH_ROWS))
    first = next(batches, None)
    if first is None:
        return
    encoder = encoder_of(first.schema, set(job.workload.of_type("jsonb")))
    with psycopg.connect(job.dst) as target:
        with target.cursor().copy(f"COPY {job.into} FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(encoder.write_header())
            copy.write(encoder.write_batch(first))
            for batch in batches:
                copy.write(encoder.write_batch(batch))
            copy.write(encoder.finish())
        target.commit()


if __name__ == "__main__":
    main()
