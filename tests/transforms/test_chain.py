"""A chain is probed and checked; what it may not return is refused, and named."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from copypump.codec.decoder import ROW_INDEX
from copypump.errors import RefusedError, TransformError
from copypump.transforms import Transform
from tests.transforms.conftest import BATCH, SCHEMA, apply, as_generator, older, probed, rows


def test_the_probe_gives_names_and_types_and_later_types_may_vary() -> None:
    def varying(batch: pa.RecordBatch) -> pa.RecordBatch:
        kind = pa.int32() if batch.num_rows else pa.null()
        return pa.record_batch({"n": pa.array([None] * batch.num_rows, kind)})

    transform = Transform([varying])
    assert transform.probe(SCHEMA) == pa.schema([("n", pa.null())])
    assert apply(transform)[0].schema == pa.schema([("n", pa.int32())])


def test_rows_may_be_dropped_and_added_and_a_chain_runs_in_order() -> None:
    def twice(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield batch
        yield batch

    def of_20(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.filter(pc.equal(batch["age"], 20))

    assert [row["age"] for row in rows(apply(probed(of_20, twice, older)))] == [21, 21]
    assert rows(apply(probed(older, of_20, twice))) == []
    assert rows(apply(probed(lambda batch: batch.slice(0, 0), older))) == []


def test_a_link_is_not_called_for_no_rows() -> None:
    calls = []

    def count(batch: pa.RecordBatch) -> pa.RecordBatch:
        calls.append(batch.num_rows)
        return batch

    transform = probed(lambda batch: [batch.slice(0, 0), batch], count)
    apply(transform)
    assert calls == [0, 3]  # the probe, and then only the piece that has rows


def test_a_stream_is_taken_piece_by_piece() -> None:
    made = []

    def many(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        for number in range(1000):
            made.append(number)
            yield batch

    transform = probed(many, older)
    made.clear()
    stream = transform.stream(BATCH, batch_number=1, first_row=1, last_row=3)
    next(stream)
    next(stream)
    assert made == [0, 1]


def test_apply_from_many_threads() -> None:
    transform = probed(older, as_generator)
    results: list[list[dict[str, Any]]] = []

    def work() -> None:
        for _ in range(50):
            results.append(rows(apply(transform)))  # noqa: PERF401 - one call at a time is what is tested

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 400
    assert all(result == results[0] for result in results)


# What may not be returned ---------------------------------------------------------------------------------


class Panic(BaseException):
    """As polars raises: no Exception."""


def panics(batch: pa.RecordBatch) -> Any:
    raise Panic


WRONG: dict[str, tuple[Callable[[pa.RecordBatch], Any], str]] = {
    "None": (lambda _: None, "returned None"),
    "int": (lambda _: 3, "returned int"),
    "text": (lambda _: "rows", "returned str"),
    "dict": (lambda batch: batch.to_pydict(), "returned dict"),
    "rows": (lambda _: [{}], "returned list of dict"),
    "None within": (lambda batch: [batch, None], "returned list of None"),
    "lazy frame": (lambda batch: pl.DataFrame(batch).lazy(), "LazyFrame"),
    "an array": (lambda batch: batch["age"], "failed on an empty batch"),
    "two of a name": (
        lambda batch: pa.RecordBatch.from_arrays([batch["id"], batch["age"]], ["a", "a"]),
        'two columns named "a"',
    ),
    "no columns": (lambda batch: batch.select([]), "returns no columns"),
    "our name": (lambda batch: batch.rename_columns(["id", "name", ROW_INDEX]), ROW_INDEX),
    "empty generator": (lambda _: iter([]), "yielded nothing for an empty batch"),
    "raises": (lambda batch: batch["agee"], "failed on an empty batch: KeyError"),
    "panics": (panics, "failed on an empty batch: Panic"),
    "exits": (lambda _: sys.exit(3), "failed on an empty batch: SystemExit"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_probe_refuses(case: str) -> None:
    function, message = WRONG[case]
    with pytest.raises(RefusedError, match=message):
        Transform([function]).probe(SCHEMA)


def test_none_for_rows_says_how_to_drop_them() -> None:
    transform = probed(lambda batch: None if batch.num_rows else batch)
    with pytest.raises(
        TransformError, match=r"returned None for batch 7 \(source rows 1,001 to 1,003\)"
    ) as caught:
        apply(transform)
    assert "batch.slice(0, 0)" in str(caught.value.hint)


def test_an_error_names_the_function_the_line_and_the_rows_and_no_value() -> None:
    def fails(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            raise ValueError(f"secret {batch['name'][0]}")
        return batch

    transform = probed(older, fails)
    with pytest.raises(TransformError) as caught:
        apply(transform)
    message = str(caught.value)
    assert "fails raised ValueError (test_chain.py:" in message
    assert "batch 7 (source rows 1,001 to 1,003)" in message
    assert "secret" not in message
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_generator_that_raises_in_the_middle() -> None:
    def fails(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield batch
        assert not batch.num_rows

    with pytest.raises(TransformError, match="raised AssertionError"):
        apply(probed(fails))


def test_a_panic_is_an_error_of_the_transform() -> None:
    def fails(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            raise Panic("secret")
        return batch

    with pytest.raises(TransformError, match="raised Panic") as caught:
        apply(probed(fails))
    assert "secret" not in str(caught.value)


def test_ctrl_c_is_not_an_error_of_the_transform() -> None:
    def interrupted(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            raise KeyboardInterrupt
        return batch

    with pytest.raises(KeyboardInterrupt):
        apply(probed(interrupted))


def test_columns_that_change_are_listed() -> None:
    def changing(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.rename_columns(["id", "Name", "age"]) if batch.num_rows else batch

    with pytest.raises(TransformError, match='without "name", with "Name"'):
        apply(probed(changing))

    def doubling(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.append_column("age", batch["age"]) if batch.num_rows else batch

    with pytest.raises(TransformError, match='twice "age"'):
        apply(probed(doubling))


def test_apply_needs_the_probe() -> None:
    with pytest.raises(RuntimeError, match="before it was probed"):
        apply(Transform([older]))
