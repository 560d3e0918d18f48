"""Tables that cannot be moved, or not as they stand: what GUARANTEES says of objects, beside the zoo's tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

import copypump
from tests.conftest import Pair
from tests.servers import sql
from tests.zoo.objects import WIDEST
from tests.zoo.test_zoo import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_columns_are_refused(pair: Pair, kind: str) -> None:
    for dsn in pair:
        sql(dsn, "CREATE TABLE bare ()")
    sql(pair.src, "INSERT INTO bare DEFAULT VALUES")
    with pytest.raises(copypump.RefusedError, match="no column") as refused:
        copypump.pump(pair.src, pair.dst, table="bare", transform=KINDS[kind])
    assert "bare" in str(refused.value)
    assert sql(pair.dst, "SELECT count(*) FROM bare") == [(0,)]


def test_a_transform_that_drops_every_column_is_refused(pair: Pair) -> None:
    for dsn in pair:
        sql(dsn, "CREATE TABLE t (a int)")
    sql(pair.src, "INSERT INTO t VALUES (1)")
    with pytest.raises(copypump.RefusedError):
        copypump.pump(pair.src, pair.dst, table="t", transform=lambda batch: batch.select([]))
    assert sql(pair.dst, "SELECT count(*) FROM t") == [(0,)]


def _one_more(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.append_column("one_more", pa.nulls(batch.num_rows, pa.int16()))


@copypump.reads()
def _one_more_unread(batch: pa.RecordBatch) -> pa.RecordBatch:
    return _one_more(batch)


@pytest.mark.parametrize("transform", [_one_more, _one_more_unread])
@pytest.mark.parametrize("create", [False, True])
def test_a_transform_that_makes_one_column_too_many(
    pair: Pair, transform: Callable[[pa.RecordBatch], Any], create: bool
) -> None:
    columns = ", ".join(f"c{at} smallint" for at in range(WIDEST))
    sql(pair.src, f"CREATE TABLE widest ({columns}); INSERT INTO widest DEFAULT VALUES")
    if not create:
        sql(pair.dst, f"CREATE TABLE widest ({columns})")
    with pytest.raises(copypump.RefusedError) as refused:
        copypump.pump(pair.src, pair.dst, table="widest", transform=transform, create=create)
    error = refused.value
    assert "widest" in str(error)
    if create:
        assert "1,600" in str(error)
        assert sql(pair.dst, "SELECT to_regclass('widest') IS NULL") == [(True,)]
    else:
        assert error.column == "one_more"
        assert sql(pair.dst, "SELECT count(*) FROM widest") == [(0,)]


def test_the_widest_table_is_made(pair: Pair) -> None:
    columns = ", ".join(f"c{at} smallint" for at in range(WIDEST - 1))
    sql(pair.src, f"CREATE TABLE widest ({columns}); INSERT INTO widest VALUES (7)")
    copypump.pump(pair.src, pair.dst, table="widest", transform=_one_more, create=True)
    assert sql(pair.dst, "SELECT c0, c1, one_more FROM widest") == [(7, None, None)]


def test_zero_rows_are_a_success_of_every_kind(pair: Pair) -> None:
    for dsn in pair:
        sql(dsn, "CREATE TABLE t (a int, b int[], c time)")
    for transform in KINDS.values():
        report = copypump.pump(pair.src, pair.dst, table="t", transform=transform)
        assert (report.status, report.rows_read, report.rows_written) == ("done", 0, 0)


@pytest.mark.parametrize(
    "target",
    [
        "CREATE TABLE below (id int); CREATE VIEW t AS SELECT id FROM below",  # the server could update it
        "CREATE MATERIALIZED VIEW t AS SELECT 1 AS id WHERE false",
        "CREATE VIEW t AS SELECT 1 AS id WHERE false",
    ],
)
def test_views_are_no_targets(pair: Pair, target: str) -> None:
    sql(pair.src, "CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
    sql(pair.dst, target)
    with pytest.raises(copypump.RefusedError, match="view") as refused:
        copypump.pump(pair.src, pair.dst, table="t")
    assert "t" in str(refused.value)
    assert sql(pair.dst, "SELECT count(*) FROM t") == [(0,)]


def test_a_view_whose_trigger_takes_rows_is_a_target_when_it_is_asked_for(pair: Pair) -> None:
    sql(pair.src, "CREATE TABLE t (id int, v text); INSERT INTO t VALUES (1, 'a'), (2, NULL)")
    sql(
        pair.dst,
        """CREATE TABLE below (id int, v text);
        CREATE VIEW t AS SELECT id, v FROM below;
        CREATE FUNCTION take() RETURNS trigger LANGUAGE plpgsql AS
            $$BEGIN INSERT INTO below VALUES (NEW.*); RETURN NEW; END$$;
        CREATE TRIGGER take INSTEAD OF INSERT ON t FOR EACH ROW EXECUTE FUNCTION take()""",
    )
    report = copypump.pump(pair.src, pair.dst, table="t", mode="append")
    assert report.rows_written == 2
    assert sql(pair.dst, "SELECT id, v FROM below ORDER BY id") == [(1, "a"), (2, None)]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("CREATE TABLE t (id int); CREATE TABLE child () INHERITS (t)", "children"),
        ("CREATE MATERIALIZED VIEW t AS SELECT 1 AS id", "cannot be locked"),
    ],
)
def test_what_is_not_as_it_seems_is_said(pair: Pair, source: str, said: str) -> None:
    sql(pair.src, source)
    sql(pair.dst, "CREATE TABLE t (id int)")
    report = copypump.pump(pair.src, pair.dst, table="t")
    assert [warning for warning in report.warnings if said in warning]
