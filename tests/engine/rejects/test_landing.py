"""Rows that the target refuses: all others land, and what came is what landed and what was rejected."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
import pytest

import copypump
from copypump.engine.rejects import blocks
from tests.engine.conftest import in_turn
from tests.servers import Server, sql

COLUMNS = "id int, age int, name text, parent int, doc text, spot int"
ROWS = 400


@dataclass(frozen=True)
class Case:
    """A target that refuses some rows, and what makes a row of the source bad there."""

    target: str
    spoil: str
    sqlstate: str
    constraint: str | None = None


CASES = {
    "unique": Case("id int PRIMARY KEY, age int, name text", "id = 1", "23505", "t_pkey"),
    "not null": Case("id int, age int, name text NOT NULL", "name = NULL", "23502"),
    "check": Case("id int, age int CONSTRAINT grown CHECK (age >= 0), name text", "age = -1", "23514", "grown"),
    "foreign key": Case("id int, age int, name text, parent int REFERENCES other", "parent = -5", "23503"),
    "domain": Case("id int, age adult, name text", "age = -1", "23514", "adult_check"),
    "exclusion": Case("id int, spot int, EXCLUDE (spot WITH =)", "spot = 1", "23P01", "t_spot_excl"),
    "trigger": Case("id int, age int, name text", "age = -77", "P0001"),
    "generated": Case("id int, age int, part int GENERATED ALWAYS AS (100 / (age + 1)) STORED", "age = -1", "22012"),
    "generated check": Case(
        "id int, age int, twice int GENERATED ALWAYS AS (age * 2) STORED CONSTRAINT even CHECK (twice > -1)",
        "age = -1", "23514", "even",
    ),
    "identity": Case("id int GENERATED ALWAYS AS IDENTITY UNIQUE, age int", "id = 1", "23505", "t_id_key"),
    "expression index": Case("id int, name text", "name = 'ROW 1'", "23505", "lower_name"),
    "deferred": Case("id int UNIQUE DEFERRABLE INITIALLY DEFERRED, age int", "id = 1", "23505", "t_id_key"),
    "json": Case("id int, doc json", "doc = '{'", "22P02"),
}  # fmt: skip

PARTITIONED = Case("id int, age int, name text, PRIMARY KEY (id)", "id = 100000", "23514")


def prepare(src: str, dst: str, case: Case, bad: list[int], *, partitioned: bool = False) -> None:
    """A source of ROWS rows of which those numbered `bad` are spoilt, and its target."""
    sql(src, f"CREATE TABLE t ({COLUMNS})")
    sql(
        src,
        "INSERT INTO t SELECT i, i % 90, 'row ' || i, i % 10, '{\"a\": ' || i || '}', i"
        f" FROM generate_series(1, {ROWS}) AS i",
    )
    if bad:
        sql(src, f"UPDATE t SET {case.spoil} WHERE id = ANY (%s)", [bad])
        # Back into the order of the rows' numbers, which UPDATE has changed.
        sql(
            src,
            "CREATE TABLE u AS SELECT * FROM t ORDER BY spot, doc; DROP TABLE t; ALTER TABLE u RENAME TO t",
        )
    sql(dst, "CREATE DOMAIN adult AS int CHECK (VALUE >= 0)")
    sql(dst, "CREATE TABLE other AS SELECT i AS id FROM generate_series(0, 9) AS i")
    sql(dst, "ALTER TABLE other ADD PRIMARY KEY (id)")
    sql(dst, f"CREATE TABLE t ({case.target})" + (" PARTITION BY RANGE (id)" if partitioned else ""))
    if partitioned:
        sql(dst, "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (200)")
        sql(dst, "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (200) TO (1000)")
    if case.constraint == "lower_name":
        sql(dst, "CREATE UNIQUE INDEX lower_name ON t (lower(name)) WHERE name <> 'x'")
    if case.spoil == "age = -77":
        sql(
            dst,
            """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
               BEGIN IF NEW.age = -77 THEN RAISE 'not this one'; END IF; RETURN NEW; END $$""",
        )
        sql(dst, "CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuse()")


def columns_of(case: Case) -> list[str]:
    names = [part.split()[0] for part in case.target.split(", ")]
    return [name for name in names if name in ("id", "age", "name", "parent", "doc", "spot")]


def accounted(src: str, dst: str, columns: list[str]) -> int:
    """Hold the source's rows, as a multiset, to those landed and rejected; give how many were rejected."""
    # As text by names: json has no equality.
    shown = ", ".join(f"{name}::text" for name in columns)
    came = sql(src, f"SELECT {shown} FROM t")
    landed = sql(dst, f"SELECT {shown} FROM t")
    kept = ", ".join(f"row->>'{name}'" for name in columns)
    rejected = sql(dst, f"SELECT {kept} FROM copypump.rejects")
    assert collections.Counter(came) == collections.Counter(landed) + collections.Counter(rejected)
    return len(rejected)


