"""Columns read as text, where the user says so: what they are on the way, and how they land."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import copypump
from copypump.engine.api import plan
from copypump.errors import CastError, CopypumpError, ExitCode, RefusedError, TargetError
from tests.conftest import Pair
from tests.engine.conftest import wire
from tests.servers import Server, SystemServer, role, sql

# Column type, and values of it as SQL; the way back from text is the server's cast for each of them.
VALUES = {
    "bool": ["true", "false"],
    "int4": ["1", "-2147483648"],
    "float8": ["'NaN'", "'-0'", "0.1::float8 + 0.2", "1e-310", "'-Infinity'"],
    "float4": ["1.1", "16777217"],
    "bytea": [r"'\x00ff5c'", "''"],
    "date": ["'infinity'", "'0044-03-15 BC'", "'2020-12-31'", "'5874897-01-01'"],
    "time": ["'24:00:00'", "'00:00:00.000001'"],
    "timetz": ["'24:00:00-15:59'", "'12:00:00.5+05:30'"],
    "timestamp": ["'-infinity'", "'294276-12-31 23:59:59.999999'", "'0001-01-01 00:00:00 BC'"],
    "timestamptz": ["'294276-12-31 23:59:59.999999+00'", "'1890-01-01 00:00:00+00'", "'infinity'"],
    "interval": [
        "'-1 mon 3 days -04:05:06.000007'",
        "'-1 days 02:00'",
        "'1 year -1 day'",
        "'178956970 years'",
    ],
    '"char"': ["'a'", r"''"],
    "oid": ["4294967295"],
    "money": ["-12345.67"],
    "inet": ["'10.0.0.1/8'", "'10.0.0.1'", "'::1'"],
    "cidr": ["'10.0.0.0/8'"],
    "macaddr8": ["'08:00:2b:01:02:03:04:05'"],
    "point": ["'(1,NaN)'", "'(0.1,1e300)'"],
    "polygon": ["'((0,0),(1,1),(1,0))'"],
    "tsvector": ["$$ 'a b':1A 'c''d' $$"],
    "tsquery": ["'a & !b | (c <-> d)'"],
    "pg_lsn": ["'16/B374D848'"],
    "xid8": ["'18446744073709551615'"],
    "txid_snapshot": ["'10:20:10,14'"],
    "aclitem": ["'postgres=r*w/postgres'", "'=U/postgres'"],
    "regtype": ["'int4'::regtype"],
}


def filled(pair: Pair, types: dict[str, list[str]]) -> None:
    """A table `t` with one column a type and one row a value on the source, empty on the target."""
    columns = ", ".join(f"c{i} {type_}" for i, type_ in enumerate(types))
    for dsn in pair:
        sql(dsn, f"CREATE TABLE t (id int, {columns})")
    for i, (type_, values) in enumerate(types.items()):
        assert values
        for value in (*values, "NULL"):
            sql(pair.src, f"INSERT INTO t (id, c{i}) VALUES ((SELECT count(*) FROM t), ({value})::{type_})")


def texts(types: dict[str, Any]) -> dict[str, str]:
    return {f"c{i}": "text" for i in range(len(types))}


def binary(pair: Pair, types: dict[str, Any]) -> str:
    """A query of `t` that COPY can send, and that tells any difference."""
    without = {"aclitem"}  # no binary form
    return "SELECT id, " + ", ".join(
        f"c{i}::text" if type_ in without else f"c{i}" for i, type_ in enumerate(types)
    ) + " FROM t ORDER BY id"  # fmt: skip


@pytest.mark.parametrize("way", ["forwarded", "read", "query"])
def test_every_type_goes_as_text_and_comes_back(pair: Pair, way: str) -> None:
    """Whatever the sessions' own settings say about how values are written and read."""
    filled(pair, VALUES)
    hostile = {"DateStyle": "German", "IntervalStyle": "sql_standard", "TimeZone": "Africa/Monrovia"}
    for dsn in pair:
        for name, value in (hostile | {"extra_float_digits": "-15", "bytea_output": "escape"}).items():
            sql(dsn, f"DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET {name} = ''{value}''',"
                     " current_database()); END$$")  # fmt: skip
    options: dict[str, Any] = {"types": texts(VALUES), "into": "t"}
    options |= {"query": "TABLE t -- to the end"} if way == "query" else {"table": "t"}
    if way == "read":
        options |= {
            "transform": lambda batch: batch.take(pa.array(range(batch.num_rows), pa.int64())),
            "batch_rows": 7,
        }
    report = copypump.pump(pair.src, pair.dst, **options)
    assert report.rows_read == report.rows_written == sql(pair.src, "SELECT count(*) FROM t")[0][0]
    same = binary(pair, VALUES)
    assert wire(pair.dst, same) == wire(pair.src, same)


