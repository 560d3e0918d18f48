"""Every way of every workload, each run right after one of the raw pipe; see pump.py and peers/table.py."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.measure import Cost, FailedError
from bench.peers.table import PEERS, Places, of
from bench.pump import YARDSTICK, Arena
from bench.servers import Pair
from bench.told import Told
from bench.workloads import WORKLOADS

WAYS = [(workload.name, peer.name) for workload in WORKLOADS.values() for peer in of(workload)]

# What is known to arrive as other values, with why; anything else must arrive whole.
LOSES = {("W4", "connectorx"): "floats within jsonb are printed anew, and lose their last digit"}


@pytest.fixture(scope="module")
def arena(request: pytest.FixtureRequest, pair: Pair, places: Places) -> Iterator[Arena]:
    """The tables of one workload."""
    wanted = request.config.getoption("--workload")
    if wanted and request.param not in wanted:
        pytest.skip("not asked for")
    with Arena(pair, WORKLOADS[request.param], request.config.getoption("--scale"), places) as made:
        yield made


@pytest.mark.parametrize(("arena", "name"), WAYS, indirect=["arena"])
def test_pump(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, told: Told, arena: Arena, name: str
) -> None:
    """Round by round the raw pipe and this way, and then whether all has arrived."""
    workload = arena.workload
    peers = {peer.name: peer for peer in of(workload)}
    way, raw = arena.way(peers[name]), arena.way(PEERS[YARDSTICK])
    if way.missing:
        pytest.skip(f"{way.peer.title}: {way.missing}")
    costs: list[Cost] = []
    yards: list[Cost] = []

    def before() -> None:
        yards.append(arena.run(raw, timeout=600))
        arena.clear()

    def once() -> None:
        costs.append(arena.run_as_is(way, timeout=600))

    benchmark.group = f"{workload.name} {workload.table}"
    try:
        if way.peer.ours:
            arena.start(way, timeout=600)
        benchmark.pedantic(once, setup=before, rounds=request.config.getoption("--rounds"))
    except FailedError as error:
        if way.peer.ours or name == YARDSTICK:
            raise
        pytest.skip(f"{way.peer.title} fails: {str(error)[-300:]}")
    way.fault = arena.fault(way)
    if (workload.name, name) not in LOSES:
        assert way.fault is None, f"{way.peer.title}: {way.fault}"

    walls = [own.wall / yard.wall for own, yard in zip(costs, yards, strict=True)]
    wall = median(cost.wall for cost in costs)
    benchmark.extra_info |= {
        "way": way.peer.title,
        "rows": way.rows,
        "wall s": round(wall, 3),
        "rows/s": round(way.rows / wall),
        "MB/s": round(arena.size * way.rows / arena.rows / wall / 1e6, 1),
        "wall / raw": round(median(walls) / (way.rows / arena.rows), 3),
        "CPU s": round(median(cost.cpu for cost in costs), 3),
        "start CPU s": "" if way.start is None else round(way.start.cpu, 3),
        "peak MB": round(max(cost.memory for cost in costs)),
        "every value": way.fault or "yes",
    }
    told.row(f"{workload.name}: {workload.title}", benchmark.extra_info)
