"""`analyze`: statistics that fit the rows, with and without a ledger; refused where the server would only warn."""

from __future__ import annotations

from typing import Any

import pytest

import copypump
from copypump.errors import RefusedError, TargetError
from tests.conftest import Pair
from tests.servers import sql

ROWS = 700


@pytest.fixture
def ready(pair: Pair) -> Pair:
    sql(pair.src, f"CREATE TABLE t (id int); INSERT INTO t SELECT generate_series(1, {ROWS})")
    sql(pair.dst, "CREATE TABLE t (id int) WITH (autovacuum_enabled = off)")
    return pair


def known(dsn: str) -> tuple[float, bool]:
    """How many rows the planner counts with, and whether it knows anything of the column."""
    query = """SELECT reltuples, EXISTS (SELECT FROM pg_stats WHERE tablename = 't')
                 FROM pg_class WHERE relname = 't'"""
    return sql(dsn, query)[0]  # type: ignore[return-value]


@pytest.mark.parametrize("words", [{}, {"run_id": "r"}], ids=["one", "ledger"])
def test_the_statistics_are_those_of_the_rows(ready: Pair, words: dict[str, Any]) -> None:
    assert known(ready.dst)[1] is False
    copypump.pump(ready.src, ready.dst, table="t", analyze=True, **words)
    assert known(ready.dst) == (ROWS, True)


def test_without_it_nothing_is_analyzed(ready: Pair) -> None:
    copypump.pump(ready.src, ready.dst, table="t")
    assert known(ready.dst)[1] is False


def test_a_view_is_refused(ready: Pair) -> None:
    sql(ready.dst, "CREATE VIEW v AS SELECT id FROM t")
    with pytest.raises(RefusedError, match="analyze goes with"):
        copypump.pump(ready.src, ready.dst, table="t", into="v", mode="insert", analyze=True)


def test_a_role_that_may_not_is_told_before_any_row(ready: Pair) -> None:
    sql(ready.dst, "GRANT SELECT, INSERT ON t TO pg_monitor")
    with pytest.raises(TargetError, match="may not analyze"):
        copypump.pump(
            ready.src, f"{ready.dst} options='-c role=pg_monitor'", table="t", mode="append", analyze=True
        )
    assert sql(ready.dst, "SELECT count(*) FROM t") == [(0,)]
