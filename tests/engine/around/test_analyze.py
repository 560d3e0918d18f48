"""`analyze`: statistics that fit the rows, with and without a ledger; refused where the server would only warn."""

from __future__ import annotations

from typing import Any

import pytest

import copypump
from copypump.engine import api
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


@pytest.mark.parametrize("words", [{}, {"run_id": "r"}], ids=["one", "ledger"])
def test_statistics_that_fail_fail_no_load(ready: Pair, words: dict[str, Any]) -> None:
    """An index on an expression is computed by ANALYZE, too."""
    sql(
        ready.dst,
        """CREATE FUNCTION only_once(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$BEGIN
               IF current_query() LIKE 'ANALYZE%' THEN RAISE division_by_zero; END IF; RETURN i; END$$;
           CREATE INDEX ON t (only_once(id))""",
    )
    report = copypump.pump(ready.src, ready.dst, table="t", analyze=True, **words)
    assert any("the statistics are not taken" in warning for warning in report.warnings)
    assert sql(ready.dst, "SELECT count(*) FROM t") == [(ROWS,)]
    assert known(ready.dst)[1] is False


def test_partitions_that_the_role_may_not_analyze(ready: Pair) -> None:
    """The server leaves them out, and tells nobody."""
    sql(
        ready.dst,
        """DROP TABLE t; CREATE TABLE t (id int) PARTITION BY RANGE (id);
           CREATE TABLE mine PARTITION OF t FOR VALUES FROM (0) TO (100);
           CREATE TABLE "Theirs" PARTITION OF t DEFAULT;
           ALTER TABLE t OWNER TO pg_monitor; ALTER TABLE mine OWNER TO pg_monitor""",
    )
    dst = f"{ready.dst} options='-c role=pg_monitor'"
    plan = api.plan(ready.src, dst, table="t", mode="append", analyze=True)
    assert [each for each in plan.warnings if "may not analyze" in each and '"Theirs"' in each]
    assert not any("mine" in each for each in plan.warnings)
    copypump.pump(ready.src, dst, table="t", mode="append", analyze=True)
    assert sql(
        ready.dst, "SELECT DISTINCT tablename::text FROM pg_stats WHERE schemaname = 'public' ORDER BY 1"
    ) == [("mine",), ("t",)]
