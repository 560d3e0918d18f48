"""Source and Target on real servers: what comes is what the server sent, and every way to end early."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import psycopg
import pytest

from copypump.errors import Side, SourceError, TargetError
from copypump.postgres import _copy, exchange
from copypump.postgres import target as target_module
from copypump.postgres.commit import commit
from copypump.postgres.interrupt import Aborted
from copypump.postgres.session import Session
from copypump.postgres.source import Source
from copypump.postgres.target import Target
from tests.postgres.conftest import HEADER, TRAILER, ctrl_c, later, read_all, stopped, wire_rows, within
from tests.proxy import Fault, Proxy
from tests.servers import sql

# In the select list, generate_series() gives rows as it goes; in FROM it would first write all of them to disk.
SERIES = (
    "COPY (SELECT i, 'x' || i FROM (SELECT generate_series(1::bigint, {}) AS i) s) TO STDOUT (FORMAT BINARY)"
)
# The server keeps 8 kB back, so that many rows come before the wait, but not the last of them.
SLOW = """COPY (SELECT i, CASE WHEN i = 10000 THEN pg_sleep(60) END
                  FROM (SELECT generate_series(1, 20000) AS i) s) TO STDOUT (FORMAT BINARY)"""
ENDLESS = SERIES.format(10**12)


def psycopg_copy(dsn: str, statement: str) -> bytes:
    with psycopg.connect(dsn) as connection, connection.cursor().copy(statement) as copy:
        return b"".join(copy)


# The source


@pytest.mark.parametrize("max_bytes", [1, 100, 8192, 1 << 20])
def test_source_gives_what_the_server_sent(database, source_session, max_bytes):
    rows = 300 if max_bytes < 8192 else 100_000
    source = Source(source_session)
    assert source.start(SERIES.format(rows)) == 2
    assert read_all(source, max_bytes) == psycopg_copy(database, SERIES.format(rows))
    assert source.rows == rows
    assert source.read(1) is None


def test_source_reads_by_rows(source_session):
    source = Source(source_session)
    source.start(SERIES.format(100))
    source.read(1 << 20, 10)
    assert source.messages == 10
    read_all(source)
    assert source.messages >= 100


@pytest.mark.parametrize("rows", [0, 1])
def test_source_of_almost_nothing(database, source_session, rows):
    source = Source(source_session)
    source.start(SERIES.format(rows))
    assert read_all(source) == psycopg_copy(database, SERIES.format(rows))
    assert source.rows == rows


def test_source_of_a_big_row(database, source_session):
    statement = "COPY (SELECT repeat('x', 50000000)) TO STDOUT (FORMAT BINARY)"
    source = Source(source_session)
    source.start(statement)
    assert read_all(source, 1000) == psycopg_copy(database, statement)


def test_source_over_a_unix_socket(pg16):
    with pg16.fresh_database() as name, Session(pg16.dsn(name), Side.SOURCE) as session:
        session.begin_source()
        source = Source(session)
        source.start(SERIES.format(200_000))
        assert read_all(source, 1 << 20) == psycopg_copy(pg16.dsn(name), SERIES.format(200_000))


def test_source_over_tls(database):
    """The TLS library keeps bytes of its own, which poll() cannot see."""
    for rows in (1, 20_000, 300_000):
        with Session(encrypted(database), Side.SOURCE) as session:
            assert session.pgconn.ssl_in_use
            session.begin_source()
            source = Source(session)
            source.start(SERIES.format(rows))
            with within(60):
                assert read_all(source, 1 << 20) == psycopg_copy(database, SERIES.format(rows))


def encrypted(dsn: str) -> str:
    return psycopg.conninfo.make_conninfo(dsn, sslmode="require")


def test_source_refuses_other_statements(source_session):
    with pytest.raises(ValueError, match="not a COPY"):
        Source(source_session).start("COPY (SELECT 1) TO STDOUT")


def test_source_error_before_the_first_row(source_session):
    with pytest.raises(SourceError, match="division by zero") as caught:
        start_and_read(source_session, "COPY (SELECT 1/0) TO STDOUT (FORMAT BINARY)")
    assert caught.value.sqlstate == "22012"
    assert source_session.rollback()


def test_source_error_in_the_middle(source_session):
    query = (
        "COPY (SELECT 1/(50000-i) FROM (SELECT generate_series(1, 100000) AS i) s) TO STDOUT (FORMAT BINARY)"
    )
    with pytest.raises(SourceError, match="division by zero"):
        start_and_read(source_session, query)
    assert source_session.rollback()


def start_and_read(session: Session, statement: str) -> bytes:
    source = Source(session)
    source.start(statement)
    return read_all(source)


def test_source_killed_in_the_middle(source_session):
    pid = source_session.backend_pid()
    with later(0.3, lambda: os.kill(pid, signal.SIGTERM)), within(5), pytest.raises(SourceError) as caught:
        start_and_read(source_session, ENDLESS)
    assert caught.value.sqlstate == "57P01" or "connection was lost" in str(caught.value)
    assert not source_session.rollback()


def test_source_killed_without_a_word(source_session, database):
    with Proxy(address_of(database)) as proxy:
        proxy.fault = Fault("down", "rst", at=3_000_000)
        with Session(proxy.dsn(database), Side.SOURCE) as session:
            session.begin_source()
            with within(5), pytest.raises(SourceError, match="connection was lost"):
                start_and_read(session, ENDLESS)


def address_of(dsn: str) -> tuple[str, int]:
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    return str(parts["host"]), int(parts["port"])


@pytest.mark.parametrize("action", ["rst", "fin"])
@pytest.mark.parametrize("at", [1_100_000, 1_100_001, 1_133_333, 2_000_003])
def test_source_cut_anywhere(database, action, at):
    with Proxy(address_of(database)) as proxy:
        proxy.fault = Fault("down", action, at=at)
        with Session(proxy.dsn(database), Side.SOURCE) as session:
            session.begin_source()
            with within(5), pytest.raises(SourceError, match="connection was lost"):
                start_and_read(session, SERIES.format(1_000_000))


def test_source_interrupted_while_the_server_thinks(source_session, interrupt):
    source = Source(source_session)
    with later(0.2, interrupt.set), within(3):
        with pytest.raises(Aborted):
            source.start("COPY (SELECT pg_sleep(60)) TO STDOUT (FORMAT BINARY)")
        assert source.cancel()
    assert source_session.rollback()


def test_source_interrupted_while_rows_come(source_session, interrupt):
    source = Source(source_session)
    source.start(ENDLESS)
    with later(0.2, interrupt.set), within(3):
        with pytest.raises(Aborted):
            read_all(source)
        assert source.cancel()
    assert source_session.rollback()


def test_source_interrupted_between_rows(source_session, interrupt):
    source = Source(source_session)
    source.start(SLOW)
    with later(0.3, interrupt.set), within(3), pytest.raises(Aborted):
        read_all(source)
    assert source.cancel()


def test_ctrl_c_while_reading(source_session):
    source = Source(source_session)
    source.start(SLOW)
    with later(0.3, ctrl_c), within(3), pytest.raises(KeyboardInterrupt):
        read_all(source)
    assert source.cancel()


def test_source_left_unread_is_drained(source_session):
    source = Source(source_session)
    source.start(ENDLESS)
    source.read(1)
    time.sleep(0.2)
    with within(2):
        assert source.cancel()
    assert source_session.rollback()
    assert source_session.execute("SELECT 1") == [(1,)]


def test_source_that_does_not_answer_is_closed_in_time(database, interrupt):
    with Session(database, Side.SOURCE, interrupt=interrupt) as session:
        session.begin_source()
        source = Source(session)
        source.start(ENDLESS)
        with stopped(session.connection.info.backend_pid), within(3):
            with later(0.2, interrupt.set), pytest.raises(Aborted):
                read_all(source)
            assert not source.cancel(time.monotonic() + 1)
            assert session.connection.closed


def test_source_behind_a_network_that_is_gone(database, interrupt):
    """Cancel goes to a new connection, which the network swallows too; the deadline holds all the same."""
    with (
        Proxy(address_of(database)) as proxy,
        Session(proxy.dsn(database), Side.SOURCE, interrupt=interrupt) as session,
    ):
        session.begin_source()
        source = Source(session)
        source.start(ENDLESS)
        proxy.fault = Fault("down", "stall", at=proxy.passed["down"] + 2_000_000)
        with later(0.5, interrupt.set), within(5):
            with pytest.raises(Aborted):
                read_all(source)
            proxy.fault = Fault("up", "stall", at=0)
            assert not source.cancel(time.monotonic() + 1)


def test_closing_while_another_thread_reads(database):
    """The last resort: the reader ends with an error, and nothing is freed under its feet."""
    outcomes = []
    with Session(database, Side.SOURCE) as session:
        session.begin_source()
        source = Source(session)
        source.start(SLOW)
        thread = threading.Thread(target=lambda: outcomes.append(outcome_of(source)))
        thread.start()
        time.sleep(0.2)
        with within(3):
            session.close()
            thread.join()
    assert isinstance(outcomes[0], SourceError)


def outcome_of(source: Source) -> object:
    try:
        return read_all(source)
    except SourceError as error:
        return error


# The target


@pytest.fixture
def target(database, target_session):
    sql(database, "CREATE TABLE t (id bigint PRIMARY KEY, name text)")
    target = Target(target_session, table="t")
    assert target.start("COPY t FROM STDIN (FORMAT BINARY)") == 2
    return target


@pytest.mark.parametrize("piece", [7, 1000, 1 << 16, 1 << 30])
def test_target_keeps_what_was_written(database, target, target_session, piece):
    data = HEADER + wire_rows(range(1000), b"text") + TRAILER
    for at in range(0, len(data), piece):
        target.write(memoryview(data)[at : at + piece])
    target.write(b"")
    assert target.finish() == 1000
    commit(target_session)
    assert sql(database, "SELECT count(*), sum(id), min(name) FROM t") == [(1000, 499500, "text")]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_target_takes_any_buffer(target, kind):
    target.write(kind(HEADER + TRAILER))
    assert target.finish() == 0


def write_endlessly(
    target: Target, begin: int = 0, text: bytes = b"x" * 1000, header: bytes = HEADER
) -> None:
    target.write(header)
    while True:
        target.write(wire_rows(range(begin, begin + 1000), text))
        begin += 1000


def test_target_refuses_early(database, target, target_session):
    sql(database, "INSERT INTO t VALUES (1500)")
    with within(10), pytest.raises(TargetError, match="duplicate key") as caught:
        write_endlessly(target)
    assert caught.value.row == 1501
    assert target.bytes < 16 << 20
    assert target_session.rollback()


def test_target_refuses_early_over_tls(database):
    sql(database, "CREATE TABLE t (id bigint PRIMARY KEY, name text); INSERT INTO t VALUES (1500)")
    with Session(encrypted(database), Side.TARGET) as session:
        session.begin_target()
        target = Target(session, table="t")
        target.start("COPY t FROM STDIN (FORMAT BINARY)")
        with within(10), pytest.raises(TargetError, match="duplicate key"):
            write_endlessly(target)
    assert target.bytes < 16 << 20


CHATTER = """
CREATE TABLE t (id bigint, name text CHECK (length(name) < 1000));
CREATE FUNCTION chat() RETURNS trigger LANGUAGE plpgsql {} AS
    $$ BEGIN RAISE NOTICE 'row % %', NEW.id, repeat('E', 9000); RETURN NEW; END $$;
