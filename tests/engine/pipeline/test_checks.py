"""Checks and rejections in whole runs, on real servers; and that conditions mean what they mean in SQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import copypump
from copypump.engine import api
from copypump.errors import ExitCode, RefusedError, TransformError
from copypump.transforms.expressions import compute, parse
from copypump.transforms.fitting import fit
from tests.conftest import Pair
from tests.engine.conftest import ROWS, people, wire
from tests.servers import sql

# Of a table, values of every kind that conditions compare, NULLs among them.
VALUES = """
CREATE TABLE t AS
SELECT i AS id,
       nullif(i - 5, 2) AS n,
       nullif(i * 1000000000000, 3000000000000) AS big,
       nullif(i::int2, 4::int2) AS small,
       nullif(i * 0.25, 1.0)::numeric(8, 2) AS price,
       nullif(i * 0.1::float8, 0.5::float8) AS real,
       nullif((i * 0.5)::float4, 1.5::float4) AS single,
       CASE i WHEN 1 THEN NULL WHEN 2 THEN '' WHEN 3 THEN 'größe' WHEN 4 THEN E'a\\nb%' ELSE 'Name ' || i END AS name,
       nullif(i % 2 = 0, i = 4) AS flag,
       nullif('2000-01-01'::date + i, '2000-01-05') AS day,
       nullif('2000-01-01 00:00Z'::timestamptz + i * interval '1 hour', '2000-01-01 05:00Z') AS moment,
       nullif('2000-01-01 00:00'::timestamp + i * interval '1 hour', '2000-01-01 05:00') AS local,
       nullif('12:00'::time + i * interval '1 hour', '15:00') AS hour,
       nullif(decode('00ff', 'hex'), CASE i WHEN 2 THEN decode('00ff', 'hex') END) AS raw,
       (ARRAY['low', 'high', NULL])[1 + i % 3]::level AS level,
       (ARRAY['ab', 'ab ', 'a', '', NULL])[1 + i % 5]::char(4) AS code,
       '{"a": 1}'::json AS doc,
       i AS "Odd ""x"" name"
  FROM generate_series(1, 10) AS i
"""

# Each means in SQL what it means here, row by row.
CONDITIONS = [
    "n >= 0",
    "n + 1 > 0 and not n = 3",
    "n <> 1 or name is null",
    "not (n < 0 or flag)",
    "flag and n > 0",
    "flag = true or flag = false",
    "n between -1 and 2",
    "n not between -1 and 2",
    "n in (1, -1, 3)",
    "n not in (1, -1)",
    "-n > 2",
    "n - 1 - 1 = -1",
    "n * 2 + 1 = 3",
    "1 + n * 2 = 3",
    "7 / 2 = 3 and -7 / 2 = -3",
    "id / 2 = 2",
    "abs(n) = 2",
    "n = big / 1000000000000 - 5",
    "big > 4000000000000",
    "big = 99999999999999999999",
    "small + 1 = id + 1",
    "small < 3.5",
    "price >= 1.25",
    "price = 0.5",
    "price * 1.5 > id / 2",
    "price in (0.25, 2.5)",
    "price between .5 and 1.",
    "real >= 0.3",
    "real = 0.7",
    "real < 5e-1",
    "single = 2.5",
    "single + id > 4",
    "name = 'größe'",
    "name <> ''",
    "name like 'Name%'",
    "name like '%b\\%'",
    "name like '_r%'",
    "name not like 'Name _'",
    "name ilike 'NAME%'",
    "name ~ '^(N|g)'",
    "name !~ '[0-9]$'",
    "name ~* '^name'",
    "name ~ '^a.+$'",
    "name ~ '^b'",
    "length(name) > 5",
    "length(name) = 5",
    "lower(name) = 'name 7'",
    "upper(name) = 'NAME 7'",
    "coalesce(name, 'none') = 'none'",
    "coalesce(n, 0) = 0",
    "name in ('', 'Name 5')",
    "name = 'it''s' or id = 1",
    "name is null",
    "name is not null and n is null",
    "day > '2000-01-05'",
    "day between '2000-01-02' and '2000-01-04'",
    "day in ('2000-01-02', '2000-01-03')",
    "moment >= '2000-01-01 04:00:00Z'",
    "local < '2000-01-01 04:00:00'",
    "hour < '16:00:00'",
    "length(raw) = 2",
    "level = 'low'",
    "level in ('low', 'high')",
    "level is null",
    "code = 'ab'",
    "code = 'ab  '",
    "'ab ' <> code",
    "code < 'ab '",
    "code in ('ab ', '')",
    "length(code) = 2",
    "upper(code) = 'AB'",
    "coalesce(code, 'ab') = 'ab'",
    "code like 'ab'",
    "code like 'ab%'",
    "code ~ '^ab *$'",
    "doc is not null",
    '"Odd ""x"" name" > 5',
    "ID > 5 AND NOT Flag",
    "1 < 2",
    "true and flag",
]


@pytest.fixture(scope="module")
def values(pg15: Any) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The table's DSN, and its rows as a transform would see them."""
    with pg15.fresh_database() as name:
        dsn = pg15.dsn(name)
        sql(dsn, "CREATE TYPE level AS ENUM ('low', 'high')")
        sql(dsn, VALUES)
        with copypump.read(dsn, query="SELECT * FROM t ORDER BY id") as batches:
            batch = batches.read_all().combine_chunks().to_batches()[0]
        yield dsn, batch


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_means_what_it_means_in_sql(values: tuple[str, pa.RecordBatch], condition: str) -> None:
    dsn, batch = values
    node = fit(parse(condition), batch.schema)
    result = compute(node, dict(zip(batch.schema.names, batch.columns, strict=True)))
    got = [result.as_py()] * 10 if isinstance(result, pa.Scalar) else result.to_pylist()
    assert got == [value for (value,) in sql(dsn, f"SELECT {condition} FROM t ORDER BY id")]
    assert len(got) == 10


