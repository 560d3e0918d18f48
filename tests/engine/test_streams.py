"""`copypump.read` and `copypump.write` on real servers: half a pump each, and nothing left behind."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import psycopg
import pyarrow as pa
import pytest

import copypump
from copypump.errors import ExitCode
from tests.conftest import Pair
from tests.engine.conftest import ROWS, wire
from tests.faults.patience import PROMPT, wait_until
from tests.servers import sql

# A stream without end: the set is made row by row, and never kept.
ENDLESS = "SELECT generate_series(1, 1000000000000) AS i, repeat('x', 100) AS doc"
# The same, but the server falls silent after the tenth row. (Rows are large, for it sends no less than 8 kB.)
COMPUTING = f"SELECT repeat('x', 9000), pg_sleep(CASE WHEN i > 10 THEN 60 ELSE 0 END)::text AS s FROM ({ENDLESS}) AS e"
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'copypump%'"
IDLE = psycopg.pq.TransactionStatus.IDLE


def sessions(dsn: str) -> int:
    """How many sessions of ours there are in the database."""
    return sql(dsn, f"{SESSIONS} AND datname = current_database()")[0][0]


def none_left(dsn: str) -> None:
    """No session of ours is left in the database; a server tells of an end a little after it."""
    wait_until(lambda: not sessions(dsn), "a session is left", PROMPT)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


# read -----------------------------------------------------------------------------------------------------

VARIED = r"""
    SELECT i AS id, i % 2 = 0 AS even, (i / 7.0)::float8 AS ratio, (i * 1.25)::numeric(10,2) AS price,
           nullif('größe ' || i, 'größe 9') AS name, date '2000-01-01' + i AS day,
           timestamptz '2020-01-01 00:00:00.25+00' + i * interval '1 hour' AS at, (i || '.50')::numeric AS exact,
           decode(lpad(to_hex(i), 8, '0'), 'hex') AS raw, md5(i::text)::uuid AS key, time '00:00:01' * i AS lasts
      FROM generate_series(1, 3000) AS i"""
VARIED = VARIED.replace("time '00:00:01' * i", "time '00:00' + i * interval '1 second'")


@pytest.mark.parametrize("size", [{}, {"batch_rows": 7}, {"batch_bytes": 1}, {"batch_bytes": 1 << 24}])
def test_a_query_read_whole(database: str, size: dict[str, int]) -> None:
    with copypump.read(database, query=VARIED, **size) as batches:
        assert isinstance(batches, pa.RecordBatchReader)
        table = batches.read_all()
    table.validate(full=True)
    with psycopg.connect(database, options="-c timezone=UTC") as connection:
        cursor = connection.execute(VARIED)
        names = [column.name for column in cursor.description or ()]
        rows = cursor.fetchall()
    assert table.column_names == names
    for name, expected in zip(names, zip(*rows, strict=True), strict=True):
        values = table[name].to_pylist()
        assert values == [str(value) if name == "exact" else value for value in expected], name
    if "batch_rows" in size:
        assert max(batch.num_rows for batch in table.to_batches()) == 7


def test_a_table_read_in_part(example: Pair) -> None:
    with copypump.read(example.src, table="people", columns=["age", "id"], where="id <= 3 -- few") as batches:
        assert batches.schema.names == ["age", "id"]
        assert batches.read_all().to_pylist() == [{"age": i, "id": i} for i in (1, 2, 3)]


def test_no_rows_have_a_schema_too(example: Pair) -> None:
    with copypump.read(example.src, table="people", where="false") as batches:
        table = batches.read_all()
    assert (table.num_rows, table.column_names) == (0, ["id", "name", "age", "salary"])
    assert not table.schema.field("id").nullable


def test_fields_tell_their_type(database: str) -> None:
    sql(
        database,
        "CREATE SCHEMA app; CREATE DOMAIN app.price AS numeric(12,3);"
        " CREATE TABLE t (a varchar(7), b app.price, c numeric(10,2) NOT NULL, d int[])",
    )
    with copypump.read(database, table="t") as batches:
        schema = batches.schema
    ((price,),) = sql(database, "SELECT 'app.price'::regtype::oid")
    told = {
        field.name: [(field.metadata or {})[key].decode() for key in (b"PG:oid", b"PG:typmod", b"PG:type")]
        for field in schema
    }
    assert told == {
        "a": ["1043", "11", "pg_catalog.varchar"],
        "b": [str(price), "-1", "app.price"],
        "c": ["1700", str((10 << 16 | 2) + 4), "pg_catalog.numeric"],
        "d": ["1007", "-1", "pg_catalog._int4"],
    }
    assert schema.field("b").type == pa.decimal128(12, 3)
    assert [field.nullable for field in schema] == [True, True, False, True]
    assert schema.field("d").type == pa.list_(pa.int32())


def test_types_are_chosen(database: str) -> None:
    query = "SELECT 1.5::numeric AS a, '{\"x\": 1}'::jsonb AS b, 'NaN'::numeric(10,2) AS c, 7 AS d"
    types = {"a": "decimal128(18, 4)", "b": "utf8", "c": "utf8", "d": "opaque"}
    with copypump.read(database, query=query, types=types) as batches:
        table = batches.read_all()
    assert table.schema.types[:3] == [pa.decimal128(18, 4), pa.utf8(), pa.utf8()]
    assert table["d"].combine_chunks().storage.to_pylist() == [b"\0\0\0\7"]
    assert [table[name][0].as_py() for name in "abc"] == [Decimal("1.5000"), '{"x": 1}', "NaN"]
    for wrong, error in (({"d": "date32"}, copypump.RefusedError), ({"z": "utf8"}, copypump.RefusedError)):
        with pytest.raises(error) as refused, copypump.read(database, query=query, types=wrong):
            pass
        assert refused.value.column == next(iter(wrong))


def test_values_without_a_place_go_as_the_user_wants(database: str) -> None:
    query = "SELECT '24:00'::time AS a, 'NaN'::numeric(4,2) AS b, 'infinity'::date AS c, '{{1}}'::int[] AS d"
    policies = {"": "null", "c": "keep"}
    with copypump.read(database, query=query, on_unrepresentable=policies) as batches:
        assert all(field.nullable for field in batches.schema)
        table = batches.read_all()
    assert [table[name][0].is_valid for name in "abcd"] == [False, False, True, False]
    for policy, column in (("error", "a"), ("keep", "b")):
        with (
            pytest.raises(copypump.UnrepresentableError) as error,
            copypump.read(database, query=query, on_unrepresentable=policy) as batches,
        ):
            batches.read_all()
        assert error.value.column == column
    for wrong, kind in ({"z": "null"}, copypump.RefusedError), ({"a": "drop"}, copypump.UsageError):
        with pytest.raises(kind), copypump.read(database, query=query, on_unrepresentable=wrong):
            pass


def test_others_take_the_reader_as_it_is(example: Pair) -> None:
    with copypump.read(example.src, table="people", batch_rows=100) as batches:
        frame = pl.DataFrame(batches)
    assert (frame.height, frame["id"].sum()) == (ROWS, ROWS * (ROWS + 1) // 2)
    with copypump.read(example.src, table="people") as people:
        assert duckdb.connect().sql("SELECT count(*), max(id) FROM people").fetchall() == [(ROWS, ROWS)]
        assert people is not None


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_leaving_early(database: str, taken: int) -> None:
    with within(5):
        with copypump.read(database, query=ENDLESS) as batches:
            first = [batches.read_next_batch() for _ in range(taken)]
            assert sessions(database) == 1
        none_left(database)
    numbers = [i for batch in first for i in batch.column("i").to_pylist()]
    assert numbers == list(range(1, len(numbers) + 1))  # batches that were taken stay valid


def test_leaving_while_the_server_computes(database: str) -> None:
    with within(5):
        with copypump.read(database, query=COMPUTING, batch_rows=5) as batches:
            assert batches.read_next_batch().num_rows == 5
        none_left(database)


def test_leaving_while_another_thread_reads(database: str) -> None:
    errors = []

    def read(batches: pa.RecordBatchReader) -> None:
        try:
            for _ in batches:
                pass
        except copypump.UsageError as error:
            errors.append(error)

    with within(5):
        with copypump.read(database, query=COMPUTING, batch_rows=5) as batches:
            thread = threading.Thread(target=read, args=(batches,))
            thread.start()
            time.sleep(0.3)
        thread.join()
    assert len(errors) == 1
    none_left(database)


@pytest.mark.parametrize("ending", ["early", "whole", "error", "source error", "refused"])
def test_a_connection_given_comes_back_as_it_was(database: str, ending: str) -> None:
    sql(database, "CREATE TABLE t AS SELECT i, 1 / i AS x FROM generate_series(-9000, -1) AS i")
    with psycopg.connect(database, row_factory=psycopg.rows.dict_row) as connection:
        connection.execute("SET statement_timeout = '12345ms'; SET search_path = pg_catalog, public")
        connection.commit()
        pid = connection.info.backend_pid
        with within(5):
            if ending == "early":
                with copypump.read(connection, query=ENDLESS) as batches:
                    batches.read_next_batch()
            elif ending == "whole":
                with copypump.read(connection, table="t") as batches:
                    assert batches.read_all().num_rows == 9000
            elif ending == "error":
                with pytest.raises(KeyError), copypump.read(connection, query=ENDLESS):
                    raise KeyError
            elif ending == "source error":
                query = "SELECT 1 / (i + 77) AS x FROM t"
                with (
                    pytest.raises(copypump.SourceError, match="division by zero") as error,
                    copypump.read(connection, query=query) as batches,
                ):
                    batches.read_all()
                assert error.value.sqlstate == "22012"
            else:
                with pytest.raises(copypump.RefusedError), copypump.read(connection, table="nowhere"):
                    pass
        assert connection.info.transaction_status == IDLE
        assert (connection.info.backend_pid, connection.autocommit) == (pid, False)
        assert connection.execute("SHOW statement_timeout").fetchone() == {"statement_timeout": "12345ms"}
        assert connection.execute("SHOW search_path").fetchone() == {"search_path": "pg_catalog, public"}
        assert connection.execute("SHOW transaction_isolation").fetchone() == {
            "transaction_isolation": "read committed"
        }
        connection.execute("INSERT INTO t VALUES (0, 0)")


def test_a_connection_in_use_is_refused(database: str) -> None:
    with (
        psycopg.connect(database) as connection,
        copypump.read(connection, query=ENDLESS),
        pytest.raises(copypump.UsageError),
        copypump.read(connection, query=ENDLESS),
    ):
        pass
    with psycopg.connect(database) as connection:
        connection.execute("SELECT 1")
        with pytest.raises(copypump.UsageError, match="transaction"), copypump.read(connection, table="t"):
            pass


def test_never_entered_opens_nothing(database: str) -> None:
    copypump.read(database, query=ENDLESS)
    copypump.read("host=127.0.0.1 port=1", table="t")
    none_left(database)


def test_entered_again_and_used_after(database: str) -> None:
    wanted = copypump.read(database, query="SELECT generate_series(1, 100000) AS i")
    for _ in range(2):
        with wanted as batches:
            assert batches.read_all().num_rows == 100000
    with wanted as batches:
        with pytest.raises(copypump.UsageError, match="open already"), wanted:
            pass
        batches.read_next_batch()
    with pytest.raises(copypump.UsageError, match="after its with block"):
        batches.read_all()


def taken(
    dsn: str, query: str, after: Callable[[int], None] = lambda _rows: None, **options: Any
) -> Iterator[pa.RecordBatch]:
    """Each batch, from within the block; `after` is called there with the rows so far."""
    rows = 0
    with copypump.read(dsn, query=query, **options) as batches:
        for batch in batches:
            yield batch
            rows += batch.num_rows
            after(rows)


def test_an_exception_within_the_block_is_the_one_that_is_seen(database: str) -> None:
    class Mine(BaseException): ...

    def leave(_rows: int) -> None:
        raise Mine

    with within(5), pytest.raises(Mine):
        list(taken(database, ENDLESS, leave))
    none_left(database)


def test_a_value_that_arrow_cannot_hold(database: str) -> None:
    query = "SELECT i, (CASE WHEN i = 777 THEN 'NaN' ELSE '1.5' END)::numeric(10,2) AS n FROM ({}) AS e"
    seen: list[int] = []
    with within(5), pytest.raises(copypump.UnrepresentableError) as error:
        list(taken(database, query.format(ENDLESS), seen.append, batch_rows=100))
    assert seen[-1] == 700
    assert (error.value.column, error.value.row) == ("n", 777)
    assert "--type n=utf8" in str(error.value.hint)
    assert error.value.exit_code == ExitCode.TRANSFORM


def test_a_reader_that_failed_has_no_end(database: str) -> None:
    """Who reads on after an error must not take what came before it for everything."""
    query = "SELECT i, 1 / (i - 5000) AS x FROM generate_series(1, 9000) AS i"
    with copypump.read(database, query=query, batch_rows=100) as batches:
        with pytest.raises(copypump.SourceError, match="division by zero"):
            batches.read_all()
        for _ in range(2):
            with pytest.raises(copypump.SourceError, match="division by zero"):
                batches.read_next_batch()
        with pytest.raises(copypump.SourceError, match="division by zero"):
            batches.read_all()
    with copypump.read(database, query=ENDLESS) as batches:
        batches.read_next_batch()
    for _ in range(2):
        with pytest.raises(copypump.UsageError, match="after its with block"):
            batches.read_next_batch()


def test_warnings_of_what_was_read(database: str, caplog: pytest.LogCaptureFixture) -> None:
    query = "SELECT CASE WHEN i % 10 = 0 THEN 'infinity' ELSE now()::date END::date AS d FROM generate_series(1, 99) AS i"
    reading = copypump.read(database, query=query)
    for _ in range(2):
        caplog.clear()
        with caplog.at_level("WARNING", "copypump"):
            with reading as batches:
                batches.read_all()
                assert not caplog.messages
            assert len(reading.warnings) == 1
            assert "9 values" in reading.warnings[0]
            assert caplog.messages == reading.warnings
    caplog.clear()
    with copypump.read(database, query="SELECT now()::date AS d") as batches:
        batches.read_all()
    assert not caplog.messages


def test_a_stream_that_breaks_the_format(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from copypump.postgres.source import Source

    honest = Source.read

    def broken(self: Source, max_bytes: int, max_rows: int = 1 << 62) -> bytearray | None:
        data = honest(self, max_bytes, max_rows)
        if data is not None and self.messages > 500:
            data[:2] = b"\x00\x09"  # a row of nine fields
        return data

    monkeypatch.setattr(Source, "read", broken)
    with (
        within(5),
        pytest.raises(copypump.DecodeError) as error,
        copypump.read(database, query=ENDLESS, batch_rows=100) as batches,
    ):
        batches.read_all()
    assert error.value.row is not None
    assert error.value.row > 400
    none_left(database)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, copypump.UsageError),
        ({"query": "SELECT 1 AS a", "table": "t"}, copypump.UsageError),
        ({"query": "SELECT 1 AS a", "columns": ["a"]}, copypump.UsageError),
        ({"query": "SELECT 1 AS a", "batch_rows": 0}, copypump.UsageError),
        ({"query": "selec 1"}, copypump.RefusedError),
        ({"query": "SELECT 1 AS a, 2 AS a"}, copypump.RefusedError),
        ({"query": "SELECT '{}'::aclitem[] AS a"}, copypump.RefusedError),
        ({"table": "nowhere"}, copypump.RefusedError),
    ],
)
def test_what_cannot_be_read(database: str, options: Any, error: type[copypump.CopypumpError]) -> None:
    with pytest.raises(error), copypump.read(database, **options):
        pass
    none_left(database)


def test_a_killed_backend(database: str) -> None:
    def kill(_rows: int) -> None:
        sql(
            database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'copypump'",
        )

    with pytest.raises(copypump.SourceError) as error:
        list(taken(database, ENDLESS, kill))
    assert error.value.sqlstate in ("57P01", None)


READER = """
import sys, time
import copypump
with copypump.read(sys.argv[1], query=sys.argv[2], batch_rows=5) as batches:
    for batch in batches:
        print(batch.num_rows, flush=True)
        time.sleep(float(sys.argv[3]))
