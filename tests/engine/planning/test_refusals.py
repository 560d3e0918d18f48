"""What is refused before anything moves: the class, where it is, and a target that nobody touched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

import copypump
from copypump.engine.api import plan
from copypump.errors import ExitCode
from tests.conftest import Pair
from tests.engine.conftest import ROWS, people
from tests.servers import role, sql


def refused(pair: Pair, **options: Any) -> copypump.CopypumpError:
    """The error of a run that must be refused."""
    with pytest.raises(copypump.CopypumpError) as error:
        copypump.pump(pair.src, pair.dst, **options)
    assert error.value.exit_code == ExitCode.REFUSED, error.value
    return error.value


def returns(**columns: pa.Array[Any]) -> Any:
    """A transform that returns these columns, cut to the batch's length."""

    def transform(batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.RecordBatch.from_pydict({name: a.slice(0, batch.num_rows) for name, a in columns.items()})

    return transform


def test_unknown_table_names_near_ones(example: Pair) -> None:
    error = refused(example, table="peopel")
    assert "public.people" in str(error)
    assert error.side is not None


def test_unknown_target_table(example: Pair) -> None:
    error = refused(example, table="people", into="nowhere")
    assert (error.side, error.table) == ("target", "nowhere")
    assert "--create" in str(error.hint)


@pytest.mark.parametrize("name", ["a.b.c", "", '"open', "drop table", "x;y"])
def test_names_that_are_none(example: Pair, name: str) -> None:
    refused(example, table=name, into="people")


def test_unknown_columns(example: Pair) -> None:
    assert refused(example, table="people", columns=["id", "nmae"]).column == "nmae"
    assert "age" in str(refused(example, table="people", transform=people, reads=["agee"]))
    assert refused(example, table="people", transform=people, types={"agee": "utf8"}).column == "agee"


def test_a_column_that_the_target_lacks(example: Pair) -> None:
    error = refused(example, table="people")
    assert (error.table, error.column) == ("public.people", "salary")
    assert "salary_after_tax" in str(error)


def test_a_type_without_a_lossless_way_names_both(example: Pair) -> None:
    sql(example.dst, "CREATE TABLE t (id text, name int, age int, salary float8)")
    error = refused(example, table="people", into="t")
    assert error.column in ("id", "name")
    assert "bigint" in str(error) or "text" in str(error)
    assert error.hint


def test_a_not_null_column_that_gets_nothing(example: Pair) -> None:
    sql(example.dst, "CREATE TABLE t (id bigint, born date NOT NULL)")
    assert refused(example, table="people", columns=["id"], into="t").column == "born"
    sql(example.dst, "ALTER TABLE t ALTER born SET DEFAULT '2000-01-01'")
    copypump.pump(example.src, example.dst, table="people", columns=["id"], into="t")
    assert sql(example.dst, "SELECT count(*) FROM t WHERE born = '2000-01-01'") == [(ROWS,)]


def test_a_type_that_cannot_be_chosen(example: Pair) -> None:
    error = refused(example, table="people", transform=people, types={"age": "date32"})
    assert error.column == "age"
    assert "opaque" in str(error.hint)


def test_a_target_with_rows_needs_a_mode(example: Pair) -> None:
    sql(example.dst, "INSERT INTO people VALUES (0)")
    error = refused(example, table="people", transform=people)
    assert "append" in str(error.hint)
    assert sql(example.dst, "SELECT count(*) FROM people") == [(1,)]


def test_no_type_of_that_name_on_the_target(pair: Pair) -> None:
    sql(pair.src, "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TABLE t (m mood)")
    assert refused(pair, table="t", create=True).column == "m"


def test_a_type_without_a_binary_form(pair: Pair) -> None:
    for dsn in pair:
        sql(dsn, "CREATE TABLE t (id int, acl aclitem)")
    error = refused(pair, table="t")
    assert error.column == "acl"
    assert "--type acl=text" in str(error.hint)


def test_opaque_bytes_go_to_their_own_type_only(pair: Pair) -> None:
    sql(pair.src, "CREATE TABLE t (a inet)")
    sql(pair.dst, "CREATE TABLE t (a macaddr)")
    assert refused(pair, table="t", transform=lambda batch: batch).column == "a"
    assert refused(pair, table="t").column == "a"


def test_queries_that_cannot_be_copied(example: Pair) -> None:
    for query in ("SELECT 1 AS a, 2 AS a", "SELECT $1::int AS id", "SELECT"):
        refused(example, query=query, into="people")


@pytest.mark.parametrize(
    ("options", "sqlstate", "says"),
    [
        ({"table": "people", "where": "agee > 3"}, "42703", 'column "agee" does not exist, at character 1'),
        ({"table": "people", "where": "age > 3 and nowhere(id)"}, "42883", "at character 13"),
        ({"table": "people", "where": "age >"}, "42601", "syntax error"),
        ({"table": "people", "where": "age = 'x'"}, "22P02", "integer: (not shown), at character 7"),
        ({"table": "people", "where": "id = (SELECT 1 FROM nowhere)"}, "42P01", '"nowhere" does not exist'),
        ({"query": "SELECT agee FROM people"}, "42703", 'column "agee" does not exist, at character 8'),
        ({"query": "SELECT id FROM nowhere"}, "42P01", "at character 16"),
        ({"query": "SELECT nowhere(id) FROM people"}, "42883", "at character 8"),
        ({"query": "SELECT id FROM people WERE true"}, "42601", '"true", at character 28'),
        ({"query": "SELECT 1 AS id; SELECT 2 AS id"}, "42601", '";", at character 15'),
        ({"query": "SELECT 1 AS id) UNION (SELECT 2"}, "42601", "at character 17"),
        ({"query": "INSERT INTO people DEFAULT VALUES RETURNING id"}, "42601", '"INSERT", at character 1'),
    ],
)
def test_faults_of_ones_own_sql(example: Pair, options: Any, sqlstate: str, says: str) -> None:
    error = refused(example, **{"into": "people", "mode": "truncate"} | options)
    assert (error.side, error.sqlstate) == ("source", sqlstate)
    assert says in str(error)


def test_a_comment_behind_the_querys_semicolon(example: Pair) -> None:
    query = "SELECT 1::bigint AS id; -- one /* only */\n/* one */;"
    copypump.pump(example.src, example.dst, query=query, into="people")
    assert sql(example.dst, "SELECT id FROM people") == [(1,)]


def test_the_same_table_on_both_sides(example: Pair) -> None:
    sql(example.src, "CREATE VIEW seen AS SELECT * FROM people; CREATE TABLE copied (LIKE people)")
    same = Pair(example.src, example.src + " application_name=copypump-other")
    for options in (
        {"table": "people"},
        {"table": "people", "mode": "truncate"},
        {"table": "seen", "into": "people", "mode": "append"},
        {"query": "SELECT * FROM seen LIMIT 5", "into": "people", "mode": "truncate"},
    ):
        assert "same table" in str(refused(same, **options))
    assert sql(example.src, "SELECT count(*) FROM people") == [(ROWS,)]
    copypump.pump(same.src, same.dst, table="people", into="copied")  # another table of the same database
    assert sql(example.src, "SELECT count(*) FROM copied") == [(ROWS,)]


def test_a_transform_that_does_not_fit_stops_before_anything_is_written(example: Pair) -> None:
    sql(example.dst, "INSERT INTO people VALUES (0)")

    def wrong_name(batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.RecordBatch.from_pydict({"identity": batch.column("id")})

    def wrong_column(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.select(["no such column"])

    def nothing(batch: pa.RecordBatch) -> None:
        return None

    for transform in (
        wrong_name,
        wrong_column,
        nothing,
        returns(id=pa.array(["x"] * ROWS)),
        returns(id=pa.array([1.5] * ROWS)),
        returns(id=pa.array([1] * ROWS), name=pa.array([b"x"] * ROWS)),
        "no_such_module:clean",
        "json:no_such_function",
        "json:__doc__",
    ):
        refused(example, table="people", transform=transform, mode="truncate")
        assert sql(example.dst, "SELECT count(*) FROM people") == [(1,)]


def test_a_transform_is_found_before_connecting() -> None:
    with pytest.raises(copypump.RefusedError, match="no_such_module"):
        copypump.pump(
            "host=127.0.0.1 port=1", "host=127.0.0.1 port=1", table="t", transform="no_such_module:f"
        )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"table": "a", "query": "b"},
        {"query": "SELECT 1 AS a"},
        {"query": "SELECT 1 AS a", "into": "t", "where": "true"},
        {"table": "t", "columns": []},
        {"table": "t", "reads": ["a"]},
        {"table": "t", "mode": "upsert"},
        {"table": "t", "batch_rows": 0},
        {"table": "t", "batch_bytes": 1 << 31},
        {"table": "t", "colums": ["a"]},
        {"table": "people", "into": "people", "types": {"id": "integerish"}},
    ],
)
def test_options_that_contradict_themselves(example: Pair, options: Any) -> None:
    with pytest.raises(copypump.UsageError):
        copypump.pump(example.src, example.dst, **options)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("table", 5),
        ("where", 5),
        ("columns", "id"),
        ("columns", [5]),
        ("key", "id"),
        ("reads", "id"),
        ("pythonpath", "/nowhere"),
        ("transform", 5),
        ("check", 5),
        ("create", "no"),
        ("snapshot", "no"),
        ("jobs", True),
        ("retries", "3"),
        ("batch_bytes", 1e6),
        ("types", "id=int64"),
        ("types", {"id": pa.int64()}),
        ("on_unrepresentable", ["null"]),
        ("max_rejects", 0.5),
    ],
)
def test_an_argument_of_another_type_is_named(option: str, value: Any) -> None:
    """None is taken for what Python makes of it: the letters of a name for names, "no" for true."""
    with pytest.raises(copypump.UsageError, match=f"^{option}\\b"):
        copypump.pump("host=127.0.0.1 port=1", "host=127.0.0.1 port=1", **{"table": "t"} | {option: value})


