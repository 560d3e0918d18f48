"""The zoo's databases, one pair for each way."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack

import pytest

from copypump.postgres import source
from tests.servers import Server
from tests.zoo import pumped as pumping
from tests.zoo.facts import ZooTable
from tests.zoo.ways import SYSTEM, Way, Zoo, open_zoo


@pytest.fixture(autouse=True)
def no_session_left() -> None:
    """Here sessions are looked for once, when a way's databases are dropped; each test would cost 30 ms."""


@pytest.fixture(scope="session")
def zoos(pg15: Server, pg16: Server, pg18: Server) -> Iterator[Callable[[Way], Zoo]]:
    """`zoos(way)`: the zoo on that way's servers, made when it is first asked for."""
    servers = {SYSTEM: pg15, "16": pg16, "18": pg18}
    with ExitStack() as stack:

        @functools.cache
        def opened(way: Way) -> Zoo:
            return stack.enter_context(open_zoo(way, servers[way.source], servers[way.target]))

        yield opened


@pytest.fixture
def zoo(way: Way, zoos: Callable[[Way], Zoo], monkeypatch: pytest.MonkeyPatch) -> Zoo:
    """The zoo of the way that the test is about."""
    # What makes the reading of large tables fast is a third of the cost of a pump of a small one.
    monkeypatch.setattr(source, "GROW_BYTES", 1)
    found = zoos(way)
    found.reconnect()
    return found


@pytest.fixture
def pumped(record_property: Callable[[str, object], None]) -> pumping.Pumped:
    """Where a test notes what it pumps."""

    def note(zoo: Zoo, table: ZooTable, kind: str) -> None:
        record_property(pumping.NOTE, (str(zoo.way), zoo.versions, table.name, kind))

    return note


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """See `held`."""
    report = yield
    return pumping.held(report) if "pumped" in getattr(item, "fixturenames", ()) else report
