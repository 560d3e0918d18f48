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
from tests.servers import SystemServer, role, sql

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


def upserted(pair: Pair, **options: Any) -> Tally:
    return copypump.pump(
        pair.src, pair.dst, **{"table": "t", "mode": "upsert", "key": ["id"]} | options
    ).tally


@pytest.mark.parametrize("way", WAYS)
def test_upsert_that_leaves_what_is_there(pair: Pair, way: str) -> None:
    made(pair)
    assert upserted(pair, on_conflict="nothing", **WAYS[way]) == Tally(inserted=2, unchanged=2)
    assert (3, "old", 3) in content(pair)


def test_a_change_is_one_of_bytes(same_server_pair: Pair) -> None:
    """1.0 and 1.00 are equal, and so are labels that differ by case; json has no equality at all."""
    pair = same_server_pair  # of the distribution's server, which has ICU
    for dsn, number, label, document in zip(
        pair, ("1.00", "1.0"), ("A", "a"), ('{"a":1}', '{"a": 1}'), strict=True
    ):
        sql(dsn, "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        sql(dsn, "CREATE TABLE t (id int PRIMARY KEY, n numeric, label text COLLATE loose, j json)")
        for id_, values in enumerate(
            ((number, "a", "{}"), ("1", label, "{}"), ("1", "a", document), ("1", "a", "{}"))
        ):
            sql(dsn, "INSERT INTO t VALUES (%s, %s, %s, %s)", [id_, *values])
    assert upserted(pair) == Tally(updated=3, unchanged=1)
    assert content(pair, "SELECT n::text, label::bytea, j::text FROM t") == content(
        Pair(pair.dst, pair.src), "SELECT n::text, label::bytea, j::text FROM t"
    )


def test_keys_are_equal_by_the_target_columns_own_collation(same_server_pair: Pair) -> None:
    pair = same_server_pair
    for dsn, label in zip(pair, ("Key", "KEY"), strict=True):
        sql(dsn, "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        sql(dsn, "CREATE TABLE t (label text COLLATE loose PRIMARY KEY, n int)")
        sql(dsn, "INSERT INTO t VALUES (%s, %s)", [label, len(label) + label.isupper()])
    assert upserted(pair, key=["label"]) == Tally(updated=1)
    sql(pair.src, "ALTER TABLE t DROP CONSTRAINT t_pkey; INSERT INTO t VALUES ('kEY', 9)")
    for mode in ("upsert", "update"):
        with pytest.raises(TargetError, match=r"1 keys \(\"label\"\) stand for more than one row"):
            upserted(pair, mode=mode, key=["label"])
    assert content(pair) == [("KEY", 3)]


# Duplicates -----------------------------------------------------------------------------------------------


@pytest.fixture
def doubled(pair: Pair) -> Pair:
    """A source with two keys twice and one three times, and rows whose key is NULL."""
    sql(pair.src, "CREATE TABLE t (id int, name text, x int)")
    fill(pair.src, [(1, "b", 2), (1, "a", 1), (2, "a", None), (2, "b", 7), (3, "one", 1), (4, "x", 5), (4, "z", 6),
                    (4, "y", None), (None, "n", 1), (None, "m", 1)])  # fmt: skip
    sql(pair.dst, "CREATE TABLE t (id int UNIQUE, name text, x int)")
    fill(pair.dst, [(1, "old", 0), (None, "old", 0)])
    return pair


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["upsert", "update"])
def test_duplicates_of_a_key_are_counted_and_told_without_a_value(doubled: Pair, mode: str, way: str) -> None:
    before = content(doubled)
    with pytest.raises(TargetError, match=r"3 keys .* stand for more than one row") as error:
        upserted(doubled, mode=mode, run_id="twice" if way == "many" else None, **WAYS[way])
    assert "dedupe" in str(error.value.hint)
    assert content(doubled) == before
    if way == "many":
        copypump.forget("twice", doubled.dst)
    nothing_left(doubled)


@pytest.mark.parametrize("way", WAYS)
def test_dedupe(doubled: Pair, way: str) -> None:
    assert upserted(doubled, dedupe="last:x", **WAYS[way]) == Tally(
        inserted=5, updated=1, duplicates=4, keyless=2
    )
    assert content(doubled) == sorted(
        [
            (1, "b", 2),
            (2, "b", 7),
            (3, "one", 1),
            (4, "z", 6),
            (None, "n", 1),
            (None, "m", 1),
            (None, "old", 0),
        ],
        key=repr,
    )
    assert upserted(doubled, mode="update", dedupe="first:x") == Tally(
        updated=2, unchanged=2, unmatched=2, duplicates=4
    )
    assert content(doubled, "SELECT name FROM t WHERE id IN (1, 4)") == [("a",), ("x",)]


def test_dedupe_needs_a_column_that_decides(doubled: Pair) -> None:
    sql(doubled.src, "INSERT INTO t VALUES (2, 'b', 9)")
    with pytest.raises(TargetError, match=r'1 keys .* more than one last row by "name"'):
        upserted(doubled, dedupe="last:name")


def test_null_is_a_key_where_the_index_says_so(pair: Pair) -> None:
    """NULLS NOT DISTINCT, from PostgreSQL 15 on."""
    sql(pair.src, "CREATE TABLE t (a int, b int, v text)")
    fill(pair.src, [(1, None, "new"), (2, None, "new")])
    sql(pair.dst, "CREATE TABLE t (a int, b int, v text, UNIQUE NULLS NOT DISTINCT (b, a))")
    fill(pair.dst, [(1, None, "old")])
    assert upserted(pair, key=["a", "b"]) == Tally(inserted=1, updated=1)
    fill(pair.src, [(1, None, "again")])
    with pytest.raises(TargetError, match="1 keys"):
        upserted(pair, key=["a", "b"])


# Targets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_generated_and_identity_columns(pair: Pair, way: str) -> None:
    sql(pair.src, "CREATE TABLE t (code text, id int, n int)")
    fill(pair.src, [("a", 100, 1), ("b", 101, 2)])
    sql(pair.dst, "CREATE TABLE t (code text PRIMARY KEY, id int GENERATED ALWAYS AS IDENTITY, n int,"
                  " double int GENERATED ALWAYS AS (n * 2) STORED)")  # fmt: skip
    sql(pair.dst, "INSERT INTO t (code, n) VALUES ('a', 0)")
    options: dict[str, Any] = {"key": ["code"]} | ({"run_id": "r"} if way == "many" else {})
    assert upserted(pair, **options) == Tally(inserted=1, updated=1)
    assert content(pair) == [("a", 1, 1, 2), ("b", 101, 2, 4)]
    report = copypump.pump(pair.src, pair.dst, table="t", mode="update", key=["id"])
    assert report.tally == Tally(unchanged=1, unmatched=1)


@pytest.mark.parametrize("way", WAYS)
def test_a_partitioned_target(servers: Pair, way: str) -> None:
    """Also one whose partitions have other columns' numbers; an update may move a row."""
    sql(servers.src, "CREATE TABLE t (id int, day int, v text)")
    fill(servers.src, [(1, 1, "same"), (2, 11, "new"), (3, 2, "added"), (4, 12, "added")])
    sql(servers.dst, "CREATE TABLE t (id int, day int, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);"
                     " CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);"
                     " CREATE TABLE t2 (v text, gone int, day int NOT NULL, id int NOT NULL);"
                     " ALTER TABLE t2 DROP gone; ALTER TABLE t ATTACH PARTITION t2 FOR VALUES FROM (10) TO (20)")  # fmt: skip
    fill(servers.dst, [(1, 1, "same"), (2, 11, "old")])
    assert upserted(servers, key=["id", "day"], **WAYS[way]) == Tally(inserted=2, updated=1, unchanged=1)
    assert content(servers) == content(Pair(servers.dst, servers.src))
    sql(servers.src, "UPDATE t SET day = 13 WHERE id = 1")
    assert upserted(servers, mode="update") == Tally(updated=1, unchanged=3)
    assert content(servers, "TABLE t2") == [("added", 12, 4), ("new", 11, 2), ("same", 13, 1)]


def test_inheritance_children_are_left_alone(pair: Pair) -> None:
    made(pair)
    sql(pair.dst, "CREATE TABLE child () INHERITS (t); INSERT INTO child VALUES (1, 'child', 0)")
    assert upserted(pair, mode="update") == Tally(updated=1, unchanged=1, unmatched=2)
    assert upserted(pair) == Tally(inserted=2, unchanged=2)
    assert content(pair, "TABLE child") == [(1, "child", 0)]
    sql(pair.dst, "DROP TABLE child")


TRIGGER = """CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {} END$$;
    CREATE TRIGGER f BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()"""


@pytest.mark.parametrize("options", [{}, {"on_conflict": "nothing"}, {"mode": "update"}], ids=str)
@pytest.mark.parametrize("body", ["IF NEW.id = 3 OR NEW.id = 4 THEN RETURN NULL; END IF; RETURN NEW;"])
def test_a_trigger_that_drops_rows_is_an_error(pair: Pair, options: dict[str, Any], body: str) -> None:
    made(pair)
    sql(pair.dst, TRIGGER.format(body))
    with pytest.raises(TargetError) as error:
        upserted(pair, **options)
    assert "trigger that returns NULL" in str(error.value.hint)
    assert content(pair) == sorted(TARGET, key=repr)


@pytest.mark.parametrize("on_conflict", ["update", "nothing"])
def test_a_trigger_that_changes_rows_is_not(pair: Pair, on_conflict: str) -> None:
    """Even where it changes the key, and so what a row meets."""
    made(pair)
    sql(pair.dst, TRIGGER.format("IF NEW.id = 4 THEN NEW.id := 9; END IF; NEW.x := 0; RETURN NEW;"))
    tally = upserted(pair, on_conflict=on_conflict)
    assert tally == (
        Tally(inserted=1, updated=3) if on_conflict == "update" else Tally(inserted=1, unchanged=3)
    )
    assert (1, "a", 0) in content(pair)


@pytest.mark.parametrize("way", WAYS)
def test_text_that_the_target_casts(pair: Pair, way: str) -> None:
    for dsn, net in zip(pair, ("10.0.0.2", "10.0.0.1"), strict=True):
        sql(dsn, "CREATE TABLE t (id int PRIMARY KEY, net inet)")
        fill(dsn, [(1, net), (2, "::1")])
    options = WAYS[way] | {"types": {"net": "text"}}
    assert upserted(pair, **options) == Tally(updated=1, unchanged=1)
    assert content(pair) == content(Pair(pair.dst, pair.src))
    assert upserted(pair, key=["id"], mode="update", **options) == Tally(unchanged=2)


def test_only_columns_that_arrive_are_updated(pair: Pair) -> None:
    made(pair)
    assert upserted(pair, columns=["id", "x"]) == Tally(inserted=2, unchanged=2)
    assert (3, "old", 3) in content(pair)
    assert upserted(pair, columns=["id"]) == Tally(unchanged=4)


def test_a_key_that_is_not_unique_updates_all_that_have_it(pair: Pair) -> None:
    made(pair)
    sql(pair.dst, "ALTER TABLE t DROP CONSTRAINT t_pkey")
    fill(pair.dst, [(3, "c", 3.0), (3, "other", 1.0)])
    report = copypump.pump(pair.src, pair.dst, table="t", mode="update", key=["id"])
    assert report.tally == Tally(updated=2, unchanged=2, unmatched=2)
    assert "not unique" in " ".join(report.warnings)


def test_write_merges_too(database: str) -> None:
    sql(database, "CREATE TABLE t (id int PRIMARY KEY, v text)")
    fill(database, [(1, "old"), (2, "same")])
    rows = pa.table({"id": pa.array([1, 2, 3, 3], pa.int32()), "v": ["new", "same", "b", "a"]})
    report = copypump.write(database, "t", rows, mode="upsert", key=["id"], dedupe="first:v")
    assert report.tally == Tally(inserted=1, updated=1, unchanged=1, duplicates=1)
    assert sorted(sql(database, "TABLE t")) == [(1, "new"), (2, "same"), (3, "a")]


# Refusals -------------------------------------------------------------------------------------------------


def refused(pair: Pair, **options: Any) -> CopypumpError:
    with pytest.raises(CopypumpError) as error:
        plan(pair.src, pair.dst, **{"table": "t", "mode": "upsert", "key": ["id"]} | options)
    return error.value


@pytest.mark.parametrize(
    ("index", "fault"),
    [
        ("CREATE INDEX ON t (id)", ""),
        ("CREATE UNIQUE INDEX u ON t (id) WHERE id > 0", "u is partial"),
        ("CREATE UNIQUE INDEX u ON t (id, x)", "it has a key of (id, x)"),
        ("ALTER TABLE t ADD CONSTRAINT u UNIQUE (id) DEFERRABLE", "u is deferrable"),
    ],
)
def test_a_key_that_no_index_stands_for(pair: Pair, index: str, fault: str) -> None:
    made(pair, "id int, name text, x numeric")
    sql(pair.dst, index)
    error = refused(pair)
    assert isinstance(error, RefusedError)
    assert "no unique index or primary key stands for the key" in str(error)
    assert fault in f"{error} {error.hint}"
    assert 'CREATE UNIQUE INDEX ON public.t ("id")' in str(error.hint)


def test_an_index_that_compares_otherwise(pair: Pair) -> None:
    made(pair)
    sql(
        pair.dst,
        "CREATE UNIQUE INDEX u ON t (name text_pattern_ops); CREATE UNIQUE INDEX e ON t (lower(name))",
    )
    assert "u compares by an operator class or collation of its own" in str(refused(pair, key=["name"]))


def test_what_a_merge_does_not_go_with(pair: Pair) -> None:
    made(pair)
    sql(pair.dst, "CREATE VIEW v AS TABLE t; CREATE TABLE ruled (LIKE t INCLUDING ALL);"
                  " CREATE RULE r AS ON UPDATE TO ruled DO INSTEAD NOTHING;"
                  " CREATE TABLE doc (id int UNIQUE, name json, x numeric)")  # fmt: skip
    for mode in ("upsert", "update"):
        assert "does not go with a view" in str(refused(pair, mode=mode, into="v"))
        assert "does not go with rules" in str(refused(pair, mode=mode, into="ruled"))
        assert "needs a table that is there" in str(refused(pair, mode=mode, into="new", create=True))
        assert refused(pair, mode=mode, columns=["name"]).column == "id"
        assert refused(pair, mode=mode, key=["nowhere"]).column == "nowhere"
    sql(pair.src, "ALTER TABLE t ALTER name TYPE json USING NULL")
    for options in ({"key": ["name"]}, {"dedupe": "last:name"}):
        error = refused(pair, into="doc", mode="update", **options)
        assert "json cannot be compared" in str(error)
        assert error.column == "name"
    assert "nothing is there to update" in str(refused(pair, mode="update", columns=["id"]))
    sql(pair.dst, "DROP VIEW v; DROP TABLE ruled")


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "upsert", "key": None},
        {"mode": "append", "key": ["id"]},
        {"mode": None, "dedupe": "last:x"},
        {"key": ["id", "id"]},
        {"on_conflict": "ignore"},
        {"on_conflict": "nothing", "mode": "update"},
        {"dedupe": "x"},
    ],
    ids=str,
)
def test_options_that_contradict_each_other(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        copypump.pump("", "", **{"table": "t", "mode": "upsert", "key": ["id"]} | options)


def test_privileges(pg15: SystemServer, pair: Pair) -> None:
    """Each that is missing is told by the plan."""
    target = Pair(pair.src, "")
    with pg15.fresh_database() as name:
        target = Pair(pair.src, pg15.dsn(name))
        made(target)
        role(pg15, name, "merger", f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
        try:
            as_role = Pair(pair.src, pg15.dsn(name, user="merger"))
            steps = [
                ("no temporary table", f"GRANT TEMPORARY ON DATABASE {name} TO merger"),
                ("UPDATE of", "GRANT UPDATE (name, x) ON t TO merger"),
                ("SELECT on it", "GRANT SELECT ON t TO merger"),
                ("INSERT into", "GRANT INSERT (id, name, x) ON t TO merger"),
            ]
            for words, grant in steps:
                assert words in str(refused(as_role))
                sql(target.dst, grant)
            assert "make the ledger" in str(ran(as_role, run_id="r"))
            sql(target.dst, "CREATE SCHEMA copypump; GRANT USAGE ON SCHEMA copypump TO merger")
            assert "no table in the schema copypump" in str(refused(as_role, run_id="r"))
            assert upserted(as_role) == Tally(inserted=2, updated=1, unchanged=1)
            assert upserted(as_role, mode="update") == Tally(unchanged=4)
            sql(target.dst, "ALTER TABLE t ENABLE ROW LEVEL SECURITY")
            assert "row-level security" in str(refused(as_role))
        finally:
            sql(target.dst, "DROP OWNED BY merger; DROP ROLE merger")


def ran(pair: Pair, **options: Any) -> CopypumpError:
    with pytest.raises(CopypumpError) as error:
        upserted(pair, **options)
    return error.value
