"""Others at the same tables at the same time: other sessions, other runs, and our own other half."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pytest

import copypump
from copypump.errors import ExitCode
from tests.conftest import Pair
from tests.engine.conftest import AFTER_TAX, ROWS, people
from tests.servers import TEST_APPLICATION, sql

WAITING = """SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
              WHERE NOT l.granted AND a.application_name = 'copypump' AND a.datname = current_database()"""
PATIENCE = 30.0


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come; no test hangs on how soon."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def waiting(dsn: str, number: int) -> Callable[[], bool]:
    """Whether as many sessions of ours wait for a lock in the database."""
    return lambda: sql(dsn, WAITING) == [(number,)]


@pytest.fixture
def beside() -> Iterator[concurrent.futures.Executor]:
    """Runs that go on beside the test."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        yield pool


@pytest.fixture
def other(example: Pair) -> Iterator[psycopg.Connection[Any]]:
    """A session of somebody else's on the target, in a transaction."""
    with psycopg.connect(example.dst, application_name=TEST_APPLICATION) as connection:
        yield connection


# Others ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["append", "truncate"])
def test_an_alter_of_the_target_that_was_waited_for_is_seen(
    example: Pair, other: psycopg.Connection[Any], beside: concurrent.futures.Executor, mode: str
) -> None:
    """The same width in bytes, so that nothing but the plan's own look could tell."""
    other.execute("INSERT INTO people VALUES (-1)")
    other.execute("ALTER TABLE people ALTER age TYPE real")
    run = beside.submit(copypump.pump, example.src, example.dst, table="people", transform=people, mode=mode)
    until(waiting(example.dst, 1))
    other.commit()
    with pytest.raises(copypump.RefusedError, match="the target changed after the plan"):
        run.result(PATIENCE)
    assert sql(example.dst, "SELECT id FROM people") == [(-1,)]


def test_two_runs_that_find_a_target_empty(example: Pair, beside: concurrent.futures.Executor) -> None:
    """The second waits for the first, and is then refused."""
    landed, go = threading.Event(), threading.Event()

    def held(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            landed.set()
            assert go.wait(PATIENCE)
        return people(batch)

    first = beside.submit(copypump.pump, example.src, example.dst, table="people", transform=held)
    try:
        assert landed.wait(PATIENCE)
        second = beside.submit(copypump.pump, example.src, example.dst, table="people", transform=people)
        until(waiting(example.dst, 1))
    finally:
        go.set()
    assert first.result(PATIENCE).rows_written == ROWS
    with pytest.raises(copypump.RefusedError, match="holds rows already"):
        second.result(PATIENCE)
    assert sql(example.dst, "SELECT count(*) FROM people") == [(ROWS,)]


@pytest.mark.parametrize("modes", [("truncate", "truncate"), ("truncate", "append")])
def test_two_runs_into_one_table_do_not_wait_for_each_other(
    example: Pair,
    other: psycopg.Connection[Any],
    beside: concurrent.futures.Executor,
    modes: tuple[str, str],
) -> None:
    """Both are let go at once by a third who had the table for itself."""
    other.execute("LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
    runs = []
    for number, mode in enumerate(modes, 1):
        runs.append(
            beside.submit(
                copypump.pump, example.src, example.dst, table="people", transform=people, mode=mode
            )
        )
        until(waiting(example.dst, number))
    other.commit()
    assert [run.result(PATIENCE).rows_written for run in runs] == [ROWS, ROWS]
    assert sql(example.dst, "SELECT count(*) FROM people") == [(modes.count("append") * ROWS + ROWS,)]


# Ourselves ------------------------------------------------------------------------------------------------

TOTAL = """
CREATE FUNCTION total() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM people); END';
CREATE FUNCTION inlined() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM people'"""
NUMBERS = "generate_series(1, 200000) AS i"


@pytest.fixture
def alone(database: str) -> Pair:
    """One database on both sides; `people` is the target, and what its functions read."""
    sql(database, AFTER_TAX + f"; INSERT INTO people VALUES (-1); {TOTAL}")
    return Pair(database, database)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT total() AS id",
        "SELECT inlined() AS id",
        f"SELECT CASE WHEN i > 150000 THEN total() ELSE i END AS id FROM {NUMBERS}",
    ],
    ids=["at once", "inlined", "late"],
)
@pytest.mark.parametrize("transform", [None, lambda batch: batch], ids=["bytes", "arrow"])
def test_a_function_that_reads_the_target_is_refused(alone: Pair, query: str, transform: Any) -> None:
    """What a function reads is seen by nobody before it waits for our own lock."""
    with pytest.raises(copypump.RefusedError, match="same table") as error:
        copypump.pump(*alone, query=query, into="people", mode="truncate", transform=transform)
    assert error.value.exit_code == ExitCode.REFUSED
    assert "the source waits for people, which the target has locked" in str(error.value)
    assert "as it was before" in str(error.value.state)
    assert sql(alone.dst, "SELECT id FROM people") == [(-1,)]


