"""Merging, rejecting and indexes at a small size; see modes.py, rejects.py and indexes.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import indexes, modes, rejects
from bench.servers import Pair
from bench.told import Told

Lines = Callable[[Pair, int, int], Iterator[str]]

LOADS: dict[str, Lines] = {
    "modes": lambda pair, rows, runs: modes.table(pair.src, pair.dst, rows, runs, [modes.executemany]),
    "rejects": lambda pair, rows, runs: rejects.table(pair.src, pair.dst, rows, runs),
    "indexes": lambda pair, rows, runs: indexes.lines(pair.src, pair.dst, rows, (0, 4 * rows), runs),
}


@pytest.mark.parametrize("name", LOADS)
def test_load(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, told: Told, pair: Pair, name: str
) -> None:
    """All of it once; the table is shown at the end."""
    scale, rounds = (request.config.getoption(name) for name in ("--scale", "--rounds"))
    rows = max(1000, int(1e6 * scale))
    lines = benchmark.pedantic(lambda: list(LOADS[name](pair, rows, rounds)), rounds=1)
    assert "| NO |" not in "".join(lines)
    told.page(name, "\n".join(lines))