@pytest.mark.parametrize("other", [None, 5, b"dbname=postgres"])
def test_an_endpoint_is_a_dsn_a_connection_or_a_pool(other: Any) -> None:
    with pytest.raises(copypump.UsageError, match="the source is a DSN"):
        copypump.pump(other, "", table="t")


@pytest.mark.parametrize("reads", [None, ["__copypump_row"]])
def test_a_column_that_has_the_name_of_ours_is_not_taken_for_it(pair: Pair, reads: list[str] | None) -> None:
    for dsn in pair:
        sql(dsn, "CREATE TABLE t (id int, __copypump_row int)")
    sql(pair.src, "INSERT INTO t VALUES (1, 7)")
    with pytest.raises(copypump.RefusedError, match="which copypump keeps"):
        copypump.pump(*pair, table="t", transform=lambda batch: batch, reads=reads)
    copypump.pump(*pair, table="t", transform=lambda batch: batch, reads=["id"])
    assert sql(pair.dst, "TABLE t") == [(1, 7)]


def test_a_dsn_that_does_not_parse_is_not_echoed() -> None:
    with pytest.raises(copypump.UsageError) as error:
        copypump.pump("postgresql://me:geheim@[host/db", "", table="t")
    assert "geheim" not in f"{error.value}{error.value.hint}{error.value.__cause__}{error.value.__context__}"


