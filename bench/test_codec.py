"""Decoding and encoding alone, each type and each shape; see codec.py."""

from __future__ import annotations

import functools

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.codec import ROWS, Stream, pgpq_encode
from bench.codec_cases import ALONE, SHAPES, Shape

EVERY = (*SHAPES, *ALONE)
every = pytest.mark.parametrize("shape", EVERY, ids=[shape.declared for shape in EVERY])


@functools.lru_cache(maxsize=1)
def stream(shape: Shape) -> Stream:
    """The shape's rows, made once for the benches that follow each other."""
    return Stream.of(shape, ROWS)


def note(benchmark: BenchmarkFixture, of: Stream) -> None:
    """What the mean says of a value, beside the times."""
    if benchmark.stats is not None:  # with --benchmark-disable there is none
        taken = benchmark.stats.stats.median
        benchmark.extra_info["ns a value"] = round(taken / of.values * 1e9, 2)
        benchmark.extra_info["MB/s"] = round(of.bytes / taken / 1e6)


@every
def test_decode(benchmark: BenchmarkFixture, shape: Shape) -> None:
    """Wire to Arrow."""
    of = stream(shape)
    benchmark.group = f"decode {shape.declared}"
    made = benchmark.pedantic(of.decode, rounds=20, warmup_rounds=2)
    assert made.num_rows == of.rows
    note(benchmark, of)


@every
def test_encode(benchmark: BenchmarkFixture, shape: Shape) -> None:
    """Arrow to wire: the very bytes that it came from."""
    of = stream(shape)
    benchmark.group = f"encode {shape.declared}"
    assert benchmark.pedantic(of.encode, rounds=20, warmup_rounds=2) == of.wire
    note(benchmark, of)


@every
def test_encode_by_pgpq(benchmark: BenchmarkFixture, shape: Shape) -> None:
    """The peer whose encoder can be called alone, on the same batch."""
    of = stream(shape)
    encode = pgpq_encode(of.batch)
    if encode is None:
        pytest.skip("pgpq is not installed, or does not take this")
    benchmark.group = f"encode {shape.declared}"
    benchmark.pedantic(encode, rounds=20, warmup_rounds=2)
    note(benchmark, of)
