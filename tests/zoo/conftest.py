"""The zoo's databases, one pair for each way; and at the end, what of the zoo was pumped where."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from copypump.postgres import source
from tests.servers import Server
from tests.zoo.tables import ZOO
from tests.zoo.ways import SYSTEM, WAYS, Way, Zoo, open_zoo

# (way, table, kind) of each run.
Ran = set[tuple[str, str, str]]
RAN = pytest.StashKey[Ran]()
VERSIONS = pytest.StashKey[dict[str, str]]()


@pytest.fixture(autouse=True)
def no_session_left() -> None:
    """Here sessions are looked for once, when a way's databases are dropped; each test would cost 30 ms."""


@pytest.fixture(scope="session")
def zoos(
    pg15: Server, pg16: Server, pg18: Server, pytestconfig: pytest.Config
) -> Iterator[Callable[[Way], Zoo]]:
    """`zoos(way)`: the zoo on that way's servers, made when it is first asked for."""
    versions = pytestconfig.stash.setdefault(VERSIONS, {})
    servers = {SYSTEM: pg15, "16": pg16, "18": pg18}
    with ExitStack() as stack:
        # What makes the reading of large tables fast is a third of the cost of a pump of a small one.
        stack.enter_context(pytest.MonkeyPatch.context()).setattr(source, "GROW_BYTES", 1)

        @functools.cache
        def opened(way: Way) -> Zoo:
            src, dst = servers[way.source], servers[way.target]
            versions[str(way)] = f"{src.version} to {dst.version}"
            return stack.enter_context(open_zoo(way, src, dst))

        yield opened


@pytest.fixture
def zoo(way: Way, zoos: Callable[[Way], Zoo]) -> Zoo:
    """The zoo of the way that the test is about."""
    return zoos(way)


@pytest.fixture(scope="session")
def ran(pytestconfig: pytest.Config) -> Ran:
    """Where tests write down what they have pumped."""
    return pytestconfig.stash.setdefault(RAN, set())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    ran = config.stash.get(RAN, set())
    if not ran:
        return
    terminalreporter.section("the zoo: what was pumped")
    for way in WAYS:
        tables = {table for where, table, _ in ran if where == str(way)}
        kinds = Counter(kind for where, _, kind in ran if where == str(way))
        if tables:
            told = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
            version = config.stash[VERSIONS][str(way)]
            terminalreporter.line(f"{way} (PostgreSQL {version}): {len(tables)} tables; {told}")
    pumped = {table for _, table, _ in ran}
    missing = [str(table) for table in ZOO if table.name not in pumped]
    named = ": " + ", ".join(missing) if 0 < len(missing) <= 20 else ""
    terminalreporter.line(f"{len(pumped)} of {len(ZOO)} tables were pumped; {len(missing)} were not{named}")
