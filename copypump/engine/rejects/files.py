"""The file of rejected rows: written from their table when the run is done."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from psycopg import sql

from copypump.codec.decoder import Decoder
from copypump.codec.framing import Framer
from copypump.engine.rejects.table import RejectTable
from copypump.errors import RefusedError, UsageError
from copypump.postgres.query import describe_query
from copypump.postgres.session import Session
from copypump.postgres.source import Source

_BATCH_BYTES, _BATCH_ROWS = 1 << 20, 65_536


def check_file(path: str) -> None:
    """RefusedError unless a file can be written there, which a long run would find out at its end."""
    target = Path(path)
    if target.is_dir() or not os.access(target.parent, os.W_OK | os.X_OK):
        what = "it is a directory" if target.is_dir() else "its directory is not there, or not writable"
        raise RefusedError(f"rejected rows cannot be written to {path}: {what}")


def write_file(session: Session, table: RejectTable, run: str, path: str) -> None:
    """Write a run's rejected rows to a `.parquet` or `.jsonl` file; `session` stands in no transaction.

    It has its name once all of it is there; what had that name before is gone then.

    Raises:
        CopypumpError: it could not be written, or the target lost; the rows are in the table all the same.

    """
    query = sql.SQL(
        "SELECT run, chunk, stage, reason, sqlstate, constraint_name, column_name,"
        " row::pg_catalog.text AS row, rejected FROM {}"
        " WHERE run OPERATOR(pg_catalog.=) {} ORDER BY chunk, rejected"
    ).format(table.identifier, sql.Literal(run))
    try:
        session.begin_source()
        (_parquet if path.lower().endswith(".parquet") else _jsonl)(session, query, f"{path}.part")
        Path(f"{path}.part").replace(path)
    except OSError as error:
        raise UsageError(f"{path} could not be written: {error.strerror}") from None
    finally:
        Path(f"{path}.part").unlink(missing_ok=True)
        session.rollback()


def _batches(session: Session, query: sql.Composable) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    columns = describe_query(session, query.as_string())
    source = Source(session)
    source.start(sql.SQL("COPY ({}) TO STDOUT (FORMAT BINARY)").format(query))
    framer = Framer(len(columns), positions=True, batch_rows=_BATCH_ROWS)
    decoder = Decoder(columns)

    def batches() -> Iterator[pa.RecordBatch]:
        while (data := source.read(_BATCH_BYTES, _BATCH_ROWS)) is not None:
            yield from map(decoder.decode, framer.feed(data))
        framer.finish()

    return decoder.schema, batches()


def _parquet(session: Session, query: sql.Composable, path: str) -> None:
    import pyarrow.parquet as pq

    schema, batches = _batches(session, query)
    with pq.ParquetWriter(path, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _jsonl(session: Session, query: sql.Composable, path: str) -> None:
    _, batches = _batches(session, query)
    with Path(path).open("w", encoding="utf-8") as file:
        for batch in batches:
            for row in batch.to_pylist():
                row["row"] = json.loads(row["row"])
                row["rejected"] = row["rejected"].isoformat()
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
