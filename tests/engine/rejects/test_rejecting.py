"""What transforms, checks, the encoder and the decoder reject; limits, files, chunks, and ends of all kinds."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import copypump
from copypump.cli import main
from copypump.engine import api
from copypump.engine.rejects import blocks
from copypump.errors import ExitCode, RefusedError, TooManyRejectsError
from tests.conftest import Pair
from tests.servers import SystemServer, role, sql

ROWS = 3000


def source(src: str, dst: str, target: str = "id bigint PRIMARY KEY, age int, name text") -> None:
    """Rows of which each hundredth has the age -1."""
    sql(
        src,
        "CREATE TABLE t AS SELECT i::bigint AS id, CASE WHEN i % 100 = 7 THEN -1 ELSE i % 90 END AS age,"
        f" 'person ' || i AS name FROM generate_series(1, {ROWS}) AS i",
    )
    sql(dst, f"CREATE TABLE t ({target})")


def rejects(dst: str, what: str) -> list[tuple[object, ...]]:
    return sql(dst, f"SELECT {what} FROM copypump.rejects ORDER BY 1")


@copypump.reads("age")
def grown(batch: pa.RecordBatch) -> pa.RecordBatch:
    return copypump.reject(batch, pc.less(batch.column("age"), 0), "too young")


def test_a_transform_rejects_rows_which_are_shown_whole_as_they_came(pair: Pair) -> None:
    source(*pair)
    report = copypump.pump(*pair, table="t", transform=grown, on_error="reject")
    assert (report.rows_written, report.tally.rejected) == (ROWS - 30, 30)
    found = rejects(pair.dst, "(row->>'id')::int, row, stage, reason")
    assert found[0] == (7, {"id": 7, "age": -1, "name": "person 7"}, "transform", "too young")
    assert [number for number, *_ in found] == list(range(7, ROWS, 100))


def test_a_check_rejects_rows(pair: Pair) -> None:
    source(*pair)
    report = copypump.pump(*pair, table="t", check="age >= 0", on_error="reject")
    assert report.tally.rejected == 30
    assert rejects(pair.dst, "DISTINCT stage, reason") == [("check", "age >= 0")]
    assert sql(pair.dst, "SELECT count(*), min(age) FROM t") == [(ROWS - 30, 0)]


def long_names(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Numbers and texts that do not fit, at rows that are not those of each other."""
    ids = batch.column("id")
    name = pc.if_else(
        pc.equal(pc.subtract(ids, pc.multiply(pc.divide(ids, 50), 50)), 3), "x" * 40, batch.column("name")
    )
    columns = {"id": ids, "age": pc.multiply(batch.column("age"), pa.scalar(10**9)), "name": name}
    return pa.RecordBatch.from_pydict(columns)


def test_the_encoder_finds_every_value_that_does_not_fit(pair: Pair) -> None:
    source(*pair, "id bigint, age numeric(11, 1), name varchar(20)")
    report = copypump.pump(*pair, table="t", transform=long_names, on_error="reject")
    bad = {i for i in range(1, ROWS + 1) if i % 50 == 3 or (i % 100 != 7 and i % 90 >= 10)}
    found = {number for (number,) in rejects(pair.dst, "(row->>'id')::int")}
    assert found == bad
    assert report.tally.rejected == len(bad)
    assert rejects(pair.dst, "DISTINCT stage") == [("encode",)]
    assert sql(pair.dst, "SELECT count(*) FROM t") == [(ROWS - len(bad),)]


def test_the_encoder_of_columns_that_no_transform_sees(pair: Pair) -> None:
    source(*pair, "id smallint, age int, name varchar(10)")
    sql(pair.src, "UPDATE t SET id = id + 40000 WHERE id % 500 = 1")
    report = copypump.pump(*pair, table="t", on_error="reject")
    [(landed,)] = sql(pair.dst, "SELECT count(*) FROM t")
    [(left,)] = sql(pair.src, "SELECT count(*) FROM t WHERE id < 32768 AND length(name) <= 10")
    assert landed == left == ROWS - report.tally.rejected
    assert {column for (column,) in rejects(pair.dst, "DISTINCT column_name")} == {"id", "name"}


