"""Bytes that nobody decodes arrive exact, and with the target's oids, on real servers.

Exact is what a text COPY of the same rows leaves. Servers since PostgreSQL 14 take another user type's oid
without a word, so the very bytes that go to the target are held against those that it sends itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pytest

import copypump
from copypump.engine.options import Options
from copypump.engine.pipeline.moving import middle
from copypump.engine.planning.origin import begin_origin
from copypump.engine.report import Counters
from copypump.engine.run import dry_run, planned
from copypump.postgres.interrupt import Interrupt
from copypump.postgres.source import Source
from tests.codec import golden_rewrite
from tests.conftest import Pair
from tests.engine.conftest import wire
from tests.servers import sql

# Several types have no operator class for COPY's ORDER BY; id has.
COLUMNS = {f"c{at}": declared for at, declared in enumerate(golden_rewrite.VALUES)}
REWRITTEN = {name for name, declared in COLUMNS.items() if declared not in ("span", "spans")}


def make(dsn: str, columns: dict[str, str], rows: list[dict[str, str | None]] = (), table: str = "t") -> None:  # type: ignore[assignment]
    """A table with an id and these columns, and rows of SQL values."""
    body = ", ".join(f"{name} {declared}" for name, declared in columns.items())
    sql(dsn, f"CREATE TABLE {table} (id int, {body})")
    for number, row in enumerate(rows):
        names, values = ", ".join(row), ", ".join(["%s"] * len(row))
        sql(dsn, f"INSERT INTO {table} (id, {names}) VALUES ({number}, {values})", list(row.values()))


def rows_of(values: dict[str, list[str]]) -> list[dict[str, str | None]]:
    """Each value of each column once, NULL where a column has no more."""
    longest = max(map(len, values.values()))
    return [
        {name: each[row] if row < len(each) else None for name, each in values.items()}
        for row in range(longest)
    ]


def text_copied(pair: Pair, source: str, target: str) -> None:
    """Do by COPY in text format what a pump does."""
    with (
        psycopg.connect(pair.src) as source_session,
        psycopg.connect(pair.dst) as target_session,
        source_session.cursor().copy(f"COPY ({source}) TO STDOUT") as out,
        target_session.cursor().copy(f"COPY {target} FROM STDIN") as into,
    ):
        for data in out:
            into.write(data)


@pytest.fixture
def moods(pair: Pair) -> Pair:
    """Every type of golden_rewrite on both sides, under other oids; rows of them in `t`."""
    sql(pair.dst, "CREATE TYPE other AS ENUM ('x')")
    for dsn in pair:
        sql(dsn, golden_rewrite.SETUP)
    rows = rows_of({name: golden_rewrite.VALUES[declared] for name, declared in COLUMNS.items()})
    make(pair.src, COLUMNS, [*rows, dict.fromkeys(COLUMNS)])
    more = f"INSERT INTO t SELECT g * 10 + id, {', '.join(COLUMNS)} FROM t, generate_series(1, 20) AS g ORDER BY 1"
    sql(pair.src, more)
    for table in ("t", "raw"):
        make(pair.dst, COLUMNS, table=table)
    return pair


def check(pair: Pair, source: str = "SELECT * FROM t") -> None:
    """The target's `t` holds, to the byte, what a text COPY leaves in `raw`."""
    text_copied(pair, source, "raw")
    expected = wire(pair.dst, "TABLE raw")
    assert wire(pair.dst, "TABLE t") == expected
    assert len(expected) > 30
    assert wire(pair.src, source) != expected  # or there was nothing to be done


def sent(pair: Pair, **options: Any) -> bytes:
    """The rows that a run without a transform hands to the target."""
    interrupt = Interrupt()
    try:
        with planned(*pair, Options.of(**options), interrupt) as (plan, source, _target):
            assert plan.decoding is None
            begin_origin(source, plan.origin, plan.options, None, plan.destination.table)
            copy_out = Source(source)
            copy_out.start(plan.origin.copy)
            feed, reshaper = middle(plan, copy_out, Counters())
            assert reshaper is None
            return b"".join(bytes(block.data[block.start : block.end]) for block in feed.blocks())
    finally:
        interrupt.close()