@pytest.mark.parametrize(
    ("condition", "column", "hint"),
    [
        ("level > 'low'", "level", "in ('...')"),
        ("level between 'low' and 'high'", "level", "in ('...')"),
        ("word = 'a'", "word", "lower(word)"),
        ("word in ('a')", "word", "lower(word)"),
        ("word not like 'a%'", "word", "lower(word)"),
    ],
)
def test_what_would_mean_something_else_is_refused(
    same_server_pair: Pair, condition: str, column: str, hint: str
) -> None:
    src, dst = same_server_pair
    for dsn in same_server_pair:
        sql(dsn, "CREATE EXTENSION citext; CREATE TYPE level AS ENUM ('low', 'high')")
        sql(dsn, "CREATE TABLE t (level level, word citext)")
    sql(src, "INSERT INTO t VALUES ('low', 'A'), ('high', 'b')")
    with pytest.raises(RefusedError, match="does not mean here what it means in SQL") as refused:
        copypump.pump(src, dst, table="t", check=condition)
    assert refused.value.column == column
    assert hint in (refused.value.hint or "")
    copypump.pump(
        src, dst, table="t", check=["level in ('low', 'high')", "lower(word) < 'c'", "word ilike '_'"]
    )
    assert sql(dst, "SELECT count(*) FROM t") == [(2,)]


# Runs -----------------------------------------------------------------------------------------------------


def pump(pair: Pair, **options: Any) -> copypump.Report:
    return copypump.pump(pair.src, pair.dst, **{"table": "people"} | options)


def test_good_rows_all_land(example: Pair) -> None:
    report = pump(example, transform=people, check=["age between 1 and 90", "salary_after_tax >= 0"])
    assert report.rows_written == ROWS
    assert wire(example.dst, "TABLE people ORDER BY id") == wire(
        example.src, "SELECT id, name, age + 1 AS age, salary * 0.8::float8 FROM people ORDER BY id"
    )


def test_bad_rows_abort_with_counts_and_no_values(example: Pair) -> None:
    with pytest.raises(TransformError) as raised:
        pump(example, transform=people, check=["name is not null", "age <> 8", "age > 0"])
    error = raised.value
    assert error.exit_code == ExitCode.TRANSFORM
    [(sevens,)] = sql(example.src, "SELECT count(*) FROM people WHERE age = 7 AND name IS NOT NULL")
    assert error.message == (
        f'check "name is not null" fails for 1 row; check "age <> 8" fails for {sevens} rows,'
        f" in batch 1 (source rows 1 to {ROWS:,})"
    )
    assert error.state == "nothing was committed: the target is as it was before"
    assert sql(example.dst, "SELECT count(*) FROM people") == [(0,)]