def refused(src: str, dst: str, columns: list[str]) -> list[int]:
    """Which rows the server refuses, one by one: their numbers."""
    numbers = []
    names = ", ".join(columns)
    places = ", ".join(["%s"] * len(columns))
    insert = f"INSERT INTO t ({names}) OVERRIDING SYSTEM VALUE VALUES ({places})".encode()
    with psycopg.connect(dst) as session:
        session.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for number, *values in sql(src, f"SELECT row_number() OVER (), {names} FROM t"):
            try:
                with session.transaction():
                    session.execute(insert, values)
            except psycopg.Error:
                numbers.append(number)
        session.rollback()
    return numbers


def spread(seed: int) -> list[int]:
    """Where the bad rows are: first and last among them."""
    return sorted({1, ROWS, *random.Random(seed).sample(range(2, ROWS), 12)})


@pytest.mark.parametrize(("server", "name"), in_turn(CASES), indirect=["server"])
def test_the_good_rows_land_and_the_bad_are_kept(
    name: str, server: Server, pg15: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    columns = columns_of(case)
    # Several blocks, and bad rows on both sides of their borders.
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4000)
    with pg15.fresh_database() as source, server.fresh_database() as target:
        src, dst = pg15.dsn(source), server.dsn(target)
        prepare(src, dst, case, spread(server.version))
        one_by_one = len(refused(src, dst, columns))
        report = copypump.pump(
            src, dst, table="t", columns=columns, mode="append", on_error="reject", batch_rows=50
        )
        assert accounted(src, dst, columns) == report.tally.rejected == one_by_one > 0
        assert report.rows_written == ROWS - one_by_one
        found = sql(dst, "SELECT DISTINCT stage, sqlstate, constraint_name FROM copypump.rejects")
        if name == "not null":  # what we encode ourselves we hold to the column ourselves
            assert {stage for stage, *_ in found} <= {"target", "encode"}
        else:
            assert {(stage, state) for stage, state, _ in found} == {("target", case.sqlstate)}
        if case.constraint is not None:
            assert {constraint for *_, constraint in found} == {case.constraint}


@pytest.mark.parametrize("version", [15, 18])
def test_rows_without_a_partition_are_kept(version: int, pg15: Server, pg18: Server) -> None:
    server = pg15 if version == 15 else pg18
    with pg15.fresh_database() as source, server.fresh_database() as target:
        src, dst = pg15.dsn(source), server.dsn(target)
        prepare(src, dst, PARTITIONED, [5, 200, 399], partitioned=True)
        report = copypump.pump(
            src, dst, table="t", columns=["id", "age", "name"], mode="append", on_error="reject"
        )
        assert accounted(src, dst, ["id", "age", "name"]) == report.tally.rejected == 3
        reasons = sql(dst, "SELECT DISTINCT reason FROM copypump.rejects")
        assert reasons == [("no partition takes the row",)]


@pytest.mark.parametrize("bad", [[], list(range(1, ROWS + 1))], ids=["none", "all"])
def test_none_and_all_of_the_rows_may_be_bad(bad: list[int], pair: tuple[str, str]) -> None:
    src, dst = pair
    prepare(src, dst, CASES["check"], bad)
    report = copypump.pump(src, dst, table="t", columns=["id", "age", "name"], on_error="reject")
    assert accounted(src, dst, ["id", "age", "name"]) == report.tally.rejected == len(bad)


def test_the_first_of_a_key_wins_among_rows_that_are_good(
    pair: tuple[str, str], sql: Callable[..., list[tuple[object, ...]]]
) -> None:
    """A bad row takes no key away, nor does a row that lost another of its keys."""
    src, dst = pair
    sql(src, "CREATE TABLE t (n int, a int, b int, age int)")
    sql(
        src,
        "INSERT INTO t VALUES (1, 1, 1, -1), (2, 1, 2, 5), (3, 1, 3, 5), (4, 4, 3, 5), (5, 5, 7, 5),"
        " (6, 6, 7, 5), (7, 6, 8, 5), (8, 8, 8, 5)",
    )
    sql(dst, "CREATE TABLE t (n int, a int UNIQUE, b int UNIQUE, age int CHECK (age >= 0))")
    copypump.pump(src, dst, table="t", on_error="reject")
    assert [n for (n,) in sql(dst, "SELECT n FROM t ORDER BY n")] == [2, 4, 5, 7]
    kept = sql(dst, "SELECT (row->>'n')::int, sqlstate FROM copypump.rejects ORDER BY 1")
    assert kept == [(1, "23514"), (3, "23505"), (6, "23505"), (8, "23505")]