def test_text_is_a_text_column_from_then_on(pair: Pair) -> None:
    sql(pair.src, "CREATE TABLE t (id int, net inet, acl aclitem, kind char(5))")
    sql(pair.src, "INSERT INTO t VALUES (1, '10.0.0.1', '=r/postgres', 'a'), (2, NULL, NULL, NULL)")
    types = {"net": "text", "acl": " Text ", "kind": "text"}
    with copypump.read(pair.src, table="t", types=types) as batches:
        assert [str(type_) for type_ in batches.schema.types] == ["int32", "string", "string", "string"]
        assert batches.read_all().to_pylist() == [
            {"id": 1, "net": "10.0.0.1/32", "acl": "=r/postgres", "kind": "a    "},
            {"id": 2, "net": None, "acl": None, "kind": None},
        ]
    copypump.pump(pair.src, pair.dst, table="t", types=types, create=True)
    assert sql(pair.dst, "SELECT pg_typeof(net)::text, acl, kind FROM t WHERE id = 1") == [
        ("text", "=r/postgres", "a    ")
    ]


def test_the_encoder_lands_text_where_it_can(pair: Pair) -> None:
    """numeric, uuid and json need no staging table."""
    columns = "n numeric(10,2), u uuid, j json, b jsonb, v varchar(40)"
    for dsn in pair:
        sql(dsn, f"CREATE TABLE t ({columns})")
    sql(pair.src, "INSERT INTO t VALUES (1.50, md5('x')::uuid, '{\"a\":  1}', '{\"a\": 1}', 'x ')")
    options: dict[str, Any] = {"table": "t", "types": dict.fromkeys("nujbv", "text")}
    assert "TEMPORARY" not in plan(pair.src, pair.dst, **options).describe()
    copypump.pump(pair.src, pair.dst, **options)
    assert wire(pair.dst, "TABLE t") == wire(pair.src, "TABLE t")


@pytest.mark.parametrize("mode", [None, "append", "truncate"])
def test_staging_goes_with_every_mode(pair: Pair, mode: str | None) -> None:
    """Identity columns, defaults and triggers do what they do with COPY."""
    sql(
        pair.src,
        "CREATE TABLE t (id int, net inet); INSERT INTO t SELECT i, '10.0.0.1' FROM generate_series(1, 9) i",
    )
    sql(
        pair.dst,
        """CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, net inet, by_default int DEFAULT 7);
           CREATE TABLE fired (id int);
           CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS
               $$BEGIN INSERT INTO fired VALUES (NEW.id); RETURN NEW; END$$;
           CREATE TRIGGER fire BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION fire()""",
    )
    if mode is not None:
        sql(pair.dst, "INSERT INTO t OVERRIDING SYSTEM VALUE VALUES (100); TRUNCATE fired")
    report = copypump.pump(pair.src, pair.dst, table="t", types={"net": "text"}, mode=mode)
    assert report.rows_written == 9
    expected = [(i, "10.0.0.1", 7) for i in range(1, 10)] + ([(100, None, 7)] if mode == "append" else [])
    assert sql(pair.dst, "SELECT id, host(net), by_default FROM t ORDER BY id") == expected
    assert sql(pair.dst, "SELECT count(*) FROM fired") == [(9,)]


# With what every transaction begins, and a source's where its server can.
BEGINNING = (
    "(BEGIN |SET LOCAL (client_encoding|row_security|client_min_messages|.*_timeout"
    "|restrict_nonsystem_relation_kind) = )"
)


