"""`--indexes rebuild` beside `keep`, in turn: rows appended to a table with three indexes.

    python -m bench indexes                     two embedded servers, a tenth of the full size
    python -m bench indexes --src DSN --dst DSN --rows 1000000 --there 0 --there 1000000

A primary key in the order in which rows come, an index on text in no order, and one on a date of 5,000 days.
Both ways are one transaction by one worker. The table `indexed` of the bench's schema is made on both sides, on the
target with as many rows as shall be there, whose indexes are then made and vacuumed; what it holds at the end is
compared.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from statistics import median

import copypump
from bench import making
from bench.compare import connect
from bench.measure import spread
from bench.modes import digest
from bench.workloads import SCHEMA

NAME = "indexed"
TABLE = f"{SCHEMA}.{NAME}"
DDL = f"CREATE TABLE {TABLE} (id bigint NOT NULL, name text, born date, score float8)"
FILL = f"""INSERT INTO {TABLE} SELECT i, md5(i::text), '2000-01-01'::date + (hashint8(i) %% 5000), i * 0.5
    FROM generate_series(%s::bigint, %s::bigint) AS i"""
INDEXES = f"""ALTER TABLE {TABLE} ADD CONSTRAINT {NAME}_key PRIMARY KEY (id);
    CREATE INDEX {NAME}_name ON {TABLE} (name);
    CREATE INDEX {NAME}_born ON {TABLE} (born)"""
WAYS = ("keep", "rebuild")


def prepare(dsn: str, first: int, last: int) -> None:
    """Make the table anew, with the rows from `first` to `last`."""
    with connect(dsn) as connection:
        making.schema(connection)
        connection.execute(f"DROP TABLE IF EXISTS {TABLE}".encode())
        connection.execute(DDL.encode())
        connection.execute(FILL.encode(), [first, last])
        connection.execute(INDEXES.encode())
        connection.execute(f"VACUUM (ANALYZE) {TABLE}".encode())
        connection.execute("CHECKPOINT")


def measured(src: str, dst: str, way: str, there: int) -> tuple[float, object]:
    """Wall seconds, and what the target holds then."""
    prepare(dst, 1 - there, 0)
    start = time.perf_counter()
    copypump.pump(src, dst, table=TABLE, mode="append", indexes=way)
    return time.perf_counter() - start, digest(dst, TABLE)


def lines(src: str, dst: str, rows: int, there: Sequence[int], runs: int) -> Iterator[str]:
    """Lines of Markdown."""
    prepare(src, 1, rows)
    yield f"{rows:,} rows are appended; seconds: median (least - most) of {runs} runs, in turn."
    yield ""
    yield "| rows there | --indexes keep | --indexes rebuild | times as fast | same content |"
    yield "| --- | --- | --- | --- | --- |"
    for number in there:
        pairs = [tuple(measured(src, dst, way, number) for way in WAYS) for _ in range(runs)]
        keep, rebuild = ([pair[side][0] for pair in pairs] for side in (0, 1))
        ratio = median(a / b for a, b in zip(keep, rebuild, strict=True))
        same = "yes" if all(pair[0][1] == pair[1][1] for pair in pairs) else "NO"
        yield f"| {number:,} | {spread(keep)} | {spread(rebuild)} | {ratio:.1f} | {same} |"