def test_a_row_may_come_before_the_row_of_its_block_that_it_points_at(
    pair: tuple[str, str], sql: Callable[..., list[tuple[object, ...]]]
) -> None:
    src, dst = pair
    sql(src, "CREATE TABLE t (id int, parent int)")
    sql(src, "INSERT INTO t VALUES (2, 1), (1, NULL), (3, 9), (4, 3), (5, 4), (6, 2), (6, 1), (7, 6)")
    sql(dst, "CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES t)")
    copypump.pump(src, dst, table="t", on_error="reject")
    assert [n for (n,) in sql(dst, "SELECT id FROM t ORDER BY id")] == [1, 2, 6, 7]
    kept = sql(dst, "SELECT (row->>'id')::int, sqlstate FROM copypump.rejects ORDER BY 1")
    assert kept == [(3, "23503"), (4, "23503"), (5, "23503"), (6, "23505")]


# In the collation C, in which the databases of the tests are, B < a, and all of these differ.
COLLATED = {
    "check": """CREATE TABLE t (id int, name text COLLATE "en-x-icu" CHECK (name >= 'a'))""",
    "check of a generated column": """CREATE TABLE t (id int, name text,
        made text COLLATE "en-x-icu" GENERATED ALWAYS AS (trim(name)) STORED CHECK (made >= 'a'))""",
    "domain": """CREATE DOMAIN word AS text COLLATE "en-x-icu" CHECK (VALUE < 'b');
        CREATE DOMAIN long AS word CHECK (VALUE >= 'a'); CREATE TABLE t (id int, name long)""",
    "unique": "CREATE TABLE t (id int, name text COLLATE blind UNIQUE)",
    "unique by another": """CREATE TABLE t (id int, name text COLLATE blind);
        CREATE UNIQUE INDEX ON t (name COLLATE "C")""",
    "partition": """CREATE TABLE t (id int, name text COLLATE "en-x-icu") PARTITION BY RANGE (name);
        CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('a') TO ('c')""",
}


@pytest.mark.parametrize("case", COLLATED)
def test_constraints_compare_by_their_own_collation(case: str, pg15: Server) -> None:
    with pg15.fresh_database() as source, pg15.fresh_database() as target:
        src, dst = pg15.dsn(source), pg15.dsn(target)
        sql(src, "CREATE TABLE t (id int, name text)")
        sql(
            src,
            "INSERT INTO t VALUES (1, 'B'), (2, 'b'), (3, 'a'), (4, 'A'), (5, 'zz'), (6, 'a'), (7, NULL), (8, '-')",
        )
        sql(dst, "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        sql(dst, COLLATED[case])
        one_by_one = refused(src, dst, ["id", "name"])
        copypump.pump(src, dst, table="t", on_error="reject")
        kept = sql(dst, "SELECT (row->>'id')::int FROM copypump.rejects ORDER BY 1")
        assert [number for (number,) in kept] == one_by_one
        assert accounted(src, dst, ["id", "name"]) == len(one_by_one) > 0


@pytest.mark.parametrize("document", ['{"a": "\\u0000"}', '{"a": 1e999999}'])
def test_a_bad_row_whose_json_has_no_place_in_jsonb(document: str, pair: tuple[str, str]) -> None:
    src, dst = pair
    sql(src, "CREATE TABLE t (id int, doc json)")
    sql(src, "INSERT INTO t SELECT i, %s FROM generate_series(-1, 3) AS i", [document])
    sql(dst, "CREATE TABLE t (id int CHECK (id > 0), doc json)")
    assert copypump.pump(src, dst, table="t", on_error="reject").tally.rejected == 2
    kept = sql(dst, "SELECT row->>'id', row->>'doc' FROM copypump.rejects ORDER BY 1")
    assert kept == [("-1", document), ("0", document)]


def test_characters_that_the_target_lacks(pg15: Server) -> None:
    """Those that it has stay what they are, in rows that hold no other."""
    with (
        pg15.fresh_database() as source,
        pg15.fresh_database("ENCODING 'LATIN1' LOCALE 'C'") as target,
    ):
        src, dst = pg15.dsn(source), pg15.dsn(target, client_encoding="UTF8")
        sql(src, "CREATE TABLE t (id int, price text, bad bool)")
        sql(
            src,
            "INSERT INTO t VALUES (1, '1 €', false), (2, '2 £', true), (3, '3 £', false), (4, '4 €', true)",
        )
        sql(dst, "CREATE TABLE t (id int, price text, bad bool CHECK (NOT bad))")
        assert copypump.pump(src, dst, table="t", on_error="reject").tally.rejected == 3
        assert sql(dst, "SELECT price FROM t") == [("3 £",)]
        kept = sql(dst, "SELECT (row->>'id')::int, row->>'price', sqlstate FROM copypump.rejects ORDER BY 1")
        assert kept == [(1, "1 \\u20ac", "22P05"), (2, "2 £", "23514"), (4, "4 \\u20ac", "22P05")]


def test_a_table_without_room_for_a_number(pair: tuple[str, str]) -> None:
    names = ", ".join(f"c{number} int" for number in range(1600))
    for dsn in pair:
        sql(dsn, f"CREATE TABLE t ({names})")
    with pytest.raises(copypump.RefusedError, match="1,600 columns do not go"):
        copypump.pump(*pair, table="t", on_error="reject")
