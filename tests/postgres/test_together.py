"""Statements that are sent together: in order, none after a failure, ended like any other."""

import psycopg
import pytest
from psycopg import pq
from psycopg import sql as compose

from copypump.errors import RefusedError, Side, TargetError
from copypump.postgres import together as module
from copypump.postgres.interrupt import Aborted
from copypump.postgres.session import Session, Statement
from tests.postgres.conftest import ctrl_c, later, within
from tests.servers import sql


@pytest.fixture(params=["pipeline", "an older libpq"])
def session(request, target_session, monkeypatch):
    """A session in a transaction; also with a libpq that has to send one after the other."""
    assert pq.version() >= 140000  # else nothing below tries pipeline mode
    if request.param != "pipeline":
        monkeypatch.setattr(module.pq, "version", lambda: 130000)
    return target_session


def is_usable(session: Session) -> bool:
    """Whether a rollback brings the session back to work."""
    assert session.rollback()
    assert session.pgconn.pipeline_status == pq.PipelineStatus.OFF
    session.begin_target()
    return session.execute("SELECT 1") == [(1,)]


def test_rows_of_each(session):
    found = session.together(
        [
            "CREATE TEMPORARY TABLE t (a int)",
            Statement("INSERT INTO t SELECT $1::int UNION ALL SELECT 4 RETURNING a", [3]),
            Statement("SELECT $1::text, $2::int", ["'é", None]),
            compose.SQL("SELECT {}").format(compose.Literal("жук")),
            "SELECT a FROM t WHERE false",
        ]
    )
    assert found == [[], [(3,), (4,)], [("'é", None)], [("жук",)], []]
    assert is_usable(session)


def test_nothing(session):
    assert session.together([]) == []
    assert is_usable(session)


@pytest.mark.parametrize("at", range(4))
def test_none_is_begun_after_one_that_failed(session, database, at):
    sql(database, "CREATE SEQUENCE counted")  # which does not come back with a rollback
    steps = ["SELECT nextval('counted')"] * 3
    steps.insert(at, "SELECT 1 / (random() * 0)::int")
    with pytest.raises(TargetError) as caught:
        session.together(steps)
    assert caught.value.sqlstate == "22012"
    assert is_usable(session)
    assert session.execute("SELECT nextval('counted')") == [(at + 1,)]


def test_a_fault_of_what_is_only_parsed_is_a_refusal(session):
    parsed = Statement("SELECT nonsense", parse=True)
    with pytest.raises(RefusedError, match='column "nonsense" does not exist, at character 8'):
        session.together(["SELECT 1", parsed])
    assert is_usable(session)
    with pytest.raises(TargetError, match='column "nonsense"'):
        session.together([Statement("SELECT 1", parse=True), "SELECT nonsense"])
    assert is_usable(session)


def test_what_is_only_parsed_is_not_done_and_keeps_its_lock(session, database):
    sql(database, "CREATE TABLE held (a int)")
    session.together([Statement("INSERT INTO held DEFAULT VALUES", parse=True)])
    assert session.execute("SELECT count(*) FROM held") == [(0,)]
    with pytest.raises(psycopg.errors.LockNotAvailable):
        sql(database, "BEGIN; LOCK TABLE held IN SHARE MODE NOWAIT")


@pytest.mark.parametrize("server", ["pg15", "pg18"])
def test_a_lock_that_is_sent_with_the_beginning_takes_no_snapshot(server, request):
    server = request.getfixturevalue(server)
    with server.fresh_database() as name, Session(server.dsn(name), Side.SOURCE) as session:
        sql(server.dsn(name), "CREATE TABLE seen (a int)")
        session.begin_source(
            "SET LOCAL application_name = 'x'", "LOCK TABLE seen IN ACCESS SHARE MODE", "SAVEPOINT s"
        )
        sql(server.dsn(name), "INSERT INTO seen VALUES (1)")
        assert session.execute("TABLE seen") == [(1,)]


@pytest.mark.parametrize("end", ["interrupt", "Ctrl-C"])
def test_ended_early(session, interrupt, end):
    stop, error = (interrupt.set, Aborted) if end == "interrupt" else (ctrl_c, KeyboardInterrupt)
    with within(3), later(0.3, stop), pytest.raises(error):
        session.together(["SELECT 1", "SELECT pg_sleep(60)", "SELECT 2"])
    session.interrupt = None
    assert is_usable(session)


def test_the_server_ends_the_session(session, database):
    pid = session.backend_pid()
    with (
        within(3),
        later(0.3, lambda: sql(database, "SELECT pg_terminate_backend(%s)", [pid])),
        pytest.raises(TargetError) as caught,
    ):
        session.together(["SELECT 1", "SELECT pg_sleep(60)", "SELECT 2"])
    assert caught.value.sqlstate == "57P01"
    assert not session.rollback()


def test_a_session_that_is_gone(session, database):
    sql(database, "SELECT pg_terminate_backend(%s, 5000)", [session.backend_pid()])  # which waits for its end
    with pytest.raises(TargetError) as caught:
        session.together(["SELECT 1", "SELECT 2"])
    assert caught.value.sqlstate == "57P01" or caught.value.lost
    assert not session.rollback()


def test_answers_larger_than_a_socket_takes(session):
    size = 3_000_000
    query = Statement("SELECT repeat($1, 1), repeat('y', $2)", ["x" * size, size])
    found = session.together([query] * 5)
    assert [(len(x), len(y)) for [(x, y)] in found] == [(size, size)] * 5


def test_names_that_the_connections_own_encoding_lacks(database):
    sql(database, 'CREATE TABLE "жук" (a int)')
    with psycopg.connect(database) as given:
        given.execute("SET client_encoding = 'LATIN1'")
        given.commit()
        with Session(given, Side.TARGET) as session:
            name = compose.Identifier("жук")
            [_, found] = session.begin_target(
                compose.SQL("LOCK TABLE {}").format(name),
                compose.SQL("SELECT 'é' FROM {} LIMIT 0").format(name),
            )
            assert found == []
            assert session.together([compose.SQL("SELECT count(*) FROM {}").format(name)]) == [[(0,)]]