def test_row_security_is_an_error_not_fewer_rows(example: Pair, pg15: Any) -> None:
    sql(
        example.src,
        "ALTER TABLE people ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON people USING (id < 5)",
    )
    name = sql(example.src, "SELECT current_database()")[0][0]
    role(pg15, name, "limited", "GRANT SELECT ON people TO limited")
    with pytest.raises(copypump.SourceError, match="row-level security"):
        copypump.pump(pg15.dsn(name, user="limited"), example.dst, table="people", transform=people)
    assert sql(example.dst, "SELECT count(*) FROM people") == [(0,)]


def test_a_partition_into_its_own_parent(database: str) -> None:
    sql(database, "CREATE TABLE p (a int) PARTITION BY RANGE (a)")
    sql(database, "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (50); INSERT INTO p VALUES (1), (2)")
    for mode in ("append", "truncate"):
        assert "same table" in str(refused(Pair(database, database), table="p1", into="p", mode=mode))


def test_a_condition_that_reads_the_target(database: str) -> None:
    sql(database, "CREATE TABLE src (id int); CREATE TABLE inc (id int); INSERT INTO src VALUES (1), (2)")
    where = "id > (SELECT coalesce(max(id), 0) FROM inc)"
    error = refused(Pair(database, database), table="src", where=where, into="inc", mode="truncate")
    assert "same table" in str(error)


