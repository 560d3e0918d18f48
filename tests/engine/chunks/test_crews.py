"""Who moves the chunks: threads, processes, executors and pools of the user's, and beside an event loop."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import psycopg_pool
import pyarrow as pa
import pytest

import copypump
from copypump.errors import RefusedError
from tests.conftest import Pair
from tests.engine.conftest import AFTER_TAX, PEOPLE, people
from tests.servers import sql

ROWS = 40_000
TRANSFORM = "tests.engine.conftest:people"
CHUNKS: dict[str, Any] = {
    "table": "people",
    "jobs": 2,
    "split": "key",
    "split_by": "id",
    "chunk_bytes": 1 << 15,
}


@pytest.fixture
def example(pair: Pair) -> Pair:
    """Enough rows for several chunks."""
    sql(pair.src, PEOPLE)
    sql(
        pair.src,
        f"INSERT INTO people SELECT i, 'person ' || i, i % 90, i * 1.5 FROM generate_series(1, {ROWS}) AS i",
    )
    sql(pair.src, "ALTER TABLE people ADD PRIMARY KEY (id)")
    sql(pair.dst, AFTER_TAX)
    return pair


def slow(batch: pa.RecordBatch) -> pa.RecordBatch:
    if batch.num_rows:
        time.sleep(0.05)
    return people(batch)


def landed(pair: Pair, times: int = 1) -> None:
    """Every row is there, `times` times, as the transform makes it."""
    expected = sql(pair.src, "SELECT id, name, age + 1, salary * 0.8::float8 FROM people ORDER BY id")
    assert len(expected) == ROWS
    found = sql(pair.dst, "SELECT id, name, age, salary_after_tax FROM people ORDER BY id")
    assert found == [row for row in expected for _ in range(times)]


def test_threads(example: Pair) -> None:
    report = copypump.pump(*example, **CHUNKS, transform=people)
    assert report.chunks_done == report.chunks > 2
    assert (report.rows_read, report.rows_written) == (ROWS, ROWS)
    landed(example)


def test_processes(example: Pair) -> None:
    report = copypump.pump(*example, **CHUNKS, transform=TRANSFORM, workers="processes")
    assert report.chunks_done == report.chunks > 2
    assert (report.rows_read, report.rows_written) == (ROWS, ROWS)
    landed(example)


def test_processes_tell_how_far_a_chunk_is(example: Pair) -> None:
    seen: list[copypump.Progress] = []
    report = copypump.pump(
        *example, table="people", run_id="one", transform="tests.engine.chunks.test_crews:slow", batch_rows=500,
        workers="processes", on_progress=seen.append, progress_interval=0.1,
    )  # fmt: skip
    assert (report.chunks, report.rows_written) == (1, ROWS)
    assert all(progress.snapshot_age > 0 for progress in seen)
    on_its_way = [progress.rows_read for progress in seen if not progress.chunks_done]
    assert any(0 < rows < ROWS for rows in on_its_way)


def test_processes_import_a_function_by_its_name(example: Pair) -> None:
    copypump.pump(*example, **CHUNKS, transform=people, workers="processes")
    landed(example)
    job = CHUNKS | {"mode": "append", "run_id": "it", "workers": "processes"}
    with pytest.raises(RefusedError, match="only import a function by its name"):
        copypump.pump(*example, **job, transform=lambda batch: people(batch))
    assert "it" not in [run.run for run in copypump.runs(example.dst)]
    landed(example)


def test_an_executor_of_threads(example: Pair) -> None:
    with ThreadPoolExecutor(2) as executor:
        copypump.pump(*example, **CHUNKS, transform=people, executor=executor)
        assert executor.submit(int, "7").result() == 7
    landed(example)


def test_an_executor_of_processes_keeps_no_session(example: Pair) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        copypump.pump(*example, **CHUNKS, transform=TRANSFORM, workers="processes", executor=executor)
        deadline = time.monotonic() + 10
        for dsn in example:
            while sql(dsn, "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'copypump%'"):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert executor.submit(int, "7").result() == 7
    landed(example)


def test_a_worker_process_that_dies(example: Pair) -> None:
    with pytest.raises(copypump.StoppedError, match="a worker process has died") as raised:
        copypump.pump(
            *example,
            **CHUNKS,
            run_id="dies",
            transform="tests.engine.chunks.test_crews:die",
            workers="processes",
        )
    assert raised.value.exit_code == 9
    assert [run.status for run in copypump.runs(example.dst)] == ["stopped"]
    assert sql(example.dst, "SELECT count(*) FROM people") == [(0,)]


def die(batch: pa.RecordBatch) -> pa.RecordBatch:
    if batch.num_rows:
        os.kill(os.getpid(), signal.SIGKILL)
    return people(batch)


# What the sessions of a user's pool are set to.
OWN = {"options": "-c statement_timeout=77s"}


@pytest.fixture
def pools(example: Pair) -> Iterator[tuple[Any, Any]]:
    with (
        psycopg_pool.ConnectionPool(example.src, min_size=1, max_size=3, open=True, kwargs=OWN) as src,
        psycopg_pool.ConnectionPool(example.dst, min_size=1, max_size=3, open=True, kwargs=OWN) as dst,
    ):
        yield src, dst


def test_pools_of_the_users(example: Pair, pools: tuple[Any, Any]) -> None:
    copypump.pump(*pools, **CHUNKS, transform=people)
    landed(example)
    for pool in pools:
        stats = pool.get_stats()
        assert stats["pool_available"] == stats["pool_size"] == 3
        with pool.connection() as connection:
            assert connection.execute("SHOW statement_timeout").fetchone() == ("77s",)
            assert connection.info.transaction_status.name == "INTRANS"


def test_a_pool_serves_a_run_of_one_transaction(example: Pair, pools: tuple[Any, Any]) -> None:
    assert copypump.pump(*pools, table="people", transform=people).run is None
    landed(example)


def test_a_session_of_a_pool_s_that_is_lost(example: Pair, pools: tuple[Any, Any]) -> None:
    lost = threading.Event()

    def losing(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows and not lost.is_set():
            lost.set()
            for dsn in example:
                sql(
                    dsn,
                    "SELECT pg_terminate_backend(max(pid), 5000) FROM pg_stat_activity"
                    " WHERE application_name = 'copypump it' AND datname = current_database()",
                )
        return people(batch)

    report = copypump.pump(*pools, **CHUNKS, run_id="it", transform=losing)
    assert report.retries
    landed(example)
    for pool in pools:
        assert pool.get_stats()["returns_bad"] >= 1
        with pool.connection() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_one_pool_of_both_sides(example: Pair) -> None:
    sql(example.src, AFTER_TAX.replace("TABLE people", "TABLE others"))
    job = CHUNKS | {"jobs": 1, "into": "others", "transform": people}
    with psycopg_pool.ConnectionPool(example.src, min_size=1, max_size=4, open=True) as pool:
        assert copypump.pump(pool, pool, **job).rows_written == ROWS
    sql(example.src, "TRUNCATE others")
    with (
        psycopg_pool.ConnectionPool(example.src, min_size=1, max_size=3, open=True) as pool,
        pytest.raises(RefusedError, match="at most 3 sessions, and the run needs 4"),
    ):
        copypump.pump(pool, pool, **job)


def test_pools_do_not_go_with_processes(example: Pair, pools: tuple[Any, Any]) -> None:
    with pytest.raises(RefusedError, match="cannot use one that was given"):
        copypump.pump(*pools, **CHUNKS, transform=TRANSFORM, workers="processes")
    assert copypump.runs(example.dst) == []


def test_a_pool_that_is_too_small(example: Pair, pools: tuple[Any, Any]) -> None:
    with pytest.raises(RefusedError, match="at most 3 sessions, and the run needs 4"):
        copypump.pump(*pools, **{**CHUNKS, "jobs": 3}, transform=people)
    assert sql(example.dst, "SELECT to_regclass('copypump.runs')") == [(None,)]


def test_many_runs_beside_an_event_loop(example: Pair) -> None:
    seen: list[copypump.Progress] = []

    async def both() -> list[copypump.Report]:
        sql(example.dst, AFTER_TAX.replace("TABLE people", "TABLE others"))
        return await asyncio.gather(
            copypump.apump(*example, **CHUNKS, transform=people, on_progress=seen.append),
            copypump.apump(*example, table="people", into="others", transform=people),
        )

    assert [report.rows_written for report in asyncio.run(both())] == [ROWS, ROWS]
    landed(example)
    assert sql(example.dst, "TABLE people EXCEPT TABLE others") == []
    assert seen[-1].chunks_done == seen[-1].chunks > 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_task_that_is_cancelled(example: Pair, jobs: int) -> None:
    begun: list[copypump.Progress] = []

    async def cancelled() -> None:
        job = copypump.apump(
            *example, table="people", jobs=jobs, split_by="id", chunk_bytes=1 << 18, transform=slow,
            batch_rows=50, on_progress=begun.append, progress_interval=0.05, run_id="mine" if jobs > 1 else None,
        )  # fmt: skip
        task = asyncio.create_task(job)
        while not begun:
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    [(count,)] = sql(example.dst, "SELECT count(*) FROM people")
    if jobs == 1:
        assert count == 0
    else:
        assert count == copypump.status("mine", example.dst).state.rows_written < ROWS


def test_reading_beside_an_event_loop(example: Pair) -> None:
    async def rows() -> int:
        count = 0
        async with copypump.aread(example.src, table="people", batch_rows=500) as batches:
            assert batches.schema.names == ["id", "name", "age", "salary"]
            async for batch in batches:
                count += batch.num_rows
        return count

    assert asyncio.run(rows()) == ROWS


def test_reading_that_is_cancelled_as_it_begins(example: Pair) -> None:
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'copypump' AND datname = current_database()"
    reading = copypump.aread(example.src, table="people")

    async def cancelled() -> None:
        task = asyncio.create_task(reading.__aenter__())
        await asyncio.sleep(0)  # it has begun to connect, or is about to
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while sql(example.src, sessions) != [(0,)]:
            await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(cancelled(), 30))


@pytest.mark.timeout(60)
def test_reading_that_is_cancelled(example: Pair) -> None:
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"

    async def reading() -> None:
        query = "SELECT i, pg_sleep(60)::text FROM generate_series(1, 9) AS i"
        async with copypump.aread(example.src, query=query) as batches:
            async for _ in batches:
                pass

    async def cancelled() -> None:
        task = asyncio.create_task(reading())
        while sql(example.src, sleeping) == [(0,)]:
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
