import contextlib
import os
import signal
import time

import psycopg
import pytest
from psycopg import sql as compose
from psycopg.rows import dict_row

from copypump.errors import RefusedError, Side, SourceError, TargetError, UsageError
from copypump.postgres.interrupt import Aborted
from copypump.postgres.session import Session
from tests.postgres.conftest import ctrl_c, later, stopped, within
from tests.servers import sql


@pytest.fixture
def given(database):
    """A connection of a user's own, with a taste of its own."""
    with psycopg.connect(database, row_factory=dict_row) as connection:
        connection.execute("SET statement_timeout = '5s'")
        connection.execute("SET client_encoding = 'LATIN1'")
        connection.commit()
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        yield connection


def use(where, query: str) -> None:
    with Session(where, Side.TARGET) as session:
        session.begin_target()
        session.execute(query)


def is_as_before(given: psycopg.Connection) -> bool:
    rows = given.execute(
        "SELECT current_setting('statement_timeout') t, current_setting('client_encoding') e"
    )
    settings = rows.fetchone()
    given.rollback()
    return (
        settings == {"t": "5s", "e": "LATIN1"}
        and given.autocommit is False
        and given.row_factory is dict_row
        and given.isolation_level == psycopg.IsolationLevel.SERIALIZABLE
        and given.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE
        and not given.lock.locked()
    )


def test_values_come_by_type(source_session):
    query = "SELECT true, 3::int2, 4::int8, 1.5::float8, 2.50::numeric, 'é', NULL, 5::oid"
    assert source_session.execute(query) == [(True, 3, 4, 1.5, "2.50", "é", None, 5)]


def test_parameters_are_bound(source_session):
    query = "SELECT $1::text, $2::int, $3::bool, $4::text"
    assert source_session.execute(query, ["'; DROP", 7, True, None]) == [("'; DROP", 7, True, None)]


def test_transactions_begin_with_our_settings(database, sql):
    sql(database, "ALTER ROLE postgres SET statement_timeout = '1ms'")
    try:
        with Session(database, Side.SOURCE) as session:
            session.begin_source()
            settings = "current_setting('transaction_isolation'), current_setting('row_security')"
            [(_, *found)] = session.execute(f"SELECT pg_sleep(0.05), {settings}")
            assert found == ["repeatable read", "off"]
            assert session.in_transaction
            with pytest.raises(SourceError, match="read-only") as caught:
                session.execute("CREATE TABLE t ()")
            assert caught.value.sqlstate == "25006"
    finally:
        sql(database, "ALTER ROLE postgres RESET statement_timeout")


def test_no_snapshot_is_taken_by_beginning(source_session, database, sql):
    """TRUNCATE by others after BEGIN, before LOCK, must not give zero rows in silence."""
    sql(database, "CREATE TABLE late AS SELECT 1 AS a")
    source_session.execute("LOCK TABLE late IN ACCESS SHARE MODE")
    assert source_session.execute("SELECT a FROM late") == [(1,)]


def test_transaction_timeout_on_new_servers(pg18):
    with pg18.fresh_database() as name:
        dsn = pg18.dsn(name, options="-c transaction_timeout=100")
        with Session(dsn, Side.TARGET) as session:
            session.begin_target()
            session.execute("SELECT pg_sleep(0.3)")


def test_given_connection_comes_back_as_it_was(given):
    with Session(given, Side.TARGET) as session:
        assert not session.owned
        session.begin_target()
        assert session.execute("SELECT '€'::text, current_setting('client_encoding')") == [("€", "UTF8")]
        assert given.lock.locked()
    assert is_as_before(given)


def test_given_connection_comes_back_after_an_error(given):
    with pytest.raises(TargetError):
        use(given, "SELECT 1/0")
    assert is_as_before(given)


def test_given_connection_comes_back_after_ctrl_c(given):
    with later(0.3, ctrl_c), within(3), pytest.raises(KeyboardInterrupt):
        use(given, "SELECT pg_sleep(60)")
    assert is_as_before(given)


def test_given_connection_keeps_its_notices(given):
    heard = []
    given.add_notice_handler(lambda diag: heard.append(diag.message_primary))
    with Session(given, Side.TARGET) as session:
        session.begin_target()
        session.execute("SET LOCAL client_min_messages = notice")
        session.execute("DO $$ BEGIN RAISE NOTICE 'hello'; END $$")
        assert session.notices == 1
    given.execute("DO $$ BEGIN RAISE NOTICE 'again'; END $$")
    assert heard == ["hello", "again"]