def test_the_plan_prints_the_very_statements(pair: Pair) -> None:
    for dsn in pair:
        sql(dsn, 'CREATE TABLE t (id int, "Net" inet, stamp timestamp(3))')
    sql(pair.src, "INSERT INTO t VALUES (1, '10.0.0.1', '2020-01-01')")
    options: dict[str, Any] = {"table": "t", "types": {"Net": "text", "stamp": "text"}, "mode": "truncate"}
    lines = plan(pair.src, pair.dst, **options).describe().splitlines()
    source = lines[lines.index("read, on the source:") + 1 : lines.index("load, on the target:")]
    target = lines[lines.index("load, on the target:") + 1 : lines.index("columns:")]
    assert [line.strip() for line in source if not re.match(f"    {BEGINNING}", line)] == [
        'LOCK TABLE "public"."t" IN ACCESS SHARE MODE',
        "SET LOCAL DateStyle = ISO",
        "SET LOCAL IntervalStyle = postgres",
        "SET LOCAL extra_float_digits = 3",
        "SET LOCAL bytea_output = hex",
        "SET LOCAL search_path = ''",
        "COPY (",
        'SELECT "id", "Net"::pg_catalog.text AS "Net", "stamp"::pg_catalog.text AS "stamp"'
        ' FROM ONLY "public"."t"',
        ") TO STDOUT (FORMAT BINARY)",
        "ROLLBACK",
    ]
    assert [line.strip() for line in target if not re.match(f"    {BEGINNING}", line)] == [
        'TRUNCATE TABLE ONLY "public"."t"',
        'CREATE TEMPORARY TABLE copypump_staging ("id" integer, "Net" pg_catalog.text,'
        ' "stamp" pg_catalog.text) ON COMMIT DROP',
        'COPY "pg_temp"."copypump_staging" ("id", "Net", "stamp") FROM STDIN (FORMAT BINARY)',
        "SET LOCAL IntervalStyle = postgres",
        "SET LOCAL array_nulls = on",
        "SET LOCAL xmloption = content",
        'SELECT pg_catalog.count(*) FROM "pg_temp"."copypump_staging" WHERE'
        ' "stamp"::timestamp without time zone IS DISTINCT FROM'
        ' "stamp"::timestamp(3) without time zone::timestamp without time zone',
        'INSERT INTO "public"."t" ("id", "Net", "stamp") SELECT "id", "Net"::inet,'
        ' "stamp"::timestamp(3) without time zone FROM "pg_temp"."copypump_staging"',
        "COMMIT",
    ]
    assert [line.strip() for line in lines[lines.index("columns:") + 1 :]] == [
        "id integer, bytes as they are -> id integer",
        "Net inet as text, bytes as they are -> Net inet, cast by the target",
        "stamp timestamp(3) without time zone as text, bytes as they are"
        " -> stamp timestamp(3) without time zone, cast by the target",
    ]
    copypump.pump(pair.src, pair.dst, **options)
    assert wire(pair.dst, "TABLE t") == wire(pair.src, "TABLE t")


def failed(pair: Pair, **options: Any) -> CopypumpError:
    """The error of a run after which the target is as it was: empty."""
    with pytest.raises(CopypumpError) as error:
        copypump.pump(pair.src, pair.dst, **options)
    assert sql(pair.dst, "SELECT count(*) FROM t") == [(0,)]
    return error.value


def test_a_text_that_is_no_value_of_the_type(pair: Pair) -> None:
    """The server's own error, without the value; the column is named where it can be known."""
    sql(pair.src, "CREATE TABLE t (a text, b text); INSERT INTO t VALUES ('10.0.0.1', '1'), ('secret', '2')")
    sql(pair.dst, "CREATE TABLE t (a inet, b bit(1))")
    error = failed(pair, table="t", columns=["a"], types={"a": "text"})
    assert isinstance(error, TargetError)
    assert (error.exit_code, error.column, error.sqlstate) == (ExitCode.TARGET, "a", "22P02")
    assert "inet" in str(error)
    assert "secret" not in str(error)
    error = failed(pair, table="t", types={"a": "text", "b": "text"})
    assert error.column is None
    assert '"a", "b"' in str(error.hint)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("timestamp(0)", "2020-01-01 00:00:00.5"),
        ("timestamptz(2)", "2020-01-01 00:00:00.123+00"),
        ("time(1)", "00:00:00.25"),
        ("interval(0)", "00:00:00.5"),
        ("interval year", "1 mon"),
        ("interval month", "30 days"),
        ("bit(3)", "10101"),
        ("bit varying(3)", "10101"),
        ('"char"', "ab"),
    ],
)
def test_no_cast_rounds_or_cuts(pair: Pair, type_: str, value: str) -> None:
    sql(pair.src, f"CREATE TABLE t (a text); INSERT INTO t VALUES ('{value}'), ('{value}'), (NULL)")
    sql(pair.dst, f"CREATE DOMAIN limited AS {type_}; CREATE TABLE t (a {type_}, d limited)")
    error = failed(pair, table="t", types={"a": "text"})
    assert isinstance(error, CastError)
    assert error.column == "a"
    assert "2 values" in str(error)
    error = failed(pair, query="SELECT a AS d FROM t", types={"d": "text"}, into="t")
    assert isinstance(error, CastError)


