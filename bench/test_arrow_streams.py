"""Tables into Arrow and back, beside ADBC; see arrow_streams.py."""

from __future__ import annotations

import functools

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import report
from bench.arrow_streams import measure
from bench.peers.table import Places
from bench.servers import Pair
from bench.told import Told


def test_streams(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, told: Told, pair: Pair, places: Places
) -> None:
    """All of them; their table is shown at the end."""
    scale, rounds = (request.config.getoption(name) for name in ("--scale", "--rounds"))
    work = functools.partial(measure, pair, places, scale, rounds, lambda _: None)
    made = benchmark.pedantic(work, rounds=1)
    assert not [each for each in made["streams"] if each["way"] == "copypump" and each["remark"]]
    benchmark.extra_info["streams"] = made["streams"]
    told.page("Arrow streams", report.arrow(made))