def test_one_who_stands_between(alone: Pair, beside: concurrent.futures.Executor) -> None:
    """The target has the table for writing, somebody wants it for himself, and our source stands behind him."""
    started, go = threading.Event(), threading.Event()

    def held(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            started.set()
            assert go.wait(PATIENCE)
        return batch

    query = f"SELECT CASE WHEN i > 150000 THEN total() ELSE i END AS id FROM {NUMBERS}"
    options: Any = {"query": query, "into": "people", "mode": "append", "transform": held}
    run = beside.submit(copypump.pump, *alone, **options, batch_rows=1000)
    try:
        assert started.wait(PATIENCE)
        with psycopg.connect(alone.dst, application_name=TEST_APPLICATION) as between:
            locked = beside.submit(between.execute, "LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
            # Our source may stand behind him already.
            until(lambda: sql(alone.dst, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted") == [(True,)])
            go.set()
            with pytest.raises(copypump.RefusedError, match="the source waits for people"):
                run.result(PATIENCE)
            locked.result(PATIENCE)
    finally:
        go.set()
    assert sql(alone.dst, "SELECT id FROM people") == [(-1,)]


@pytest.mark.parametrize("function", ["total", "inlined"])
def test_a_function_that_reads_the_target_sees_it_as_it_was(alone: Pair, function: str) -> None:
    """The source's snapshot is older than our rows, so that appending them changes nothing that is read."""
    query = f"SELECT i + {function}() AS id FROM generate_series(1, 4000) AS i"
    report = copypump.pump(*alone, query=query, into="people", mode="append", batch_rows=100)
    assert report.rows_written == 4000
    assert sql(alone.dst, "SELECT min(id), max(id), count(*) FROM people WHERE id > 0") == [(2, 4001, 4000)]


def test_others_are_waited_for_in_one_database(alone: Pair, beside: concurrent.futures.Executor) -> None:
    """A function may wait for a lock of somebody else's as long as that lasts."""
    sql(
        alone.src,
        "CREATE TABLE theirs (a int); CREATE FUNCTION ask() RETURNS bigint LANGUAGE plpgsql AS"
        " 'BEGIN RETURN (SELECT count(*) FROM theirs); END'",
    )
    with psycopg.connect(alone.src, application_name=TEST_APPLICATION) as locker:
        locker.execute("LOCK TABLE theirs")
        run = beside.submit(copypump.pump, *alone, query="SELECT ask() AS id", into="people", mode="truncate")
        until(waiting(alone.src, 1))
        watching = (
            "SELECT 1 FROM pg_stat_activity WHERE query ~ 'pg_blocking_pids' AND pid <> pg_backend_pid()"
        )
        until(lambda: sql(alone.src, watching) == [(1,)])
        assert not run.done()
    assert run.result(PATIENCE).rows_written == 1
    assert sql(alone.dst, "SELECT id FROM people") == [(0,)]
