"""`pytest bench`: the options, the servers and the places that all benches share."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.codec import ROWS
from bench.peers.table import Places
from bench.servers import Pair, servers
from bench.told import Told

TOLD = pytest.StashKey[Told]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing said."""
    config.stash[TOLD] = Told()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what was said."""
    for heading, text in config.stash[TOLD].pages():
        terminalreporter.section(heading)
        terminalreporter.write_line(text)


@pytest.fixture
def told(request: pytest.FixtureRequest) -> Told:
    """Where a bench says what its times do not."""
    return request.config.stash[TOLD]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The sizes, and where everything is."""
    group = parser.getgroup("copypump bench")
    group.addoption("--scale", type=float, default=0.02, help="1: 10,000,000 people, TPC-H scale 1")
    group.addoption("--rounds", type=int, default=1, help="counted runs of each way, each after a raw pipe's")
    group.addoption("--codec-rows", type=int, default=ROWS, help="of each block that is decoded and encoded")
    group.addoption("--src", help="the source's DSN (default: an embedded server)")
    group.addoption("--dst", help="the target's DSN (default: an embedded server)")
    group.addoption("--workload", action="append", help="only this one; repeatable")
    group.addoption("--pump-python", default=sys.executable, help="the Python of the pump's environment")
    group.addoption("--peer-python", default=sys.executable, help="the Python of the peers' environment")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No limit of the tests' holds here: sizes are the user's choice."""
    for item in items:
        item.add_marker(pytest.mark.timeout(0))


@pytest.fixture(scope="session")
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Both servers."""
    with servers(request.config.getoption("--src"), request.config.getoption("--dst")) as found:
        yield found


@pytest.fixture(scope="session")
def places(request: pytest.FixtureRequest) -> Iterator[Places]:
    """Where the programs are."""
    with tempfile.TemporaryDirectory() as folder:
        pump, peers = (
            str(Path(request.config.getoption(name)).absolute())
            for name in ("--pump-python", "--peer-python")
        )
        yield Places(pump, peers, Path(folder))
