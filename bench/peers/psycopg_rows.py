"""psycopg, a Python tuple a row: read by a server-side cursor, written as the last word of the job says.

write_row: COPY, row by row. executemany: INSERT, a thousand rows a call. execute: INSERT, a call a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import psycopg
from psycopg.types.string import TextLoader

from bench.peers.job import Job, told
from bench.peers.rows import TRANSFORMS

MANY = 1000


def read(source: psycopg.Connection[Any], job: Job) -> Iterator[tuple[Any, ...]]:
    """The transformed rows."""
    for name in ("json", "jsonb"):  # as their text: nobody asks for their parts
        source.adapters.register_loader(name, TextLoader)
    with source.cursor(name="bench") as cursor:
        cursor.itersize = 10_000
        cursor.execute(job.query)
        yield from map(TRANSFORMS[job.workload.function], cursor)


def write_row(target: psycopg.Connection[Any], job: Job, rows: Iterable[tuple[Any, ...]]) -> None:
    """COPY in text format: enums and jsonb need no words about their types there."""
    with target.cursor().copy(f"COPY {job.into} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def executemany(target: psycopg.Connection[Any], job: Job, rows: Iterable[tuple[Any, ...]]) -> None:
    """INSERT in a pipeline."""
    rows, cursor, statement = iter(rows), target.cursor(), ""
    while batch := list(islice(rows, MANY)):
        statement = statement or _insert(job, len(batch[0]))
        cursor.executemany(statement, batch)


def execute(target: psycopg.Connection[Any], job: Job, rows: Iterable[tuple[Any, ...]]) -> None:
    """INSERT, and wait for the answer, for each row."""
    cursor, statement = target.cursor(), ""
    for row in rows:
        statement = statement or _insert(job, len(row))
        cursor.execute(statement, row)


def _insert(job: Job, columns: int) -> str:
    return f"INSERT INTO {job.into} VALUES ({', '.join(['%s'] * columns)})"


WAYS = {function.__name__: function for function in (write_row, executemany, execute)}


def main() -> None:
    """Read, transform and write."""
    job = told()
    with psycopg.connect(job.src) as source, psycopg.connect(job.dst) as target:
        WAYS[job.rest[0]](target, job, read(source, job))
        target.commit()


if __name__ == "__main__":
    main()
