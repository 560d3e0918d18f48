"""The main job, on real servers: every row, every byte."""

from __future__ import annotations

import re
import threading
from typing import Any

import duckdb
import polars as pl
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import copypump
from copypump.engine.pipeline import pipeline
from tests.conftest import Pair
from tests.engine.conftest import PEOPLE, ROWS, people, wire
from tests.servers import sql

EXPECTED = "SELECT id, name, age + 1 AS age, salary * 0.8::float8 AS salary_after_tax FROM people"


def with_polars(batch: pa.RecordBatch) -> Any:
    frame = pl.DataFrame(pl.from_arrow(batch))
    return frame.with_columns(pl.col("age") + 1, salary_after_tax=pl.col("salary") * 0.8).drop("salary")


def with_duckdb(batch: pa.RecordBatch) -> Any:
    return duckdb.connect().sql(
        "SELECT id, name, age + 1 AS age, salary * 0.8::DOUBLE AS salary_after_tax FROM batch"
    )


def with_generator(batch: pa.RecordBatch) -> Any:
    for start in range(0, max(batch.num_rows, 1), 100):
        yield people(batch.slice(start, 100))


@pytest.mark.parametrize("transform", [people, with_polars, with_duckdb, with_generator])
@pytest.mark.parametrize("batch_rows", [77, 1000, 65536])
def test_people_arrive_reshaped(example: Pair, transform: Any, batch_rows: int) -> None:
    report = copypump.pump(
        example.src, example.dst, table="people", transform=transform, batch_rows=batch_rows
    )
    assert wire(example.dst, "SELECT id, name, age, salary_after_tax FROM people") == wire(
        example.src, EXPECTED
    )
    assert report.status == "done"
    assert report.rows_read == report.rows_written == ROWS
    assert report.bytes_read > 19
    assert report.bytes_written == len(wire(example.dst, "TABLE people"))
    assert set(report.stages) == {"read", "decode", "transform", "encode", "write"}
    assert report.bottleneck
    assert report.seconds > 0


def test_what_is_not_read_arrives_as_it_was(pair: Pair) -> None:
    """Values that Arrow could not hold at all, beside a column that the transform filters by and repeats."""
    for dsn in pair:
        sql(
            dsn,
            "CREATE TABLE odd (id int, n numeric, t time, ts timestamptz, a int[], p point, i inet, j jsonb,"
            " v interval, e timetz, m money, r int4range, b bit(5), x tsvector)",
        )
    sql(
        pair.src,
        """INSERT INTO odd SELECT i, CASE i % 3 WHEN 0 THEN 'NaN' ELSE (i || '.500')::numeric END, '24:00',
           '294276-12-31 23:59:59.999999+00', CASE WHEN i % 2 = 0 THEN '[2:3][0:1]={{1,NULL},{3,4}}'::int[] END,
           '(1,NaN)', '10.0.0.0/8', '{"a": [1, 2.50]}', '1 mon -1 day 00:00:01.5', '12:00:00.5+05:30', 12.34,
           '[1,5)', '10101', 'a:1 b:2' FROM generate_series(1, 1000) AS i""",
    )

    @copypump.reads("id")
    def even_twice(batch: pa.RecordBatch) -> pa.Table:
        kept = batch.filter(pc.equal(pc.bit_wise_and(batch.column("id"), 1), 0))
        backwards = kept.take(pa.array(range(kept.num_rows - 1, -1, -1), pa.int64()))
        return pa.Table.from_batches([kept, backwards])

    report = copypump.pump(pair.src, pair.dst, table="odd", transform=even_twice, batch_rows=64)
    assert report.rows_written == 1000
    rest = "n, t, ts, a, p, i, j, v, e, m, r, b, x"
    assert wire(pair.dst, f"SELECT id, {rest} FROM odd ORDER BY id") == wire(
        pair.src,
        f"SELECT id, {rest} FROM odd CROSS JOIN generate_series(1, 2) WHERE id % 2 = 0 ORDER BY id",
    )


