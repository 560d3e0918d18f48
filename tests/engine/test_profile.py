"""A profile: every step of a row's way is counted, none twice, and none once it is over."""

from __future__ import annotations

import pyarrow as pa
import pytest

import copypump
from copypump.engine import profile
from copypump.engine.profile import ORDER, REST, SESSIONS, START, STEPS, profiling
from copypump.errors import TransformError
from copypump.transforms import Transform
from tests.conftest import Pair
from tests.servers import sql

WATCHED = [
    *((owner, name) for owner, name, _ in STEPS),
    (Transform, "stream"),
    (profile.decoder, "make_reader"),
]


@pytest.fixture
def prices(pair: Pair) -> Pair:
    for dsn in pair:
        sql(dsn, "CREATE TABLE prices (id int, price numeric(10,2), words text, tags text[])")
    sql(
        pair.src,
        "INSERT INTO prices SELECT i, i / 7.0, 'word ' || i, '{a,b}' FROM generate_series(1, 5000) AS i",
    )
    return pair


def rebuilt(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.take(pa.array(range(batch.num_rows), pa.int32()))


def test_every_step_is_counted(prices: Pair) -> None:
    with profiling() as found:
        report = copypump.pump(prices.src, prices.dst, table="prices", transform=rebuilt, batch_rows=1000)
    assert report.rows_written == 5000
    calls = {name: part.calls for name, part in found.parts.items()}
    for type_ in ("integer", "numeric(10,2)", "text", "text[]"):
        assert calls[f"decode {type_}"] == 5
    assert calls["decode: batches"] == calls["encode"] == 5
    assert calls["transform"] == 10  # one piece of each batch, and the end of each
    assert list(calls)[:2] == [START, SESSIONS]
    assert list(calls)[-1] == REST
    assert {name.split()[0].strip(":") for name in list(calls)[2:-1]} <= set(ORDER)


def test_the_parts_make_up_the_process(prices: Pair) -> None:
    with profiling() as found:
        copypump.pump(prices.src, prices.dst, table="prices", transform=rebuilt)
    assert all(part.cpu >= 0 for part in found.parts.values())
    assert sum(part.cpu for part in found.parts.values()) == pytest.approx(found.total, rel=0.02)


def test_a_step_within_another_is_not_counted_twice() -> None:
    with profiling() as found:
        meter = profile._Meter()
        with meter.step("outer"), meter.step("inner"):
            sum(range(2_000_000))
    assert found.parts
    assert meter.parts["outer"].cpu < meter.parts["inner"].cpu


def test_rows_that_pass_as_bytes_are_decoded_by_nobody(prices: Pair) -> None:
    with profiling() as found:
        report = copypump.pump(prices.src, prices.dst, table="prices")
    assert {name.split()[0] for name in list(found.parts)[2:-1]} == {"read", "frame", "write"}
    text = found.describe(report)
    assert all(name in text for name in found.parts)
    assert set(found.as_dict(report)["stages"]) == {"read", "decode", "transform", "encode", "write"}


def test_nothing_stays_wrapped_even_after_an_error(prices: Pair) -> None:
    before = [getattr(owner, name) for owner, name in WATCHED]
    assert len(before) == len(STEPS) + 2

    def fails(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            raise ValueError("no")
        return batch

    with profiling() as found, pytest.raises(TransformError):
        copypump.pump(prices.src, prices.dst, table="prices", transform=fails)
    with pytest.raises(KeyError), profiling():
        raise KeyError
    assert [getattr(owner, name) for owner, name in WATCHED] == before
    assert found.parts["transform"].calls == 1
    assert found.total > 0
