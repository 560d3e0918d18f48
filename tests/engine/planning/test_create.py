"""The tables that `--create` makes: types that a column had on the source, and those that follow from Arrow."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import copypump
from copypump.engine import api
from copypump.engine.planning.create import SQL_TYPES, sql_type
from copypump.errors import CopypumpError, RefusedError, UsageError
from tests.conftest import Pair
from tests.engine.conftest import wire
from tests.servers import sql

COLUMNS = """SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
              WHERE a.attrelid = 'made'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""

LIMITED = """a varchar(20), b numeric(10,2), c char(3), d timestamp(0), e time(3), f timestamptz(6), g varchar,
             h numeric, i text, j jsonb, k uuid, l interval(0), m price, n inet, o "Odd.Schema"."Odd.Type" """
TYPES = """CREATE DOMAIN price AS numeric(12,3); CREATE SCHEMA "Odd.Schema";
           CREATE DOMAIN "Odd.Schema"."Odd.Type" AS varchar(7)"""


def made(dsn: str) -> dict[str, str]:
    return dict(sql(dsn, COLUMNS))


def refused(dst: str, obj: Any) -> CopypumpError:
    """The error of a `write` that must be refused, and makes no table."""
    with pytest.raises(RefusedError) as error:
        copypump.write(dst, "made", obj, create=True)
    assert sql(dst, "SELECT to_regclass('made')") == [(None,)]
    return error.value


@pytest.fixture
def limited(pair: Pair) -> Pair:
    """`t`, of types with limits, on the source; what types it needs on both."""
    for dsn in pair:
        sql(dsn, TYPES)
    sql(pair.src, f"CREATE TABLE t ({LIMITED})")
    sql(
        pair.src,
        "INSERT INTO t (a, b, c, d, m, n, o) VALUES ('x', 1.5, 'y', '2020-01-01', 7, '::1', 'z'), ('', NULL, NULL, NULL, NULL, NULL, NULL)",
    )
    return pair


def test_types_survive_read_and_write(limited: Pair) -> None:
    with copypump.read(limited.src, table="t") as batches:
        copypump.write(limited.dst, "made", batches, create=True)
    types = sql(limited.src, COLUMNS.replace("made", "t"))
    assert types
    assert made(limited.dst) == dict(types)
    assert wire(limited.dst, "TABLE made") == wire(limited.src, "TABLE t")


def test_types_survive_a_pump(limited: Pair) -> None:
    copypump.pump(
        limited.src, limited.dst, table="t", into="made", create=True, transform=lambda batch: batch
    )
    assert made(limited.dst) == dict(sql(limited.src, COLUMNS.replace("made", "t")))


