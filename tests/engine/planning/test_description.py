"""What a plan tells of itself: keys that are documented, locks, what can be resumed, and no value of a row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

import copypump
from copypump.engine import api
from copypump.engine.planning.locks import MODES as LOCK_MODES
from copypump.engine.planning.locks import locks
from copypump.engine.planning.script import Transaction
from copypump.errors import Side
from tests import readme
from tests.conftest import Pair
from tests.engine.conftest import people
from tests.servers import PASSWORD, PASSWORD_ROLE, sql

COLUMNS = "(id int PRIMARY KEY, name text NOT NULL, made int GENERATED ALWAYS AS (id * 2) STORED, extra int DEFAULT 7)"


def planned(pair: Pair, **options: Any) -> dict[str, Any]:
    return api.plan(pair.src, pair.dst, **options).as_dict()


def test_the_keys_are_those_that_are_documented(example: Pair) -> None:
    sql(
        example.dst,
        """CREATE INDEX ON people (id);
           CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
           CREATE TRIGGER one BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION f()""",
    )
    words: dict[str, Any] = {"on_error": "reject", "mode": "append"}
    shown = planned(example, table="people", transform=people, run_id="r", preview=1, **words)
    documented = readme.plan_keys()
    assert set(documented) == set(shown)
    for name, words in documented.items():
        below = set(keys_of(shown[name]))
        if name == "preview":
            below -= {"id", "name", "age", "salary", "salary_after_tax"}  # columns
        assert below <= set(re.findall(r"[a-z_]+", words)), name
    assert {"constraint", "enabled", "label", "statements", "before"} <= set(keys_of(shown))
    assert json.loads(json.dumps(shown)) == shown
    assert shown["version"] == 1


def keys_of(value: Any) -> Iterator[str]:
    """Every key within, at any depth."""
    if isinstance(value, dict):
        yield from value
    for below in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys_of(below)


def test_both_ends(pair: Pair) -> None:
    sql(
        pair.src,
        f"CREATE TABLE t {COLUMNS}; INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 1000) i",
    )
    sql(
        pair.dst,
        f"""CREATE TABLE t {COLUMNS}; CREATE INDEX by_name ON t (name);
            CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
            CREATE TRIGGER one BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
            CREATE TRIGGER two BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
            ALTER TABLE t DISABLE TRIGGER two""",
    )
    shown = planned(pair, table="t", columns=["id", "name"])
    assert (shown["source"]["kind"], shown["target"]["kind"]) == ("table", "table")
    [(version,)] = sql(pair.src, "SHOW server_version")
    assert version.startswith(shown["source"]["server"])
    assert shown["source"]["bytes"] >= 100_000
    assert [(each["name"], each["constraint"]) for each in shown["target"]["indexes"]] == [
        ("by_name", None),
        ("t_pkey", "t_pkey"),
    ]
    assert [(each["name"], each["enabled"]) for each in shown["target"]["triggers"]] == [
        ("one", True),
        ("two", False),
    ]
    assert [left["why"] for left in shown["left_out"]] == ["not sent, left to the target's default"]
    made = planned(pair, query="SELECT id FROM t", into="made", create=True)
    assert (made["source"]["kind"], made["source"]["bytes"], made["source"]["lock"]) == ("query", None, False)
    assert (made["target"]["created"], made["target"]["indexes"]) == (True, [])


def test_the_transform_and_its_columns(example: Pair) -> None:
    @copypump.reads("age", rows="same")
    def older(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.select(["age"])

    shown = planned(example, table="people", into="copied", create=True, transform=older, check="age > 0")
    transform = shown["transform"]
    assert transform["functions"][0].endswith("older")
    assert (transform["checks"], transform["reads"], transform["rows_same"]) == (["age > 0"], ["age"], True)
    assert transform["input"] == transform["output"] == [{"name": "age", "type": "int32"}]
    ways = {column["name"]: column["way"] for column in shown["columns"]}
    assert ways == {"id": "bytes", "name": "bytes", "age": "transform", "salary": "bytes"}
    assert planned(example, table="people", into="copied", create=True)["transform"] is None


def test_no_value_of_a_row_and_no_password(pg15: Any, pair: Pair) -> None:
    sql(pair.src, "CREATE TABLE t (word text PRIMARY KEY, filler text)")
    sql(pair.src, "INSERT INTO t SELECT 'secret' || i, repeat('x', 500) FROM generate_series(1, 2000) AS i")
    sql(pair.src, f"GRANT SELECT ON t TO {PASSWORD_ROLE}")
    name = pair.src.partition("dbname=")[2].partition(" ")[0]
    src = pg15.dsn(name, user=PASSWORD_ROLE, password=PASSWORD)
    plan = api.plan(
        src, pair.dst, table="t", create=True, jobs=2, split="key", split_by="word", chunk_bytes=100_000
    )
    assert any("secret" in (chunk.where or "") for chunk in plan.split.chunks)
    for text in (json.dumps(plan.as_dict()), plan.describe()):
        assert "secret" not in text
        assert PASSWORD not in text
    shown = json.dumps(api.plan(src, pair.dst, table="t", create=True, preview=1).as_dict())
    assert "secret" in shown


def test_the_split_and_why_not_another(example: Pair) -> None:
    plan = api.plan(example.src, example.dst, table="people", into="copied", create=True, split="none")
    split = plan.as_dict()["split"]
    assert split["why"] == ["asked for"]
    assert {choice["name"]: choice["why"] for choice in split["choices"] if not choice["chosen"]} == (
        dict.fromkeys(("ctid", "key", "values", "partitions"), "not asked for")
    )
    assert [line for line in plan.describe().splitlines() if line.startswith("split ")] == [
        "split     none: 1 chunk, 1 worker; asked for",
        "split     ctid, key, values, partitions: not asked for",
    ]


def test_what_can_be_resumed(example: Pair) -> None:
    job: dict[str, Any] = {"table": "people", "into": "copied", "create": True}
    assert not planned(example, **job)["resume"]["possible"]
    assert planned(example, **job, run_id="r")["resume"]["possible"]
    assert planned(example, **job, run_id="r", transform=people)["resume"]["possible"]
    closed = planned(example, **job, run_id="r", transform=lambda batch: batch)["resume"]
    assert not closed["possible"]
    assert "imported" in closed["why"]
    assert not planned(example, **job, run_id="r", check=lambda batch: batch["id"].is_valid())["resume"][
        "possible"
    ]
    shown = planned(example, **job, run_id="r")
    assert shown["ledger"] == {"schema": "copypump", "run": "r", "made_up": False}
    begins = {each["side"]: each["begin"] for each in shown["sessions"]}
    for each in shown["transactions"]:
        begin = begins[each["side"]]
        assert each["statements"][: len(begin)] == begin


@pytest.mark.parametrize(
    ("statement", "table", "mode"),
    [
        ('LOCK TABLE ONLY "public"."t" IN ACCESS EXCLUSIVE MODE', '"public"."t"', "ACCESS EXCLUSIVE"),
        ('LOCK TABLE "a""b"."t.t" IN ACCESS SHARE MODE NOWAIT', '"a""b"."t.t"', "ACCESS SHARE"),
        ('TRUNCATE TABLE ONLY "t"', '"t"', "ACCESS EXCLUSIVE"),
        ('COPY "s"."t" ("a", "b)") FROM STDIN (FORMAT BINARY)', '"s"."t"', "ROW EXCLUSIVE"),
        ('INSERT INTO "s"."t" ("a") SELECT 1', '"s"."t"', "ROW EXCLUSIVE"),
        ('UPDATE ONLY "s"."t" SET a = 1', '"s"."t"', "ROW EXCLUSIVE"),
        ('CREATE UNIQUE INDEX "i" ON "s"."t" USING btree (a)', '"s"."t"', "SHARE"),
        ('ALTER TABLE "s"."t" RENAME TO "u"', '"s"."t"', "ACCESS EXCLUSIVE"),
        ('DROP TABLE "s"."t"', '"s"."t"', "ACCESS EXCLUSIVE"),
        ('ANALYZE "s"."t"', '"s"."t"', "SHARE UPDATE EXCLUSIVE"),
    ],
)
def test_which_lock_a_statement_takes(example: Pair, statement: str, table: str, mode: str) -> None:
    plan = api.plan(example.src, example.dst, table="people", transform=people)
    (lock,) = locks(plan, [Transaction("a phase", Side.TARGET, ("BEGIN", statement, "COMMIT"))])
    assert (lock.table, lock.mode, lock.others) == (table, mode, LOCK_MODES[mode])


def test_a_foreign_key_locks_both_tables(example: Pair) -> None:
    plan = api.plan(example.src, example.dst, table="people", transform=people)
    statement = (
        'ALTER TABLE "s"."t" ADD CONSTRAINT "a ""( REFERENCES x" FOREIGN KEY (b, "c) REFERENCES y")'
        ' REFERENCES "o"."u"(id) ON DELETE CASCADE'
    )
    found = locks(plan, [Transaction("add foreign keys 1", Side.TARGET, ("BEGIN", statement, "COMMIT"))])
    mode = "SHARE ROW EXCLUSIVE"
    assert [(lock.table, lock.mode) for lock in found] == [('"s"."t"', mode), ('"o"."u"', mode)]


def test_the_strongest_lock_of_a_transaction(example: Pair) -> None:
    plan = api.plan(example.src, example.dst, table="people", transform=people, mode="truncate")
    found = {(lock.side, lock.mode): lock.until for lock in locks(plan, [])}
    assert not found
    shown = plan.as_dict()["locks"]
    assert [(lock["side"], lock["mode"]) for lock in shown] == [
        ("source", "ACCESS SHARE"),
        ("target", "ACCESS EXCLUSIVE"),
    ]
