"""Mode insert: to where COPY does not go, exact, and with the row that the server refuses."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import psycopg
import pytest

import copypump
from copypump.engine.api import plan
from copypump.errors import CopypumpError, RefusedError, TargetError
from tests.conftest import Pair
from tests.engine.conftest import wire
from tests.servers import SystemServer, role, sql

ROWS = 2345


@pytest.fixture
def viewed(pair: Pair) -> Pair:
    """A table on the source; on the target a view that the server can update."""
    sql(pair.src, "CREATE TABLE t (id int UNIQUE, name text, x numeric, at timestamptz, tags text[])")
    sql(pair.src, "INSERT INTO t SELECT i, nullif('person ' || i, 'person 7'), i / 3.0, now(), ARRAY['a', NULL, i::text]"
                  f" FROM generate_series(1, {ROWS}) i")  # fmt: skip
    sql(
        pair.dst,
        "CREATE TABLE base (tags text[], id int, at timestamptz, x numeric, name text, own int DEFAULT 7)",
    )
    sql(
        pair.dst,
        "CREATE VIEW t AS SELECT id, name, x, at, tags, own FROM base WHERE id > 0 WITH CHECK OPTION",
    )
    return pair


def into_view(pair: Pair, **options: Any) -> copypump.Report:
    return copypump.pump(pair.src, pair.dst, **{"table": "t", "mode": "insert"} | options)


@pytest.mark.parametrize(
    "options", [{}, {"batch_rows": 64}, {"run_id": "r", "jobs": 2, "split": "key", "chunk_bytes": 65536}],
    ids=["one block", "blocks", "chunks"],
)  # fmt: skip
def test_a_view_that_copy_does_not_go_into(viewed: Pair, options: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="COPY does not go into a view") as error:
        into_view(viewed, mode="append")
    assert "--mode insert" in str(error.value.hint)
    report = into_view(viewed, **options)
    assert report.rows_read == report.rows_written == ROWS
    query = "SELECT id, name, x, at, tags FROM t ORDER BY id"
    assert wire(viewed.dst, query) == wire(viewed.src, query)
    assert sql(viewed.dst, "SELECT DISTINCT own FROM base") == [(7,)]


TYPES = """CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, m mood);
    CREATE DOMAIN small AS int CHECK (VALUE < 100)"""


def test_types_of_the_user_s_own_and_columns_that_make_themselves(pair: Pair) -> None:
    for dsn, order in zip(pair, ("", "CREATE TYPE padding AS (x int);"), strict=True):
        sql(dsn, order + TYPES)  # other oids on the target
    sql(pair.src, "CREATE TABLE t (id int, m mood, p pair[], s small, b bytea, j jsonb)")
    sql(
        pair.src,
        "INSERT INTO t SELECT i, 'ok', ARRAY[(i, 'sad')::pair], i, '', '{}' FROM generate_series(1, 99) i",
    )
    sql(pair.dst, "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, m mood, p pair[], s small, b bytea, j jsonb,"
                  " twice int GENERATED ALWAYS AS (id * 2) STORED)")  # fmt: skip
    assert into_view(pair).rows_written == 99
    query = "SELECT id, m, p::text, s, b, j FROM t ORDER BY id"
    assert wire(pair.dst, query) == wire(pair.src, query)


def test_views_with_triggers_and_without_any_way(viewed: Pair) -> None:
    sql(
        viewed.dst,
        "CREATE VIEW joined AS SELECT a.* FROM t a JOIN t b USING (id); CREATE MATERIALIZED VIEW m AS TABLE t",
    )
    for into in ("joined", "m"):
        with pytest.raises(RefusedError, match="the server takes no INSERT into this") as raised:
            into_view(viewed, into=into)
        assert raised.value.hint == "land in a table with --into"
    sql(viewed.dst, """CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        IF NEW.id % 2 = 0 THEN RETURN NULL; END IF; INSERT INTO base (id) VALUES (NEW.id); RETURN NEW; END$$;
        CREATE TRIGGER f INSTEAD OF INSERT ON joined FOR EACH ROW EXECUTE FUNCTION f()""")  # fmt: skip
    with pytest.raises(TargetError, match="rows were sent, but the target says that it took"):
        into_view(viewed, into="joined")
    assert into_view(viewed, into="joined", where="id % 2 = 1").rows_written == (ROWS + 1) // 2


@pytest.mark.parametrize("batch_rows", [100, 65536])
def test_the_row_that_the_server_refuses_is_named(viewed: Pair, batch_rows: int) -> None:
    def error(**options: Any) -> CopypumpError:
        with pytest.raises(TargetError) as raised:
            into_view(viewed, batch_rows=batch_rows, **options)
        assert sql(viewed.dst, "SELECT count(*) FROM base") == [(0,)]
        return raised.value

    sql(viewed.src, "UPDATE t SET id = -1 WHERE id = 1234")
    query = {"table": None, "into": "t", "query": "SELECT * FROM t ORDER BY abs(id), x"}
    checked = error(**query)
    assert checked.sqlstate == "44000"
    [(place,)] = sql(
        viewed.src,
        "SELECT n FROM (SELECT id, row_number() OVER (ORDER BY abs(id), x) n FROM t) AS q WHERE id = -1",
    )
    assert checked.row == place
    sql(viewed.dst, "ALTER TABLE base ADD CHECK (id <> 2001), ALTER name SET NOT NULL")
    assert error(**query | {"query": "SELECT * FROM t WHERE id > 1000 ORDER BY id"}).row == 2001 - 1000 - 1
    null = error(where="id < 9")
    assert (null.row, null.column, null.sqlstate) == (7, "name", "23502")


def test_row_level_security(pg15: SystemServer, viewed: Pair) -> None:
    with pg15.fresh_database() as name:
        owner = Pair(viewed.src, pg15.dsn(name))
        sql(owner.dst, "CREATE TABLE t (id int, name text, x numeric, at timestamptz, tags text[]);"
                       " ALTER TABLE t ENABLE ROW LEVEL SECURITY;"
                       " CREATE POLICY mine ON t FOR INSERT WITH CHECK (id <> 7)")  # fmt: skip
        role(pg15, name, "writer", "GRANT INSERT ON t TO writer")
        try:
            under = Pair(viewed.src, pg15.dsn(name, user="writer"))
            with pytest.raises(TargetError, match="--mode insert"):
                into_view(under, mode="append")
            assert "row_security = on" in plan(*under, table="t", mode="insert").describe()
            with pytest.raises(TargetError) as error:
                into_view(under)
            assert (error.value.sqlstate, error.value.row) == ("42501", 7)
            assert into_view(under, where="id <> 7").rows_written == ROWS - 1
            assert into_view(under, where="id = 8", types={"name": "text", "x": "text"}).rows_written == 1
        finally:
            sql(owner.dst, "DROP OWNED BY writer; DROP ROLE writer")


def test_foreign_tables(same_server_pair: Pair, pg15: SystemServer) -> None:
    """One that takes no INSERT; and a run of chunks, of which the ledger would not know."""
    pair = same_server_pair
    sql(pair.src, "CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2)")
    sql(pair.dst, "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;"
                  " CREATE FOREIGN TABLE t (id int) SERVER files OPTIONS (filename '/dev/null')")  # fmt: skip
    with pytest.raises(RefusedError, match="takes no INSERT into this foreign table"):
        into_view(pair)
    with pytest.raises(RefusedError, match="commits apart from the ledger"):
        into_view(pair, run_id="r")


def test_text_that_the_target_casts(pair: Pair) -> None:
    sql(pair.src, "CREATE TABLE t AS SELECT 1 AS id, '10.0.0.1'::inet AS net")
    sql(pair.dst, "CREATE TABLE base (id int, net inet); CREATE VIEW t AS TABLE base")
    assert into_view(pair, types={"net": "text"}).rows_written == 1
    assert sql(pair.dst, "SELECT net::text FROM base") == [("10.0.0.1/32",)]


def test_a_backend_that_is_killed_in_the_middle(viewed: Pair) -> None:
    sql(viewed.dst, """CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        IF NEW.id = 1500 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW; END$$;
        CREATE TRIGGER f BEFORE INSERT ON base FOR EACH ROW EXECUTE FUNCTION f()""")  # fmt: skip
    with pytest.raises(TargetError) as error:
        into_view(viewed, batch_rows=100)
    assert error.value.lost or error.value.sqlstate == "57P01"
    assert sql(viewed.dst, "SELECT count(*) FROM base") == [(0,)]


def test_an_interrupt_ends_it_and_a_given_connection_comes_back(viewed: Pair) -> None:
    """Also from a statement that takes its time."""
    sql(viewed.dst, """CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        IF NEW.id = 500 THEN PERFORM pg_sleep(60); END IF; RETURN NEW; END$$;
        CREATE TRIGGER f BEFORE INSERT ON base FOR EACH ROW EXECUTE FUNCTION f()""")  # fmt: skip
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    with psycopg.connect(viewed.dst, application_name="test fixture") as connection:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            copypump.pump(viewed.src, connection, table="t", mode="insert", batch_rows=100)
        assert connection.execute("SELECT count(*) FROM base").fetchall() == [(0,)]
        connection.rollback()
        sql(viewed.dst, "DROP TRIGGER f ON base")
        assert copypump.pump(viewed.src, connection, table="t", mode="insert").rows_written == ROWS