def same(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


def test_the_decoder_finds_every_value_that_arrow_has_no_place_for(pair: Pair) -> None:
    sql(pair.src, "CREATE TABLE t AS SELECT i AS id, (CASE WHEN i % 7 = 0 THEN 'NaN' ELSE i::text END)::numeric(8, 2) AS v"
        " FROM generate_series(1, 1000) AS i")  # fmt: skip
    sql(pair.dst, "CREATE TABLE t (id int, v numeric(8, 2))")
    report = copypump.pump(*pair, table="t", transform=same, on_error="reject")
    assert report.tally.rejected == 142
    assert [n for (n,) in rejects(pair.dst, "(row->>'id')::int")] == list(range(7, 1001, 7))
    assert sql(pair.dst, "SELECT count(*) FROM t") == [(858,)]


@pytest.mark.parametrize(("most", "stops"), [("29", True), ("30", False), ("0.5%", True), ("1%", False)])
def test_too_many_rejects_stop_the_run(most: str, stops: bool, pair: Pair) -> None:
    source(*pair, "id bigint, age int CHECK (age >= 0), name text")
    if not stops:
        assert copypump.pump(*pair, table="t", on_error="reject", max_rejects=most).tally.rejected == 30
        return
    with pytest.raises(TooManyRejectsError) as caught:
        copypump.pump(*pair, table="t", on_error="reject", max_rejects=most)
    assert caught.value.exit_code == ExitCode.TOO_MANY_REJECTS == 11
    assert (
        sql(pair.dst, "SELECT count(*) FROM t")
        == sql(pair.dst, "SELECT count(*) FROM copypump.rejects")
        == [(0,)]
    )


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_the_rejects_are_written_to_a_file(ending: str, pair: Pair, tmp_path: Path) -> None:
    source(*pair, "id bigint, age int CONSTRAINT grown CHECK (age >= 0), name text")
    path = tmp_path / f"bad.{ending}"
    copypump.pump(*pair, table="t", on_error="reject", rejects=str(path))
    if ending == "jsonl":
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        ids = [row["row"]["id"] for row in rows]
    else:
        rows = pq.read_table(path).to_pylist()
        ids = [json.loads(row["row"])["id"] for row in rows]
    assert sorted(ids) == list(range(7, ROWS, 100))
    assert {row["constraint_name"] for row in rows} == {"grown"}


def test_they_go_to_a_table_of_the_users(pair: Pair) -> None:
    source(*pair, "id bigint, age int CHECK (age >= 0), name text")
    copypump.pump(*pair, table="t", on_error="reject", rejects='"Bad rows"')
    assert sql(pair.dst, 'SELECT count(*) FROM public."Bad rows"') == [(30,)]


@pytest.mark.parametrize("workers", ["threads"])
def test_each_chunk_commits_its_own(workers: str, pair: Pair) -> None:
    source(*pair, "id bigint PRIMARY KEY, age int CHECK (age >= 0), name text")
    sql(pair.src, "ALTER TABLE t ADD PRIMARY KEY (id)")
    report = copypump.pump(
        *pair, table="t", mode="append", on_error="reject", jobs=2, split="key", chunk_bytes=60_000,
        workers=workers,
    )  # fmt: skip
    assert report.chunks > 2
    assert (report.rows_written, report.tally.rejected) == (ROWS - 30, 30)
    assert len(rejects(pair.dst, "DISTINCT chunk")) > 1
    assert rejects(pair.dst, "DISTINCT run") == [(report.run,)]


def test_a_share_is_exact(pair: Pair) -> None:
    """0.29 * 100 is less than 29, as floats go."""
    sql(pair.src, "CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 100) AS i")
    sql(pair.dst, "CREATE TABLE t (id int CHECK (id > 29))")
    assert copypump.pump(*pair, table="t", on_error="reject", max_rejects="29%").tally.rejected == 29


UNFIT = {
    "lacks the columns run, chunk": "CREATE TABLE copypump.rejects (x int)",
    "it is a view": "CREATE VIEW copypump.rejects AS SELECT 1 AS run",
    'column "chunk" is of type': "CREATE TABLE copypump.rejects (run text, chunk date, stage text, reason text,"
    " sqlstate text, constraint_name text, column_name text, row jsonb, rejected timestamptz)",
}


@pytest.mark.parametrize("words", UNFIT)
def test_another_table_of_that_name(words: str, pair: Pair) -> None:
    source(*pair)
    sql(pair.dst, f"CREATE SCHEMA copypump; {UNFIT[words]}")
    with pytest.raises(RefusedError, match=words):
        api.plan(*pair, table="t", on_error="reject")


@pytest.mark.parametrize("name", ["pg_temp.r", "no/such/directory/r.jsonl", "r.parquet", "r.csv"])
def test_where_rejects_cannot_go(
    name: str, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.parquet").mkdir()
    source(*pair)
    with pytest.raises(RefusedError):
        api.plan(*pair, table="t", on_error="reject", rejects=name)


def test_what_a_role_needs(pg15: SystemServer, pair: Pair) -> None:
    """To make the table: CREATE on its schema, if that is there; to fill one that is there, INSERT."""
    with pg15.fresh_database() as target:
        as_role = Pair(pair.src, pg15.dsn(target, user="rejecter"))
        source(pair.src, pg15.dsn(target), "id bigint, age int CHECK (age >= 0), name text")
        role(
            pg15,
            target,
            "rejecter",
            "GRANT SELECT, INSERT ON t TO rejecter; CREATE SCHEMA copypump;"
            " GRANT USAGE ON SCHEMA copypump TO rejecter",
        )
        try:
            with pytest.raises(RefusedError, match="may not make the table"):
                copypump.pump(*as_role, table="t", on_error="reject")
            sql(pg15.dsn(target), "GRANT CREATE ON SCHEMA copypump TO rejecter")
            assert copypump.pump(*as_role, table="t", on_error="reject").tally.rejected == 30
            sql(pg15.dsn(target), "ALTER TABLE copypump.rejects OWNER TO postgres; TRUNCATE t")
            with pytest.raises(copypump.TargetError, match="lacks INSERT on"):
                copypump.pump(*as_role, table="t", on_error="reject")
            sql(pg15.dsn(target), "GRANT INSERT ON copypump.rejects TO rejecter")
            with pytest.raises(copypump.TargetError, match="lacks SELECT on"):
                copypump.pump(*as_role, table="t", on_error="reject", rejects="r.jsonl")
            assert copypump.pump(*as_role, table="t", on_error="reject").tally.rejected == 30
        finally:
            sql(pg15.dsn(target), "DROP OWNED BY rejecter; DROP ROLE rejecter")


REPLACED = """CREATE TABLE other AS SELECT i AS id FROM generate_series(0, 9) AS i;
    ALTER TABLE other ADD PRIMARY KEY (id);
    CREATE TABLE t (id int CONSTRAINT "the key" PRIMARY KEY, twin int CONSTRAINT once UNIQUE DEFERRABLE,
        other int CONSTRAINT there REFERENCES other, above int CONSTRAINT up REFERENCES t, age int CONSTRAINT grown
        CHECK (age >= 0), spot int, CONSTRAINT apart EXCLUDE USING btree (spot WITH =), name text NOT NULL);
    CREATE UNIQUE INDEX lower_name ON t (lower(name)); CREATE INDEX plain ON t (age);
    INSERT INTO t VALUES (-7, -7, 1, NULL, 1, -7, 'before')"""
REFUSED = {"the key": "23505", "once": "23505", "there": "23503", "up": "23503", "grown": "23514", "apart": "23P01",
           "lower_name": "23505", None: "23502"}  # fmt: skip


@pytest.mark.parametrize("way", [{}, {"jobs": 2, "run_id": "r", "split": "key", "split_by": "id"}])
def test_a_new_table_refuses_what_the_old_one_does(way: dict[str, Any], pair: Pair) -> None:
    """And what it refused is told by the names that the user knows."""
    sql(
        pair.src,
        "CREATE TABLE t AS SELECT i AS id, i AS twin, i % 10 AS other, NULL::int AS above, i AS age, i AS spot,"
        " 'Row ' || i AS name FROM generate_series(1, 1000) AS i; ALTER TABLE t ADD COLUMN n int; UPDATE t SET n = id;"
        " UPDATE t SET id = 1 WHERE n = 2; UPDATE t SET twin = 3 WHERE n = 4; UPDATE t SET other = 10 WHERE n = 5;"
        " UPDATE t SET above = 5000 WHERE n = 6; UPDATE t SET age = -1 WHERE n = 7; UPDATE t SET spot = 9 WHERE n = 8;"
        " UPDATE t SET name = 'row 11' WHERE n = 10; UPDATE t SET name = NULL WHERE n = 12;"
        " CREATE TABLE u AS SELECT * FROM t ORDER BY n; DROP TABLE t; ALTER TABLE u RENAME TO t; CREATE INDEX ON t (id)",
    )
    sql(pair.dst, REPLACED)
    names = ["id", "twin", "other", "above", "age", "spot", "name"]
    report = copypump.pump(*pair, table="t", columns=names, mode="replace", on_error="reject", **way)
    assert (report.rows_written, report.tally.rejected) == (1000 - len(REFUSED), len(REFUSED))
    found = sql(pair.dst, "SELECT constraint_name, sqlstate, reason FROM copypump.rejects")
    assert {constraint: state for constraint, state, _ in found} == REFUSED
    assert not [reason for *_, reason in found if "copypump" in reason]
    assert sql(pair.dst, "SELECT count(*), min(id) FROM t") == [(1000 - len(REFUSED), 1)]
    there = "SELECT conname FROM pg_constraint WHERE conrelid = 't'::regclass AND contype <> 'n' ORDER BY 1"
    assert {name for (name,) in sql(pair.dst, there)} == {*REFUSED} - {None, "lower_name"}
    assert sql(pair.dst, "SELECT count(*) FROM pg_indexes WHERE tablename = 't'") == [(5,)]


def test_rows_that_others_refer_to_cannot_be_rejected(pair: Pair) -> None:
    source(*pair, "id bigint PRIMARY KEY, age int CHECK (age >= 0), name text")
    sql(pair.dst, "INSERT INTO t VALUES (7, 1, 'old'); CREATE TABLE child AS SELECT 7::bigint AS id")
    sql(pair.dst, "ALTER TABLE child ADD FOREIGN KEY (id) REFERENCES t")
    with pytest.raises(copypump.TargetError, match="refer to rows that the new table"):
        copypump.pump(*pair, table="t", mode="replace", on_error="reject")
    assert sql(pair.dst, "SELECT name FROM t") == [("old",)]
    assert rejects(pair.dst, "count(*)") == [(0,)]


@pytest.mark.parametrize("way", [{}, {"jobs": 2, "run_id": "r", "split": "key", "split_by": "id"}])
def test_rows_that_only_an_insert_brings_in(
    way: dict[str, Any], pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 5000)
    source(*pair, "id bigint PRIMARY KEY, age int CHECK (age >= 0), name text")
    sql(pair.src, "ALTER TABLE t ADD PRIMARY KEY (id)")
    sql(pair.dst, "CREATE VIEW v AS SELECT * FROM t WHERE id <> 50 WITH CHECK OPTION")
    sql(pair.dst, "INSERT INTO t VALUES (100, 1, 'old')")
    report = copypump.pump(*pair, table="t", into="v", mode="insert", on_error="reject", **way)
    assert (report.rows_written, report.tally.rejected) == (ROWS - 32, 32)
    found = sql(
        pair.dst,
        "SELECT sqlstate, count(*), min((row->>'id')::int) FROM copypump.rejects GROUP BY 1 ORDER BY 1",
    )
    assert found == [("23505", 1, 100), ("23514", 30, 7), ("44000", 1, 50)]


def test_policies_hold_for_rows_beside_rejected_ones(pg15: SystemServer, pair: Pair) -> None:
    """A row that a policy refuses is no row's error: the server gives it the code of a lacking privilege."""
    with pg15.fresh_database() as target:
        dst = pg15.dsn(target)
        source(pair.src, dst, "id bigint PRIMARY KEY, age int CHECK (age >= 0), name text")
        role(pg15, target, "kept_off", "GRANT SELECT, INSERT ON t TO kept_off; GRANT CREATE ON DATABASE"
             f" {target} TO kept_off; ALTER TABLE t ENABLE ROW LEVEL SECURITY;"
             " CREATE POLICY p ON t TO kept_off USING (id > 10) WITH CHECK (id > 0); INSERT INTO t VALUES (3, 1, 'x')")  # fmt: skip
        try:
            as_role = Pair(pair.src, pg15.dsn(target, user="kept_off"))
            options: dict[str, Any] = {"table": "t", "mode": "insert", "on_error": "reject"}
            assert copypump.pump(*as_role, **options).tally.rejected == 31
            sql(dst, "TRUNCATE t; ALTER POLICY p ON t WITH CHECK (id > 1)")
            with pytest.raises(copypump.TargetError, match="row-level security"):
                copypump.pump(*as_role, **options)
            assert sql(dst, "SELECT count(*) FROM t") == [(0,)]
        finally:
            sql(dst, "DROP OWNED BY kept_off; DROP ROLE kept_off")


def test_nothing_is_left_of_a_run_that_fails(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks have landed, and rows were rejected, when the run ends for another reason."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 2000)
    source(*pair, "id bigint, age int CHECK (age >= 0), name text")

    def fails(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows and batch.column("id")[0].as_py() > 2000:
            raise ValueError
        return batch

    with pytest.raises(copypump.TransformError):
        copypump.pump(*pair, table="t", transform=fails, on_error="reject", batch_rows=100)
    assert (
        sql(pair.dst, "SELECT count(*) FROM t")
        == sql(pair.dst, "SELECT count(*) FROM copypump.rejects")
        == [(0,)]
    )


def test_a_trigger_that_drops_rows_is_an_error_still(pair: Pair) -> None:
    source(*pair, "id bigint, age int CHECK (age >= 0), name text")
    sql(
        pair.dst,
        """CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN IF NEW.id = 50 THEN RETURN NULL; END IF; RETURN NEW; END $$""",
    )
    sql(pair.dst, "CREATE TRIGGER drops BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION drop_row()")
    with pytest.raises(copypump.TargetError, match="took 2,999"):
        copypump.pump(*pair, table="t", on_error="reject")


def test_a_plan_says_what_is_done_and_refuses_what_does_not_go(pair: Pair) -> None:
    source(*pair, "id bigint PRIMARY KEY, age int CHECK (age >= 0), name text")
    plan = api.plan(*pair, table="t", on_error="reject").describe()
    for words in ("copypump.rejects", "SET CONSTRAINTS ALL IMMEDIATE", "copypump_block", "none are frozen"):
        assert words in plan
    with pytest.raises(RefusedError, match="mode upsert does not go with --on-error reject"):
        api.plan(*pair, table="t", on_error="reject", mode="upsert", key=["id"])


def test_the_command_ends_with_a_code_of_its_own(pair: Pair) -> None:
    source(*pair, "id bigint, age int CHECK (age >= 0), name text")
    flags = ["run", "--src", pair.src, "--dst", pair.dst, "--table", "t", "--no-progress"]
    done = CliRunner().invoke(main, [*flags, "--on-error", "reject"])
    assert done.exit_code == ExitCode.REJECTS == 10
    assert "30 rows rejected, to copypump.rejects, run " in done.output
    sql(pair.dst, "TRUNCATE t")
    done = CliRunner().invoke(main, [*flags, "--on-error", "reject", "--max-rejects", "3"])
    assert done.exit_code == 11


@pytest.mark.parametrize("end", ["interrupted", "killed"])
def test_nothing_is_left_of_a_run_that_is_ended(
    end: str, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 2000)
    source(*pair, "id bigint, age int CHECK (age >= 0), name text")
    seen = 0

    def slow(batch: pa.RecordBatch) -> pa.RecordBatch:
        nonlocal seen
        seen += batch.num_rows
        time.sleep(0.05)
        return batch

    def progress(_: copypump.Progress) -> None:
        if seen < 1000:  # several blocks, some of them staged
            return
        if end == "interrupted":
            raise KeyboardInterrupt
        sql(
            pair.dst,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'copypump%' AND datname = current_database()",
        )

    expected = KeyboardInterrupt if end == "interrupted" else copypump.TargetError
    with pytest.raises(expected):
        copypump.pump(
            *pair, table="t", transform=slow, on_error="reject", batch_rows=100,
            on_progress=progress, progress_interval=0.05,
        )  # fmt: skip
    assert 1000 <= seen < ROWS
    assert sql(pair.dst, "SELECT count(*) FROM t") == sql(pair.dst, "SELECT count(*) FROM copypump.rejects")
    assert sql(pair.dst, "SELECT count(*) FROM t") == [(0,)]
