"""Modes that merge by a key: what lands, what is counted, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

import copypump
from copypump.engine.api import plan
from copypump.engine.report import Tally
from copypump.errors import CopypumpError, RefusedError, TargetError, UsageError
from tests.conftest import Pair
from tests.servers import Server, SystemServer, WheelServer, role, sql

SOURCE = [(1, "a", 1.5), (2, "b", None), (3, "c", 3.0), (4, None, 4.0)]
TARGET = [(2, "b", None), (3, "old", 3.0), (9, "kept", 9.0)]
UPSERTED = [(1, "a", 1.5), (2, "b", None), (3, "c", 3.0), (4, None, 4.0), (9, "kept", 9.0)]
UPDATED = [(2, "b", None), (3, "c", 3.0), (9, "kept", 9.0)]

# Many chunks of a small table: rows of eight values of a column, two workers.
MANY: dict[str, Any] = {"jobs": 2, "split": "values", "split_by": "id"}
WAYS = {"one": {}, "many": MANY}


@pytest.fixture(params=[15, 16, 18])
def servers(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A pair whose target is of each of the majors."""
    source = request.getfixturevalue("pg15")
    target = request.getfixturevalue(f"pg{request.param}")
    with source.fresh_database() as src, target.fresh_database() as dst:
        yield Pair(source.dsn(src), target.dsn(dst))


def fill(dsn: str, rows: list[tuple[Any, ...]], table: str = "t") -> None:
    for row in rows:
        sql(dsn, f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(row))})", row)


def made(pair: Pair, ddl: str = "id int PRIMARY KEY, name text, x numeric") -> Pair:
    """Both tables, filled."""
    for dsn, rows in zip(pair, (SOURCE, TARGET), strict=True):
        sql(dsn, f"CREATE TABLE t ({ddl})")
        fill(dsn, rows)
    return pair


def content(pair: Pair, query: str = "TABLE t") -> list[tuple[Any, ...]]:
    return sorted(sql(pair.dst, query), key=repr)


def nothing_left(pair: Pair) -> None:
    """No table or sequence of ours but the ledger's own."""
    assert sql(
        pair.dst,
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'S') AND relnamespace::regnamespace::text !~ '^pg_'"
        " AND relnamespace::regnamespace::text <> 'information_schema'"
        " AND relname NOT IN ('t', 'runs', 'chunks', 'steps')",
    ) == []  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_upsert(servers: Pair, way: str) -> None:
    made(servers)
    report = copypump.pump(servers.src, servers.dst, table="t", mode="upsert", key=["id"], **WAYS[way])
    assert content(servers) == sorted(UPSERTED, key=repr)
    assert report.tally == Tally(inserted=2, updated=1, unchanged=1)
    assert report.rows_written == len(SOURCE)
    nothing_left(servers)
    again = copypump.pump(servers.src, servers.dst, table="t", mode="upsert", key=["id"], **WAYS[way])
    assert again.tally == Tally(unchanged=4)
    assert content(servers) == sorted(UPSERTED, key=repr)


@pytest.mark.parametrize("way", WAYS)
def test_update(servers: Pair, way: str) -> None:
    made(servers)
    report = copypump.pump(servers.src, servers.dst, table="t", mode="update", key=["id"], **WAYS[way])
    assert content(servers) == sorted(UPDATED, key=repr)
    assert report.tally == Tally(updated=1, unchanged=1, unmatched=2)
    nothing_left(servers)