TYPES = "CREATE TYPE loose AS (n numeric); CREATE TYPE tight AS (n numeric(5,2)); CREATE DOMAIN cents AS numeric(5,2)"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("timestamp", "date"),
        ("timestamp", "time"),
        ("timestamp", "timestamptz"),
        ("timestamptz", "timestamp"),
        ("timetz", "time"),
        ("date", "timestamptz"),
        ("tsrange", "daterange"),
        ("timestamp[]", "date[]"),
        ("float8", "float4"),
        ("float4", "float8"),
        ("numeric", "float8"),
        ("numeric", "money"),
        ("bit(3)", "int4"),
        ("numeric[]", "cents[]"),
        ("text", "tight"),
        ("loose", "tight"),
        ("loose[]", "tight[]"),
    ],
)
def test_casts_that_would_lose_without_a_word(pair: Pair, source: str, target: str) -> None:
    for dsn in pair:
        sql(dsn, TYPES)
    sql(pair.src, f"CREATE TABLE t (a {source})")
    sql(pair.dst, f"CREATE TABLE t (a {target})")
    error = failed(pair, table="t", types={"a": "text"})
    assert isinstance(error, RefusedError)
    assert error.column == "a"
    assert "--query" in str(error.hint)


def test_casts_to_another_type_that_keep_or_refuse(pair: Pair) -> None:
    for dsn in pair:
        sql(dsn, TYPES)
    sql(pair.src, "CREATE TABLE t (a date, b numeric, c cidr, d bit(3), e tight[], f text)")
    sql(pair.dst, "CREATE TABLE t (a timestamp, b int8, c inet, d varbit, e loose[], f loose)")
    sql(pair.src, "INSERT INTO t VALUES ('2020-01-02', 7, '10.0.0.0/8', B'101', '{(1.50)}', '(1.2357)')")
    copypump.pump(pair.src, pair.dst, table="t", types=dict.fromkeys("abcdef", "text"))
    assert sql(pair.dst, "SELECT a::text, b, c::text, d::text, e::text, f::text FROM t") == [
        ("2020-01-02 00:00:00", 7, "10.0.0.0/8", "101", "{(1.50)}", "(1.2357)")
    ]


def test_values_that_a_limit_leaves_as_they_are(pair: Pair) -> None:
    types = {
        "timestamp(3)": ["'2020-01-01 00:00:00.123'"],
        "bit(3)": ["B'101'"],
        "interval(0)": ["'1 mon 1 s'"],
    }
    filled(pair, types)
    copypump.pump(pair.src, pair.dst, table="t", types=texts(types))
    assert wire(pair.dst, "TABLE t") == wire(pair.src, "TABLE t")


def test_rows_that_a_trigger_drops(pair: Pair) -> None:
    sql(pair.src, "CREATE TABLE t (net inet); INSERT INTO t VALUES ('10.0.0.1'), ('10.0.0.2')")
    sql(
        pair.dst,
        """CREATE TABLE t (net inet);
           CREATE FUNCTION drop_one() RETURNS trigger LANGUAGE plpgsql AS
               $$BEGIN IF NEW.net = '10.0.0.1' THEN RETURN NULL; END IF; RETURN NEW; END$$;
           CREATE TRIGGER drop_one BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION drop_one()""",
    )
    error = failed(pair, table="t", types={"net": "text"})
    assert error.exit_code == ExitCode.TARGET
    assert "2 rows were staged, but 1 landed" in str(error)


def slow(pair: Pair) -> None:
    """A target that sleeps for a minute while the rows go from the staging table into it."""
    sql(pair.src, "CREATE TABLE t (net inet); INSERT INTO t VALUES ('10.0.0.1')")
    sql(
        pair.dst,
        """CREATE TABLE t (net inet);
           CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS
               $$BEGIN PERFORM pg_sleep(60); RETURN NEW; END$$;
           CREATE TRIGGER sleep BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION sleep()""",
    )


