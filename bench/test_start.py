"""How soon copypump is at work; see start.py."""

from __future__ import annotations

import functools

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import report
from bench.peers.table import Places
from bench.servers import Pair
from bench.start import measure
from bench.told import Told


def test_start(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, told: Told, pair: Pair, places: Places
) -> None:
    """All of it; its table is shown at the end."""
    scale, rounds = (request.config.getoption(name) for name in ("--scale", "--rounds"))
    work = functools.partial(measure, pair, places, scale, rounds, lambda _: None)
    made = benchmark.pedantic(work, rounds=1)
    benchmark.extra_info["start"] = made["measures"]
    told.page("start", report.started(made))