CREATE TRIGGER chat BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION chat()"""


def test_target_refuses_early_while_triggers_chatter(database, target_session):
    sql(database, CHATTER.format(""))
    target = Target(target_session, table="t")
    target.start("COPY t FROM STDIN (FORMAT BINARY)")
    target.write(HEADER)
    for at in range(30):
        target.write(wire_rows(range(1000 * at, 1000 * at + 1000), b"x" * 50))
    written = target.bytes
    with within(10), pytest.raises(TargetError, match="check constraint"):
        write_endlessly(target, header=b"")
    assert target.bytes - written < 16 << 20
    assert target_session.notices == 0


def test_notices_do_not_end_a_copy(database, target_session):
    """A function that insists on being heard; its notices come in pieces."""
    sql(database, CHATTER.format("SET client_min_messages = notice"))
    target = Target(target_session)
    target.start("COPY t FROM STDIN (FORMAT BINARY)")
    target.write(HEADER)
    for at in range(1000):
        target.write(wire_rows(range(at, at + 1), b"x" * 900))
    target.write(TRAILER)
    assert target.finish() == 1000
    assert target_session.notices == 1000


def test_target_killed_in_the_middle(target, target_session):
    pid = target_session.connection.info.backend_pid
    with later(0.3, lambda: os.kill(pid, signal.SIGTERM)), within(10), pytest.raises(TargetError) as caught:
        write_endlessly(target)
    assert caught.value.sqlstate == "57P01" or "connection was lost" in str(caught.value)
    assert not target_session.rollback()


@pytest.mark.parametrize("action", ["rst", "fin"])
def test_target_cut_in_the_middle(database, action):
    sql(database, "CREATE TABLE t (id bigint, name text)")
    with Proxy(address_of(database)) as proxy:
        proxy.fault = Fault("up", action, at=3_000_000)
        with Session(proxy.dsn(database), Side.TARGET) as session:
            session.begin_target()
            target = Target(session)
            target.start("COPY t FROM STDIN (FORMAT BINARY)")
            with within(10), pytest.raises(TargetError, match="connection was lost"):
                write_endlessly(target)
    assert sql(database, "SELECT count(*) FROM t") == [(0,)]


def test_target_server_gone(pg15, database):
    sql(database, "CREATE TABLE t (id bigint, name text)")
    with Session(database, Side.TARGET) as session:
        session.begin_target()
        target = Target(session)
        target.start("COPY t FROM STDIN (FORMAT BINARY)")
        try:
            with later(0.2, pg15.halt), within(10), pytest.raises(TargetError):
                write_endlessly(target)
        finally:
            pg15.start_again()
    assert sql(database, "SELECT count(*) FROM t") == [(0,)]


def test_target_interrupted_while_blocked_by_a_lock(database, target, target_session, interrupt):
    with psycopg.connect(database) as other:
        other.execute("INSERT INTO t VALUES (10)")  # not committed: the COPY waits for it to end
        with later(0.5, interrupt.set), within(5):
            with pytest.raises(Aborted):
                write_endlessly(target)
            assert target.abort()
    assert target_session.rollback()


def test_target_interrupted_while_its_backend_stands_still(target, target_session, interrupt):
    with stopped(target_session.connection.info.backend_pid), within(5):
        with later(0.3, interrupt.set), pytest.raises(Aborted):
            write_endlessly(target)
        assert not target.abort(time.monotonic() + 1)
        assert target_session.connection.closed


def test_ctrl_c_while_the_target_is_blocked(database, target, target_session):
    with psycopg.connect(database) as other:
        other.execute("INSERT INTO t VALUES (10)")
        with later(0.5, ctrl_c), within(5):
            with pytest.raises(KeyboardInterrupt):
                write_endlessly(target)
            assert target.abort()


def test_interrupt_while_finishing(database, target, target_session, interrupt):
    with psycopg.connect(database) as other:
        other.execute("INSERT INTO t VALUES (10)")
        target.write(HEADER + wire_rows(range(20)) + TRAILER)
        with later(0.3, interrupt.set), within(5):
            with pytest.raises(Aborted):
                target.finish()
            assert target.abort()
    assert target_session.rollback()


def test_abort_leaves_nothing_and_says_nothing(database, target, target_session, pg15):
    target.write(HEADER + wire_rows(range(20), b"secret value"))
    with within(2):
        assert target.abort()
    assert target_session.rollback()
    assert sql(database, "SELECT count(*) FROM t") == [(0,)]
    log = pg15.log()
    assert "the copy was given up by its client" in log
    assert "secret value" not in log


def test_a_cut_stream_is_never_kept(database, target, target_session):
    """Without a trailer the server would take the rows so far; leaving must roll them back."""
    target.write(HEADER + wire_rows(range(20)))
    target_session.close()
    assert sql(database, "SELECT count(*) FROM t") == [(0,)]


def test_target_errors_at_the_end(target):
    target.write(HEADER + wire_rows(range(5))[:-3])
    with pytest.raises(TargetError) as caught:
        target.finish()
    assert caught.value.sqlstate in ("22P04", "08P01")


def test_waiting_is_counted(target, target_session):
    pid = target_session.connection.info.backend_pid
    with stopped(pid), later(0.5, lambda: os.kill(pid, signal.SIGCONT)):
        target.write(HEADER + wire_rows(range(20_000), b"x" * 1000) + TRAILER)
    assert target.finish() == 20_000
    assert 0.3e9 < target.waited_ns < 20e9


def test_pieces_leave_libpq_no_rest():
    """It sends multiples of 8 kB at once, and a CopyData message has five bytes in front."""
    assert (target_module.PIECE + 5) % 8192 == 0


def test_a_unix_socket_to_the_target_holds_more(pg16):
    with pg16.fresh_database() as name, Session(pg16.dsn(name), Side.TARGET) as session:
        sql(pg16.dsn(name), "CREATE TABLE t (id bigint, name text)")
        session.begin_target()
        with exchange.line(session.pgconn) as line:
            before = line.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        target = Target(session)
        target.start("COPY t FROM STDIN (FORMAT BINARY)")
        with exchange.line(session.pgconn) as line:
            assert line.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) > before
        rows = wire_rows(range(50_000), b"x" * 100)
        target.write(HEADER + rows + TRAILER)
        assert target.finish() == 50_000
        session.rollback()


@pytest.mark.parametrize("pace", [0.0, 1e-6, 1.5, 1e9])
def test_rows_come_whole_at_any_pace(source_session, database, pace):
    """The pace only says how long to sleep; what comes of it stays within a nap of a millisecond."""
    source = Source(source_session)
    source.start(SERIES.format(100_000))
    got, status = b"", _copy.MORE
    with source_session.native() as handle:
        while status == _copy.MORE:
            data = bytearray()
            status, _, _, pace = _copy.drain(handle, -1, data, 1 << 18, 1 << 62, pace=pace)
            got += data
    assert status == _copy.END
    assert 0 <= pace <= 1e6 / (1 << 17) or pace == 1e9  # which is kept if there was enough each time
    assert got == psycopg_copy(database, SERIES.format(100_000))


SLOW_SIGNAL = """
import sys
from copypump.errors import Side
from copypump.postgres.session import Session
from copypump.postgres.source import Source
with Session(sys.argv[1], Side.SOURCE) as session:
    session.begin_source()
    source = Source(session)
    source.start(sys.argv[2])
    print("started", flush=True)
    while source.read(1) is not None:
        pass
"""


def test_sigint_ends_a_process_in_the_native_loop(database):
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_SIGNAL, database, SLOW], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout.readline() == b"started\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        with within(5):
            _, complaints = process.communicate(timeout=10)
    assert b"KeyboardInterrupt" in complaints


def test_the_socket_stays_with_libpq(source_session):
    """Looking at a descriptor through a Python socket must not close it."""
    handle = source_session.pgconn.socket
    Source(source_session).start(SERIES.format(1))
    with socket.socket(fileno=os.dup(handle)) as line:
        assert line.getpeername()
