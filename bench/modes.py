"""Modes that merge beside a program's own executemany, in turn, on the same rows in the same run.

    python -m bench.modes                       two embedded servers, a tenth of the full size
    python -m bench.modes --src DSN --dst DSN --rows 1000000 --runs 3

Half of the rows are new to the target, and half of those that are there have changed. The program reads the
source with a server-side cursor, and sends each 1,000 rows by psycopg's executemany, in one transaction. That
goes through libpq's pipeline mode by itself; with --slow also as drivers without one do it, of which each row
waits for the answer to the one before. In each turn the statements of the merge run once more by themselves, on
rows that are on the target already: no way to the same end is faster than what the server needs for them, and
"floor" is their share of copypump's time. Prints Markdown. The table `merged` of the bench's schema is made on both
sides, and what the target holds at the end is compared.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median

import psycopg
from psycopg import sql

import copypump
from bench import making
from bench.compare import connect
from bench.measure import spread
from bench.workloads import SCHEMA
from copypump.engine import api

NAME = "merged"
TABLE = f"{SCHEMA}.{NAME}"
DDL = f"CREATE TABLE {TABLE} (id bigint PRIMARY KEY, name text, born date, score float8, note text)"
# In no order, as rows arrive from the world; every second one stands on the target already.
SOURCE = f"""INSERT INTO {TABLE} SELECT i, 'person ' || i, '2000-01-01'::date + (i %% 5000)::int, i * 0.5, md5(i::text)
    FROM generate_series(1, %s) AS i ORDER BY md5(i::text)"""
TARGET = f"""INSERT INTO {TABLE} SELECT i, 'person ' || i, '2000-01-01'::date + (i %% 5000)::int,
    i * 0.5 + (i %% 4) / 2, md5(i::text) FROM generate_series(2, %s, 2) AS i"""
COLUMNS = ("id", "name", "born", "score", "note")

PLAIN = {
    "upsert": f"INSERT INTO {TABLE} VALUES (%s, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET"
    " (name, born, score, note) = ROW(excluded.name, excluded.born, excluded.score, excluded.note)",
    "update": f"UPDATE {TABLE} SET (name, born, score, note) = ROW(%s, %s, %s, %s) WHERE id = %s",
}
FETCH = 1000


def executemany(src: str, dst: str, mode: str, *, pipeline: bool = True) -> None:
    """What a program would do without us."""
    order = COLUMNS if mode == "upsert" else (*COLUMNS[1:], "id")
    query = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(map(sql.Identifier, order)), sql.Identifier(SCHEMA, NAME)
    )
    with psycopg.connect(src) as source, psycopg.connect(dst) as target, source.cursor("rows") as rows:
        rows.execute(query)
        cursor = target.cursor()
        while batch := rows.fetchmany(FETCH):
            if pipeline:
                cursor.executemany(PLAIN[mode].encode(), batch)
            else:
                for row in batch:
                    cursor.execute(PLAIN[mode].encode(), row)


def row_by_row(src: str, dst: str, mode: str) -> None:
    """The same without a pipeline."""
    executemany(src, dst, mode, pipeline=False)


def pump(src: str, dst: str, mode: str) -> None:
    """The same by copypump, in one transaction by one worker."""
    copypump.pump(src, dst, table=TABLE, mode=mode, key=["id"])


def merge_alone(src: str, dst: str, mode: str) -> float:
    """Seconds of the server for what copypump says to it once all rows are staged, from ANALYZE to COMMIT."""
    loading = api.plan(src, dst, table=TABLE, mode=mode, key=["id"]).loading
    names = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    out = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT BINARY)").format(
        names, sql.Identifier(SCHEMA, NAME)
    )
    with psycopg.connect(src) as source, psycopg.connect(dst) as target:
        for statement in loading.before:
            target.execute(statement.encode())
        with source.cursor().copy(out) as rows, target.cursor().copy(loading.sink.copy) as staged:
            for data in rows:
                staged.write(data)
        start = time.perf_counter()
        for statement in loading.after:
            target.execute(statement.encode())
        target.commit()
        return time.perf_counter() - start


def prepare(dsn: str, fill: str, rows: int) -> None:
    """Make the table anew."""
    with connect(dsn) as connection:
        making.schema(connection)
        connection.execute(f"DROP TABLE IF EXISTS {TABLE}".encode())
        connection.execute(DDL.encode())
        connection.execute(fill.encode(), [rows])
        connection.execute(f"VACUUM (ANALYZE) {TABLE}".encode())
        connection.execute("CHECKPOINT")


def digest(dsn: str, table: str = TABLE) -> object:
    """What the table holds, whatever its order."""
    with psycopg.connect(dsn) as connection:
        query = f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {table} AS t"
        return connection.execute(query.encode()).fetchone()


Way = Callable[[str, str, str], None]


def measured(way: Way, src: str, dst: str, mode: str, rows: int) -> tuple[float, object]:
    """Wall seconds, and what the target holds then."""
    prepare(dst, TARGET, rows)
    start = time.perf_counter()
    way(src, dst, mode)
    return time.perf_counter() - start, digest(dst)


def table(src: str, dst: str, rows: int, runs: int, peers: Sequence[Way]) -> Iterator[str]:
    """Lines of Markdown."""
    prepare(src, SOURCE, rows)
    yield f"{rows:,} rows; seconds: median (least - most) of {runs} runs, in turn."
    yield ""
    yield "| mode | way | seconds | copypump | times as fast | merge alone | floor | same content |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for mode, peer in itertools.product(PLAIN, peers):
        turns = []
        for _ in range(runs):
            theirs, ours = (measured(way, src, dst, mode, rows) for way in (peer, pump))
            prepare(dst, TARGET, rows)
            turns.append(
                (theirs[0], ours[0], merge_alone(src, dst, mode), theirs[1] == ours[1] == digest(dst))
            )
        times = [[turn[column] for turn in turns] for column in range(3)]
        ratio = median(turn[0] / turn[1] for turn in turns)
        floor = median(turn[2] / turn[1] for turn in turns)
        same = "yes" if all(turn[3] for turn in turns) else "NO"
        seconds = " | ".join(map(spread, times[:2]))
        yield (
            f"| {mode} | {peer.__name__} | {seconds} | {ratio:.1f} | {spread(times[2])} | {floor:.0%} | {same} |"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.modes")
    parser.add_argument("--src")
    parser.add_argument("--dst")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--slow", action="store_true", help="row by row, too")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        src, dst = args.src, args.dst
        if src is None or dst is None:
            from bench.servers import servers

            src, dst, _ = stack.enter_context(servers(None, None))
        for line in table(
            src, dst, args.rows, args.runs, [executemany, *([row_by_row] if args.slow else [])]
        ):
            print(line, flush=True)


if __name__ == "__main__":
    main()
