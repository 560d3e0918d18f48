"""What rejecting bad rows costs: runs with --on-error reject beside the same load with abort, in turn.

    python -m bench.rejects                       two embedded servers, a tenth of the full size
    python -m bench.rejects --src DSN --dst DSN --rows 1000000 --runs 3

All go into an empty table with a primary key, a CHECK and a foreign key, in one transaction by one worker:
good rows to abort and to reject, and rows of which one in a hundred, spread evenly, breaks the CHECK, names no
parent, repeats an earlier key, or lacks what is NOT NULL. Prints Markdown. The tables `load`, `load_bad` and
`load_parent` of the bench's schema are made anew, and what the target holds at the end is counted.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator
from statistics import median

import psycopg

import copypump
from bench import making
from bench.compare import connect
from bench.measure import spread
from bench.workloads import SCHEMA

LOAD, LOAD_BAD, PARENT = (f"{SCHEMA}.{name}" for name in ("load", "load_bad", "load_parent"))
BAD_EVERY = 100
PARENTS = 1000
COLUMNS = "id bigint{key}, parent int{parent}, age int{age}, name text{name}, note text"
GOOD = (
    f"SELECT i AS id, i %% {PARENTS} AS parent, i %% 90 AS age, 'person ' || i AS name, md5(i::text) AS note"
)
# The four kinds of bad rows by turns.
BAD = f"""SELECT CASE WHEN kind = 2 THEN i - 1 ELSE i END AS id, CASE WHEN kind = 1 THEN -1 ELSE i %% {PARENTS} END AS parent,
    CASE WHEN kind = 0 THEN -1 ELSE i %% 90 END AS age, CASE WHEN kind <> 3 OR kind IS NULL THEN 'person ' || i END AS name,
    md5(i::text) AS note"""
KIND = f"CASE WHEN i %% {BAD_EVERY} = 0 THEN i / {BAD_EVERY} %% 4 END"

# What is loaded, and with which options.
WAYS: dict[str, tuple[str, str]] = {
    "abort, no bad rows": (LOAD, "abort"),
    "reject, no bad rows": (LOAD, "reject"),
    "reject, 1% bad rows": (LOAD_BAD, "reject"),
}


def execute(dsn: str, *statements: str, rows: int | None = None) -> None:
    """Run statements, each by itself."""
    with connect(dsn) as connection:
        making.schema(connection)
        for statement in statements:
            connection.execute(statement.encode(), None if rows is None else [rows])


def fill(src: str, rows: int) -> None:
    """Make the source's tables."""
    plain = COLUMNS.format(key="", parent="", age="", name="")
    for table, select in ((LOAD, GOOD), (LOAD_BAD, BAD)):
        execute(src, f"DROP TABLE IF EXISTS {table}", f"CREATE TABLE {table} ({plain})")
        series = f"(SELECT i, {KIND} AS kind FROM generate_series(1, %s) AS i) AS n"
        execute(src, f"INSERT INTO {table} {select} FROM {series}", rows=rows)
        execute(src, f"VACUUM (ANALYZE) {table}")


def prepare(dst: str) -> None:
    """Make the target anew."""
    checked = COLUMNS.format(
        key=" PRIMARY KEY", parent=f" REFERENCES {PARENT}", age=" CHECK (age >= 0)", name=" NOT NULL"
    )
    execute(
        dst,
        f"DROP TABLE IF EXISTS {LOAD}",
        f"DROP TABLE IF EXISTS {PARENT}",
        f"CREATE TABLE {PARENT} (id int PRIMARY KEY)",
        f"INSERT INTO {PARENT} SELECT generate_series(0, {PARENTS - 1})",
        f"CREATE TABLE {LOAD} ({checked})",
        "CHECKPOINT",
    )


def measured(src: str, dst: str, table: str, on_error: str, rows: int) -> float:
    """Wall seconds, once what is there was counted."""
    prepare(dst)
    start = time.perf_counter()
    report = copypump.pump(src, dst, table=table, into=LOAD, mode="append", on_error=on_error)
    seconds = time.perf_counter() - start
    rejected = rows // BAD_EVERY if table == LOAD_BAD else 0
    with psycopg.connect(dst) as connection:
        landed = connection.execute(f"SELECT count(*) FROM {LOAD}".encode()).fetchall()
    if landed != [(rows - rejected,)] or report.tally.rejected != rejected:
        raise RuntimeError(f"{landed} rows landed, and {report.tally.rejected:,} were rejected")
    return seconds


def table(src: str, dst: str, rows: int, runs: int) -> Iterator[str]:
    """Lines of Markdown."""
    fill(src, rows)
    yield f"{rows:,} rows; seconds: median (least - most) of {runs} runs, in turn; as long: median of the ratios."
    yield ""
    yield "| way | seconds | as long as abort |"
    yield "| --- | --- | --- |"
    turns = [{way: measured(src, dst, *loaded, rows) for way, loaded in WAYS.items()} for _ in range(runs)]
    first = next(iter(WAYS))
    for way in WAYS:
        ratio = median(turn[way] / turn[first] for turn in turns)
        yield f"| {way} | {spread([turn[way] for turn in turns])} | {ratio:.2f} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.rejects")
    parser.add_argument("--src")
    parser.add_argument("--dst")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        src, dst = args.src, args.dst
        if src is None or dst is None:
            from bench.servers import servers

            src, dst, _ = stack.enter_context(servers(None, None))
        for line in table(src, dst, args.rows, args.runs):
            print(line, flush=True)


if __name__ == "__main__":
    main()