def when_asleep(server: Server, do: Callable[[], object]) -> threading.Thread:
    """Call `do` from another thread once a session of ours sleeps."""

    def wait() -> None:
        deadline = time.monotonic() + 30
        while not any(event == "PgSleep" for _, _, event, _ in server.sessions()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        do()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.timeout(60)
def test_ctrl_c_while_the_target_casts(pair: Pair, pg16: Server) -> None:
    slow(pair)
    thread = when_asleep(pg16, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        copypump.pump(pair.src, pair.dst, table="t", types={"net": "text"})
    thread.join()
    assert sql(pair.dst, "SELECT count(*) FROM t") == [(0,)]


def test_a_target_that_dies_while_it_casts(pair: Pair, pg16: Server) -> None:
    slow(pair)
    [(name,)] = sql(pair.dst, "SELECT current_database()")
    thread = when_asleep(pg16, lambda: pg16.kill_sessions(name))
    error = failed(pair, table="t", types={"net": "text"})
    thread.join()
    assert error.exit_code == ExitCode.TARGET
    assert "nothing was committed" in str(error.state)


def test_nothing_is_cast_without_a_wish(pair: Pair) -> None:
    sql(pair.src, "CREATE TABLE t (net text); INSERT INTO t VALUES ('10.0.0.1')")
    sql(pair.dst, "CREATE TABLE t (net inet)")
    error = failed(pair, table="t")
    assert isinstance(error, RefusedError)
    assert "--type net=text" in str(error.hint)
    assert isinstance(failed(pair, table="t", transform=lambda batch: batch), RefusedError)
    # A wish is about text: what the transform makes an integer of is none.
    error = failed(
        pair, table="t", types={"net": "text"},
        transform=lambda batch: pa.RecordBatch.from_pydict({"net": pa.array([1] * batch.num_rows, pa.int32())}),
    )  # fmt: skip
    assert isinstance(error, RefusedError)
    copypump.pump(pair.src, pair.dst, table="t", types={"net": "text"})
    assert sql(pair.dst, "SELECT host(net) FROM t") == [("10.0.0.1",)]


def test_a_transform_works_on_the_text(pair: Pair) -> None:
    for dsn in pair:
        sql(dsn, "CREATE TABLE t (id int, net inet)")
    sql(pair.src, "INSERT INTO t VALUES (1, '10.1.2.3/8'), (2, NULL)")

    @copypump.reads("net", rows="same")
    def masked(batch: pa.RecordBatch) -> pa.RecordBatch:
        hidden = pc.replace_substring_regex(batch.column("net"), r"\d+/", "0/")
        return pa.RecordBatch.from_pydict({"net": pc.dictionary_encode(hidden)})

    copypump.pump(pair.src, pair.dst, table="t", types={"net": "text"}, transform=masked)
    assert sql(pair.dst, "SELECT id, net::text FROM t ORDER BY id") == [(1, "10.1.2.0/8"), (2, None)]


def test_staging_is_refused_where_it_would_not_do_as_copy_does(pair: Pair) -> None:
    sql(pair.src, "CREATE TABLE t (net inet)")
    sql(pair.dst, "CREATE TABLE t (net inet); CREATE RULE r AS ON INSERT TO t DO INSTEAD NOTHING")
    error = failed(pair, table="t", types={"net": "text"})
    assert isinstance(error, RefusedError)
    assert "rules" in str(error)


def test_a_role_that_may_make_no_temporary_table(same_server_pair: Pair, pg15: SystemServer) -> None:
    pair = same_server_pair
    for dsn in pair:
        sql(dsn, "CREATE TABLE t (net inet)")
    [(name,)] = sql(pair.dst, "SELECT current_database()")
    role(pg15, name, "no_temp", f"GRANT ALL ON t TO no_temp; REVOKE TEMP ON DATABASE {name} FROM PUBLIC")
    try:
        error = failed(Pair(pair.src, pg15.dsn(name, user="no_temp")), table="t", types={"net": "text"})
        assert isinstance(error, RefusedError)
        assert "GRANT TEMPORARY" in str(error.hint)
    finally:
        sql(pair.dst, "DROP OWNED BY no_temp; DROP ROLE no_temp")


def test_a_wish_for_a_column_that_is_not_there(pair: Pair) -> None:
    for dsn in pair:
        sql(dsn, "CREATE TABLE t (net inet)")
    assert failed(pair, table="t", types={"nett": "text"}).column == "nett"