def test_given_connection_must_be_idle(given):
    given.execute("SELECT 1")
    with pytest.raises(UsageError, match="in a transaction"), Session(given, Side.SOURCE):
        pass
    given.rollback()
    with given.pipeline(), pytest.raises(UsageError, match="pipeline"), Session(given, Side.SOURCE):
        pass
    with given.lock, pytest.raises(UsageError, match="another thread"), Session(given, Side.SOURCE):
        pass
    assert is_as_before(given)
    given.close()
    with pytest.raises(UsageError, match="closed"), Session(given, Side.SOURCE):
        pass


@pytest.mark.parametrize("error", [TargetError("something else"), KeyboardInterrupt(), None])
def test_given_connection_that_cannot_come_back_is_closed_and_that_is_said(given, monkeypatch, error):
    monkeypatch.setattr("copypump.postgres.session.DEADLINE", 1.0)
    told = []
    with (
        stopped(given.info.backend_pid),
        within(10),
        contextlib.nullcontext() if error is None else pytest.raises(type(error)),
        Session(given, Side.TARGET, warn=told.append) as session,
    ):
        session.pgconn.send_query(b"SELECT pg_sleep(60)")
        if error is not None:
            raise error
    assert given.closed
    assert told == ["the given connection to the target could not come back to idle, and was closed"]
    if isinstance(error, TargetError):
        assert (error.closed, error.state) == ((Side.TARGET,), None)
    elif error is not None:
        assert error.__notes__ == told


def test_old_servers_are_refused(database, monkeypatch):
    monkeypatch.setattr("copypump.postgres.session.OLDEST_SERVER", 10**9)
    with pytest.raises(RefusedError, match="or later"), Session(database, Side.SOURCE):
        pass


def test_interrupt_ends_a_query(source_session, interrupt):
    with later(0.2, interrupt.set), within(3):
        with pytest.raises(Aborted):
            source_session.execute("SELECT pg_sleep(60)")
        assert source_session.rollback()


def test_interrupt_ends_waiting_for_a_lock(target_session, interrupt, database):
    sql(database, "CREATE TABLE held ()")
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE held")
        with later(0.2, interrupt.set), within(3):
            with pytest.raises(Aborted):
                target_session.execute("LOCK TABLE held")
            assert target_session.rollback()


def test_ctrl_c_ends_waiting_for_a_lock(database):
    sql(database, "CREATE TABLE held ()")
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE held")
        with later(0.3, ctrl_c), within(3), pytest.raises(KeyboardInterrupt):
            use(database, "LOCK TABLE held")


def test_a_deadline_ends_a_query(source_session):
    with within(3), pytest.raises(TimeoutError):
        source_session.execute("SELECT pg_sleep(60)", deadline=time.monotonic() + 0.2)
    assert source_session.rollback()
    assert source_session.execute("SELECT 1") == [(1,)]


def test_a_session_that_does_not_answer_is_closed_in_time(database):
    with Session(database, Side.SOURCE) as session:
        session.begin_source()
        pid = session.backend_pid()
        with stopped(pid), within(3):
            assert not session.rollback(time.monotonic() + 1)
            assert session.connection.closed


def test_hanging_up_twice_does_no_harm(database):
    with Session(database, Side.SOURCE) as session:
        session.hang_up()
        session.hang_up()
    session.hang_up()  # as another thread does, which does not know that it was left


def test_a_killed_session_says_so(source_session, pg15):
    pid = source_session.backend_pid()
    sql(pg15.dsn(), "SELECT pg_terminate_backend(%s, 5000)", [pid])  # which waits for its end
    with pytest.raises(SourceError, match=r"terminating connection|connection was lost"):
        source_session.execute("SELECT 1")
    assert not source_session.rollback()


def test_killed_while_waiting(source_session, pg15):
    pid = source_session.backend_pid()
    with later(0.2, lambda: os.kill(pid, signal.SIGTERM)), within(5), pytest.raises(SourceError) as caught:
        source_session.execute("SELECT pg_sleep(60)")
    assert caught.value.sqlstate == "57P01"


def test_composed_queries(source_session):
    query = compose.SQL("SELECT 1 AS {}").format(compose.Identifier('od"d'))
    assert source_session.execute(query) == [(1,)]


def test_leaving_rolls_back(database, sql):
    with Session(database, Side.TARGET) as session:
        session.begin_target()
        session.execute("CREATE TABLE dropped ()")
    assert sql(database, "SELECT count(*) FROM pg_class WHERE relname = 'dropped'") == [(0,)]
