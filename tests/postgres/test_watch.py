"""Two sessions that wait for each other without a server's knowing, and ones that do not."""

import psycopg
import pytest

from copypump.errors import Side
from copypump.postgres import watch
from copypump.postgres.interrupt import Aborted
from copypump.postgres.session import Session
from copypump.postgres.watch import DeadlockWatch
from tests.postgres.conftest import later
from tests.servers import TEST_APPLICATION, sql


@pytest.fixture
def both(database, interrupt, monkeypatch):
    """The source's and the target's session by side, each in a transaction; questions come quickly."""
    monkeypatch.setattr(watch, "INTERVAL", 0.05)
    sql(database, 'CREATE TABLE "T" (a int)')
    with (
        Session(database, Side.SOURCE, interrupt=interrupt) as source,
        Session(database, Side.TARGET, interrupt=interrupt) as target,
    ):
        source.begin_source()
        target.begin_target()
        yield {Side.SOURCE: source, Side.TARGET: target}


def watched(both, dsn=None):
    source = both[Side.SOURCE]
    pids = {side: session.backend_pid() for side, session in both.items()}
    return DeadlockWatch(dsn or source.dsn, pids, source.interrupt)


@pytest.mark.parametrize("side", list(Side))
def test_one_waits_for_the_other(both, side):
    waits = both[side]
    (holder,) = (session for other, session in both.items() if other is not side)
    holder.execute('LOCK TABLE "T"')
    with watched(both) as watch, pytest.raises(Aborted):
        waits.execute('LOCK TABLE "T" IN ACCESS SHARE MODE')
    assert watch.found == f'the {side} waits for "T", which the {holder.side} has locked'


def test_a_wait_for_somebody_else(both, database):
    with psycopg.connect(database, application_name=TEST_APPLICATION) as locker:
        locker.execute('LOCK TABLE "T"')
        with later(1.0, locker.commit), watched(both) as watch:
            both[Side.SOURCE].execute('LOCK TABLE "T" IN ACCESS SHARE MODE')
    assert watch.found is None
    assert not both[Side.SOURCE].interrupt.is_set()


def test_nobody_can_watch(both, caplog):
    with watched(both, "host=127.0.0.1 port=1 password=geheim") as watch:
        both[Side.SOURCE].execute("SELECT pg_sleep(0.5)")
    assert watch.found is None
    assert "nobody watches" in caplog.text
    assert "geheim" not in caplog.text
