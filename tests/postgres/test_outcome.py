"""A COMMIT whose answer is lost: both outcomes, and none."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator

import psycopg
import pytest
from msgspec.structs import replace

from copypump.errors import OutcomeUnknownError, Side, TargetError
from copypump.postgres import commit as commit_module
from copypump.postgres import outcome
from copypump.postgres.commit import commit
from copypump.postgres.outcome import Outcome, Transaction, resolve
from copypump.postgres.session import Session
from tests.postgres.conftest import ctrl_c, later, within
from tests.proxy import Fault, Proxy
from tests.servers import Server, sql


@pytest.fixture
def proxy(pg15: Server) -> Iterator[Proxy]:
    with Proxy(pg15.address()) as proxy:
        yield proxy


@pytest.fixture
def table(database):
    sql(database, "CREATE TABLE t (a int)")
    return database


def rows(database: str) -> int:
    return sql(database, "SELECT count(*) FROM t")[0][0]


def run_through(
    session: Session,
    insert: bool = True,
    meanwhile: Callable[[], object] | None = None,
    patience: float = outcome.PATIENCE,
) -> Session:
    with session:
        session.begin_target()
        if insert:
            session.execute("INSERT INTO t VALUES (1)")
        with later(0.5, meanwhile) if meanwhile else contextlib.nullcontext():
            commit(session, patience)
    return session


def test_the_answer_is_lost_and_it_held(proxy, table):
    proxy.fault = Fault("up", "lose answer", seeing=b"COMMIT\0")
    with within(10):
        session = run_through(Session(proxy.dsn(table), Side.TARGET))
    assert proxy.fault.fired
    assert session.committed is True
    assert rows(table) == 1


@pytest.mark.parametrize("action", ["rst", "fin"])
def test_the_commit_is_lost_and_it_did_not_hold(proxy, table, action):
    proxy.fault = Fault("up", action, seeing=b"COMMIT\0")
    session = Session(proxy.dsn(table), Side.TARGET)
    with within(10), pytest.raises(TargetError, match="connection was lost") as caught:
        run_through(session)
    assert session.committed is False
    assert "rolled back" in caught.value.state
    assert rows(table) == 0


def test_a_given_connection_is_resolved_too(proxy, table):
    proxy.fault = Fault("up", "lose answer", seeing=b"COMMIT\0")
    with psycopg.connect(proxy.dsn(table)) as given:
        assert run_through(Session(given, Side.TARGET)).committed is True
        assert given.closed
    assert rows(table) == 1


def test_a_time_zone_of_the_session_is_no_crash(proxy, table):
    proxy.fault = Fault("up", "lose answer", seeing=b"COMMIT\0")
    with psycopg.connect(proxy.dsn(table), autocommit=True) as given:
        given.execute("SET TimeZone = 'Asia/Kathmandu'")
        given.execute("SET DateStyle = 'German'")
        assert run_through(Session(given, Side.TARGET)).committed is True
    assert rows(table) == 1


def test_a_backend_that_does_not_notice_is_ended(proxy, table):
    """Half-open: the server still waits for our COMMIT, its transaction open; it is ended, and then final."""
    proxy.fault = Fault("up", "stall", seeing=b"COMMIT\0")
    session = Session(proxy.dsn(table), Side.TARGET)
    with within(20), pytest.raises(TargetError, match="connection was lost"):
        run_through(session, meanwhile=lambda: shut(session))
    assert session.committed is False
    assert rows(table) == 0


def shut(session: Session) -> None:
    """What tcp_user_timeout does in the end."""
    with socket.socket(fileno=os.dup(session.pgconn.socket)) as line:
        line.shutdown(socket.SHUT_RDWR)


def test_nobody_can_say(proxy, table, monkeypatch):
    monkeypatch.setattr(outcome, "connect", refuse)
    proxy.fault = Fault("up", "lose answer", seeing=b"COMMIT\0")
    session = Session(proxy.dsn(table), Side.TARGET)
    with within(10), pytest.raises(OutcomeUnknownError, match="transaction") as caught:
        run_through(session, patience=1.0)
    assert session.committed is None
    query = caught.value.hint.partition(": ")[2]
    assert sql(table, query) == [("committed",)]


@contextlib.contextmanager
def written(database: str) -> Iterator[tuple[Session, Transaction]]:
    """A session in an open transaction that has written a row, and what it knows of itself."""
    with Session(database, Side.TARGET) as session:
        session.begin_target()
        session.execute("INSERT INTO t VALUES (1)")
        transaction = commit_module._transaction(session, ())
        assert transaction is not None
        yield session, transaction


def test_an_id_that_was_lost_in_a_crash_did_not_hold(pg15, table):
    """With little written nothing of it need be on the disk: the server has never heard of the id then."""
    sql(table, "CHECKPOINT")  # the table shall be
    with written(table) as (_, transaction):
        pg15.halt()
        pg15.start_again()
        assert resolve(table, Side.TARGET, transaction, 10.0) is Outcome.ABORTED
    assert rows(table) == 0


def test_an_id_of_the_future_did_not_hold(table):
    with written(table) as (_, transaction):
        pass
    never = replace(transaction, xid=transaction.xid + 1_000_000)
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        sql(table, never.query)
    assert resolve(table, Side.TARGET, never, 10.0) is Outcome.ABORTED


def test_an_id_from_before_a_crash_may_be_anothers(pg15, table):
    """What the server says of it then is not taken for the truth; after a shutdown it is."""
    with written(table) as (session, transaction):
        commit(session)
    pg15.shut_down()
    pg15.start_again()
    assert resolve(table, Side.TARGET, transaction, 10.0) is Outcome.COMMITTED
    pg15.halt()
    pg15.start_again()
    with within(5):
        assert resolve(table, Side.TARGET, transaction, 10.0) is Outcome.DOUBTFUL


def test_a_doubtful_outcome_is_told_so(proxy, table, monkeypatch):
    monkeypatch.setattr(outcome, "STATISTICS_SINCE", "'another time'")  # as after a crash
    proxy.fault = Fault("up", "lose answer", seeing=b"COMMIT\0")
    with within(10), pytest.raises(OutcomeUnknownError, match="could not be found out") as caught:
        run_through(Session(proxy.dsn(table), Side.TARGET))
    assert "look for the rows" in caught.value.hint


def refuse(*given: object, **more: object) -> None:
    raise TargetError("not now")


def test_nothing_written_needs_no_question(proxy, table, monkeypatch):
    monkeypatch.setattr(outcome, "connect", None)
    proxy.fault = Fault("up", "rst", seeing=b"COMMIT\0")
    with within(5), pytest.raises(TargetError, match="connection was lost"):
        run_through(Session(proxy.dsn(table), Side.TARGET), insert=False)
    assert rows(table) == 0


def test_ctrl_c_while_committing(table):
    """The answer is awaited, then Ctrl-C goes on, and `committed` says what happened."""
    sql(
        table,
        """CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION slow()""",
    )
    session = Session(table, Side.TARGET)
    with within(8), pytest.raises(KeyboardInterrupt):
        run_through(session, meanwhile=ctrl_c)
    assert session.committed is True
    assert rows(table) == 1


def test_ctrl_c_while_a_commit_is_not_answered(proxy, table):
    """The answer is awaited for some seconds, then asked for; then Ctrl-C goes on."""
    proxy.fault = Fault("up", "stall", seeing=b"COMMIT\0")
    session = Session(proxy.dsn(table), Side.TARGET)
    with within(10), pytest.raises(KeyboardInterrupt):
        run_through(session, meanwhile=ctrl_c)
    assert session.committed is False
    assert rows(table) == 0
