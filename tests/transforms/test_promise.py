"""Transforms that say which columns they read, or that they keep the rows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from copypump.codec.decoder import ROW_INDEX
from copypump.errors import RefusedError, TransformError
from copypump.transforms import Transform, reads
from tests.transforms.conftest import BATCH, ROWS, SCHEMA, apply, older, probed, rows

SEEN = ROWS.schema


@reads("age")
def filtered(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.filter(pc.greater(batch["age"], 10))


@reads("age", rows="same")
def months(batch: pa.RecordBatch) -> pa.RecordBatch:
    return pa.record_batch({"months": pc.multiply(batch["age"], 12)})


def test_reads_of_a_chain() -> None:
    assert Transform([filtered]).reads == {"age"}
    assert Transform([filtered, reads("name")(partial(older))]).reads == {"age", "name"}
    assert Transform([filtered, older]).reads is None
    assert Transform([older], reads=["id"]).reads == {"id"}
    assert Transform([reads("*", rows="same")(partial(older))]).reads is None
    assert Transform([reads()(partial(older))]).reads == frozenset()
    assert Transform([months]).rows_same
    assert not Transform([months, filtered]).rows_same


def test_needs_tells_source_columns_from_those_that_a_link_makes() -> None:
    chain = Transform([months, reads("months", "id")(partial(older))])
    assert chain.needs(["id", "name", "age"]) == {"age", "id"}
    assert Transform([older]).needs(["id"]) is None
    with pytest.raises(
        RefusedError, match=r'months reads a column "age" that the source does not have.*ages'
    ):
        chain.needs(["id", "ages"])
    with pytest.raises(RefusedError, match=r'reads names a column "agee".*near names: age'):
        Transform([older], reads=["agee"]).needs(["id", "age"])
    with pytest.raises(RefusedError, match="neither the source has nor an earlier transform makes"):
        Transform([filtered, reads("month")(partial(older))]).probe(SEEN)


def test_the_row_column_follows_a_filter() -> None:
    transform = Transform([filtered])
    assert transform.probe(SEEN).names == ["age", ROW_INDEX]
    assert rows(apply(transform, ROWS)) == [{"age": 20, ROW_INDEX: 1}, {"age": 30, ROW_INDEX: 2}]


def test_the_row_column_is_put_back_where_all_rows_are_kept() -> None:
    @reads(rows="same")
    def in_pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        for start in range(max(batch.num_rows, 1)):
            yield batch.slice(start, 1).select(["months"])

    transform = Transform([months, in_pieces])
    assert transform.probe(SEEN).names == ["months", ROW_INDEX]
    assert rows(apply(transform, ROWS)) == [{"months": 12 * n * 10, ROW_INDEX: n - 1} for n in (1, 2, 3)]


def test_the_row_column_through_other_libraries() -> None:
    @reads("age")
    def sorted_(batch: pa.RecordBatch) -> pl.DataFrame:
        return pl.DataFrame(batch).sort("age", descending=True)

    got = rows(apply(probed(sorted_, schema=SEEN), ROWS))
    assert [row[ROW_INDEX] for row in got] == [2, 1, 0]

    @reads("age", rows="same")
    def widened(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.set_column(1, ROW_INDEX, batch[ROW_INDEX].cast(pa.int64()))

    assert len(rows(apply(probed(widened, schema=SEEN), ROWS))) == 3


def test_a_lost_row_column_is_refused() -> None:
    with pytest.raises(RefusedError, match=f"dropped {ROW_INDEX}") as caught:
        Transform([lambda batch: batch.select(["age"])], reads=["age"]).probe(SEEN)
    assert 'rows="same"' in str(caught.value.hint)
    transform = probed(lambda batch: batch.select(["age"]) if batch.num_rows else batch, schema=SEEN)
    with pytest.raises(TransformError, match=f'without "{ROW_INDEX}"'):
        apply(transform, ROWS)


def test_a_null_row_is_an_error() -> None:
    def forgets(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.set_column(1, ROW_INDEX, pa.nulls(batch.num_rows, pa.int32()))

    with pytest.raises(TransformError, match=f"returned null as {ROW_INDEX}"):
        apply(probed(forgets, schema=SEEN), ROWS)


@pytest.mark.parametrize("batch", [BATCH, ROWS], ids=["all read", "some read"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda batch: batch.slice(0, 2), "returned 2 rows for the 3 of batch 7"),
        (lambda batch: [batch, batch], "returned more rows for the 3"),
        (lambda batch: iter([batch.slice(0, 0)]), "returned 0 rows for the 3"),
    ],
)
def test_a_promise_of_the_same_rows_is_held(batch: pa.RecordBatch, change: Any, message: str) -> None:
    function = reads("age", rows="same")(lambda batch: change(batch) if batch.num_rows else batch)
    with pytest.raises(TransformError, match=message):
        apply(probed(function, schema=batch.schema), batch)


def test_a_row_column_of_text_is_no_promise_held() -> None:
    """Arrow's own error would hold the text."""
    words = pa.array(["secret"] * ROWS.num_rows)
    function = reads("age", rows="same")(
        lambda batch: batch.set_column(1, ROW_INDEX, words) if batch.num_rows else batch
    )
    with pytest.raises(TransformError, match="returned other rows") as caught:
        apply(probed(function, schema=ROWS.schema), ROWS)
    assert "secret" not in str(caught.value)


def test_a_promise_of_the_same_order_is_held() -> None:
    function = reads("age", rows="same")(lambda batch: batch.sort_by([("age", "descending")]))
    with pytest.raises(TransformError, match="returned other rows for batch 7"):
        apply(probed(function, schema=SEEN), ROWS)


def test_a_generator_that_yields_nothing_needs_its_schema() -> None:
    @reads("*", schema=pa.schema([("n", pa.int64())]))
    def only_with_rows(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        if batch.num_rows:
            yield pa.record_batch({"n": batch["id"]})

    transform = Transform([only_with_rows])
    assert transform.probe(SCHEMA).names == ["n"]
    assert rows(apply(transform)) == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_reads_without_parentheses_is_said() -> None:
    with pytest.raises(TypeError, match="takes column names"):
        reads(older)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='rows is "any" or "same"'):
        reads("age", rows="some")  # type: ignore[arg-type]
