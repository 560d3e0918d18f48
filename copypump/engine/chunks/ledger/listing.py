"""How all runs of a ledger stand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg import sql

from copypump.engine.chunks.ledger.holding import HELD
from copypump.engine.chunks.ledger.rows import RunState
from copypump.engine.chunks.ledger.tables import exist, in_schema
from copypump.postgres.session import Session

_RUNS = f"""
SELECT r.run, r.status, r.source, r.target, r.error, r.version,
       r.started::pg_catalog.text, greatest(r.changed, c.committed)::pg_catalog.text,
       pg_catalog.json_array_length(r.split::pg_catalog.json OPERATOR(pg_catalog.->) 'chunks'),
       c.done, c.rows_read, c.rows_written, c.bytes_written,
       EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE {HELD.format(run="r.run")})
  FROM {{schema}}.runs r,
       LATERAL (SELECT pg_catalog.count(*) AS done, pg_catalog.max(k.committed) AS committed,
                       coalesce(pg_catalog.sum(k.rows_read), 0)::pg_catalog.int8 AS rows_read,
                       coalesce(pg_catalog.sum(k.rows_written), 0)::pg_catalog.int8 AS rows_written,
                       coalesce(pg_catalog.sum(k.bytes_written), 0)::pg_catalog.int8 AS bytes_written
                  FROM {{schema}}.chunks k WHERE k.run OPERATOR(pg_catalog.=) r.run) c
 {{where}}
 ORDER BY r.started, r.run"""


def list_runs(session: Session, schema: str, run: str | None = None) -> list[RunState]:
    """All runs, or one, oldest first."""
    if not exist(session, schema):
        return []
    where = sql.SQL("" if run is None else "WHERE r.run OPERATOR(pg_catalog.=) $1")
    found = session.execute(in_schema(schema, _RUNS, where=where), None if run is None else [run])
    return [_state(row) for row in found]


def _state(row: Iterable[Any]) -> RunState:
    """From a row of `_RUNS`, whose last column says whether somebody holds the run."""
    run, status, *rest, held = row
    return RunState(run, "stopped" if status == "running" and not held else status, *rest)