"""


@pytest.mark.parametrize(("query", "pause"), [(ENDLESS, 0), (ENDLESS, 60), (COMPUTING, 0)])
def test_interrupted_while_reading(database: str, query: str, pause: float) -> None:
    """Ctrl-C: while rows come, in the user's own code, and while the server computes."""
    process = subprocess.Popen(
        [sys.executable, "-c", READER, database, query, str(pause)],
        cwd=Path(__file__).parents[2], env=os.environ, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "5\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        with within(5):
            _, stderr = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGINT
    assert stderr.rstrip().endswith("KeyboardInterrupt")
    none_left(database)


# write ----------------------------------------------------------------------------------------------------

COLUMNS = pa.schema(
    [
        ("id", pa.int64()),
        ("name", pa.string()),
        ("price", pa.decimal128(10, 2)),
        ("at", pa.timestamp("us", "UTC")),
        ("ok", pa.bool_()),
    ]
)
PEOPLE_COLUMNS = "id bigint, name text, age int, salary float8"
CREATE = "CREATE TABLE t (id bigint, name text, price numeric(10,2), at timestamptz, ok bool)"
RECORDS = [
    {
        "id": i,
        "name": None if i % 5 == 0 else f"größe {i}",
        "price": Decimal(i) / 4,
        "at": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(hours=i),
        "ok": i % 3 == 0,
    }
    for i in range(1000)
]
TABLE = pa.Table.from_pylist(RECORDS, COLUMNS)
ORDERED = "SELECT id, name, price, at, ok FROM t ORDER BY id"


class Stream:
    """What any library may hand over: the stream's capsule and nothing else."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return TABLE.__arrow_c_stream__(requested_schema)


class Array:
    """The same of one batch."""

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        return TABLE.combine_chunks().to_batches()[0].__arrow_c_array__(requested_schema)


def chunked() -> pa.Table:
    """Chunks that lie differently in each column."""
    columns = []
    for at, column in enumerate(TABLE.columns):
        step = 100 + 37 * at
        columns.append(
            pa.chunked_array([column.slice(i, step).combine_chunks() for i in range(0, 1000, step)])
        )
    return pa.Table.from_arrays(columns, schema=COLUMNS)


def with_names(change: Callable[[Any], Any]) -> Callable[[], pa.Table]:
    """The table, its names changed."""
    return lambda: TABLE.set_column(1, "name", change(TABLE["name"]))


OBJECTS: dict[str, Callable[[], Any]] = {
    "table": lambda: TABLE,
    "batch": lambda: TABLE.combine_chunks().to_batches()[0],
    "reader": lambda: TABLE.to_reader(max_chunksize=77),
    "generated": lambda: pa.RecordBatchReader.from_batches(COLUMNS, iter(TABLE.to_batches(max_chunksize=9))),
    "stream": Stream,
    "array": Array,
    "struct array": lambda: TABLE.to_struct_array().combine_chunks(),
    "polars": lambda: pl.from_arrow(TABLE),
    "pandas": lambda: pd.DataFrame(RECORDS),
    "pandas of arrow": lambda: TABLE.to_pandas(types_mapper=pd.ArrowDtype),
    "duckdb": lambda: duckdb.connect().from_arrow(TABLE),
    "sliced": lambda: pa.concat_tables([TABLE, TABLE]).combine_chunks().slice(1000),
    "sliced off a byte": lambda: pa.concat_tables([TABLE.slice(0, 3), TABLE]).combine_chunks().slice(3),
    "chunked": chunked,
    "empty batches": lambda: pa.concat_tables([TABLE.slice(0, 0), TABLE, TABLE.slice(0, 0)]),
    "other order": lambda: TABLE.select(COLUMNS.names[::-1]),
    "dictionary": with_names(lambda names: names.dictionary_encode()),
    "string_view": with_names(lambda names: names.cast(pa.string_view())),
    "large_string": with_names(lambda names: names.cast(pa.large_string())),
    "narrow": lambda: TABLE.set_column(0, "id", TABLE["id"].cast(pa.int16())),
}  # fmt: skip


@pytest.mark.parametrize("made", OBJECTS)
def test_whatever_speaks_arrow_lands(database: str, made: str) -> None:
    sql(database, CREATE)
    report = copypump.write(database, "t", OBJECTS[made]())
    assert wire(database, ORDERED) == wire(database, f"SELECT * FROM ({values()}) AS v ORDER BY id")
    assert (report.status, report.rows_read, report.rows_written) == ("done", 1000, 1000)
    assert (report.chunks, report.chunks_done) == (1, 1)
    assert report.bytes_written == len(wire(database, "TABLE t"))
    assert report.target == "public.t"
    assert report.warnings == []


def values() -> str:
    """The same rows by the server itself."""
    return """
        SELECT i::bigint AS id, CASE WHEN i % 5 <> 0 THEN 'größe ' || i END AS name, (i / 4.0)::numeric(10,2) AS price,
               timestamptz '2020-01-01 00:00+00' + i * interval '1 hour' AS at, i % 3 = 0 AS ok
          FROM generate_series(0, 999) AS i"""


def test_the_null_type_and_columns_that_are_not_given(database: str) -> None:
    sql(database, CREATE + "; ALTER TABLE t ALTER ok SET DEFAULT true")
    table = TABLE.drop_columns(["ok", "at"]).set_column(1, "name", pa.nulls(1000))
    copypump.write(database, "t", table)
    assert sql(database, "SELECT count(name), count(at), bool_and(ok), sum(id) FROM t") == [
        (0, 0, True, 499500)
    ]


def test_nothing_to_write(database: str) -> None:
    sql(database, CREATE)
    for nothing in (TABLE.slice(0, 0), pa.RecordBatchReader.from_batches(COLUMNS, [])):
        assert copypump.write(database, "t", nothing).rows_written == 0
    assert sql(database, "SELECT count(*) FROM t") == [(0,)]


def test_create(database: str) -> None:
    report = copypump.write(database, 'public."Made Up"', TABLE, create=True)
    assert report.target == 'public."Made Up"'
    described = sql(
        database,
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'public.\"Made Up\"'::regclass AND attnum > 0 ORDER BY attnum",
    )
    assert described == [
        ("id", "bigint"),
        ("name", "text"),
        ("price", "numeric(10,2)"),
        ("at", "timestamp with time zone"),
        ("ok", "boolean"),
    ]
    again = 'SELECT id, name, price, at, ok FROM "Made Up" ORDER BY id'
    assert wire(database, again) == wire(database, f"SELECT * FROM ({values()}) AS v ORDER BY id")
    with pytest.raises(copypump.RefusedError, match="holds rows"):  # it is there now
        copypump.write(database, '"Made Up"', TABLE, create=True)
    with pytest.raises(copypump.RefusedError, match="no PostgreSQL type follows") as error:
        copypump.write(database, "structs", pa.table({"pair": [{"x": 1}]}), create=True)
    assert error.value.column == "pair"
    assert sql(database, "SELECT to_regclass('structs')") == [(None,)]


def test_modes(database: str) -> None:
    sql(database, CREATE)
    for mode, rows in ((None, 1000), ("append", 2000), ("truncate", 1000)):
        copypump.write(database, "t", TABLE, mode=mode)
        assert sql(database, "SELECT count(*) FROM t") == [(rows,)]
    with pytest.raises(copypump.RefusedError, match="holds rows") as error:
        copypump.write(database, "t", TABLE)
    assert "append" in str(error.value.hint)
    with pytest.raises(copypump.UsageError):
        copypump.write(database, "t", TABLE, mode="upsert")


def test_one_huge_batch_is_encoded_in_pieces(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from copypump.postgres.target import Target

    pieces: list[int] = []
    honest = Target.write

    def noted(self: Target, data: Any) -> None:
        pieces.append(len(data))
        honest(self, data)

    monkeypatch.setattr(Target, "write", noted)
    sql(database, "CREATE TABLE t (id bigint, name text)")
    table = pa.table(
        {"id": pa.array(range(300_000)), "name": pa.array(["x" * (i % 100) for i in range(300_000)])}
    )
    assert table["id"].num_chunks == 1
    copypump.write(database, "t", table, batch_bytes=100_000)
    assert max(pieces) < 400_000
    assert len(pieces) > 50
    assert sql(database, "SELECT count(*), sum(id), sum(length(name)) FROM t") == [
        (300_000, 300_000 * 299_999 // 2, sum(i % 100 for i in range(300_000)))
    ]


def test_what_is_read_can_be_written(example: Pair) -> None:
    """Opaque types too, where every server means the same by their bytes; users' types by what is in them."""
    more = "doc jsonb, key uuid, net inet, many int[], span int4range, mood mood, moods mood[]"
    sql(example.src, "CREATE TYPE mood AS ENUM ('sad', 'happy')")
    sql(
        example.dst,
        f"CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TABLE copied ({PEOPLE_COLUMNS}, {more})",
    )
    sql(example.src, f"ALTER TABLE people {', '.join(f'ADD {column.strip()}' for column in more.split(','))}")
    sql(
        example.src,
        """UPDATE people SET doc = '{"a": 1.50}', key = md5(id::text)::uuid, net = '10.0.0.0/8',
                  many = '[2:3]={1,NULL}', span = '[1,5)', mood = 'sad', moods = '{sad}'""",
    )
    columns = ["id", "name", "age", "salary", "doc", "key", "net", "many", "span", "mood", "moods"]
    reading = copypump.read(
        example.src, table="people", columns=columns, batch_rows=333, types={"many": "struct"}
    )
    with reading as batches:
        copypump.write(example.dst, "copied", batches)
    columns_sql = ", ".join([*columns[:-1], "moods::text"])  # its elements' oid is each database's own
    assert wire(example.dst, f"SELECT {columns_sql} FROM copied ORDER BY id") == wire(
        example.src, f"SELECT {columns_sql} FROM people ORDER BY id"
    )
    with (  # as bytes it holds what only the source can tell
        pytest.raises(copypump.RefusedError) as error,
        copypump.read(example.src, table="people", columns=["moods"], types={"moods": "opaque"}) as batches,
    ):
        copypump.write(example.dst, "copied", batches, mode="append")
    assert error.value.column == "moods"


@pytest.fixture
def filled(database: str) -> str:
    """The table with one row, that must survive."""
    sql(database, CREATE + "; CREATE UNIQUE INDEX once ON t (id); INSERT INTO t (id) VALUES (-1)")
    return database


def failed(dsn: str, obj: Any, mode: str | None = "truncate") -> copypump.CopypumpError:
    """The error of a write that must leave the table as it was."""
    with pytest.raises(copypump.CopypumpError) as error:
        copypump.write(dsn, "t", obj, mode=mode)
    assert sql(dsn, "SELECT id FROM t") == [(-1,)]
    none_left(dsn)
    return error.value


@pytest.mark.parametrize(
    ("make", "code", "column", "row"),
    [
        (lambda: TABLE.rename_columns(["id", "nmae", "price", "at", "ok"]), ExitCode.REFUSED, "nmae", None),
        (lambda: TABLE.rename_columns(["id", "id", "price", "at", "ok"]), ExitCode.REFUSED, "id", None),
        (with_names(lambda _: pa.array([1] * 1000)), ExitCode.REFUSED, "name", None),
        (with_names(lambda _: pa.array(["a"] * 700 + ["a\0b"] * 300)), ExitCode.TRANSFORM, "name", 701),
        (lambda: pa.concat_tables([TABLE, TABLE.slice(5, 1)]), ExitCode.TARGET, None, 1001),
        (lambda: TABLE.set_column(2, "price", pa.array([Decimal("0.001")] * 1000)), ExitCode.TRANSFORM, "price", 1),
        (lambda: pa.table({"id": pa.array([1, 2, 1 << 63], pa.uint64())}), ExitCode.TRANSFORM, "id", 3),
    ],
)  # fmt: skip
def test_an_error_leaves_the_target_as_it_was(
    filled: str, make: Callable[[], pa.Table], code: ExitCode, column: str | None, row: int | None
) -> None:
    error = failed(filled, make())
    assert error.exit_code == code
    assert (error.column, error.row) == (column, row)
    assert "as it was before" in str(error.state)
    assert error.report.status == "failed"  # type: ignore[attr-defined]
    assert error.report.rows_written == 0  # type: ignore[attr-defined]


def test_a_null_that_the_target_forbids(filled: str) -> None:
    sql(filled, "UPDATE t SET name = 'x'; ALTER TABLE t ALTER name SET NOT NULL")
    error = failed(filled, TABLE.slice(1))
    assert (error.exit_code, error.column, error.row) == (ExitCode.TRANSFORM, "name", 5)


def broken(error: Exception) -> pa.RecordBatchReader:
    def batches() -> Iterator[pa.RecordBatch]:
        yield from TABLE.to_batches(max_chunksize=100)[:3]
        raise error

    return pa.RecordBatchReader.from_batches(COLUMNS, batches())


def test_a_stream_that_breaks_off(filled: str) -> None:
    error = failed(filled, broken(ValueError("secret")))
    assert isinstance(error, copypump.SourceError)
    assert "300 rows: ValueError" in str(error)
    assert "secret" not in str(error)
    assert isinstance(error.__cause__, ValueError)
    assert "as it was before" in str(error.state)

    class Foreign:
        def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
            return broken(ValueError("secret")).__arrow_c_stream__(requested_schema)

    error = failed(filled, Foreign())
    assert isinstance(error, copypump.SourceError)
    assert "secret" not in str(error)
    ours = copypump.UnrepresentableError("no place", column="n", row=3)
    assert failed(filled, broken(ours)) is ours


def test_a_stream_of_ours_that_fails(pair: Pair) -> None:
    sql(pair.dst, CREATE + "; INSERT INTO t (id) VALUES (-1)")
    query = "SELECT 1000000 / (7000 - i) AS id FROM generate_series(1, 9000) AS i"
    with copypump.read(pair.src, query=query, batch_rows=100) as batches:
        error = failed(pair.dst, batches)
    assert isinstance(error, copypump.SourceError)
    assert error.sqlstate == "22012"
    assert "as it was before" in str(error.state)


@pytest.mark.parametrize(
    "obj", [5, "people", None, {"id": [1]}, [1, 2], RECORDS, pa.array([1]), pa.chunked_array([[1], [2]]), pl.Series([1]),
            pa.array([{"id": 1}, None])]
)  # fmt: skip
def test_objects_that_are_no_table(filled: str, obj: Any) -> None:
    error = failed(filled, obj)
    assert isinstance(error, copypump.UsageError)
    assert type(obj).__name__ in str(error)


def test_tables_that_are_not_there(filled: str) -> None:
    for name in ("nowhere", "t;", ""):
        with pytest.raises(copypump.RefusedError):
            copypump.write(filled, name, TABLE)
    with pytest.raises(copypump.RefusedError, match="no column"):
        copypump.write(filled, "t", pa.table({}), mode="append")


def test_a_connection_given_to_write(filled: str) -> None:
    with psycopg.connect(filled) as connection:
        connection.execute("SET lock_timeout = '77ms'")
        connection.commit()
        with pytest.raises(copypump.TargetError):
            copypump.write(connection, "t", pa.concat_tables([TABLE, TABLE]), mode="truncate")
        assert connection.info.transaction_status == IDLE
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (1,)
        with pytest.raises(copypump.UsageError, match="transaction"):
            copypump.write(connection, "t", TABLE, mode="truncate")
        connection.rollback()
        copypump.write(connection, "t", TABLE, mode="truncate")
        assert connection.info.transaction_status == IDLE
        assert not connection.autocommit
        assert connection.execute("SHOW lock_timeout").fetchone() == ("77ms",)
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (1000,)


def test_progress_of_a_write(database: str) -> None:
    sql(database, CREATE)
    seen: list[copypump.Progress] = []
    copypump.write(database, "t", TABLE, on_progress=seen.append, progress_interval=0.01)
    assert seen[-1].rows_read == seen[-1].rows_written == 1000


def test_a_progress_function_that_raises(filled: str) -> None:
    def stop(_: copypump.Progress) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        copypump.write(filled, "t", TABLE, mode="truncate", on_progress=stop)
    assert sql(filled, "SELECT id FROM t") == [(-1,)]
    none_left(filled)