def test_opaque_bytes_of_a_column_that_would_be_rounded(pair: Pair) -> None:
    sql(pair.src, "CREATE TABLE z (a timetz(0), b timetz)")
    sql(pair.dst, "CREATE TABLE z (a timetz(0))")

    def swapped(batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([batch.column(1)], names=["a"])

    def swapped_as_bytes(batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([batch.column(1).storage], names=["a"])

    types = {"a": "opaque", "b": "opaque"}
    for transform in (swapped, swapped_as_bytes):
        assert refused(pair, table="z", transform=transform, types=types).column == "a"


def test_truncate_leaves_the_rows_of_inheritance_children(pair: Pair) -> None:
    sql(pair.src, "CREATE TABLE par (a int); INSERT INTO par VALUES (1)")
    sql(pair.dst, "CREATE TABLE par (a int); CREATE TABLE kid () INHERITS (par); INSERT INTO kid VALUES (7)")
    sql(pair.dst, "INSERT INTO par VALUES (5)")
    copypump.pump(*pair, table="par", mode="truncate")
    assert sql(pair.dst, "SELECT a FROM ONLY par") == [(1,)]
    assert sql(pair.dst, "TABLE kid") == [(7,)]


# What the plan refuses as the run would ---------------------------------------------------------------------


def both_refuse(src: str, dst: str, **options: Any) -> copypump.CopypumpError:
    """The error that plan and run have in common."""
    with pytest.raises(copypump.CopypumpError) as planned:
        plan(src, dst, **options)
    with pytest.raises(copypump.CopypumpError) as error:
        copypump.pump(src, dst, **options)
    one, other = ((type(e.value), str(e.value), e.value.hint, e.value.exit_code) for e in (planned, error))
    assert one == other
    return error.value


def test_the_plan_refuses_a_target_with_rows(example: Pair) -> None:
    sql(example.dst, "INSERT INTO people VALUES (0)")
    error = both_refuse(example.src, example.dst, table="people", transform=people)
    assert error.exit_code == ExitCode.REFUSED
    assert "holds rows" in str(error)
    assert "truncate" in str(error.hint)
    plan(example.src, example.dst, table="people", transform=people, mode="append")


@pytest.fixture
def limited(example: Pair, pg15: Any, database: str) -> Iterator[tuple[str, str, str]]:
    """The example's source, an empty target for it, that target as a role without any rights."""
    sql(database, "CREATE TABLE people (id bigint, name text, age int, salary float8)")
    name = sql(database, "SELECT current_database()")[0][0]
    role(pg15, name, "meek")
    yield example.src, database, pg15.dsn(name, user="meek")
    sql(database, "DROP OWNED BY meek; DROP ROLE meek")


@pytest.mark.parametrize(
    ("grants", "mode", "code", "says"),
    [
        ("SELECT", "append", ExitCode.TARGET, 'INSERT into "id", "name", "age", "salary"'),
        ("SELECT, INSERT (id, name, age)", None, ExitCode.TARGET, 'INSERT into "salary"'),
        ("SELECT, INSERT", "truncate", ExitCode.TARGET, "the role lacks TRUNCATE on it"),
        ("SELECT, TRUNCATE", "truncate", ExitCode.TARGET, "INSERT into"),
        ("INSERT", None, ExitCode.REFUSED, "may not look"),
        ("SELECT, INSERT", None, None, ""),
        ("TRUNCATE, INSERT", "truncate", None, ""),
        ("INSERT (id, name, age, salary)", "append", None, ""),
    ],
)
def test_the_plan_refuses_what_the_role_may_not_do(
    limited: tuple[str, str, str], grants: str, mode: str | None, code: ExitCode | None, says: str
) -> None:
    src, admin, dst = limited
    sql(admin, f"GRANT {grants} ON people TO meek")
    if code is None:
        plan(src, dst, table="people", mode=mode)
        assert copypump.pump(src, dst, table="people", mode=mode).rows_written == ROWS
        return
    error = both_refuse(src, dst, table="people", mode=mode)
    assert (error.exit_code, error.sqlstate) == (code, None if code == ExitCode.REFUSED else "42501")
    assert says in str(error)
    assert sql(admin, "SELECT count(*) FROM people") == [(0,)]


def test_the_plan_refuses_row_level_security_on_the_target(limited: tuple[str, str, str]) -> None:
    src, admin, dst = limited
    sql(admin, "GRANT ALL ON people TO meek; ALTER TABLE people ENABLE ROW LEVEL SECURITY")
    assert both_refuse(src, dst, table="people", mode="append").sqlstate == "42501"
    plan(src, admin, table="people", mode="append")  # a superuser is above it


def test_the_plan_refuses_where_no_table_can_be_made(limited: tuple[str, str, str]) -> None:
    src, admin, dst = limited
    sql(admin, 'CREATE SCHEMA "Inner"')
    options: Any = {"table": "people", "create": True}
    for into, says in (('"Inner".new', "Inner"), ("new", "public"), ("nowhere.new", "nowhere")):
        error = both_refuse(src, dst, **options, into=into)  # a schema that is missing would be made, too
        assert (error.exit_code, error.sqlstate) == (ExitCode.TARGET, "42501")
        assert says in str(error)
    sql(admin, 'GRANT CREATE ON SCHEMA "Inner" TO meek')
    assert both_refuse(src, dst, **options, into='"Inner".new').sqlstate == "42501"
    sql(admin, 'GRANT USAGE ON SCHEMA "Inner" TO meek')
    plan(src, dst, **options, into='"Inner".new')
    assert copypump.pump(src, dst, **options, into='"Inner".new').rows_written == ROWS


def test_the_plan_refuses_targets_that_copy_cannot_fill(example: Pair) -> None:
    sql(
        example.dst,
        """CREATE VIEW plain AS TABLE people; CREATE VIEW ready AS TABLE people;
        CREATE MATERIALIZED VIEW kept AS TABLE people;
        CREATE FUNCTION hand_on() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO people VALUES (new.*); RETURN new; END';
        CREATE TRIGGER t INSTEAD OF INSERT ON ready FOR EACH ROW EXECUTE FUNCTION hand_on()""",
    )
    options: Any = {"table": "people", "transform": people}
    for into, mode in (("plain", "append"), ("kept", "append"), ("ready", "truncate")):
        error = both_refuse(example.src, example.dst, **options, into=into, mode=mode)
        assert error.exit_code == ExitCode.REFUSED
        assert "view" in str(error)
    copypump.pump(example.src, example.dst, **options, into="ready", mode="append")
    assert sql(example.dst, "SELECT count(*) FROM people") == [(ROWS,)]


def test_all_that_stands_against_a_plan(pair: Pair) -> None:
    sql(pair.src, "CREATE TABLE t (a int, b date, c text, d text); INSERT INTO t DEFAULT VALUES")
    sql(
        pair.dst,
        "CREATE UNLOGGED TABLE t (a int, b uuid, c int, n int NOT NULL); INSERT INTO t (n) VALUES (1)",
    )
    for job in (plan, copypump.pump):
        with pytest.raises(copypump.RefusedError) as raised:
            job(pair.src, pair.dst, table="t", run_id="r")
        said = [str(raised.value), *map(str, raised.value.others)]
        for number, part in enumerate(
            (
                'column "b": date32[day] (from date) has no lossless way to uuid',
                'column "c": utf8 (from text) has no lossless way to integer',
                'column "d": the target has no such column',
                'column "n": the target\'s column is NOT NULL without a default',
                "the target is unlogged",
                "the target holds rows already",
            )
        ):
            assert part in said[number]
        assert len(said) == 6
        assert raised.value.__notes__ == [f"and {other}" for other in said[1:]]
    assert sql(pair.dst, "SELECT count(*), to_regnamespace('copypump') FROM t") == [(1, None)]


def test_an_error_of_the_server_s_comes_with_the_refusals_before_it(pair: Pair) -> None:
    sql(pair.src, "CREATE TABLE t (a aclitem, b aclitem)")
    with pytest.raises(copypump.RefusedError, match=r'"a": aclitem has no binary form') as raised:
        plan(pair.src, pair.dst, table="t", create=True)
    (other,) = raised.value.others
    assert other.column == "b"
