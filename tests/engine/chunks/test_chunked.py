"""A run with a ledger from its first row there to its last: what it refuses, and what it survives."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import psycopg
import pyarrow as pa
import pytest

import copypump
from copypump.engine.chunks import jobs
from copypump.errors import RefusedError, StoppedError
from tests.conftest import Pair
from tests.engine.many import CHUNKS, ROWS, make, resume, same
from tests.servers import sql


@pytest.fixture
def pair(same_server_pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Pair:
    monkeypatch.setattr(jobs, "_FIRST_PAUSE", 0.01)
    return make(same_server_pair)


class Once:
    """A transform that does something with the first rows, and lets all of them through."""

    def __init__(self, do: Any) -> None:
        self._do = do
        self._lock = threading.Lock()
        self._done = False

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        with self._lock:
            if batch.num_rows and not self._done:
                self._done = True
                self._do()
        return batch


def end(dsn: str, name: str) -> int:
    """End the sessions of this name in a database; how many there were."""
    ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()"
    return len(sql(dsn, ended, [name]))


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("ALTER TABLE people SET UNLOGGED", "the target is unlogged: a crash of its server would empty it"),
        ("ALTER TABLE people RENAME TO p; CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
         " CREATE FOREIGN TABLE people (id int, name text, note varchar(20)) SERVER s",
         "the target is a foreign table"),
    ],
)  # fmt: skip
def test_targets_that_do_not_live_as_long_as_the_ledger(pair: Pair, statement: str, reason: str) -> None:
    sql(pair.dst, statement)
    with pytest.raises(RefusedError, match=reason):
        copypump.pump(*pair, **CHUNKS, mode="append")
    assert copypump.runs(pair.dst) == []


def test_a_temporary_target(pair: Pair) -> None:
    with psycopg.connect(pair.dst, autocommit=True) as given:
        given.execute("CREATE TEMPORARY TABLE people (id int, name text, note varchar(20))")
        with pytest.raises(RefusedError, match="the target is temporary"):
            copypump.pump(pair.src, given, **CHUNKS)


@pytest.mark.parametrize("side", ["source", "target"])
def test_one_connection_is_not_enough(pair: Pair, side: str) -> None:
    with psycopg.connect(pair.src if side == "source" else pair.dst, autocommit=True) as given:
        ends = (given, pair.dst) if side == "source" else (pair.src, given)
        with pytest.raises(
            RefusedError, match="needs several sessions, and was given one connection"
        ) as raised:
            copypump.pump(*ends, **CHUNKS)
        assert raised.value.side == side
        assert not given.closed
    assert copypump.runs(pair.dst) == []


def test_the_keeper_and_a_reader_are_lost(pair: Pair) -> None:
    def lose() -> None:
        sql(pair.src, "UPDATE people SET name = 'later'; INSERT INTO people VALUES (9999)")
        assert end(pair.src, "copypump") == 1  # the keeper
        [(pid,)] = sql(
            pair.src, "SELECT min(pid) FROM pg_stat_activity WHERE application_name = 'copypump it'"
        )
        sql(pair.src, "SELECT pg_terminate_backend(%s, 5000)", [pid])

    sql(pair.src, "CREATE TABLE before AS TABLE people")
    report = copypump.pump(*pair, **CHUNKS, jobs=2, transform=Once(lose))
    assert report.retries >= 1
    assert len(report.snapshots) == 1
    query = "SELECT id, name, note FROM {} ORDER BY id"
    assert sql(pair.dst, query.format("people")) == sql(pair.src, query.format("before"))


def test_all_readers_are_lost(pair: Pair) -> None:
    def lose() -> None:
        assert end(pair.src, "copypump") == 1
        assert end(pair.src, "copypump it") == 2

    with pytest.raises(StoppedError, match="no session holds the run's snapshot any more") as raised:
        copypump.pump(
            *pair, **CHUNKS, jobs=2, transform=[Once(lose), "tests.engine.chunks.test_chunked:same_rows"]
        )
    assert raised.value.exit_code == 9
    assert raised.value.hint == "resume reads what is left under a new snapshot"
    [state] = copypump.runs(pair.dst)
    assert (state.status, state.rows_written) == (
        "stopped",
        sql(pair.dst, "SELECT count(*) FROM people")[0][0],
    )


def same_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


@pytest.mark.parametrize(
    ("given", "waits"),
    [
        ({}, "BEGIN; LOCK TABLE people; COMMIT"),
        ({"table": None, "query": "TABLE people"}, "BEGIN; LOCK TABLE people; COMMIT"),
        ({"where": "id IN (SELECT id FROM kept)"}, "REFRESH MATERIALIZED VIEW kept"),
        ({"table": "kept"}, "REFRESH MATERIALIZED VIEW kept"),
    ],
    ids=["a table", "a query", "a condition", "a materialized view"],
)
def test_somebody_waits_to_lock_the_source_as_a_reader_is_lost(
    pair: Pair, given: dict[str, Any], waits: str
) -> None:
    sql(pair.src, "CREATE MATERIALIZED VIEW kept AS SELECT * FROM people")
    waiting = threading.Thread(target=lambda: sql(pair.src, waits))

    def lose() -> None:
        waiting.start()
        while not sql(pair.src, "SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"):
            pass
        [(pid,)] = sql(
            pair.src, "SELECT min(pid) FROM pg_stat_activity WHERE application_name = 'copypump it'"
        )
        sql(pair.src, "SELECT pg_terminate_backend(%s, 5000)", [pid])

    copypump.pump(
        *pair, **CHUNKS | {"into": "people", "split_by": "id"} | given, jobs=2, transform=Once(lose)
    )
    waiting.join(60)
    assert not waiting.is_alive()
    same(pair)


def test_each_chunk_by_itself_without_a_shared_snapshot(pair: Pair) -> None:
    seen: list[copypump.Progress] = []
    shown: dict[str, Any] = {"on_progress": seen.append, "progress_interval": 0.01}
    report = copypump.pump(*pair, **CHUNKS, jobs=2, snapshot=False, **shown)
    assert {progress.snapshot_age for progress in seen} == {0.0}
    assert (report.snapshots, report.rows_written) == ([""], ROWS)
    assert any("under a snapshot of its own" in warning for warning in report.warnings)
    same(pair)


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        ({"table": "people"}, False),
        ({"table": "seen", "into": "people"}, True),
        ({"table": None, "query": "SELECT * FROM people", "into": "people"}, True),
    ],
)
def test_what_each_chunk_makes_anew_is_warned_of(pair: Pair, given: dict[str, Any], warned: bool) -> None:
    sql(pair.src, "CREATE VIEW seen AS SELECT * FROM people")
    report = copypump.pump(*pair, **CHUNKS | {"split_by": "id"} | given)
    assert any("are lost or doubled" in warning for warning in report.warnings) == warned
    same(pair)


def test_ctrl_c_is_told_in_the_ledger(pair: Pair) -> None:
    def ctrl_c() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(0.5)

    with pytest.raises(KeyboardInterrupt, match="chunks are committed; copypump resume it goes on"):
        copypump.pump(*pair, **CHUNKS, transform=Once(ctrl_c))
    state = copypump.status("it", pair.dst).state
    assert (state.status, state.error) == ("stopped", "interrupted by Ctrl-C")


def test_a_defect_keeps_its_own_words(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_given: object, **_more: object) -> None:
        raise ValueError("of ours")

    monkeypatch.setattr(jobs, "move_rows", broken)
    with pytest.raises(ValueError, match="of ours") as raised:
        copypump.pump(*pair, **CHUNKS)
    assert str(raised.value) == "of ours"
    assert raised.value.__cause__ is None
    assert "chunks are committed; copypump resume it goes on" in raised.value.__notes__[0]
    state = copypump.status("it", pair.dst).state
    assert (state.status, state.error) == ("failed", "ValueError")


def test_a_run_of_one_chunk_may_have_a_name(pair: Pair) -> None:
    copypump.pump(*pair, **CHUNKS | {"split": "none"})
    found = copypump.status("it", pair.dst)
    assert [(chunk.chunk, chunk.rows_written) for chunk in found.committed] == [(1, ROWS)]
    with pytest.raises(RefusedError, match="is done"):
        resume(*pair)
