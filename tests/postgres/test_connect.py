import contextlib
import os
import socket
import threading
from pathlib import Path

import psycopg
import pytest

from copypump.errors import Side, SourceError, TargetError, UsageError
from copypump.postgres.connect import connect
from copypump.postgres.interrupt import Aborted
from tests.postgres.conftest import ctrl_c, later, within
from tests.servers import PASSWORD, PASSWORD_ROLE

SECRET = "hunter2"


@pytest.fixture
def silent_server():
    """Accepts, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"host=127.0.0.1 port={listener.getsockname()[1]} password={SECRET}"


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://user:{SECRET}@host:notaport/db%zz",
        f"host=h password={SECRET} nonsense=1",
        f"password='{SECRET}",
        f"postgresql://u:{SECRET}@[::1/db",
        f"host=h password={SECRET} connect_timeout=soon",
    ],
)
def test_a_dsn_that_does_not_parse_is_not_repeated(dsn):
    with pytest.raises(UsageError) as caught:
        connect(dsn, Side.SOURCE)
    assert SECRET not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert caught.value.__suppress_context__ or SECRET not in str(caught.value.__context__)


def test_wrong_password(pg15):
    dsn = pg15.dsn(user=PASSWORD_ROLE, password=SECRET)
    with pytest.raises(TargetError, match="password authentication failed") as caught:
        connect(dsn, Side.TARGET)
    assert SECRET not in str(caught.value)
    connect(pg15.dsn(user=PASSWORD_ROLE, password=PASSWORD), Side.TARGET).close()


def test_server_not_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SourceError, match="Connection refused"):
        connect(f"host=127.0.0.1 port={port} password={SECRET}", Side.SOURCE)


def test_unknown_host():
    with pytest.raises(SourceError, match=r"nowhere\.invalid"):
        connect("host=nowhere.invalid", Side.SOURCE)


def test_interrupt_while_connecting(silent_server, interrupt):
    with later(0.2, interrupt.set), within(2), pytest.raises(Aborted):
        connect(silent_server, Side.SOURCE, interrupt=interrupt)


def test_ctrl_c_while_connecting(silent_server):
    with later(0.2, ctrl_c), within(2), pytest.raises(KeyboardInterrupt):
        connect(silent_server, Side.SOURCE)


def pipes():
    """How many of this process's descriptors are pipes'."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the listing itself
            found += descriptor.readlink().name.startswith("pipe:")
    return found


def test_a_connection_given_up_is_closed_when_it_comes(pg15, interrupt):
    interrupt.set()
    before = pipes()
    with pytest.raises(Aborted):
        connect(pg15.dsn(), Side.SOURCE, interrupt=interrupt)
    assert pipes() == before
    pg15.check_leaks()


def test_connect_timeout(silent_server):
    with within(5), pytest.raises(SourceError, match="timeout"):
        connect(f"{silent_server} connect_timeout=2", Side.SOURCE)


def option(connection: psycopg.Connection, name: int, level: int = socket.IPPROTO_TCP) -> int:
    with contextlib.closing(socket.socket(fileno=os.dup(connection.pgconn.socket))) as line:
        return line.getsockopt(level, name)


def test_a_dead_network_is_noticed(pg15):
    with contextlib.closing(connect(pg15.dsn(), Side.SOURCE)) as connection:
        assert connection.autocommit
        assert option(connection, socket.SO_KEEPALIVE, socket.SOL_SOCKET)
        assert option(connection, socket.TCP_KEEPIDLE) == 30
        assert option(connection, socket.TCP_USER_TIMEOUT) == 600_000
        assert connection.execute("SHOW application_name").fetchone() == ("copypump",)


def test_what_a_dsn_or_a_service_says_stays(pg15, tmp_path, monkeypatch):
    service = tmp_path / "services"
    service.write_text(
        "[house]\nhost=127.0.0.1\nkeepalives_idle=77\napplication_name=copypump of the house\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    dsn = f"service=house port={pg15.port} user=postgres dbname=postgres tcp_user_timeout=5000"
    with contextlib.closing(connect(dsn, Side.SOURCE)) as connection:
        assert option(connection, socket.TCP_KEEPIDLE) == 77
        assert option(connection, socket.TCP_USER_TIMEOUT) == 5000
        assert connection.execute("SHOW application_name").fetchone() == ("copypump of the house",)


def test_an_empty_dsn_means_the_variables(pg15, monkeypatch):
    for name, value in {"PGHOST": "127.0.0.1", "PGPORT": str(pg15.port), "PGUSER": "postgres"}.items():
        monkeypatch.setenv(name, value)
    with contextlib.closing(connect("", Side.SOURCE)) as connection:
        assert connection.info.port == pg15.port


def test_connecting_costs_no_thread_afterwards(pg15):
    before = set(threading.enumerate())
    connect(pg15.dsn(), Side.SOURCE).close()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()
