"""The zoo's databases, one pair for each way; and at the end, what of the zoo was pumped where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.zoo.tables import ZOO
from tests.zoo.ways import SYSTEM, WAYS, Way, Zoo, open_zoo

# (way, table, kind) of each run that was held against its documented outcome.
Ran = set[tuple[str, str, str]]
RAN = pytest.StashKey[Ran]()
VERSIONS = pytest.StashKey[dict[str, str]]()


@pytest.fixture(autouse=True)
def no_session_left() -> None:
    """Here sessions are looked for once, when a way's databases are dropped; each test would cost 30 ms."""


@pytest.fixture(scope="session")
def zoo(request: pytest.FixtureRequest) -> Iterator[Zoo]:
    """The zoo of the way that the test is about."""
    way: Way = request.param
    servers = [request.getfixturevalue("pg15" if name == SYSTEM else f"pg{name}") for name in way.servers]
    versions = request.config.stash.setdefault(VERSIONS, {})
    versions[str(way)] = " to ".join(str(server.version) for server in servers)
    with open_zoo(way, *servers) as opened:
        yield opened


@pytest.fixture(scope="session")
def ran(pytestconfig: pytest.Config) -> Ran:
    """Where tests write down what they have held against its documented outcome."""
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
    terminalreporter.line(f"{len(pumped)} of {len(ZOO)} tables; not pumped: {', '.join(missing) or 'none'}")