@copypump.reads("id")
def backwards(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.take(pa.array(range(batch.num_rows - 1, -1, -1), pa.int64()))


def test_whole_rows_go_through_with_other_oids(moods: Pair) -> None:
    plan = dry_run(*moods, Options.of(table="t"))
    lines = plan.describe().splitlines()
    assert {
        name for name in COLUMNS if any(f"{name} " in line and "oids rewritten" in line for line in lines)
    } == REWRITTEN
    assert sum("bytes as they are" in line for line in lines) == 1 + len(COLUMNS) - len(REWRITTEN)
    report = copypump.pump(*moods, table="t", batch_rows=7)
    assert report.stages["decode"].busy == 0
    assert report.bytes_read == report.bytes_written
    check(moods)
    for batch_rows in (3, 1000):
        rows = sent(moods, table="t", mode="append", batch_rows=batch_rows)
        assert rows == wire(moods.dst, "TABLE t")[19:-2]


def test_beside_a_transform_that_does_not_read_them(moods: Pair) -> None:
    report = copypump.pump(*moods, table="t", transform=backwards, batch_rows=1000)
    assert report.rows_written == len(sql(moods.src, "TABLE t"))
    check(moods, "SELECT * FROM t ORDER BY id DESC")


def test_read_as_opaque_bytes(moods: Pair) -> None:
    types = dict.fromkeys(COLUMNS, "opaque")
    copypump.pump(*moods, table="t", types=types, transform=lambda batch: batch, batch_rows=9)
    check(moods)


def test_read_as_opaque_bytes_and_renamed(moods: Pair) -> None:
    sql(moods.dst, "CREATE TABLE u (id int, one deep, two deep, three pairs)")

    def renamed(batch: pa.RecordBatch) -> pa.RecordBatch:
        names = {"id": "id", "d": "one", "p": "three"}
        arrays = {names[name]: batch.column(name) for name in batch.schema.names}
        return pa.RecordBatch.from_pydict({**arrays, "two": arrays["one"]})

    query = "SELECT id, d, p FROM (SELECT id, c6 AS d, c5 AS p FROM t) AS s"
    assert (COLUMNS["c6"], COLUMNS["c5"]) == ("deep", "pairs")
    types = {"d": "opaque", "p": "opaque"}
    copypump.pump(*moods, query=query, into="u", types=types, transform=renamed)
    sql(moods.dst, "CREATE TABLE raw_u (LIKE u)")
    text_copied(moods, "SELECT id, c6, c6, c5 FROM t", "raw_u")
    assert wire(moods.dst, "TABLE u") == wire(moods.dst, "TABLE raw_u")


def test_one_columns_bytes_cannot_have_two_kinds_of_oids(moods: Pair) -> None:
    sql(
        moods.dst,
        "CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('sad', 'ok'); CREATE TABLE u (a mood[], b s.mood[])",
    )

    def doubled(batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([batch.column("c0")] * 2, names=["a", "b"])

    with pytest.raises(copypump.RefusedError, match="other oids within") as error:
        copypump.pump(*moods, table="t", columns=["c0"], into="u", types={"c0": "opaque"}, transform=doubled)
    assert error.value.column == "b"


def test_bytes_that_the_probe_did_not_tell_of(moods: Pair) -> None:
    """Whose oids become the target's was decided by the probe."""

    def late(batch: pa.RecordBatch) -> pa.RecordBatch:
        column = batch.column("c0") if batch.num_rows else pa.nulls(0)
        return pa.RecordBatch.from_arrays([column], names=["c0"])

    with pytest.raises(copypump.TransformError, match="no lossless way") as error:
        copypump.pump(*moods, table="t", columns=["c0"], types={"c0": "opaque"}, transform=late)
    assert error.value.column == "c0"


def test_a_table_that_is_made(moods: Pair) -> None:
    sql(moods.dst, "DROP TABLE t")
    copypump.pump(*moods, table="t", create=True)
    check(moods)


def test_a_value_that_the_catalog_does_not_tell(moods: Pair) -> None:
    """The type is another one by the time that the rows come: never sent on."""
    interrupt = Interrupt()
    sql(moods.src, "CREATE TABLE w (a mood[]); INSERT INTO w VALUES ('{sad}')")
    sql(moods.dst, "CREATE TABLE w (a mood[])")
    with planned(*moods, Options.of(table="w"), interrupt) as (plan, _source, _target):
        sql(moods.src, "CREATE TABLE v (a feeling[]); INSERT INTO v VALUES ('{sad}')")
        [block] = copypump_blocks(wire(moods.src, "TABLE v"))
        assert plan.rewriter is not None
        with pytest.raises(copypump.DecodeError) as error:
            plan.rewriter.rewrite(block)
    interrupt.close()
    assert (error.value.column, error.value.row) == ("a", 1)


def copypump_blocks(data: bytes) -> list[Any]:
    from copypump.codec.framing import Framer

    return Framer(1, positions=True, batch_rows=10).feed(bytearray(data))


# Enums ----------------------------------------------------------------------------------------------------


def test_labels_that_the_target_lacks(pair: Pair) -> None:
    for dsn, labels in zip(pair, ("'sad', 'it''s', 'ok'", "'ok', 'sad', 'new'"), strict=True):
        sql(dsn, f"CREATE TYPE mood AS ENUM ({labels}); CREATE TYPE held AS (a int, moods mood[])")
        sql(dsn, "CREATE TABLE t (id int, h held, m mood)")
    sql(pair.src, "INSERT INTO t VALUES (1, '(1,\"{sad,it''s,ok}\")', 'ok')")
    for columns in (["h"], ["m"]):
        with pytest.raises(copypump.RefusedError) as error:
            copypump.pump(*pair, table="t", columns=columns)
        assert error.value.column == columns[0]
        assert "public.mood has no label 'it''s'" in str(error.value)
        statement = "ALTER TYPE public.mood ADD VALUE 'it''s'"
        assert statement in str(error.value.hint)
    sql(pair.dst, statement)
    copypump.pump(*pair, table="t")
    assert sql(pair.dst, "SELECT h::text, m::text FROM t") == [('(1,"{sad,it\'s,ok}")', "ok")]


# Extensions -----------------------------------------------------------------------------------------------


def apart(pair: Pair, extensions: str) -> None:
    """Extensions on both sides, in other schemas and under other oids."""
    sql(pair.src, extensions)
    sql(pair.dst, f"CREATE TYPE other AS ENUM ('x'); CREATE SCHEMA ext; SET search_path = ext; {extensions}")
    [(name,)] = sql(pair.dst, "SELECT current_database()")
    sql(pair.dst, f"ALTER DATABASE {name} SET search_path = public, ext")


def test_arrays_of_contribs_types(same_server_pair: Pair) -> None:
    pair = same_server_pair
    apart(pair, "CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree")
    columns = {"h": "hstore[]", "c": "citext[]", "l": "ltree[]", "q": "citext"}
    values = {
        "h": ['{"a=>1, b=>NULL",NULL}', "{}"],
        "c": ["[0:1]={Ab,aB}", "{{x},{NULL}}"],
        "l": ["{a.b.c}"],
        "q": ["Ab"],
    }
    make(pair.src, columns, rows_of(values))
    for table in ("t", "raw"):
        make(pair.dst, columns, table=table)
    for transform in (None, backwards):
        copypump.pump(*pair, table="t", mode="truncate", transform=transform)
        sql(pair.dst, "TRUNCATE raw")
        check(pair, f"SELECT * FROM t ORDER BY id {'DESC' if transform else ''}")


@pytest.fixture
def vectors(pg16: Any, pg18: Any) -> Iterator[Pair]:
    with pg16.fresh_database() as source, pg18.fresh_database() as target:
        pair = Pair(pg16.dsn(source), pg18.dsn(target))
        apart(pair, "CREATE EXTENSION vector")
        yield pair


def test_arrays_of_vectors(vectors: Pair) -> None:
    for dsn in vectors:
        sql(dsn, "CREATE TYPE item AS (name text, at vector)")
    columns = {"v": "vector[]", "i": "item", "many": "item[]", "three": "vector(3)[]"}
    values = {
        "v": ['{"[1,2.5]","[3]",NULL}', "{}"],
        "i": ['(x,"[1,2]")', "(,)"],
        "many": ['{"(x,\\"[1,2]\\")"}'],
        "three": ['{"[1,2,3]"}'],
    }
    make(vectors.src, columns, rows_of(values))
    for table in ("t", "raw"):
        make(vectors.dst, columns, table=table)
    for transform in (None, backwards):
        copypump.pump(*vectors, table="t", mode="truncate", transform=transform)
        sql(vectors.dst, "TRUNCATE raw")
        check(vectors, f"SELECT * FROM t ORDER BY id {'DESC' if transform else ''}")


# Records, infinite intervals ------------------------------------------------------------------------------


@pytest.mark.parametrize("expression", ["row(1, 'x'::text)", "ARRAY[row(1, 2)]"])
def test_records_are_refused(pair: Pair, expression: str) -> None:
    sql(pair.dst, "CREATE TABLE t (id int, r text)")
    query = f"SELECT 1 AS id, {expression} AS r"
    for options in ({"into": "t"}, {"into": "made", "create": True}):
        for transform in (None, backwards, lambda batch: batch):
            with pytest.raises(copypump.RefusedError) as error:
                copypump.pump(*pair, query=query, transform=transform, **options)
            assert error.value.column == "r"
            assert "record" in str(error.value)
            assert error.value.hint


def test_a_record_that_is_not_handed_on(pair: Pair) -> None:
    sql(pair.dst, "CREATE TABLE t (id int)")
    query = "SELECT 1 AS id, row(1, 'x'::text) AS r"
    copypump.pump(*pair, query=query, into="t", transform=lambda batch: batch.select(["id"]))
    assert sql(pair.dst, "TABLE t") == [(1,)]
