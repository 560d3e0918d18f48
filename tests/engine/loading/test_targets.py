"""What a target may be, for every mode: rows land, or the plan refuses in words, before anything is written.

The table is the audit of GUARANTEES' "Objects" as far as they are targets; on PostgreSQL 15 and 18, by turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import copypump
from copypump.engine.modes import MODES
from copypump.errors import CopypumpError, RefusedError, TargetError
from tests.conftest import Pair
from tests.engine.conftest import in_turn
from tests.servers import Server, sql

ROWS = 30
PREPARE: dict[str, str] = {
    "table": "CREATE TABLE t (id int PRIMARY KEY, part int, v text)",
    "partitioned": """CREATE TABLE t (id int, part int, v text, PRIMARY KEY (part, id)) PARTITION BY LIST (part);
        CREATE TABLE t0 (v text, gone int, part int NOT NULL, id int NOT NULL); ALTER TABLE t0 DROP gone;
        ALTER TABLE t ATTACH PARTITION t0 FOR VALUES IN (0);
        CREATE TABLE rest PARTITION OF t DEFAULT PARTITION BY RANGE (id);
        CREATE TABLE low PARTITION OF rest FOR VALUES FROM (0) TO (10);
        CREATE TABLE high PARTITION OF rest DEFAULT""",
    "partition": """CREATE TABLE whole (id int PRIMARY KEY, part int, v text) PARTITION BY RANGE (id);
        CREATE TABLE t PARTITION OF whole FOR VALUES FROM (0) TO (1000)""",
    "parent": """CREATE TABLE t (id int PRIMARY KEY, part int, v text); CREATE TABLE child () INHERITS (t);
        INSERT INTO child VALUES (1, 1, 'stays')""",
    "child": "CREATE TABLE above (id int, part int, v text); CREATE TABLE t (PRIMARY KEY (id)) INHERITS (above)",
    "identity": "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, part int, v text)",
    "generated": """CREATE TABLE t (id int PRIMARY KEY, part int, v text,
        twice int GENERATED ALWAYS AS (id * 2) STORED, half int GENERATED ALWAYS AS (id / 2) STORED)""",
    "dropped": """CREATE TABLE t (gone int, id int PRIMARY KEY, lost text, part int, v text);
        ALTER TABLE t DROP gone, DROP lost""",
    "unlogged": "CREATE UNLOGGED TABLE t (id int PRIMARY KEY, part int, v text)",
    "view": "CREATE TABLE below (id int PRIMARY KEY, part int, v text); CREATE VIEW t AS SELECT * FROM below",
    "instead": """CREATE TABLE below (id int PRIMARY KEY, part int, v text); CREATE VIEW t AS TABLE below;
        CREATE FUNCTION put() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO below VALUES (NEW.*); RETURN NEW; END';
        CREATE TRIGGER put INSTEAD OF INSERT ON t FOR EACH ROW EXECUTE FUNCTION put()""",
    "materialized": "CREATE MATERIALIZED VIEW t AS SELECT 1 AS id, 1 AS part, 'x' AS v",
    "index": "CREATE TABLE other (id int); CREATE INDEX t ON other (id)",
    "secured": """CREATE TABLE t (id int PRIMARY KEY, part int, v text);
        ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (true) WITH CHECK (id > 0);
        GRANT ALL ON t TO pg_monitor""",
}
# What is refused, by kind: for these modes ("" is none), with these words.
COPIES = ["", "append", "truncate", "upsert", "update"]
REFUSED: dict[str, dict[str, str]] = {
    "partitioned": {"replace": "partitioned table"},
    "partition": {"replace": "partition"},
    "parent": {"replace": "inherit"},
    "child": {"replace": "belongs to table public.above"},
    "view": dict.fromkeys([*COPIES, "replace"], "view"),
    "instead": dict.fromkeys(["truncate", "upsert", "update", "replace"], "view"),
    "materialized": dict.fromkeys(["", *MODES], "materialized"),
    "index": dict.fromkeys(["", *MODES], "no table"),
    "secured": dict.fromkeys(["", *MODES], "security|BYPASSRLS|own") | {"insert": ""},
}
CASES = [(kind, mode) for kind in PREPARE for mode in ["", *MODES]]
KEYS = {"partitioned": ["part", "id"]}


@pytest.fixture
def ready(pg15: Server, server: Server) -> Iterator[Pair]:
    with pg15.fresh_database() as src, server.fresh_database() as dst:
        pair = Pair(pg15.dsn(src), server.dsn(dst))
        sql(
            pair.src,
            f"CREATE TABLE t AS SELECT i AS id, i % 3 AS part, 'v' || i AS v FROM generate_series(1, {ROWS}) AS i",
        )
        yield pair


def job(kind: str, mode: str) -> dict[str, Any]:
    keyed = bool(mode) and MODES[mode].keyed
    return {"table": "t", "mode": mode or None} | ({"key": KEYS.get(kind, ["id"])} if keyed else {})


def pump(pair: Pair, kind: str, mode: str, **words: Any) -> copypump.Report:
    dst = f"{pair.dst} options='-c role=pg_monitor'" if kind == "secured" else pair.dst
    return copypump.pump(pair.src, dst, **job(kind, mode) | words)


@pytest.mark.parametrize(("server", "kind"), in_turn(PREPARE), indirect=["server"])
def test_every_kind_of_target(ready: Pair, kind: str) -> None:
    """In every mode, one after the other, between two states of the same rows."""
    sql(ready.dst, PREPARE[kind])
    modes = ["", *MODES]
    assert len(modes) == 7
    only = "ONLY " if kind == "parent" else ""
    for mode in modes:
        words = REFUSED.get(kind, {}).get(mode)
        if words:
            with pytest.raises(CopypumpError, match=words) as error:
                pump(ready, kind, mode)
            assert isinstance(error.value, RefusedError | TargetError)
            assert error.value.sqlstate in (None, "42501")
            continue
        if mode == "update":
            sql(ready.dst, f"UPDATE {only}t SET v = 'old' WHERE id > 10")
        elif mode == "upsert":
            sql(ready.dst, f"DELETE FROM {only}t WHERE id > 10; UPDATE {only}t SET v = 'old'")
        elif mode in ("", "append", "insert"):
            sql(ready.dst, "DELETE FROM below" if kind in ("view", "instead") else f"DELETE FROM {only}t")
        report = pump(ready, kind, mode)
        assert report.rows_written == ROWS
        landed = sql(ready.dst, f"SELECT id, part, v FROM {only}t ORDER BY id")
        assert landed == sql(ready.src, "SELECT * FROM t ORDER BY id"), mode
    if kind == "generated":
        assert sql(ready.dst, "SELECT count(*) FROM t WHERE twice = id * 2 AND half = id / 2") == [(ROWS,)]
    if kind == "parent":
        assert sql(ready.dst, "TABLE child") == [(1, 1, "stays")]
        assert any("inheritance children" in warning for warning in report.warnings)


@pytest.mark.parametrize("kind", ["partitioned", "partition"])
def test_a_row_that_has_no_partition(ready: Pair, kind: str) -> None:
    sql(ready.dst, PREPARE[kind])
    sql(ready.dst, "DROP TABLE high" if kind == "partitioned" else "ALTER TABLE whole DETACH PARTITION t;"
        " ALTER TABLE whole ATTACH PARTITION t FOR VALUES FROM (0) TO (20)")  # fmt: skip
    for mode in ("", "append", "truncate", "insert", "upsert"):
        with pytest.raises(TargetError) as error:
            pump(ready, kind, mode)
        assert error.value.sqlstate == "23514"
        assert sql(ready.dst, "SELECT count(*) FROM t") == [(0,)]


def test_policies_hold_for_rows_that_are_inserted(ready: Pair) -> None:
    sql(ready.dst, PREPARE["secured"] + "; ALTER POLICY p ON t WITH CHECK (id < 20)")
    with pytest.raises(TargetError) as error:
        pump(ready, "secured", "insert")
    assert error.value.sqlstate == "42501"
    assert sql(ready.dst, "SELECT count(*) FROM t") == [(0,)]


@pytest.mark.parametrize("kind", ["unlogged", "table"])
def test_what_a_crash_would_empty_has_no_ledger(ready: Pair, kind: str) -> None:
    """Unlogged rows go in a crash, and the ledger's would stay."""
    sql(ready.dst, PREPARE[kind])
    if kind == "unlogged":
        with pytest.raises(RefusedError, match="unlogged"):
            pump(ready, kind, "append", run_id="r")
    else:
        assert pump(ready, kind, "append", run_id="r").rows_written == ROWS


@pytest.mark.parametrize(("mode", "fired"), [("append", 0), ("truncate", 0), ("insert", ROWS)])
def test_rules_and_what_is_said_of_them(ready: Pair, mode: str, fired: int) -> None:
    sql(ready.dst, PREPARE["table"])
    sql(
        ready.dst,
        "CREATE TABLE seen (id int); CREATE RULE r AS ON INSERT TO t DO ALSO INSERT INTO seen VALUES (NEW.id)",
    )
    report = pump(ready, "table", mode)
    assert sql(ready.dst, "SELECT count(*) FROM seen") == [(fired,)]
    said = "which INSERT fires" if fired else "which COPY does not fire"
    assert [each for each in report.warnings if "has rules" in each and said in each]
