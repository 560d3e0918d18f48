"""What the engine's tests share: the worked example, and the exact bytes of a table."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.conftest import Pair
from tests.servers import Server, session, sql

PEOPLE = """CREATE TABLE people (id bigint NOT NULL, name text, age int, salary float8)"""
AFTER_TAX = """CREATE TABLE people (id bigint NOT NULL, name text, age int, salary_after_tax float8)"""
ROWS = 5000

# The oldest and the newest.
SERVERS = ("pg15", "pg18")


def in_turn(cases: Iterable[Any]) -> list[tuple[str, Any]]:
    """A server and a case: each case once, the servers in turn, where what all cases share is proved on both."""
    return list(zip(itertools.cycle(SERVERS), cases, strict=False))


def wire(dsn: str, query: str) -> bytes:
    """A query's result as COPY BINARY sends it."""
    with session(dsn) as connection, connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL row_security = off")
        with cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)") as copy:
            return b"".join(bytes(data) for data in copy)


def people(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The worked example."""
    columns: dict[str, Any] = {name: batch.column(name) for name in batch.schema.names}
    columns["age"] = pc.add(columns["age"], 1)
    columns["salary_after_tax"] = pc.multiply(columns.pop("salary"), 0.8)
    return pa.RecordBatch.from_pydict(columns)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def two(server: Server) -> Iterator[Pair]:
    """Two databases of one server."""
    with server.fresh_database() as source, server.fresh_database() as target:
        yield Pair(server.dsn(source), server.dsn(target))


@pytest.fixture
def example(pair: Pair) -> Pair:
    """`people` with rows on the source, and one for `people()` to land in, empty, on the target."""
    sql(pair.src, PEOPLE)
    sql(
        pair.src,
        f"INSERT INTO people SELECT i, nullif('person ' || i, 'person 7'), i % 90, i * 1.5"
        f" FROM generate_series(1, {ROWS}) AS i",
    )
    sql(pair.dst, AFTER_TAX)
    return pair
