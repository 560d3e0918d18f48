"""Decoding and encoding alone, each type and each shape; see codec.py."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.codec import Stream, pgpq_encode
from bench.codec_cases import ALONE, SHAPES, Shape
from bench.told import Told

EVERY = (*SHAPES, *ALONE)


@pytest.fixture(scope="module", params=EVERY, ids=[shape.declared for shape in EVERY])
def shape(request: pytest.FixtureRequest) -> Shape:
    """Each of them, for all benches in turn."""
    return request.param


@pytest.fixture(scope="module")
def of(request: pytest.FixtureRequest, shape: Shape) -> Stream:
    """The shape's rows, made once."""
    return Stream.of(shape, request.config.getoption("--codec-rows"))


def note(benchmark: BenchmarkFixture, told: Told, what: str, shape: Shape, of: Stream) -> None:
    """What the median says of a value, beside the times."""
    benchmark.group = f"{what.split()[0]} {shape.declared}"
    if benchmark.stats is not None:  # with --benchmark-disable there is none
        taken = benchmark.stats.stats.median
        benchmark.extra_info |= {
            "ns a value": round(taken / of.values * 1e9, 2),
            "MB/s": round(of.bytes / taken / 1e6),
        }
        told.row(what, {"type": shape.declared, **benchmark.extra_info})


def test_decode(benchmark: BenchmarkFixture, told: Told, of: Stream, shape: Shape) -> None:
    """Wire to Arrow."""
    batch = benchmark.pedantic(of.decode, rounds=20, warmup_rounds=2)
    assert batch.num_rows == of.rows
    note(benchmark, told, "decode", shape, of)


def test_encode(benchmark: BenchmarkFixture, told: Told, of: Stream, shape: Shape) -> None:
    """Arrow to wire: the very bytes that it came from."""
    assert benchmark.pedantic(of.encode, rounds=20, warmup_rounds=2) == of.wire
    note(benchmark, told, "encode", shape, of)


def test_encode_by_pgpq(benchmark: BenchmarkFixture, told: Told, of: Stream, shape: Shape) -> None:
    """The peer whose encoder can be called alone, on the same batch."""
    encode = pgpq_encode(of.batch)
    if encode is None:
        pytest.skip("pgpq is not installed, or does not take this")
    benchmark.pedantic(encode, rounds=20, warmup_rounds=2)
    note(benchmark, told, "encode by pgpq", shape, of)
