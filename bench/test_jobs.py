"""Many workers at a small size; `python -m bench jobs` has the real one."""

from __future__ import annotations

import functools

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.jobs import WORKERS, WORKLOADS_OF_JOBS, Sizes, measure, tables
from bench.peers.table import Places
from bench.servers import Pair
from bench.told import Told


def test_jobs(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, told: Told, pair: Pair, places: Places
) -> None:
    """All of it once; the figures are in the extra information."""
    scale = request.config.getoption("--scale")
    work = functools.partial(measure, pair, places, Sizes(scale, 1), lambda _: None)
    made = benchmark.pedantic(work, rounds=1)
    assert [each["name"] for each in made["jobs"]] == list(WORKLOADS_OF_JOBS)
    assert [len(each["busy"]) for each in made["skew"]] == list(WORKERS[1:])
    told.page("jobs", "\n".join(tables(made)))
    benchmark.extra_info["jobs"] = made
