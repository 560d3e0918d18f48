"""`copypump.reject`: which rows are told, to whom, and that the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import copypump
from copypump.codec.decoder import ROW_INDEX
from copypump.errors import RefusedError, TransformError, UsageError
from copypump.transforms import Rejection, Transform
from tests.transforms.conftest import BATCH, SCHEMA, apply, older, probed, rows

LATER = pa.record_batch({"age": BATCH["age"], ROW_INDEX: pa.array([40, 41, 42], pa.int32())})


def rejecting(
    transform: Transform, batch: pa.RecordBatch = BATCH
) -> tuple[list[dict[str, Any]], list[Rejection]]:
    """The rows that are left, and what was rejected."""
    found: list[Rejection] = []
    left = transform.stream(batch, batch_number=7, first_row=1001, last_row=1003, on_rejected=found.append)
    return rows(list(left)), found


def no_name(batch: pa.RecordBatch) -> pa.RecordBatch:
    return copypump.reject(batch, pc.is_null(batch["name"]), "no name")


def not_20(batch: pa.RecordBatch) -> pa.RecordBatch:
    return copypump.reject(batch, pc.equal(batch["age"], 20), "twenty")


def places(rejection: Rejection) -> list[int] | None:
    return None if rejection.places is None else rejection.places.to_pylist()


def test_rows_are_told_and_the_rest_goes_on() -> None:
    left, found = rejecting(probed(no_name, older))
    assert [row["age"] for row in left] == [11, 31]
    (rejection,) = found
    assert rejection.by == f"transform {__name__}:no_name"
    assert rejection.reason == "no name"
    assert rejection.rows.to_pylist() == [{"id": 2, "name": None, "age": 20}]
    assert places(rejection) == [1]


def test_without_a_taker_they_are_an_error_without_values() -> None:
    with pytest.raises(TransformError) as raised:
        apply(probed(no_name))
    assert str(raised.value) == (
        f"transform {__name__}:no_name rejected 1 row (no name), in batch 7 (source rows 1,001 to 1,003)"
    )


@pytest.mark.parametrize(
    "mask",
    [
        [True, None, True],
        pa.array([True, None, True]),
        pa.chunked_array([[True, None], [True]]),
        pl.Series([True, None, True]),
        pc.not_equal(BATCH["age"], 20),
        pa.scalar(True),
    ],
)
def test_masks(mask: Any) -> None:
    def function(batch: pa.RecordBatch) -> pa.RecordBatch:
        return copypump.reject(batch, mask if batch.num_rows else [], "words")

    left, found = rejecting(probed(function))
    assert len(left) == (0 if isinstance(mask, pa.Scalar) else 1)
    assert found[0].rows.num_rows + len(left) == 3


def test_nothing_rejected_is_the_very_batch() -> None:
    def function(batch: pa.RecordBatch) -> pa.RecordBatch:
        assert copypump.reject(batch, [False] * batch.num_rows, "words") is batch
        return batch

    assert rejecting(probed(function)) == (BATCH.to_pylist(), [])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((BATCH.to_pylist(), [True], "w"), "TypeError"),
        ((BATCH, [True], "w"), "ValueError"),
        ((BATCH, [1, 2, 3], "w"), "TypeError"),
        ((BATCH, [True] * 3, " "), "TypeError"),
        ((BATCH, [True] * 3, None), "TypeError"),
    ],
)
def test_wrong_arguments(arguments: Any, error: str) -> None:
    def function(batch: pa.RecordBatch) -> pa.RecordBatch:
        return copypump.reject(*arguments) if batch.num_rows else batch

    with pytest.raises(TransformError, match=f"raised {error}"):
        apply(probed(function))


def test_outside_of_a_run() -> None:
    with pytest.raises(UsageError, match="outside of a run"):
        copypump.reject(BATCH, [True] * 3, "words")

    def elsewhere(batch: pa.RecordBatch) -> pa.RecordBatch:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(no_name, batch).result()

    with pytest.raises(RefusedError, match=r"UsageError: copypump\.reject was called outside of a run"):
        probed(elsewhere)
    apply(probed(older))
    with pytest.raises(UsageError):  # and none is left behind
        copypump.reject(BATCH, [True] * 3, "words")


def test_the_probe_rejects_nothing() -> None:
    assert Transform([no_name]).probe(SCHEMA) == SCHEMA


def test_generators_of_a_chain_are_told_apart() -> None:
    """A generator goes on after the next link was called: what it then rejects is its own."""

    def one_by_one(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        for i in range(max(1, batch.num_rows)):
            yield copypump.reject(batch.slice(i, 1), [i == 2] * min(1, batch.num_rows), "third")

    def none_of_them(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield copypump.reject(batch, [True] * batch.num_rows, "all")

    left, found = rejecting(probed(one_by_one, none_of_them))
    assert left == []
    assert [(r.reason, r.rows["id"].to_pylist()) for r in found] == [
        ("all", [1]),
        ("all", [2]),
        ("third", [3]),
    ]


def test_after_the_last_piece() -> None:
    def late(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield batch.slice(0, 1)
        copypump.reject(batch, [i > 0 for i in range(batch.num_rows)], "late")

    left, found = rejecting(probed(late))
    assert len(left) == 1
    assert places(found[0]) == [1, 2]
    with pytest.raises(TransformError, match="rejected 2 rows"):
        apply(probed(late))


# Whose rows they are ---------------------------------------------------------------------------------------


def test_places_through_several_calls() -> None:
    def twice(batch: pa.RecordBatch) -> pa.RecordBatch:
        batch = copypump.reject(batch, pc.equal(batch["age"], 10), "ten")
        return copypump.reject(batch, pc.equal(batch["age"], 30), "thirty")

    _, found = rejecting(probed(twice))
    assert [places(rejection) for rejection in found] == [[0], [2]]


def test_places_are_unknown_of_batches_that_the_function_made() -> None:
    def shuffled(batch: pa.RecordBatch) -> pa.RecordBatch:
        return not_20(batch.take(pa.array(range(batch.num_rows), pa.int64())[::-1]))

    _, found = rejecting(probed(shuffled))
    assert places(found[0]) is None
    assert found[0].rows["id"].to_pylist() == [2]
    _, found = rejecting(probed(shuffled, schema=LATER.schema), LATER)  # but for the row column
    assert places(found[0]) == [1]


def test_places_in_later_links() -> None:
    _, found = rejecting(probed(lambda batch: batch.slice(1), not_20))
    assert places(found[0]) is None
    _, found = rejecting(probed(lambda batch: batch.slice(1), not_20, schema=LATER.schema), LATER)
    assert places(found[0]) == [1]


@pytest.mark.parametrize("batch", [BATCH, LATER])
def test_all_rows_but_the_rejected_are_the_same(batch: pa.RecordBatch) -> None:
    same = copypump.reads("*", rows="same")
    left, found = rejecting(probed(same(not_20), schema=batch.schema), batch)
    assert [row["age"] for row in left] == [10, 30]
    assert len(found) == 1

    def without_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
        return not_20(batch).select(["age"])

    left, _ = rejecting(probed(same(without_rows), schema=batch.schema), batch)
    if batch is LATER:
        assert left == [{"age": 10, ROW_INDEX: 40}, {"age": 30, ROW_INDEX: 42}]
    else:
        assert left == [{"age": 10}, {"age": 30}]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda batch: not_20(batch).slice(0, 1), "returned 1 rows for the 2 of .* that it did not reject"),
        (lambda batch: (not_20(batch), batch)[1], "returned more rows for the 2"),
        (
            lambda batch: not_20(batch).take(pa.array([1, 0][: batch.num_rows], pa.int64())),
            "returned other rows",
        ),
        (lambda batch: not_20(batch.select(["age"])), "of which nobody can tell whose they are"),
    ],
)
def test_promises_are_held_to_beside_rejections(
    function: Callable[[pa.RecordBatch], pa.RecordBatch], message: str
) -> None:
    with pytest.raises(TransformError, match=message):
        rejecting(probed(copypump.reads("*", rows="same")(function), schema=LATER.schema), LATER)


def test_views_and_runs_can_be_rejected() -> None:
    batch = pa.record_batch(
        {
            "view": pa.array(["a", None, "c"], pa.string_view()),
            "runs": pa.RunEndEncodedArray.from_arrays([2, 3], ["a", None]),
            "list": pa.array([["a"], None, ["c"]], pa.list_(pa.string_view())),
        }
    )

    def function(batch: pa.RecordBatch) -> pa.RecordBatch:
        return copypump.reject(batch, [i == 1 for i in range(batch.num_rows)], "second")

    left, found = rejecting(probed(function, schema=batch.schema), batch)
    assert left == [batch.to_pylist()[0], batch.to_pylist()[2]]
    assert found[0].rows.to_pylist() == [batch.to_pylist()[1]]
