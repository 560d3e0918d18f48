"""The sweeps of scaling.py, at sizes of minutes at most; `python -m bench scaling` has the real ones."""

from __future__ import annotations

import functools

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import scaling_report
from bench.peers.table import Places
from bench.scaling import SWEEPS, Sizes, measure
from bench.servers import Pair
from bench.told import Told


@pytest.mark.parametrize("sweep", SWEEPS)
def test_sweep(
    benchmark: BenchmarkFixture,
    request: pytest.FixtureRequest,
    told: Told,
    pair: Pair,
    places: Places,
    sweep: str,
) -> None:
    """One sweep as a whole; its points are in the extra information."""
    scale = request.config.getoption("--scale")
    sizes = Sizes(
        most_rows=max(100_000, int(1e8 * scale)),
        batch_scale=scale,
        values=max(10_000, int(2e7 * scale)),
        wire_rows=max(1000, int(5e6 * scale)),
        runs=1,
    )
    work = functools.partial(measure, pair, places, sizes, [sweep], lambda _: None)
    made = benchmark.pedantic(work, rounds=1)
    assert made["points"]
    told.page(f"scaling: {sweep}", scaling_report.everything(made))
    benchmark.extra_info["points"] = [
        {name: value for name, value in point.items() if name != "samples"} for point in made["points"]
    ]
