"""Modes whose rows go straight into the target table."""

from __future__ import annotations

from typing import Any

import pytest

import copypump
from copypump.engine.api import plan
from tests.conftest import Pair
from tests.servers import sql

FROZEN = "SELECT count(*), bool_and(all_frozen) FROM pg_visibility_map('t')"


@pytest.fixture
def source(same_server_pair: Pair) -> Pair:
    """A table on the source, and on the target what looks at pages."""
    sql(
        same_server_pair.src,
        "CREATE TABLE t AS SELECT i, repeat('x', 100) AS x FROM generate_series(1, 2000) i",
    )
    sql(same_server_pair.dst, "CREATE EXTENSION pg_visibility")
    return same_server_pair


def frozen(pair: Pair, **options: Any) -> bool:
    """Whether rows land frozen; the plan says the same."""
    planned = "FREEZE" in plan(pair.src, pair.dst, table="t", **options).describe()
    report = copypump.pump(pair.src, pair.dst, table="t", **options)
    assert report.rows_written == 2000
    [(pages, all_frozen)] = sql(pair.dst, FROZEN)
    assert pages > 20
    assert planned == all_frozen
    return planned


def test_rows_land_frozen_where_the_server_allows_it(source: Pair) -> None:
    assert frozen(source, create=True)
    assert not frozen(source, mode="append")
    assert frozen(source, mode="truncate")
    assert not frozen(source, mode="truncate", types={"i": "text"})  # staged, and then inserted
    sql(source.dst, "TRUNCATE t")
    assert not frozen(source)
    sql(source.dst, "DROP TABLE t")
    assert not frozen(source, create=True, run_id="r")


def test_partitions_cannot_be_loaded_frozen(source: Pair) -> None:
    sql(
        source.dst,
        "CREATE TABLE t (i int, x text) PARTITION BY LIST (i); CREATE TABLE p PARTITION OF t DEFAULT",
    )
    for _ in range(2):
        assert "FREEZE" not in plan(source.src, source.dst, table="t", mode="truncate").describe()
        assert copypump.pump(source.src, source.dst, table="t", mode="truncate").rows_written == 2000
    assert sql(source.dst, "SELECT count(*) FROM t") == [(2000,)]


def test_a_partition_by_its_own_name_is_loaded_frozen(source: Pair) -> None:
    sql(source.dst, "CREATE TABLE parent (i int, x text) PARTITION BY LIST (i);"
                    " CREATE TABLE t PARTITION OF parent DEFAULT")  # fmt: skip
    assert frozen(source, mode="truncate")
