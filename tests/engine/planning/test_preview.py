"""A few rows before and after: the values that a run would read and land, and nothing is written."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import copypump
from copypump.engine import api
from copypump.engine.planning.preview import Preview
from copypump.errors import TransformError
from tests.conftest import Pair
from tests.engine.conftest import people
from tests.servers import sql


def previewed(pair: Pair, rows: int = 3, **options: Any) -> Preview:
    plan = api.plan(pair.src, pair.dst, **options, preview=rows)
    assert plan.preview is not None
    json.dumps(plan.as_dict())
    return plan.preview


def test_rows_before_and_after(example: Pair) -> None:
    seen = previewed(example, table="people", transform=people, where="id > 4")
    assert seen.before == (
        {"id": 5, "name": "person 5", "age": 5, "salary": 7.5},
        {"id": 6, "name": "person 6", "age": 6, "salary": 9.0},
        {"id": 7, "name": None, "age": 7, "salary": 10.5},
    )
    assert seen.after[2] == {"id": 7, "name": None, "age": 8, "salary_after_tax": 10.5 * 0.8}
    assert len(seen.after) == 3
    assert seen.rejected == ()
    assert sql(example.dst, "SELECT count(*) FROM people") == [(0,)]


def test_without_a_transform_and_of_a_query(example: Pair) -> None:
    seen = previewed(
        example, 2, query="SELECT id AS n, name FROM people ORDER BY id -- end", into="made", create=True
    )
    assert seen.before == seen.after == ({"n": 1, "name": "person 1"}, {"n": 2, "name": "person 2"})
    assert (
        previewed(example, 900, table="people", where="id < 3", into="made", create=True).before[1]["id"] == 2
    )
    assert previewed(example, table="people", where="false", into="made", create=True).before == ()


def test_columns_that_the_transform_does_not_see_go_with_their_rows(example: Pair) -> None:
    @copypump.reads("age")
    def backwards(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.filter(pc.not_equal(batch["age"], 2)).take(
            pa.array([3, 0][: batch.num_rows], pa.int64())
        )

    seen = previewed(example, 5, table="people", transform=backwards, into="made", create=True)
    assert [(row["id"], row["age"]) for row in seen.after] == [(5, 5), (1, 1)]
    assert list(seen.after[0]) == ["id", "name", "age", "salary"]


def test_many_batches(example: Pair) -> None:
    seen = previewed(example, 10, table="people", transform=people, batch_rows=3)
    assert [row["id"] for row in seen.after] == [row["id"] for row in seen.before] == list(range(1, 11))


def test_rejected_rows(example: Pair) -> None:
    @copypump.reads("age")
    def picky(batch: pa.RecordBatch) -> pa.RecordBatch:
        return copypump.reject(batch, pc.equal(batch["age"], 2), "two")

    seen = previewed(
        example, 4, table="people", transform=picky, check=["id <> 3", "age > 0"], into="made", create=True
    )
    assert [row["id"] for row in seen.after] == [1, 4]
    assert [(each["reason"], each["row"]) for each in seen.rejected] == [
        ("two", {"age": 2}),
        ("id <> 3", {"age": 3}),
    ]
    assert [row["id"] for row in seen.before] == [1, 2, 3, 4]
    alone = previewed(example, 4, table="people", check="id <> 3", into="made", create=True)
    assert [row["id"] for row in alone.after] == [1, 2, 4]


def test_values_of_every_kind_can_be_shown(pair: Pair) -> None:
    sql(
        pair.src,
        r"""CREATE TABLE t AS SELECT 'NaN'::numeric AS n, 'infinity'::date AS d, '-infinity'::timestamptz AS m,
            '24:00'::time AS t, '\x00ff'::bytea AS raw, '{{1,2},{3,4}}'::int[] AS a, 'NaN'::float8 AS f,
            '[1,2)'::int4range AS r, '2020-01-02'::date AS day, 1.50::numeric(9, 2) AS price,
            '10.0.0.1'::inet AS i, '{"a": 1}'::jsonb AS j, NULL::text AS nothing, '1 day'::interval AS v""",
    )
    (row,) = previewed(pair, table="t", create=True).before
    assert (row["n"], row["d"], row["m"], row["raw"], row["f"]) == (
        "NaN",
        "infinity",
        "-infinity",
        "\\x00ff",
        "nan",
    )
    assert (row["day"], row["price"], row["nothing"], row["j"]) == ("2020-01-02", "1.50", None, '{"a": 1}')
    assert row["t"] == "24:00:00"
    assert set(row) == {"n", "d", "m", "t", "raw", "a", "f", "r", "day", "price", "i", "j", "nothing", "v"}


def test_a_transform_that_fails_on_these_rows(example: Pair) -> None:
    def fails(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            raise ValueError
        return people(batch)

    assert api.plan(example.src, example.dst, table="people", transform=fails).preview is None
    with pytest.raises(TransformError, match=r"raised ValueError .* in batch 1 \(source rows 1 to 3\)"):
        previewed(example, table="people", transform=fails)
