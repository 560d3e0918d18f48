"""What becomes of a chunk that failed: every row of the table of retries, on a real server."""

from __future__ import annotations

import pytest

import copypump
from copypump.engine.chunks import jobs
from copypump.engine.chunks.retries import RETRIES, Retry, classify
from copypump.errors import OutcomeUnknownError, SourceError, StoppedError, TargetError
from tests.conftest import Pair
from tests.engine.many import CHUNKS, fail, failures, make, same
from tests.servers import SystemServer, sql

# What is not in the table: a few of every class that it leaves out.
FATAL = ("22012", "22P03", "23505", "28000", "42501", "XX000", "P0001")

# One chunk: what is tried here does not depend on others.
ONE = CHUNKS | {"split": "none", "retries": 3}


@pytest.fixture
def pair(same_server_pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Pair:
    monkeypatch.setattr(jobs, "_FIRST_PAUSE", 0.01)
    return make(same_server_pair)


def test_every_class_of_the_table(pair: Pair) -> None:
    assert {*RETRIES.values(), Retry.FATAL} == set(Retry)
    for state in (*RETRIES, *FATAL):
        meaning = RETRIES.get(state, Retry.FATAL)
        fail(pair, state, times=100)
        with pytest.raises(TargetError if meaning is Retry.FATAL else StoppedError) as raised:
            copypump.pump(*pair, **ONE)
        tries = {Retry.AGAIN: 4, Retry.ONCE: 2}.get(meaning, 1)
        assert failures(pair) == tries, state
        assert (raised.value.sqlstate, raised.value.report.retries) == (state, tries - 1)
        assert raised.value.exit_code == (5 if meaning is Retry.FATAL else 9)
        if meaning is Retry.STOP:
            assert raised.value.hint
            assert "resume" in raised.value.hint
        [run] = copypump.runs(pair.dst)
        assert (run.status, run.chunks_done) == ("failed" if meaning is Retry.FATAL else "stopped", 0), state
        assert sql(pair.dst, "SELECT count(*) FROM people") == [(0,)]
        copypump.forget("it", pair.dst)
        sql(pair.dst, "DELETE FROM faults")


@pytest.mark.parametrize(("state", "times"), [("40001", 3), ("53200", 1)])
def test_what_passes_in_time_is_only_counted(pair: Pair, state: str, times: int) -> None:
    fail(pair, state, times)
    report = copypump.pump(*pair, **ONE)
    assert (report.retries, report.chunks_done, report.status) == (times, 1, "done")
    same(pair)


def test_a_session_that_is_lost_in_a_chunk_is_replaced(pair: Pair) -> None:
    sql(
        pair.dst,
        """CREATE SEQUENCE lost;
        CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('lost') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER lose AFTER INSERT ON people FOR EACH STATEMENT EXECUTE FUNCTION lose()""",
    )
    assert copypump.pump(*pair, **ONE).retries == 1
    same(pair)


def test_a_unique_violation_of_a_row_is_not_taken_for_a_chunk_that_is_there(pair: Pair) -> None:
    sql(pair.dst, "DROP TRIGGER fail ON people; INSERT INTO people VALUES (7)")
    with pytest.raises(TargetError) as raised:
        copypump.pump(*pair, **ONE, mode="append")
    assert (raised.value.sqlstate, raised.value.hint) == ("23505", 'the constraint is "people_pkey"')
    assert sql(pair.dst, "SELECT count(*) FROM people") == [(1,)]


def test_the_first_connect_of_a_run_is_not_tried_again(pair: Pair, pg15: SystemServer) -> None:
    with pytest.raises(SourceError) as raised:
        copypump.pump(pg15.dsn("nowhere"), pair.dst, **ONE)
    assert raised.value.report.retries == 0
    assert copypump.runs(pair.dst) == []


def test_classify_what_has_no_sqlstate() -> None:
    lost = TargetError("the connection was lost")
    lost.lost = True
    assert classify(lost) is Retry.AGAIN
    assert classify(OutcomeUnknownError("nobody knows")) is Retry.AGAIN
    assert classify(TargetError("something else")) is Retry.FATAL
    assert classify(ValueError("ours")) is Retry.FATAL