def test_a_renamed_column_keeps_its_type(limited: Pair) -> None:
    def renamed(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.select(["a", "b"]).rename_columns(["short", "cheap"])

    copypump.pump(limited.src, limited.dst, table="t", into="made", create=True, transform=renamed)
    assert made(limited.dst) == {"short": "character varying(20)", "cheap": "numeric(10,2)"}


def test_metadata_only_informs(limited: Pair) -> None:
    """A column whose Arrow type is another now has the type that follows from it."""
    with copypump.read(limited.src, table="t", columns=["a", "b", "d"]) as batches:
        table = batches.read_all()
    fields = [
        table.field("a").with_type(pa.int32()),
        table.field("b").with_type(pa.float64()),
        table.field("d"),
    ]
    table = pa.table([pa.array([1, 2], pa.int32()), pa.array([0.5, 1]), table["d"]], schema=pa.schema(fields))
    copypump.write(limited.dst, "made", table, create=True)
    assert made(limited.dst) == {
        "a": "integer",
        "b": "double precision",
        "d": "timestamp(0) without time zone",
    }


@pytest.mark.parametrize("told", [b"", b"nonsense", b'"open', b"a.b.c", b"\xff"])
def test_metadata_that_tells_nothing(database: str, told: bytes) -> None:
    field = pa.field("a", pa.int32(), metadata={"PG:type": told, "PG:typmod": "-1", "PG:oid": "23"})
    copypump.write(
        database, "made", pa.table([pa.array([1], pa.int32())], schema=pa.schema([field])), create=True
    )
    assert made(database) == {"a": "integer"}


def test_metadata_goes_into_no_statement(database: str) -> None:
    told = {"PG:type": 'public."x; DROP TABLE t"', "PG:typmod": "-1", "PG:declared": "int); DROP TABLE t; --"}
    sql(database, "CREATE TABLE t (id int)")
    field = pa.field("a", pa.int32(), metadata=told)
    error = refused(database, pa.table([pa.array([1], pa.int32())], schema=pa.schema([field])))
    assert error.column == "a"
    assert sql(database, "SELECT to_regclass('t') IS NOT NULL") == [(True,)]


def test_what_polars_hands_on_has_the_types_of_arrow(limited: Pair) -> None:
    with copypump.read(limited.src, table="t", columns=["a", "d"]) as batches:
        frame = pl.DataFrame(pl.from_arrow(batches.read_all()))
    copypump.write(limited.dst, "made", frame, create=True)
    assert made(limited.dst) == {"a": "text", "d": "timestamp without time zone"}


def test_a_type_that_the_target_lacks(pair: Pair) -> None:
    """Nothing stands in for it, unless the user says so."""
    sql(pair.src, "CREATE DOMAIN price AS numeric(12,3); CREATE TABLE t (p price); INSERT INTO t VALUES (1)")
    with copypump.read(pair.src, table="t") as batches:
        table = batches.read_all()
    error = refused(pair.dst, table)
    assert error.column == "p"
    assert "price" in str(error)
    assert "remove_metadata" in str(error.hint)
    with pytest.raises(RefusedError) as pumped:
        copypump.pump(pair.src, pair.dst, table="t", into="made", create=True)
    assert "--type p=text" in str(pumped.value.hint)
    bare = pa.table(table.columns, schema=pa.schema([table.field("p").remove_metadata()]))
    copypump.write(pair.dst, "made", bare, create=True)
    assert made(pair.dst) == {"p": "numeric(12,3)"}
    sql(pair.dst, "DROP TABLE made")
    copypump.pump(pair.src, pair.dst, table="t", into="made", create=True, types={"p": "text"})
    assert made(pair.dst) == {"p": "text"}


def test_a_type_of_the_name_in_another_schema(pair: Pair) -> None:
    """The schema of the source first, then the search_path; a type elsewhere merely has the name."""
    sql(pair.src, "CREATE SCHEMA app; CREATE DOMAIN app.price AS numeric(12,3); CREATE TABLE t (p app.price)")
    sql(pair.dst, "CREATE SCHEMA other; CREATE DOMAIN other.price AS numeric(12,3)")
    options: dict[str, Any] = {"table": "t", "into": "made", "create": True}
    with pytest.raises(RefusedError):
        copypump.pump(pair.src, pair.dst, **options)
    for schema, there in (("public", "price"), ("app", "app.price")):
        sql(pair.dst, f"CREATE SCHEMA IF NOT EXISTS {schema}; CREATE DOMAIN {schema}.price AS numeric(12,3)")
        copypump.pump(pair.src, pair.dst, **options)
        assert made(pair.dst) == {"p": there}
        sql(pair.dst, "DROP TABLE made")


def test_types_of_extensions(same_server_pair: Pair) -> None:
    """Found in whatever schema; where one is missing, its name is said."""
    pair = same_server_pair
    sql(
        pair.src,
        "CREATE EXTENSION citext; CREATE EXTENSION cube; CREATE TABLE t (c citext, d cube, e cube[])",
    )
    sql(pair.src, "INSERT INTO t VALUES ('X', '(1,2)', NULL)")
    options: dict[str, Any] = {"table": "t", "into": "made", "create": True}
    for name in ("citext", "cube"):
        with pytest.raises(RefusedError) as error:
            copypump.pump(pair.src, pair.dst, **options)
        assert f"CREATE EXTENSION {name}" in str(error.value.hint)
        sql(pair.dst, f"CREATE SCHEMA {name}_home; CREATE EXTENSION {name} SCHEMA {name}_home")
    copypump.pump(pair.src, pair.dst, **options, columns=["c", "d"])
    assert made(pair.dst) == {"c": "citext_home.citext", "d": "cube_home.cube"}
    assert wire(pair.dst, "TABLE made") == wire(pair.src, "SELECT c, d FROM t")


# Types that users make, their arrays, and all that stands within values ------------------------------------

NESTED = {
    "mood": "'happy'",
    "mood[]": "'{sad,NULL}'",
    "place": "'(1,happy)'",
    "place[]": """'{"(1,sad)"}'""",
    "price": "1.5",
    "price[]": "'{1.25,NULL}'",
    "span": "'[1,5)'",
    "int4range": "'[1,4)'",
    "int4multirange": "'{[1,3)}'",
    "integer[]": "'{1,NULL,3}'",
    "character varying(20)[]": "'{x}'",
    "numeric(10,2)[]": "'{1.25}'",
    "bit(5)": "'10101'",
    "bit varying": "'1'",
    "time with time zone": "'12:00:00+02'",
    "interval": "'1 mon 2 days'",
}


@pytest.fixture
def nested(pair: Pair) -> Pair:
    """`t` on the source, and its types, under other oids, on both."""
    sql(pair.dst, "CREATE TYPE other AS ENUM ('x')")
    for dsn in pair:
        sql(
            dsn,
            """CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TYPE place AS (x int, m mood);
               CREATE DOMAIN price AS numeric(10,2); CREATE TYPE span AS RANGE (subtype = int8)""",
        )
    sql(pair.src, f"CREATE TABLE t ({', '.join(f'c{i} {type_}' for i, type_ in enumerate(NESTED))})")
    sql(
        pair.src,
        f"INSERT INTO t VALUES ({', '.join(NESTED.values())}), ({', '.join(['NULL'] * len(NESTED))})",
    )
    return pair


@pytest.mark.parametrize("way", ["read and write", "read by a transform", "as text, and cast back"])
def test_types_of_users(nested: Pair, way: str) -> None:
    options: dict[str, Any] = {"table": "t", "into": "made", "create": True}
    if way == "read and write":
        with copypump.read(nested.src, table="t") as batches:
            copypump.write(nested.dst, "made", batches, create=True)
    elif way == "read by a transform":
        copypump.pump(nested.src, nested.dst, **options, transform=lambda batch: batch)
    else:
        columns = ", ".join(f"c{i} {type_}" for i, type_ in enumerate(NESTED))
        sql(nested.dst, f"CREATE TABLE made ({columns})")
        types = {f"c{i}": "text" for i in range(len(NESTED))}
        copypump.pump(nested.src, nested.dst, table="t", into="made", types=types)
    assert list(made(nested.dst).values()) == list(NESTED)
    assert sql(nested.dst, "SELECT made::text FROM made") == sql(nested.src, "SELECT t::text FROM t")


# What follows from Arrow --------------------------------------------------------------------------------

FOLLOWING: dict[pa.DataType, str] = {
    **SQL_TYPES,
    pa.decimal32(9, 2): "numeric(9,2)",
    pa.decimal64(18, 4): "numeric(18,4)",
    pa.decimal128(38, 0): "numeric(38,0)",
    pa.decimal256(76, 76): "numeric(76,76)",
    pa.decimal128(5, -2): "numeric(7,0)",
    pa.decimal128(3, 5): "numeric(5,5)",
    pa.decimal256(76, -1000): "numeric",
    pa.dictionary(pa.int8(), pa.utf8()): "text",
    pa.run_end_encoded(pa.int32(), pa.int64()): "bigint",
    pa.timestamp("ns"): "timestamp without time zone",
    pa.timestamp("s", "Europe/Berlin"): "timestamp with time zone",
    pa.time32("s"): "time without time zone",
    pa.binary(4): "bytea",
    pa.struct([("months", pa.int32()), ("days", pa.int32()), ("microseconds", pa.int64())]): "interval",
    pa.list_(pa.int32()): "integer[]",
    pa.large_list(pa.utf8()): "text[]",
    pa.list_(pa.float32(), 3): "real[]",
    pa.list_(pa.decimal128(10, 2)): "numeric(10,2)[]",
    pa.list_(pa.dictionary(pa.int32(), pa.utf8())): "text[]",
}  # fmt: skip


@pytest.mark.parametrize("type_", FOLLOWING, ids=str)
def test_each_has_its_type(type_: pa.DataType) -> None:
    assert sql_type(type_) == FOLLOWING[type_]


def test_every_server_has_these_types(pair: Pair) -> None:
    columns = ", ".join(f"c{i} {name}" for i, name in enumerate(FOLLOWING.values()))
    for dsn in pair:
        sql(dsn, f"CREATE TABLE made ({columns})")
        assert list(made(dsn).values()) == list(FOLLOWING.values())


@pytest.mark.parametrize(
    "type_",
    [pa.null(), pa.duration("us"), pa.struct([("x", pa.int32())]), pa.list_(pa.list_(pa.int32())),
     pa.map_(pa.utf8(), pa.int32()), pa.list_(pa.map_(pa.utf8(), pa.utf8())), pa.list_(pa.null())],
    ids=str,
)  # fmt: skip
def test_those_without_one_are_refused(database: str, type_: pa.DataType) -> None:
    error = refused(database, pa.table({"a": pa.array([], type_)}))
    assert error.column == "a"
    assert "no PostgreSQL type follows from" in str(error)


def test_an_opaque_type_has_its_own_name(database: str) -> None:
    with copypump.read(database, query="SELECT '10.0.0.1'::inet AS a") as batches:
        table = batches.read_all()
    bare = pa.table({"b": table["a"]})
    assert not bare.field("b").metadata
    copypump.write(database, "made", bare, create=True)
    assert made(database) == {"b": "inet"}


def test_maps_want_hstore(database: str) -> None:
    table = pa.table({"a": pa.array([[("k", "v")]], pa.map_(pa.utf8(), pa.utf8()))})
    assert "CREATE EXTENSION hstore" in str(refused(database, table).hint)


def test_columns_without_a_past(database: str) -> None:
    sql(database, "CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext")
    parts = pa.struct([("months", pa.int32()), ("days", pa.int32()), ("microseconds", pa.int64())])
    columns: dict[str, tuple[str, pa.Array[Any], list[str | None]]] = {
        "a": ("integer[]", pa.array([[1, None], None, []], pa.list_(pa.int32())), ["{1,NULL}", None, "{}"]),
        "b": (
            "real[]",
            pa.array([[1, 2], None, [3, 4]], pa.list_(pa.float32(), 2)),
            ["{1,2}", None, "{3,4}"],
        ),
        "c": ("text[]", pa.array([["x"], [], None], pa.large_list(pa.utf8())), ["{x}", "{}", None]),
        "d": (
            "ext.hstore",
            pa.array([[("k", "v")], None, []], pa.map_(pa.utf8(), pa.utf8())),
            ['"k"=>"v"', None, ""],
        ),
        "e": (
            "interval",
            pa.array([(1, 2, 3), None, (0, 0, 0)], parts),
            ["1 mon 2 days 00:00:00.000003", None, "00:00:00"],
        ),
        "f": ("text", pa.array(["x", None, "x"]).dictionary_encode(), ["x", None, "x"]),
        "g": (
            "bytea",
            pa.array([b"abcd", None, b"efgh"], pa.binary(4)),
            [r"\x61626364", None, r"\x65666768"],
        ),
    }
    copypump.write(
        database, "made", pa.table({name: array for name, (_, array, _) in columns.items()}), create=True
    )
    assert made(database) == {name: type_ for name, (type_, _, _) in columns.items()}
    for name, (_, _, values) in columns.items():
        assert sql(database, f"SELECT {name}::text FROM made") == [(value,) for value in values]


# NOT NULL, keys and schemas ------------------------------------------------------------------------------

REQUIRED = "SELECT attname::text FROM pg_attribute WHERE attrelid = 'made'::regclass AND attnum > 0 AND attnotnull ORDER BY 1"
KEY = (
    "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'made'::regclass AND contype = 'p'"
)


@pytest.fixture
def required(pair: Pair) -> Pair:
    sql(pair.src, 'CREATE TABLE t (id int NOT NULL, "Of" int NOT NULL, name text, at timestamp NOT NULL)')
    sql(pair.src, "INSERT INTO t SELECT i, i % 2, NULL, 'infinity' FROM generate_series(1, 30) i")
    return pair


@pytest.mark.parametrize("way", ["pump", "read and write"])
def test_not_null_survives(required: Pair, way: str) -> None:
    if way == "pump":
        copypump.pump(required.src, required.dst, table="t", into="made", create=True)
    else:
        with copypump.read(required.src, table="t") as batches:
            copypump.write(required.dst, "made", batches, create=True)
    assert sql(required.dst, REQUIRED) == [("Of",), ("at",), ("id",)]


def test_not_null_is_what_a_transform_says(required: Pair) -> None:
    """Of a field that it makes anew nothing is known; what it does not read is as it was."""

    @copypump.reads("id")
    def anew(batch: pa.RecordBatch) -> pa.RecordBatch:
        made = {name: batch.column(name) for name in batch.schema.names}
        ids = pa.array([None] * batch.num_rows, pa.int32())
        return pa.RecordBatch.from_pydict(made | {"id": ids})

    copypump.pump(required.src, required.dst, table="t", into="made", create=True, transform=anew)
    assert sql(required.dst, REQUIRED) == [("Of",), ("at",)]


def test_what_may_become_null_is_not_required(required: Pair) -> None:
    copypump.pump(
        required.src, required.dst, table="t", into="made", create=True, transform=lambda batch: batch,
        on_unrepresentable={"at": "null"},
    )  # fmt: skip
    assert sql(required.dst, REQUIRED) == [("Of",), ("id",)]
    assert sql(required.dst, "SELECT count(*) FROM made WHERE at IS NULL") == [(30,)]


@pytest.mark.parametrize("words", [{}, {"run_id": "r"}], ids=["one", "ledger"])
def test_the_primary_key(required: Pair, words: dict[str, Any]) -> None:
    job: dict[str, Any] = {"table": "t", "into": "made", "create": True, "key": ["Of", "id"]} | words
    copypump.pump(required.src, required.dst, **job)
    assert sql(required.dst, KEY) == [('PRIMARY KEY ("Of", id)',)]
    assert sql(required.dst, "SELECT count(*) FROM made") == [(30,)]


def test_a_key_that_two_rows_have(required: Pair) -> None:
    with pytest.raises(CopypumpError) as error:
        copypump.pump(required.src, required.dst, table="t", into="made", create=True, key=["Of"])
    assert error.value.sqlstate == "23505"
    assert sql(required.dst, "SELECT to_regclass('made')") == [(None,)]
    report = copypump.pump(
        required.src, required.dst, table="t", into="made", create=True, key=["Of"], on_error="reject"
    )
    assert (report.rows_written, report.tally.rejected) == (2, 28)


def test_keys_that_cannot_be(required: Pair) -> None:
    sql(required.src, "ALTER TABLE t ADD j json")
    for key, match in (("nobody", "not among the columns"), ("j", "cannot be ordered: json")):
        with pytest.raises(RefusedError, match=match) as error:
            copypump.pump(required.src, required.dst, table="t", into="made", create=True, key=[key])
        assert error.value.column == key
    for options, match in (
        ({"key": ["id", "id"], "create": True}, "twice"),
        ({"key": ["id"]}, "with create"),
    ):
        with pytest.raises(UsageError, match=match):
            copypump.pump(required.src, required.dst, table="t", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [{}, {"run_id": "r"}], ids=["one", "ledger"])
def test_the_schema_is_made(required: Pair, words: dict[str, Any]) -> None:
    """In the transaction of the rows: with a load that fails it is gone."""
    there = "SELECT count(*) FROM pg_namespace WHERE nspname = 'Old Shop'"
    job: dict[str, Any] = {"table": "t", "into": '"Old Shop".made', "create": True}
    with pytest.raises(CopypumpError):
        copypump.pump(required.src, required.dst, **job, key=["Of"])
    assert sql(required.dst, there) == [(0,)]
    assert 'CREATE SCHEMA "Old Shop" CREATE TABLE' in api.plan(*required, **job).describe()
    copypump.pump(required.src, required.dst, **job, **words)
    assert sql(required.dst, 'SELECT count(*) FROM "Old Shop".made') == [(30,)]
    copypump.pump(required.src, required.dst, **job | {"into": '"Old Shop".another'})