def test_a_check_without_a_transform_reads_only_what_it_names(example: Pair) -> None:
    both = "id > 0 and name is null or id > 0"
    plan = api.plan(example.src, example.dst, table="people", into="copied", create=True, check=both)
    assert plan.decoding is not None
    names = [plan.origin.columns[i].name for i in plan.decoding.hidden]
    assert names == ["id", "name"]
    assert plan.decoding.seen == ()
    pump(example, into="copied", create=True, check="id > 0")
    assert wire(example.dst, "TABLE copied ORDER BY id") == wire(example.src, "TABLE people ORDER BY id")
    with pytest.raises(TransformError, match=r'check "id <> 77" fails for 1 row, in batch 1'):
        pump(example, into="again", create=True, check="id <> 77")


def test_a_check_of_columns_that_the_transform_does_not_see(example: Pair) -> None:
    """They are those of the rows that it kept, and as it ordered them."""
    seen: list[list[str]] = []

    @copypump.reads("age")
    def reversed_(batch: pa.RecordBatch) -> pa.RecordBatch:
        seen.append(batch.schema.names)
        kept = batch.filter(pc.greater(batch["age"], 40))
        return kept.take(pa.array(range(kept.num_rows), pa.int64())[::-1])

    checks = ["age > 40 and id is not null", "id <> 41"]
    with pytest.raises(
        TransformError, match=r'check "id <> 41" fails for 1 row, in batch 1 \(source rows 1 to 900\)'
    ):
        pump(example, transform=reversed_, check=checks, into="copied", create=True, batch_rows=900)
    report = pump(
        example,
        transform=reversed_,
        check=[checks[0], "id <> 40"],
        into="copied",
        create=True,
        batch_rows=900,
    )
    assert all(names == ["age", "__copypump_row"] for names in seen)
    assert report.rows_written == sql(example.src, "SELECT count(*) FROM people WHERE age > 40")[0][0]
    assert wire(example.dst, "TABLE copied ORDER BY id") == wire(
        example.src, "SELECT * FROM people WHERE age > 40 ORDER BY id"
    )


def test_a_function_sees_all_that_lands(example: Pair) -> None:
    seen: list[list[str]] = []

    def check(batch: pa.RecordBatch) -> Any:
        seen.append(sorted(batch.schema.names))
        return pc.greater(batch["salary"], 0)

    @copypump.reads("age", rows="same")
    def older(batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.record_batch({"age": pc.add(batch["age"], 1)})

    pump(example, transform=older, check=check, into="copied", create=True)
    assert seen
    assert all(names == ["age", "id", "name", "salary"] for names in seen)


def test_reject_in_a_run(example: Pair) -> None:
    def picky(batch: pa.RecordBatch) -> pa.RecordBatch:
        return people(copypump.reject(batch, pc.is_null(batch["name"]), "no name"))

    with pytest.raises(TransformError, match=r"picky rejected 1 row \(no name\), in batch 1 ") as raised:
        pump(example, transform=picky)
    assert raised.value.exit_code == ExitCode.TRANSFORM
    assert sql(example.dst, "SELECT count(*) FROM people") == [(0,)]
    sql(example.src, "UPDATE people SET name = 'found' WHERE name IS NULL")
    assert pump(example, transform=picky).rows_written == ROWS


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("salary > 0", 'names a column "salary" that does not land'),
        ("name > 0", "does not go with the types of its columns"),
    ],
)
def test_refused_before_anything_moves(example: Pair, check: str, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        pump(example, transform=people, check=check)
    with pytest.raises(RefusedError, match=message):
        api.plan(example.src, example.dst, table="people", transform=people, check=check)


def test_the_plan_names_the_checks(example: Pair) -> None:
    plan = api.plan(example.src, example.dst, table="people", transform=people, check="age > 0")
    assert "check     age > 0\n" in plan.describe()
