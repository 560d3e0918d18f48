"""The locks that a plan tells of are those that its statements take: held against the server's pg_locks."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pytest

import copypump
from copypump.engine import api
from copypump.engine.planning.locks import MODES, at_once, locks
from copypump.engine.planning.plan import Plan
from copypump.engine.planning.script import Transaction, script
from copypump.errors import Side
from tests.conftest import Pair
from tests.servers import TEST_APPLICATION, sql

TABLES = """
CREATE TABLE region (code int PRIMARY KEY);
CREATE TABLE t (id int PRIMARY KEY, name text, region int REFERENCES region, at date);
CREATE INDEX ON t (name);
CREATE TABLE part (id int REFERENCES t, n int);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER quiet AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION nothing()
"""
# What a COPY of no rows sends.
EMPTY = b"PGCOPY\n\xff\r\n\0" + b"\0" * 8 + b"\xff\xff"

# Every table that a session holds a lock on: its oid, its name, the lock.
# Of relations alone: who makes a table longer holds EXCLUSIVE for a moment, of another kind (locktype extend).
HELD = """
SELECT c.oid::int, quote_ident(n.nspname) || '.' || quote_ident(c.relname), upper(regexp_replace(
         regexp_replace(l.mode, 'Lock$', ''), '(?<=[a-z])(?=[A-Z])', ' ', 'g'))
  FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE l.pid = ANY(%s) AND l.locktype = 'relation' AND l.granted AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND n.nspname !~ '^pg_|^information_schema$|^copypump$' AND c.relname !~ '^copypump_'"""

MANY = {"jobs": 2, "chunk_bytes": 40_000, "run_id": "r"}
WAYS: dict[str, dict[str, Any]] = {
    "empty": {},
    "append": {"mode": "append"},
    "truncate": {"mode": "truncate"},
    "replace": {"mode": "replace"},
    "upsert": {"mode": "upsert", "key": ["id"]},
    "update": {"mode": "update", "key": ["id"]},
    "reject": {"mode": "append", "on_error": "reject"},
    "analyze": {"mode": "append", "analyze": True},
    "create": {"into": "public.made", "create": True},
    "cast": {"mode": "append", "types": {"at": "text"}},
    "triggers": {"mode": "append", "triggers": "disable-user"},
}
# Those that are one transaction.
SINGLE = {"truncate", "triggers"}


@pytest.fixture
def filled(pair: Pair) -> Pair:
    """The same tables on both sides, and rows on the source alone, but for those that are referred to."""
    for dsn in pair:
        sql(dsn, TABLES)
        sql(dsn, "INSERT INTO region VALUES (1)")
    sql(
        pair.src,
        "INSERT INTO t SELECT i, repeat('x', 100), 1, '2020-01-01' FROM generate_series(1, 2000) AS i",
    )
    sql(
        pair.dst, "ALTER TABLE t DROP CONSTRAINT t_region_fkey; ALTER TABLE part DROP CONSTRAINT part_id_fkey"
    )
    return pair


def names(held: dict[str, str]) -> dict[str, str]:
    """Names as SQL has them where it need not quote, the plan's and the server's alike."""
    return {re.sub(r'"([a-z_]+)"', r"\1", table): mode for table, mode in held.items()}


def strongest(found: Iterator[tuple[str, str]]) -> dict[str, str]:
    order = list(MODES)
    held: dict[str, str] = {}
    for table, mode in found:
        held[table] = max(mode, held.get(table, order[0]), key=order.index)
    return held


def planned(plan: Plan, *transactions: Transaction) -> dict[str, str]:
    return names(strongest((lock.table, lock.mode) for lock in locks(plan, transactions)))


def taken(connection: psycopg.Connection, transaction: Transaction, first: dict[str, str]) -> dict[str, str]:
    """Run a transaction of the plan by hand, without rows, and give what it holds before its end.

    `first` are the locks that no statement of it takes: that there are no others, the next test sees.
    """
    seen: dict[int, tuple[str, str]] = {}
    order = list(MODES)

    def look() -> None:
        for oid, name, mode in connection.execute(HELD, [[connection.info.backend_pid]]).fetchall():
            first, before = seen.get(oid, (name, order[0]))
            seen[oid] = first, max(mode, before, key=order.index)

    parts = [part for each in transaction.statements for part in _parts(each)]
    created = {match[1] for part in parts if (match := re.match(r"CREATE TABLE (\S+)", part))}
    for part in parts:
        if part.startswith("COPY ") and "FROM STDIN" in part:
            with connection.cursor() as cursor, cursor.copy(part.encode()) as copy:
                copy.write(EMPTY)
        else:
            connection.execute(part.encode())
        if part.startswith("BEGIN "):
            for table, mode in first.items():
                connection.execute(f"LOCK TABLE ONLY {table} IN {mode} MODE".encode())
        if part not in ("COMMIT", "ROLLBACK"):
            look()
    held = names(strongest(iter(seen.values())))
    return {table: mode for table, mode in held.items() if table not in names(dict.fromkeys(created, ""))}


def _parts(statement: str) -> list[str]:
    return statement.split("; ") if statement.startswith("SAVEPOINT ") else [statement]


@pytest.mark.parametrize(
    ("way", "many"),
    [(way, many) for way in WAYS for many in (False, True) if not (many and way in SINGLE)],
)
def test_a_statement_takes_the_locks_that_the_plan_says(filled: Pair, way: str, many: bool) -> None:
    if way in ("replace", "analyze"):
        sql(filled.dst, "ALTER TABLE t ADD FOREIGN KEY (region) REFERENCES region")
        sql(filled.dst, "ALTER TABLE part ADD FOREIGN KEY (id) REFERENCES t")
    words = WAYS[way]
    plan = api.plan(filled.src, filled.dst, table="t", **words, **(MANY if many else {}))
    assert len(plan.split.chunks) > 1 or not many
    transactions = [each for each in script(plan) if each.side is Side.TARGET]
    if many:
        sql(filled.dst, "CREATE SCHEMA copypump")
    with psycopg.connect(filled.dst, autocommit=True, application_name=TEST_APPLICATION) as connection:
        for transaction in transactions:
            held = taken(connection, transaction, at_once(transaction, plan))
            told = planned(plan, transaction)
            if transaction.refused:
                assert told.pop("copypump.rejects") == "ROW EXCLUSIVE"  # once a block is refused
            assert told == held, transaction.name
    assert any(planned(plan, each) for each in transactions) or way == "create"


@pytest.mark.parametrize("way", WAYS)
def test_what_a_run_holds_while_its_rows_land(filled: Pair, way: str) -> None:
    single = way in SINGLE
    job: dict[str, Any] = {"table": "t", **WAYS[way], **({} if single else MANY)}
    seen: list[dict[str, str]] = []
    first = threading.Lock()

    def looks(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows and first.acquire(blocking=False):  # the other worker's moment is another
            for dsn in filled:
                query = "SELECT array_agg(pid) FROM pg_stat_activity WHERE application_name = 'copypump r'"
                if single:
                    query = query.replace(" r'", "'")
                [(pids,)] = sql(dsn, query)
                seen.append(names(strongest((name, mode) for _, name, mode in sql(dsn, HELD, [pids]))))
        return batch

    plan = api.plan(filled.src, filled.dst, **job, transform=looks)
    copypump.pump(filled.src, filled.dst, **job, transform=looks)
    source, target = seen
    load = next(each for each in script(plan) if each.name == "load")
    read = next(each for each in script(plan) if each.name == "read")
    told = planned(plan, load)
    if way == "reject":
        assert told.pop("copypump.rejects") == "ROW EXCLUSIVE"  # by no row so far
    assert target == told
    assert source == planned(plan, read)