def test_rows_the_same_need_no_row_column(example: Pair) -> None:
    sql(example.dst, "DROP TABLE people")
    sql(example.dst, PEOPLE)

    @copypump.reads("age", rows="same")
    def older(batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.RecordBatch.from_pydict({"age": pc.add(batch.column("age"), 1)})

    copypump.pump(example.src, example.dst, table="people", transform=older, batch_rows=333)
    assert wire(example.dst, "TABLE people") == wire(
        example.src, "SELECT id, name, age + 1, salary FROM people"
    )


def test_no_transform_forwards_the_bytes(example: Pair) -> None:
    sql(example.dst, "DROP TABLE people")
    sql(example.dst, PEOPLE)
    report = copypump.pump(example.src, example.dst, table="people")
    assert wire(example.dst, "TABLE people") == wire(example.src, "TABLE people")
    assert report.stages["decode"].busy == 0
    assert report.bytes_read == report.bytes_written


def test_every_type_of_the_table_survives_being_read(pair: Pair) -> None:
    create = (
        "CREATE TABLE t (a bool, b int2, c int4, d int8, e float4, f float8, g numeric(12,3), h numeric(50,10),"
        " i numeric, j text, k varchar(10), l char(5), m name, n bytea, o uuid, p json, q jsonb, r date,"
        " s time, u timestamp, v timestamptz, w interval, x oid, y inet, z int[])"
    )
    for dsn in pair:
        sql(dsn, create)
    sql(
        pair.src,
        r"""INSERT INTO t VALUES
        (true, -32768, 2147483647, -9223372036854775808, '-0', 'NaN', -0.500, 12345678901234567890.0000000001,
         'NaN', 'žluť 𐍈', 'ab  ', 'ab', 'name', '\x00ff', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a" :1}',
         '{"b":  2}', '4713-01-01 BC', '23:59:59.999999', '294246-12-31', '1999-12-31 23:59:59.999999+00',
         '-178000000 years', 4294967295, '::1/128', '{1,NULL}'),
        (NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,
         NULL,NULL,NULL,NULL),
        (false, 0, 0, 0, 'Infinity', '-Infinity', 999999999.999, 0, 1.500, '', '', '', '', '', gen_random_uuid(),
         'null', '1e400', 'infinity', '00:00', '-infinity', 'infinity', '00:00:00.000001', 0, '10.1.2.3', '{}')""",
    )
    report = copypump.pump(pair.src, pair.dst, table="t", transform=lambda batch: batch)
    assert wire(pair.dst, "TABLE t") == wire(pair.src, "TABLE t")
    assert len(report.warnings) == 3, report.warnings  # the infinities, by column

    rebuilt = copypump.pump(
        pair.src,
        pair.dst,
        table="t",
        mode="truncate",
        transform=lambda batch: batch.take(pa.array(range(batch.num_rows), pa.int64())),
    )
    assert rebuilt.rows_written == 3
    assert wire(pair.dst, "TABLE t") == wire(pair.src, "TABLE t")


def test_query_where_columns_into(example: Pair) -> None:
    sql(example.dst, "CREATE TABLE few (name text, id bigint)")
    copypump.pump(
        example.src,
        example.dst,
        table="people",
        columns=["name", "id"],
        where="id <= 10 -- only few",
        into="few",
    )
    assert sql(example.dst, "SELECT count(*), max(id) FROM few") == [(10, 10)]
    copypump.pump(
        example.src,
        example.dst,
        query="SELECT id, name FROM people WHERE id > 4990 ; ",
        into="few",
        mode="append",
    )
    assert sql(example.dst, "SELECT count(*), max(id) FROM few") == [(20, ROWS)]


def test_names_are_quoted_as_in_sql(pair: Pair) -> None:
    schema, table = '"My ""Schema"' + '"' * 2, '"Ta.ble"'
    for dsn in pair:
        sql(dsn, f"CREATE SCHEMA {schema}")
        sql(dsn, f'CREATE TABLE {schema}.{table} ("Sel ect" int, "ünï" text, "order" int)')
    name = f"{schema}.{table}"
    sql(pair.src, f"INSERT INTO {name} VALUES (1, 'a', 2)")
    copypump.pump(pair.src, pair.dst, table=name, transform=lambda batch: batch)
    assert sql(pair.dst, f"TABLE {name}") == [(1, "a", 2)]


def test_zero_rows_are_a_success(example: Pair) -> None:
    seen = []

    def watched(batch: pa.RecordBatch) -> pa.RecordBatch:
        seen.append(batch.num_rows)
        return people(batch)

    report = copypump.pump(example.src, example.dst, table="people", where="false", transform=watched)
    assert (report.status, report.rows_written) == ("done", 0)
    assert seen == [0]


def test_dropping_every_row_is_a_success(example: Pair) -> None:
    report = copypump.pump(
        example.src, example.dst, table="people", transform=lambda batch: people(batch).slice(0, 0)
    )
    assert (report.rows_read, report.rows_written) == (ROWS, 0)


def test_modes(example: Pair) -> None:
    sql(example.dst, "INSERT INTO people VALUES (0)")
    with pytest.raises(copypump.RefusedError, match="holds rows") as refused:
        copypump.pump(example.src, example.dst, table="people", transform=people)
    assert "append" in str(refused.value.hint)
    assert "truncate" in str(refused.value.hint)
    copypump.pump(example.src, example.dst, table="people", transform=people, mode="append")
    assert sql(example.dst, "SELECT count(*) FROM people") == [(ROWS + 1,)]
    copypump.pump(example.src, example.dst, table="people", transform=people, mode="truncate")
    assert sql(example.dst, "SELECT count(*) FROM people") == [(ROWS,)]


def test_create_makes_the_table_from_the_output(pair: Pair) -> None:
    sql(
        pair.src,
        "CREATE TABLE t (a varchar(20), b numeric(10,2), c timestamptz(3), d int[], e int4, f jsonb, g inet)",
    )
    sql(pair.src, "INSERT INTO t VALUES ('x', 1.50, now(), '{1}', 3, '[]', '::1')")

    @copypump.reads("b", "e", rows="same")
    def more(batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.RecordBatch.from_pydict(
            {
                "b": batch.column("b"),
                "e": pc.add(batch.column("e"), 1),
                "new": pc.cast(batch.column("e"), pa.string()),
                "product": pc.multiply(batch.column("b"), batch.column("b")),
            }
        )

    copypump.pump(pair.src, pair.dst, table="t", into='"New"', transform=more, create=True)
    columns = sql(
        pair.dst,
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = '\"New\"'::regclass AND attnum > 0 ORDER BY attnum",
    )
    assert columns == [
        ("a", "character varying(20)"),
        ("b", "numeric(10,2)"),
        ("c", "timestamp(3) with time zone"),
        ("d", "integer[]"),
        ("e", "integer"),
        ("f", "jsonb"),
        ("g", "inet"),
        ("new", "text"),
        ("product", "numeric(21,4)"),
    ]
    assert wire(pair.dst, 'SELECT a, b, c, d, e, f, g FROM "New"') == wire(
        pair.src, "SELECT a, b, c, d, e + 1, f, g FROM t"
    )


def test_generated_and_identity_columns(pair: Pair) -> None:
    create = "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, a int, b int GENERATED ALWAYS AS (a * 2) STORED)"
    for dsn in pair:
        sql(dsn, create)
    sql(pair.src, "INSERT INTO t (a) SELECT generate_series(1, 10)")
    sql(pair.dst, "CREATE TABLE plain (id int, a int, b int)")
    copypump.pump(pair.src, pair.dst, table="t")
    assert wire(pair.dst, "TABLE t") == wire(pair.src, "TABLE t")
    copypump.pump(pair.src, pair.dst, table="t", mode="truncate", transform=lambda batch: batch)
    assert wire(pair.dst, "TABLE t") == wire(pair.src, "TABLE t")
    copypump.pump(pair.src, pair.dst, table="t", into="plain")  # an ordinary column takes what was generated
    assert wire(pair.dst, "TABLE plain") == wire(pair.src, "TABLE t")


def test_sources_that_copy_itself_refuses(pair: Pair) -> None:
    sql(
        pair.src,
        "CREATE TABLE p (a int, b text) PARTITION BY RANGE (a);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (50);"
        "CREATE TABLE p2 (b text, gone int, a int); ALTER TABLE p2 DROP COLUMN gone;"
        "ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (50) TO (1000);"
        "INSERT INTO p SELECT i, 'row ' || i FROM generate_series(0, 99) AS i;"
        "CREATE VIEW v AS SELECT * FROM p; CREATE MATERIALIZED VIEW m AS SELECT * FROM p",
    )
    sql(pair.dst, "CREATE TABLE t (a int, b text)")
    for name, warned in (("p", False), ("v", False), ("m", True)):
        report = copypump.pump(pair.src, pair.dst, table=name, into="t", mode="truncate")
        assert wire(pair.dst, "SELECT * FROM t ORDER BY a") == wire(pair.src, "SELECT * FROM p ORDER BY a")
        assert bool(report.warnings) == warned


def test_inheritance_children_are_left_out_and_said(pair: Pair) -> None:
    sql(pair.src, "CREATE TABLE t (a int); CREATE TABLE child () INHERITS (t); INSERT INTO t VALUES (1)")
    sql(pair.src, "INSERT INTO child VALUES (2)")
    sql(pair.dst, "CREATE TABLE t (a int)")
    report = copypump.pump(pair.src, pair.dst, table="t")
    assert sql(pair.dst, "TABLE t") == [(1,)]
    assert "inheritance" in report.warnings[0]


def test_narrower_typmods_are_checked_value_by_value(pair: Pair) -> None:
    sql(pair.src, "CREATE TABLE t (a varchar(20), n numeric(10,4), ts timestamp, i int8, c char(5))")
    sql(
        pair.src,
        "INSERT INTO t VALUES ('žluťoučký', 1.5000, '2020-01-01 00:00:01', 5, 'ab'), (NULL,NULL,NULL,NULL,NULL)",
    )
    sql(pair.dst, "CREATE TABLE t (a varchar(9), n numeric(6,2), ts timestamp(0), i int4, c text)")
    copypump.pump(pair.src, pair.dst, table="t")
    assert wire(pair.dst, "TABLE t") == wire(
        pair.src, "SELECT a::varchar(9), n::numeric(6,2), ts::timestamp(0), i::int4, c::bpchar(5) FROM t"
    )
    for column, value in (
        ("a", "'žluťoučký!'"),
        ("n", "1.2345"),
        ("ts", "'2020-01-01 00:00:01.5'"),
        ("i", "3e9"),
    ):
        sql(pair.src, f"INSERT INTO t ({column}) VALUES ({value})")
        with pytest.raises(copypump.CastError) as failed:
            copypump.pump(pair.src, pair.dst, table="t", mode="truncate")
        assert (failed.value.column, failed.value.row) == (column, 3)
        assert sql(pair.dst, "SELECT count(*) FROM t") == [(2,)]
        sql(pair.src, "DELETE FROM t WHERE num_nonnulls(a, n, ts, i, c) = 1")


def test_type_option_chooses_how_a_column_is_decoded(pair: Pair) -> None:
    for dsn in pair:
        sql(dsn, "CREATE TABLE t (price numeric, doc jsonb)")
    sql(pair.src, """INSERT INTO t VALUES (12.5, '{"a": 1}'), (0.0001, NULL)""")
    seen = []

    def noted(batch: pa.RecordBatch) -> pa.RecordBatch:
        seen.append(batch.schema.field("price").type)
        return batch

    copypump.pump(
        pair.src, pair.dst, table="t", transform=noted, types={"price": "decimal128(18,4)", "doc": "utf8"}
    )
    assert set(seen) == {pa.decimal128(18, 4)}
    assert sql(pair.dst, "SELECT price::text, doc::text FROM t") == [
        ("12.5000", '{"a": 1}'),
        ("0.0001", None),
    ]


def test_chained_transforms_and_reads(example: Pair) -> None:
    def plus_one(batch: pa.RecordBatch) -> pa.RecordBatch:
        at = batch.schema.get_field_index("age")
        return batch.set_column(
            at, batch.schema.field(at), pc.add(batch.column(at), pa.scalar(1, pa.int32()))
        )

    sql(example.dst, "DROP TABLE people")
    sql(example.dst, PEOPLE)
    copypump.pump(example.src, example.dst, table="people", transform=[plus_one, plus_one], reads=["age"])
    assert wire(example.dst, "TABLE people") == wire(
        example.src, "SELECT id, name, age + 2, salary FROM people"
    )


def test_open_connections_come_back_as_they_were(example: Pair) -> None:
    with (
        psycopg.connect(example.src) as source,
        psycopg.connect(example.dst, row_factory=psycopg.rows.dict_row) as target,
    ):
        source.execute("SET statement_timeout = '12345ms'")
        source.commit()
        copypump.pump(source, target, table="people", transform=people)
        for connection in (source, target):
            assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            assert not connection.autocommit
        assert source.execute("SHOW statement_timeout").fetchone() == ("12345ms",)
        assert target.execute("SELECT count(*) AS n FROM people").fetchone() == {"n": ROWS}

        def broken(batch: pa.RecordBatch) -> pa.RecordBatch:
            if batch.num_rows:
                raise ValueError
            return people(batch)

        source.commit()
        target.commit()
        with pytest.raises(copypump.TransformError):
            copypump.pump(source, target, table="people", transform=broken, mode="append")
        for connection in (source, target):
            assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            assert connection.execute("SELECT 1").fetchone()


def test_a_connection_in_a_transaction_is_refused(example: Pair) -> None:
    with psycopg.connect(example.src) as source:
        source.execute("SELECT 1")
        with pytest.raises(copypump.UsageError, match="transaction"):
            copypump.pump(source, example.dst, table="people", transform=people)
        assert source.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS


def test_settings_of_the_role_do_not_get_in_the_way(example: Pair) -> None:
    unhurried = [f"{dsn} options='-c statement_timeout=0'" for dsn in example]
    names = [psycopg.conninfo.conninfo_to_dict(dsn)["dbname"] for dsn in example]
    for dsn, name in zip(unhurried, names, strict=True):
        sql(dsn, f"ALTER DATABASE \"{name}\" SET idle_in_transaction_session_timeout = '20ms'")
        sql(dsn, f"ALTER DATABASE \"{name}\" SET lock_timeout = '1ms'")
        sql(dsn, f"ALTER DATABASE \"{name}\" SET statement_timeout = '20ms'")
    try:
        report = copypump.pump(
            example.src, example.dst, query="SELECT *, pg_sleep(0.0001)::text FROM people", into="people",
            transform=lambda batch: people(batch.drop_columns(["pg_sleep"])), batch_rows=500,
        )  # fmt: skip
        assert report.rows_written == ROWS
    finally:
        for dsn, name in zip(unhurried, names, strict=True):
            sql(dsn, f'ALTER DATABASE "{name}" RESET ALL')


def test_progress_is_told_in_the_calling_thread(example: Pair) -> None:
    seen: list[copypump.Progress] = []
    copypump.pump(
        example.src,
        example.dst,
        table="people",
        transform=people,
        on_progress=seen.append,
        progress_interval=0.01,
    )
    assert seen[-1].rows_written == ROWS
    assert seen[-1].rows_read == ROWS
    assert seen[-1].bytes_written > 0


def test_plan_tells_and_does_nothing(example: Pair) -> None:
    from copypump.engine.api import plan

    text = plan(example.src, example.dst, table="people", transform=people).describe()
    assert (
        'COPY "public"."people" ("id", "name", "age", "salary_after_tax") FROM STDIN (FORMAT BINARY)' in text
    )
    assert 'LOCK TABLE "public"."people" IN ACCESS SHARE MODE' in text
    assert sql(example.dst, "SELECT count(*) FROM people") == [(0,)]
    sql(example.dst, "DROP TABLE people")
    text = plan(example.src, example.dst, table="people", transform=people, create=True).describe()
    assert "CREATE TABLE" in text
    assert sql(example.dst, "SELECT to_regclass('people')") == [(None,)]


def test_wide_tables(pair: Pair) -> None:
    columns = ", ".join(f"c{i} int" for i in range(1600))
    for dsn in pair:
        sql(dsn, f"CREATE TABLE t ({columns})")
    sql(pair.src, f"INSERT INTO t SELECT {', '.join(['i'] * 1600)} FROM generate_series(1, 300) AS i")
    copypump.pump(pair.src, pair.dst, table="t", transform=lambda batch: batch)
    assert wire(pair.dst, "TABLE t") == wire(pair.src, "TABLE t")


def test_rows_larger_than_a_batch(pair: Pair) -> None:
    for dsn in pair:
        sql(dsn, "CREATE TABLE t (id int, doc text)")
    sql(pair.src, "INSERT INTO t SELECT i, repeat('x', i * 100000) FROM generate_series(1, 40) AS i")
    copypump.pump(pair.src, pair.dst, table="t", transform=lambda batch: batch, batch_bytes=1000)
    assert wire(pair.dst, "TABLE t") == wire(pair.src, "TABLE t")


def test_a_transform_that_multiplies_rows(example: Pair) -> None:
    def tenfold(batch: pa.RecordBatch) -> pa.Table:
        return pa.Table.from_batches([people(batch)] * 10)

    report = copypump.pump(example.src, example.dst, table="people", transform=tenfold)
    assert report.rows_written == 10 * ROWS
    assert sql(example.dst, "SELECT count(*), count(DISTINCT id) FROM people") == [(10 * ROWS, ROWS)]


@pytest.fixture
def carriers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the pipelines' threads as they start, where each look finds that another would help."""
    monkeypatch.setattr(pipeline, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(pipeline, "_HARDLY", 2.0)
    started: list[str] = []
    start = threading.Thread.start

    def told(thread: threading.Thread) -> None:
        if re.fullmatch(r"copypump-\d", thread.name):
            started.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", told)
    return started


@pytest.mark.parametrize("transform", [None, people], ids=["forwarded", "transformed"])
def test_threads_that_join_in_keep_the_order(example: Pair, carriers: list[str], transform: Any) -> None:
    name = "people" if transform else "same"
    copypump.pump(
        example.src,
        example.dst,
        table="people",
        transform=transform,
        into=name,
        create=True,
        batch_bytes=10_000,
    )
    assert carriers == ["copypump-1", "copypump-2", "copypump-3"]
    landed = sql(example.dst, f"SELECT id FROM {name} ORDER BY ctid")
    assert landed == sql(example.src, "SELECT id FROM people")


def test_a_thread_that_cannot_be_started_is_not_waited_for(
    example: Pair, carriers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name == "copypump-2":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        copypump.pump(example.src, example.dst, table="people", into="same", create=True, batch_bytes=10_000)
    assert carriers == ["copypump-1"]


def test_a_chunk_begins_with_as_many_threads_as_those_before_it_needed(
    example: Pair, carriers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    share, shared = pipeline.Pipeline._share_work, list[None]()

    def at_first(each: pipeline.Pipeline) -> None:
        shared.append(None)
        if len(shared) < pipeline.THREADS:
            share(each)

    monkeypatch.setattr(pipeline.Pipeline, "_share_work", at_first)
    report = copypump.pump(
        example.src, example.dst, table="people", into="same", create=True, batch_bytes=10_000,
        split="key", split_by="id", chunk_bytes=100_000,
    )  # fmt: skip
    assert report.chunks > 1
    assert carriers == ["copypump-1", "copypump-2", "copypump-3"] * report.chunks
    assert wire(example.dst, "TABLE same ORDER BY id") == wire(example.src, "TABLE people ORDER BY id")


def swapped(batch: pa.RecordBatch) -> pa.RecordBatch:
    names = ["b", "a", *batch.schema.names[2:]]
    return pa.RecordBatch.from_arrays(batch.columns, names=names)


def viewed(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same memory as another type: ten times as much."""
    at = batch.schema.get_field_index("n")
    numbers = batch.column(at)
    tenfold = pa.Array.from_buffers(pa.decimal128(9, 1), len(numbers), numbers.buffers())
    return batch.set_column(at, "n", tenfold)


def bared(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same values without their NULLs."""
    at = batch.schema.get_field_index("a")
    numbers = batch.column(at)
    return batch.set_column(
        at, "a", pa.Array.from_buffers(numbers.type, len(numbers), [None, numbers.buffers()[1]])
    )


def shifted(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Each row with the text of the one after it: the same memory, but for the offset."""
    at = batch.schema.get_field_index("s")
    longer = batch.column(at).slice(1)
    return batch.slice(0, max(0, batch.num_rows - 1)).set_column(at, "s", longer)


@pytest.mark.parametrize("batch_rows", [2, 100])
def test_rows_that_a_dictionary_names(pair: Pair, batch_rows: int) -> None:
    """Its indices may be the very row column; which rows they stand for, its words tell."""
    for dsn in pair:
        sql(dsn, "CREATE TABLE t (a int, b text)")
    sql(pair.src, "INSERT INTO t SELECT i, i FROM generate_series(1, 4) AS i")

    @copypump.reads("a")
    def turned(batch: pa.RecordBatch) -> pa.RecordBatch:
        rows = batch.column("__copypump_row")
        if not len(rows):
            return batch
        words = pa.array([*range(rows[-1].as_py() + 1)], pa.int32())
        words = pa.concat_arrays([words.slice(0, rows[0].as_py()), rows[::-1]])
        return pa.record_batch({"a": batch["a"][::-1],
                                "__copypump_row": pa.DictionaryArray.from_arrays(rows, words)})  # fmt: skip

    copypump.pump(pair.src, pair.dst, table="t", transform=turned, batch_rows=batch_rows)
    assert sql(pair.dst, "SELECT count(*) FROM t WHERE a::text = b") == [(4,)]


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (lambda batch: batch, "SELECT a, b, n, s, i FROM t"),
        (swapped, "SELECT b AS a, a AS b, n, s, i FROM t"),
        (viewed, "SELECT a, b, n * 10 AS n, s, i FROM t"),
        (bared, "SELECT coalesce(a, 0) AS a, b, n, s, i FROM t"),
        (
            shifted,
            "SELECT * FROM (SELECT a, b, n, lead(s) OVER (ORDER BY b) AS s, i FROM t) s WHERE b < 1000",
        ),
        (lambda batch: batch.slice(1), "SELECT a, b, n, s, i FROM t WHERE b > 1"),
        (
            lambda batch: batch.filter(pc.greater(batch["b"], 500)),
            "SELECT a, b, n, s, i FROM t WHERE b > 500",
        ),
    ],
)
def test_memory_that_was_handed_on_is_not_mistaken(pair: Pair, transform: Any, expected: str) -> None:
    """What a transform hands on as it was decoded goes as wire bytes; what only looks like it does not."""
    for dsn in pair:
        sql(dsn, "CREATE TABLE t (a int, b int, n numeric(8,2), s text, i interval)")
    sql(
        pair.src,
        """INSERT INTO t SELECT nullif(k % 3, 0), k, k * 0.25, 'text ' || k, k * interval '1 day'
             FROM generate_series(1, 1000) AS k ORDER BY k""",
    )
    sql(pair.dst, "ALTER TABLE t ALTER n TYPE numeric(12,2)")
    copypump.pump(pair.src, pair.dst, table="t", transform=transform)
    assert sql(pair.dst, "SELECT a, b, n::text, s, i::text FROM t ORDER BY b, a") == sql(
        pair.src, f"SELECT a, b, n::numeric(12,2)::text, s, i::text FROM ({expected}) AS e ORDER BY b, a"
    )


def test_decoded_columns_cannot_be_changed_in_place(pair: Pair) -> None:
    import numpy as np

    for dsn in pair:
        sql(dsn, "CREATE TABLE t (a bigint)")
    sql(pair.src, "INSERT INTO t VALUES (1), (2)")

    def in_place(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            np.frombuffer(batch.column("a").buffers()[1], np.int64)[:] = 0
        return batch

    with pytest.raises(copypump.TransformError, match="ValueError"):
        copypump.pump(pair.src, pair.dst, table="t", transform=in_place)
    assert sql(pair.dst, "SELECT count(*) FROM t") == [(0,)]


def test_values_that_became_null_are_counted(pair: Pair) -> None:
    sql(
        pair.src,
        "CREATE TABLE hours (id int, at time NOT NULL); INSERT INTO hours VALUES (1, '24:00'), (2, '1:00')",
    )
    sql(pair.dst, "CREATE TABLE hours (id int, at time)")
    report = copypump.pump(
        pair.src, pair.dst, table="hours", transform=lambda batch: batch, on_unrepresentable="null"
    )
    assert [warning for warning in report.warnings if "NULL" in warning] == [
        'column "at": values that Arrow cannot hold became NULL (1 values)'
    ]
    assert sql(pair.dst, "SELECT id, at::text FROM hours ORDER BY id") == [(1, None), (2, "01:00:00")]


def test_what_only_we_decode_loses_nothing(pair: Pair) -> None:
    """Columns that nobody reads and that land in another type: shapes, 24:00:00 and infinities stay."""
    sql(
        pair.src,
        "CREATE TABLE odd (a int[], b time(4), c date[], d int); INSERT INTO odd VALUES"
        " ('[0:1][2:3]={{1,NULL},{3,4}}', '24:00', '{infinity}', 1), (NULL, NULL, NULL, NULL)",
    )
    sql(pair.dst, "CREATE TABLE odd (a bigint[], b time(2), c date[], d bigint)")
    copypump.pump(pair.src, pair.dst, table="odd", on_unrepresentable={"d": "error"})
    assert sql(pair.dst, "SELECT a::text, b::text, c::text, d FROM odd") == [
        ("[0:1][2:3]={{1,NULL},{3,4}}", "24:00:00", "{infinity}", 1),
        (None, None, None, None),
    ]
