"""Servers and databases for every test that wants them; see servers.py."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from tests import servers
from tests.servers import Server, SystemServer, WheelServer

_started: list[Server] = []


def _running(start: Callable[[], Server]) -> Iterator[Server]:
    server = start()
    _started.append(server)
    yield server
    _started.remove(server)
    server.stop()


@pytest.fixture(scope="session")
def pg15() -> Iterator[Server]:
    """The distribution's server (15 on Debian 12): TCP and Unix socket, password role, restart."""
    yield from _running(SystemServer)


@pytest.fixture(scope="session")
def pg16() -> Iterator[Server]:
    yield from _running(functools.partial(WheelServer, 16))


@pytest.fixture(scope="session")
def pg18() -> Iterator[Server]:
    yield from _running(functools.partial(WheelServer, 18))


@pytest.fixture(autouse=True)
def no_session_left() -> Iterator[None]:
    """After each test, no session of the product's may be left on a running server."""
    yield
    for server in _started:
        server.check_leaks()


class Pair(NamedTuple):
    """The DSNs of an empty source and an empty target database."""

    src: str
    dst: str


@pytest.fixture
def pair(pg15: SystemServer, pg16: WheelServer) -> Iterator[Pair]:
    """Two servers of different majors, the one over TCP, the other over a Unix socket."""
    with pg15.fresh_database() as source, pg16.fresh_database() as target:
        yield Pair(pg15.dsn(source), pg16.dsn(target))


@pytest.fixture
def same_server_pair(pg15: SystemServer) -> Iterator[Pair]:
    """Two databases of one server, both over TCP."""
    with pg15.fresh_database() as source, pg15.fresh_database() as target:
        yield Pair(pg15.dsn(source), pg15.dsn(target))


@pytest.fixture
def database(pg15: SystemServer) -> Iterator[str]:
    """The DSN of one empty database on the distribution's server, over TCP."""
    with pg15.fresh_database() as name:
        yield pg15.dsn(name)


@pytest.fixture
def sql() -> Callable[..., list[tuple[Any, ...]]]:
    """`sql(dsn, query, params=None)`: the rows, from a session of the test's own."""
    return servers.sql


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what of the zoo was pumped; here, because no other conftest is asked where workers run the tests."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    noted = [report for report in reports if report.user_properties]
    if noted:
        from tests.zoo.pumped import summary  # looks for the distribution's server

        terminalreporter.section("the zoo: what was pumped")
        terminalreporter.write("".join(f"{line}\n" for line in summary(noted)))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before there are workers: what two of them could not do at once."""
    if session.config.getoption("numprocesses", None):
        servers.prepare()
