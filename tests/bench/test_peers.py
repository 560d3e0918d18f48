"""Every peer moves every row, of the workload with the most kinds of columns, and no value changes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.measure import FailedError
from bench.peers.rows import TRANSFORMS
from bench.peers.table import PEERS, Peer, Places, missing, of, tool
from bench.pump import Arena, Turns, match
from bench.servers import Pair as Servers
from bench.servers import uri
from bench.workloads import WORKLOADS
from tests.conftest import Pair

# What a peer's own program refuses; the bench tells it, and so does the reason of the skip.
REFUSES = ("server version mismatch",)


@pytest.fixture
def arena(pair: Pair, tmp_path: Path) -> Iterator[Arena]:
    places = Places(sys.executable, sys.executable, tmp_path)
    with Arena(Servers(pair.src, pair.dst, False), WORKLOADS["W5"], 0.0005, places) as made:
        yield made


@pytest.mark.parametrize("peer", PEERS.values(), ids=list(PEERS))
def test_a_peer_copies_exactly(arena: Arena, peer: Peer) -> None:
    way = arena.way(peer)
    if way.missing:
        pytest.skip(way.missing)
    try:
        cost = arena.run(way, timeout=60)
    except FailedError as error:
        if any(words in str(error) for words in REFUSES):
            pytest.skip(str(error).splitlines()[0])
        raise
    assert arena.fault(way) is None
    assert cost.cpu > 0


def test_a_match_is_in_turn_and_checked(pair: Pair, tmp_path: Path) -> None:
    told: list[str] = []
    places = Places(sys.executable, sys.executable, tmp_path)
    servers = Servers(pair.src, pair.dst, False)
    names = ("raw", "raw-text")
    found = match(
        servers, WORKLOADS["W3"], 0.0005, places, Turns(2, 0), lambda peer: peer.name in names, told.append
    )
    raw, text = found.ways
    assert [bool(cost) for cost in raw.costs] == [True, True]
    assert text.costs == [text.first]  # the first counts, where there is no other turn
    assert (raw.fault, text.fault) == (None, None)
    assert found.rows == 2500
    assert found.size == 19 + 2 + 2500 * (2 + 4 * 4 + 3 * 4 + 84)
    runs = [line.partition(": ")[2] for line in told]
    assert runs[-2:] == ["run 1 of 2", "run 2 of 2"]


def test_what_does_not_arrive_is_told(arena: Arena) -> None:
    peer = PEERS["raw-sql"]
    arena.workload = replace(arena.workload, expected="SELECT * FROM {table} WHERE small_1 > 0")
    way = arena.way(peer)
    arena.run(way, timeout=60)
    arena.workload = WORKLOADS["W5"]
    assert "rows arrived instead of" in str(arena.fault(way))


def test_a_missing_peer_says_what_it_lacks(tmp_path: Path) -> None:
    places = Places(sys.executable, sys.executable, tmp_path)
    peer = replace(PEERS["adbc"], tools=("no-such-tool",), packages=("no-such-package", "pyarrow"))
    assert missing(peer, places) == "no-such-tool is not on PATH, no-such-package is not installed"
    assert missing(PEERS["copypump"], places) is None


def test_psql_is_the_real_one() -> None:
    found = tool("psql")
    assert found is not None
    assert Path(found).resolve().name != "pg_wrapper"


def test_every_workload_s_transform_has_a_row_s_and_other_transforms_are_peers() -> None:
    for workload in WORKLOADS.values():
        assert workload.function in TRANSFORMS
        assert len(of(workload)) == len(PEERS) + len(workload.also)
    assert sum(len(workload.also) for workload in WORKLOADS.values())


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("host=/tmp/a user=u dbname=d", "postgresql://u@%2Ftmp%2Fa:5432/d"),
        ("host=h port=1 user=u password=p/w", "postgresql://u:p%2Fw@h:1/postgres"),
        ("postgresql://u@h/d?sslmode=disable", "postgresql://u@h:5432/d?sslmode=disable"),
    ],
)
def test_a_dsn_as_uri(dsn: str, expected: str) -> None:
    assert uri(dsn) == expected
