"""Chunks are even where a table's bytes are not: measured by the exact bytes of each chunk's rows."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

import pytest

from copypump.engine.options import Options
from copypump.engine.planning.origin import plan_origin
from copypump.engine.splits import Split, choose_split, chunk_copy
from copypump.engine.splits.weights import LEAST_SAMPLE
from copypump.errors import Side
from copypump.postgres.session import Session
from tests.servers import Server, sql

# The share of the mean that the worker who is last may have (its busy time, the bar says).
BAR = 1.3

# All the bytes in one of a hundred rows, and these in TOAST.
TABLES = {
    # all of the heavy rows in a few blocks, whose rows have to be told apart
    "together": (2000, "i BETWEEN 1000 AND 1019", 20_000),
    "first": (2000, "i <= 20", 20_000),
    "last": (2000, "i > 1980", 20_000),
    "scattered": (20_000, "i % 100 = 7", 8_000),
    # more blocks than are looked at one by one
    "sampled": (80_000, "i BETWEEN 50001 AND 50800", 8_000),
}


@pytest.fixture(scope="module")
def skewed(pg15: Server) -> Iterator[str]:
    with pg15.fresh_database() as name:
        dsn = pg15.dsn(name)
        for table, (rows, heavy, size) in TABLES.items():
            sql(
                dsn,
                f"CREATE TABLE {table} (k int, pad text, v text); ALTER TABLE {table} ALTER v SET STORAGE EXTERNAL;"
                f"INSERT INTO {table} SELECT i, repeat('x', 60), repeat('x', CASE WHEN {heavy} THEN {size} ELSE 1 END)"
                f" FROM generate_series(1, {rows}) AS i; ALTER TABLE {table} ADD PRIMARY KEY (k)",
            )
        # Nearly all blocks have no row left.
        sql(
            dsn,
            "CREATE TABLE bloated AS SELECT i AS k, repeat('x', 100) AS v FROM generate_series(1, 90000) AS i",
        )
        sql(dsn, "DELETE FROM bloated WHERE k NOT BETWEEN 30000 AND 33000")
        yield dsn


def split_of(dsn: str, options: Options, jobs: int) -> tuple[Split, list[int]]:
    """A split, and the exact bytes of the rows of each chunk, in the order of work."""
    with Session(dsn, Side.SOURCE) as session:
        session.begin_source()
        origin = plan_origin(session, options, None, None)
        split = choose_split(session, origin, options, jobs=jobs, startable_over=True)
        sizes = []
        for chunk in split.chunks:
            select = chunk_copy(origin, options, chunk).as_string()
            select = select.removeprefix("COPY (").removesuffix(") TO STDOUT (FORMAT BINARY)")
            row = "+".join(f"pg_column_size({column.name})" for column in origin.columns)
            [(size,)] = session.execute(f"SELECT coalesce(sum({row} + 28), 0)::int8 FROM ({select}) AS q")
            sizes.append(size)
        return split, sizes


def busiest(sizes: list[int], jobs: int) -> float:
    """What the busiest worker has of the mean, where each takes the next chunk when it is free."""
    workers = [0] * jobs
    for size in sizes:
        heapq.heappush(workers, heapq.heappop(workers) + size)
    return max(workers) / (sum(sizes) / jobs)


@pytest.mark.parametrize("jobs", [2, 4])
@pytest.mark.parametrize("way", ["ctid", "key"])
@pytest.mark.parametrize("table", TABLES)
def test_workers_are_evenly_busy_with_a_skewed_table(skewed: str, table: str, way: str, jobs: int) -> None:
    split, sizes = split_of(skewed, Options.of(table=table, split=way, chunk_bytes=1 << 18), jobs)
    assert busiest(sizes, jobs) <= BAR, sizes
    if (table, way) == ("sampled", "key"):
        return  # its rows are those of blocks taken at random, so a single estimate may be far off
    for chunk, size in zip(split.chunks, sizes, strict=True):
        if size > sum(sizes) / 50:
            assert size / 2 < chunk.bytes < size * 2


@pytest.mark.parametrize("jobs", [2, 4])
def test_workers_are_evenly_busy_with_rows_in_few_of_many_blocks(skewed: str, jobs: int) -> None:
    _, sizes = split_of(skewed, Options.of(table="bloated", split="ctid", chunk_bytes=1 << 14), jobs)
    assert busiest(sizes, jobs) <= BAR, sizes


def test_the_condition_counts(skewed: str) -> None:
    options: dict[str, Any] = {"table": "scattered", "where": "k > 19000", "chunk_bytes": 1 << 14}
    _, sizes = split_of(skewed, Options.of(**options, split="ctid"), 2)
    assert busiest(sizes, 2) <= BAR, sizes


def test_the_sampled_table_is_larger_than_what_is_read_whole(skewed: str) -> None:
    [(blocks,)] = sql(skewed, "SELECT pg_relation_size('sampled') / current_setting('block_size')::int")
    assert blocks > 1.5 * LEAST_SAMPLE
