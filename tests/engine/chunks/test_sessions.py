"""The sessions of a run's workers: the snapshot that they share, and what happens as they are lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

from copypump.engine.chunks.sessions import Interrupts, Pool, Readers, SnapshotLost, opener
from copypump.engine.options import Options
from copypump.engine.planning.origin import begin_origin, plan_origin
from copypump.errors import Side, SourceError
from copypump.postgres.interrupt import Aborted, Interrupt
from copypump.postgres.pool import make_pool
from copypump.postgres.session import Session
from copypump.postgres.snapshot import export_snapshot
from tests.servers import sql

OPTIONS = Options.of(table="t")


@pytest.fixture(params=["pg15", "pg18"])
def dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database with one row, on servers that call a lost snapshot differently."""
    server = request.getfixturevalue(request.param)
    with server.fresh_database() as name:
        dsn = server.dsn(name)
        sql(dsn, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
        yield dsn


@pytest.fixture
def interrupt() -> Iterator[Interrupt]:
    switch = Interrupt()
    yield switch
    switch.close()


@pytest.fixture
def keeper(dsn: str) -> Iterator[Session]:
    with Session(dsn, Side.SOURCE) as session:
        yield session


@pytest.fixture
def readers(dsn: str, keeper: Session) -> Iterator[Readers]:
    """Readers of the snapshot that the keeper took; afterwards the table has another row."""
    keeper.begin_source()
    origin = plan_origin(keeper, OPTIONS, None, None)
    keeper.rollback()
    begin_origin(keeper, origin, OPTIONS, None, None)
    exported = export_snapshot(keeper)
    sql(dsn, "INSERT INTO t VALUES (2)")
    pool = make_pool(dsn, Side.SOURCE, 4)
    found = Readers(opener(pool, Side.SOURCE, OPTIONS), origin, OPTIONS, "it", exported, keeper)
    yield found
    found.close()
    pool.close()


def end(dsn: str, *pids: int) -> None:
    for pid in pids:
        sql(dsn, "SELECT pg_terminate_backend(%s, 5000)", [pid])


def seen(session: Session) -> int:
    return int(session.execute("SELECT count(*) FROM t")[0][0])


def test_all_see_what_the_keeper_saw(readers: Readers, interrupt: Interrupt) -> None:
    readers.fill(3, interrupt)
    sessions = [readers.take(interrupt) for _ in range(3)]
    assert [seen(session) for session in sessions] == [1, 1, 1]
    assert len({session.backend_pid() for session in sessions}) == 3


def test_one_that_failed_still_holds_it(readers: Readers, interrupt: Interrupt) -> None:
    for _ in range(2):
        with pytest.raises(SourceError), readers.one(interrupt) as session:
            session.execute("SELECT 1 / 0")
    with readers.one(interrupt) as again:
        assert seen(again) == 1
    assert readers.count() == 1


def test_a_reader_takes_over_when_the_keeper_is_gone(
    readers: Readers, keeper: Session, dsn: str, interrupt: Interrupt
) -> None:
    readers.fill(1, interrupt)
    first = readers.snapshot
    end(dsn, keeper.backend_pid())
    readers.fill(2, interrupt)
    assert readers.snapshot != first
    sessions = [readers.take(interrupt) for _ in range(2)]
    assert [seen(session) for session in sessions] == [1, 1]


def test_it_is_waited_for_where_it_is_at_work(
    readers: Readers, keeper: Session, dsn: str, interrupt: Interrupt
) -> None:
    busy = readers.take(interrupt)
    end(dsn, keeper.backend_pid())
    timer = threading.Timer(0.5, readers.give, [busy])
    timer.start()
    other = readers.take(interrupt)
    timer.join()
    assert seen(other) == 1


def test_nobody_is_left(readers: Readers, keeper: Session, dsn: str, interrupt: Interrupt) -> None:
    readers.fill(2, interrupt)
    idle = [readers.take(interrupt) for _ in range(2)]
    end(dsn, keeper.backend_pid(), *(session.backend_pid() for session in idle))
    for session in idle:
        readers.give(session)
    with pytest.raises(SourceError), readers.one(interrupt) as session:
        seen(session)
    with pytest.raises(SourceError), readers.one(interrupt) as session:
        seen(session)
    with pytest.raises(SnapshotLost):
        readers.take(interrupt)


def test_somebody_waits_to_lock_the_table(readers: Readers, dsn: str, interrupt: Interrupt) -> None:
    readers.fill(1, interrupt)
    with psycopg.connect(dsn) as other:
        waiting = threading.Thread(target=_locked, args=[other])
        waiting.start()
        while not sql(dsn, "SELECT 1 FROM pg_locks WHERE NOT granted"):
            pass
        readers.fill(3, interrupt)  # fewer workers, then
        assert readers.count() == 1
        first = readers.take(interrupt)
        timer = threading.Timer(0.5, readers.give, [first])
        timer.start()
        assert readers.take(interrupt) is first
        timer.join()
        other.cancel()
        waiting.join()
    readers.fill(2, interrupt)
    assert readers.count() == 2


def _locked(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.QueryCanceled):
        connection.execute("LOCK TABLE t")


def test_interrupts_end_all_at_once() -> None:
    interrupts = Interrupts()
    with interrupts.one() as first, interrupts.one() as second:
        interrupts.stop()
        for switch in (first, second):
            with pytest.raises(Aborted):
                switch.check()
    with pytest.raises(Aborted), interrupts.one():
        pass
    with pytest.raises(Aborted):
        interrupts.sleep(60)


def test_a_pool_that_is_closed_hangs_up_what_is_in_use(dsn: str, interrupt: Interrupt) -> None:
    pool = make_pool(dsn, Side.TARGET, 2)
    sessions = Pool(opener(pool, Side.TARGET, OPTIONS))
    sessions.fill(2, interrupt)
    used = sessions.take(interrupt)
    sessions.close()
    assert used.connection.closed
    used.close()
    pool.close()
