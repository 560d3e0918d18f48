"""The ledger by itself: claims, epochs, whose a run is, what is listed; in databases of every encoding."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import copypump
from copypump.engine.chunks.ledger import CLAIMED, Committed, Ledger, Superseded, hold_run, holding
from copypump.errors import RefusedError, Side, TargetError
from copypump.postgres.commit import commit
from copypump.postgres.session import Session
from tests.conftest import Pair
from tests.engine.many import CHUNKS, make, resume, same, stop
from tests.engine.test_concurrent import PATIENCE, until, waiting
from tests.servers import SystemServer, role, sql

LEDGER = Ledger("copypump")


def begun(dsn: str) -> int:
    """Make the ledger with one run in it; give its epoch."""
    with Session(dsn, Side.TARGET) as session:
        session.begin_target()
        LEDGER.make(session)
        split = {"name": "key", "chunks": [{}, {}, {}]}
        epoch = LEDGER.start(session, "it", source="s", target="t", options={}, split=split, version="0")
        commit(session)
    return epoch


@pytest.fixture
def two(database: str) -> Iterator[tuple[Session, Session]]:
    """Two attempts, each within its transaction, at a run that has begun."""
    begun(database)
    with Session(database, Side.TARGET) as first, Session(database, Side.TARGET) as second:
        first.begin_target()
        second.begin_target()
        yield first, second


def claim(session: Session, chunk: int = 1, epoch: int = 1) -> list[tuple[int]]:
    [rows] = session.together([LEDGER.claiming_chunk("it", epoch, chunk, 1)])
    return rows


# Claims


def test_a_claim_waits_for_another_and_goes_on_when_that_is_rolled_back(
    two: tuple[Session, Session], database: str
) -> None:
    first, second = two
    assert claim(first) == [(1,)]
    assert claim(second, chunk=2) == [(2,)]  # another chunk is nobody's business
    with ThreadPoolExecutor() as beside:
        claimed = beside.submit(claim, second)
        until(waiting(database, 1))
        first.rollback()
        assert claimed.result(PATIENCE) == [(1,)]


def test_a_claim_of_what_is_committed_fails(two: tuple[Session, Session]) -> None:
    first, second = two
    claim(first)
    commit(first, first=[LEDGER.counting("it", Committed(1, 1, 10, 9, 100, 90, 0.5))])
    with pytest.raises(TargetError) as raised:
        claim(second)
    assert raised.value.sqlstate == CLAIMED
    second.rollback()
    second.begin_target()
    assert LEDGER.chunks(second, "it") == {1: Committed(1, 1, 10, 9, 100, 90, 0.5)}


def test_an_earlier_process_claims_nothing_any_more(two: tuple[Session, Session]) -> None:
    first, second = two
    assert LEDGER.take_up(first, "it") == 2
    commit(first)
    assert claim(second, epoch=1) == []
    with pytest.raises(Superseded):
        LEDGER.claim_step(second, "it", 1, "merge")
    assert claim(second, epoch=2) == [(1,)]
    assert LEDGER.claim_step(second, "it", 2, "merge")


def test_a_step_is_done_once(two: tuple[Session, Session]) -> None:
    first, second = two
    assert LEDGER.claim_step(first, "it", 1, "merge")
    LEDGER.count_step(first, "it", "merge", {"inserted": 3})
    commit(first)
    assert not LEDGER.claim_step(second, "it", 1, "merge")
    second.rollback()
    second.begin_target()
    assert LEDGER.steps(second, "it") == {"merge": {"inserted": 3}}


def test_notes_are_added_to_each_other(two: tuple[Session, Session]) -> None:
    first, second = two
    LEDGER.note(first, "it", {"tables": ["a"], "other": 1})
    LEDGER.note(first, "it", {"tables": ["b"]})
    commit(first)
    assert LEDGER.read(second, "it").notes == {"tables": ["b"], "other": 1}


# Whose it is


def test_a_run_is_held_by_one(two: tuple[Session, Session], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "_PATIENCE", 0.2)
    first, second = two
    hold_run(first, "it")
    hold_run(second, "another")
    with pytest.raises(RefusedError, match=f"the run it is active: .* server process {first.backend_pid()}"):
        hold_run(second, "it")
    [state] = LEDGER.runs(second)
    assert state.status == "running"
    first.rollback()
    hold_run(second, "it")
    second.rollback()
    second.begin_target()
    [state] = LEDGER.runs(second)
    assert (state.status, state.chunks, state.chunks_done) == ("stopped", 3, 0)


def test_a_run_of_that_name_in_another_database_is_another(
    two: tuple[Session, Session], pg15: SystemServer
) -> None:
    first, second = two
    with pg15.fresh_database() as name, Session(pg15.dsn(name), Side.TARGET) as elsewhere:
        elsewhere.begin_target()
        hold_run(elsewhere, "it")
        assert [state.status for state in LEDGER.runs(second)] == ["stopped"]
        assert second.execute(holding._HOLDER, ["it"]) == []
        hold_run(first, "it")
        assert second.execute(holding._HOLDER, ["it"]) == [(first.backend_pid(),)]


def test_what_an_earlier_process_left_behind_is_ended(two: tuple[Session, Session]) -> None:
    first, second = two
    first.execute("SET LOCAL application_name = 'copypump it'")
    claim(first)
    hold_run(second, "it")
    assert claim(second) == [(1,)]


def test_two_runs_of_one_name_at_once(same_server_pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "_PATIENCE", 0.2)
    pair = make(same_server_pair)
    going, go_on = threading.Event(), threading.Event()

    def slow(batch: object) -> object:
        if len(batch):  # type: ignore[arg-type] # a batch has a length
            going.set()
            assert go_on.wait(60)
        return batch

    run = threading.Thread(target=lambda: copypump.pump(*pair, **CHUNKS, transform=slow))
    run.start()
    assert going.wait(60)
    for at_once in (
        lambda: copypump.pump(*pair, **CHUNKS),
        lambda: copypump.forget("it", pair.dst),
    ):
        with pytest.raises(RefusedError, match="the run it is active") as raised:
            at_once()
        assert raised.value.exit_code == 3
    go_on.set()
    run.join()
    same(pair)


# Where it is


def test_two_make_it_at_once(database: str) -> None:
    failed: list[BaseException] = []

    def work(name: str) -> None:
        try:
            with Session(database, Side.TARGET) as session:
                session.begin_target()
                LEDGER.make(session)
                commit(session)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=[str(number)]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert copypump.runs(database) == []


def test_a_role_that_may_not_make_it(pg15: SystemServer) -> None:
    with pg15.fresh_database() as name:
        role(pg15, name, "humble")
        try:
            with Session(pg15.dsn(name, user="humble"), Side.TARGET) as session:
                session.begin_target()
                with pytest.raises(RefusedError, match="the role may not make the ledger, schema copypump"):
                    LEDGER.make(session)
        finally:
            sql(pg15.dsn(name), "DROP ROLE humble")


def test_no_ledger_and_no_run(database: str) -> None:
    assert copypump.runs(database) == []
    for ask in (copypump.status, copypump.forget):
        with pytest.raises(RefusedError, match="there is no run nothing in the ledger, schema copypump"):
            ask("nothing", database)


def test_a_second_of_one_name(database: str) -> None:
    begun(database)
    with pytest.raises(RefusedError, match=r"there is a run it already$") as raised:
        begun(database)
    assert raised.value.hint == "go on with it: copypump resume it; or forget it: copypump forget it"


def test_forgetting_drops_the_tables_that_are_the_runs_own(database: str) -> None:
    begun(database)
    sql(database, 'CREATE TABLE "its ""own" (a int); CREATE TABLE other (a int)')
    with Session(database, Side.TARGET) as session:
        session.begin_target()
        LEDGER.note(session, "it", {"tables": ['public."its ""own"']})
        commit(session)
    copypump.forget("it", database)
    assert sql(database, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [
        ("other",)
    ]
    assert [sql(database, f"SELECT count(*) FROM copypump.{name}")[0][0] for name in ("runs", "chunks", "steps")] == [
        0, 0, 0
    ]  # fmt: skip


# A euro sign is not in LATIN1, and a database of SQL_ASCII knows no letter but ASCII's.
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "UTF8"])
def test_names_and_options_in_whatever_encoding(pg15: SystemServer, encoding: str) -> None:
    with (
        pg15.fresh_database() as source,
        pg15.fresh_database(f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'") as target,
    ):
        utf8 = {"client_encoding": "UTF8"}  # of this test's own sessions
        pair = make(Pair(pg15.dsn(source, **utf8), pg15.dsn(target, **utf8)))
        for dsn in pair:
            sql(dsn, "ALTER TABLE people RENAME note TO größe")
        sql(pair.src, 'ALTER TABLE people RENAME TO "leute €"')
        options = {"table": '"leute €"', "into": "people", "where": "größe <> '12 €'"}
        stop(pair, after=2, **options)
        [state] = copypump.runs(pair.dst)
        assert state.source == ('public."leute €"' if encoding != "LATIN1" else r'public."leute \u20ac"')
        found = copypump.status("it", pair.dst)
        assert {name: found.options[name] for name in options} == options
        report = resume(*pair, new_snapshot=True)
        assert (report.rows_written, report.source) == (3000, 'public."leute €"')
