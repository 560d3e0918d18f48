"""`indexes`: rebuild makes everything again as it was, in one transaction and with a ledger; and nothing that was
dropped is ever lost, whoever dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

import copypump
from copypump.engine import api
from copypump.engine.around import indexes
from copypump.engine.around.rebuilding import Drop
from copypump.engine.chunks.history import forget, recorded
from copypump.engine.chunks.resume import resume
from copypump.engine.options import Options
from copypump.engine.report import Tally
from copypump.engine.run import run as carry_out
from copypump.errors import ExitCode, RefusedError, Side, TargetError, UsageError
from copypump.postgres.session import Session
from tests.conftest import Pair
from tests.engine.conftest import in_turn
from tests.engine.loading.test_replace import (
    COLUMNS,
    ORDERS,
    PUBLICATIONS_GONE,
    SOURCE,
    catalog,
    dump,
    make_everything,
)
from tests.servers import TEST_APPLICATION, Server, sql

REBUILD: dict[str, Any] = {"table": "t", "mode": "append", "indexes": "rebuild"}
MANY: dict[str, Any] = {"jobs": 2, "split": "values", "split_by": "part", "run_id": "r"}
WAYS = [pytest.param({}, id="one"), pytest.param(MANY, id="many")]


ROWS = 60
T = """
CREATE TABLE other (id int PRIMARY KEY);
INSERT INTO other SELECT generate_series(0, 5);
CREATE TABLE t (id int, part int NOT NULL, v text, n numeric,
    CONSTRAINT t_key PRIMARY KEY (id), CONSTRAINT once UNIQUE (n, id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT apart EXCLUDE USING btree (n WITH =),
    CONSTRAINT points FOREIGN KEY (part) REFERENCES other);
CREATE INDEX plain ON t (v text_pattern_ops) INCLUDE (n) WITH (fillfactor = 60);
CREATE INDEX clustered ON t (lower(v), part);
CREATE UNIQUE INDEX partial ON t (v) WHERE part > 1;
ALTER INDEX clustered ALTER COLUMN 1 SET STATISTICS 77;
ALTER TABLE t CLUSTER ON clustered;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION nothing();
COMMENT ON INDEX plain IS 'plain''s';
COMMENT ON CONSTRAINT once ON t IS 'once';
INSERT INTO t SELECT i, i % 5, 'there ' || i, i FROM generate_series(1, 20) AS i"""
NAMES = ["apart", "clustered", "once", "partial", "plain", "points", "t_key"]


@pytest.fixture
def ready(two: Pair) -> Pair:
    """Rows on the source, and others on the target, where the table has most of what can be rebuilt."""
    sql(two.src, "CREATE TABLE t (id int PRIMARY KEY, part int, v text, n numeric)")
    sql(
        two.src,
        f"INSERT INTO t SELECT 100 + i, i % 4, 'new ' || i, 100 + i FROM generate_series(1, {ROWS}) AS i",
    )
    sql(two.dst, T)
    return two


def named(dsn: str) -> list[str]:
    """The names of t's indexes and foreign keys."""
    query = """SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 't'::regclass
                UNION SELECT conname FROM pg_constraint WHERE conrelid = 't'::regclass AND contype = 'f'
                ORDER BY 1"""
    return [str(name) for (name,) in sql(dsn, query)]


def count(dsn: str) -> int:
    return int(sql(dsn, "SELECT count(*) FROM t")[0][0])


def kept(plan: copypump.Plan) -> dict[str, str]:
    shown = plan.as_dict()["indexes"]
    return {each["name"]: each["why"] for each in shown["kept"]}


# As it was -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("server", "mode"), in_turn(["append", "truncate", "insert"]), indirect=["server"])
def test_all_that_a_table_can_have_is_as_it_was(server: Server, two: Pair, mode: str) -> None:
    sql(two.src, SOURCE)
    make_everything(server, two.dst)
    sql(two.dst, PUBLICATIONS_GONE)
    sql(two.dst, f"TRUNCATE {ORDERS} CASCADE")
    before = dump(server, two.dst), catalog(two.dst), oids(two.dst)
    ways: list[dict[str, Any]] = [{}]
    if mode != "truncate":
        ways.append({"jobs": 2, "split": "values", "split_by": "customer", "run_id": "r"})
    for way in ways:
        if mode == "truncate":
            sql(two.dst, 'ALTER TABLE "Shop.1".items DROP CONSTRAINT "of"')
            sql(two.dst, 'ALTER TABLE "Shop.1".loose DROP CONSTRAINT unchecked')
            sql(two.dst, 'ALTER TABLE "Shop.1".parted DROP CONSTRAINT belongs')
            before = dump(server, two.dst), catalog(two.dst), oids(two.dst)
        job: dict[str, Any] = {"table": ORDERS, "mode": mode, "indexes": "rebuild"} | way
        plan = api.plan(*two, **job)
        rebuilt = plan.as_dict()["indexes"]["rebuilt"]
        assert {"by_label", 'By "N"', "by_twice", "u_deferred", "no_overlap", "buys", "region", "up"} <= set(
            rebuilt
        )
        assert {"orders_pk", "ident"} == set(kept(plan))
        copypump.pump(*two, **job)
        assert dump(server, two.dst) == before[0]
        assert catalog(two.dst) == before[1]
        assert {name for name in before[2] if before[2][name] != oids(two.dst)[name]} == set(rebuilt)
        query = f"SELECT {COLUMNS} FROM {ORDERS} ORDER BY id"
        assert sql(two.dst, query) == sql(two.src, query)
        sql(two.dst, f"TRUNCATE {ORDERS} CASCADE")
    sql(two.dst, f"DROP TABLE {ORDERS} CASCADE")


def oids(dsn: str) -> dict[str, int]:
    """By which one sees that something was made again."""
    query = f"""SELECT c.relname, c.oid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                 WHERE i.indrelid = '{ORDERS}'::regclass
                UNION ALL SELECT conname, oid FROM pg_constraint
                 WHERE conrelid = '{ORDERS}'::regclass AND contype = 'f'"""
    return {str(name): int(oid) for name, oid in sql(dsn, query)}


@pytest.mark.parametrize(
    "way",
    [
        *WAYS,
        pytest.param(MANY | {"workers": "processes"}, id="processes"),
        pytest.param({"triggers": "disable-user"}, id="triggers"),
    ],
)
def test_a_small_table_of_which_all_is_rebuilt(server: Server, ready: Pair, way: dict[str, Any]) -> None:
    before = dump(server, ready.dst)
    plan = api.plan(*ready, **REBUILD, **way, maintenance_work_mem=8 << 20)
    assert (sorted(plan.as_dict()["indexes"]["rebuilt"]), kept(plan)) == (NAMES, {})
    report = copypump.pump(*ready, **REBUILD, **way, maintenance_work_mem=8 << 20)
    assert report.rows_written == ROWS
    assert count(ready.dst) == 20 + ROWS
    assert dump(server, ready.dst) == before


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["upsert", "update"])
def test_modes_that_merge(server: Server, ready: Pair, mode: str, way: dict[str, Any]) -> None:
    """What they tell rows by stays; with a ledger the rest goes only when the rows that wait are merged."""
    sql(ready.src, "UPDATE t SET id = id - 90 WHERE id <= 110")
    sql(ready.dst, "ALTER TABLE t DROP CONSTRAINT apart")
    before = dump(server, ready.dst)
    job = REBUILD | way | {"mode": mode, "key": ["id"]}
    plan = api.plan(*ready, **job)
    assert set(kept(plan)) == {"t_key"}
    names = [each["name"] for each in plan.as_dict()["transactions"]]
    if way:
        assert names.index("load") < names.index("drop indexes") < names.index("merge")
        assert names.index("merge") < names.index("indexes 1") < names.index("check indexes")
    report = copypump.pump(*ready, **job)
    assert (report.tally.updated, report.tally.inserted) == (10, 50 if mode == "upsert" else 0)
    assert count(ready.dst) == 20 + report.tally.inserted
    assert dump(server, ready.dst) == before


def test_with_rejects_what_they_are_found_by_stays(server: Server, ready: Pair) -> None:
    sql(ready.src, "UPDATE t SET id = 1 WHERE id = 101; UPDATE t SET part = 77 WHERE id = 102")
    before = dump(server, ready.dst)
    job = REBUILD | {"on_error": "reject"}
    plan = api.plan(*ready, **job)
    assert plan.as_dict()["indexes"]["rebuilt"] == ["plain"]
    assert set(kept(plan)) == set(NAMES) - {"plain"}
    report = copypump.pump(*ready, **job)
    assert (report.tally.rejected, count(ready.dst)) == (2, 20 + ROWS - 2)
    assert dump(server, ready.dst) == before


def test_mode_replace_and_a_table_that_is_made_have_nothing_to_rebuild(ready: Pair) -> None:
    sql(ready.dst, "CREATE TABLE bare AS TABLE t; ALTER TABLE bare ADD PRIMARY KEY (id)")
    job = REBUILD | {"into": "bare", "mode": "replace", "maintenance_work_mem": 1 << 20}
    plan = api.plan(*ready, **job)
    assert plan.as_dict()["indexes"] is None
    assert plan.statements.count("SET LOCAL maintenance_work_mem = '1024kB'") == 2
    assert copypump.pump(*ready, **job).rows_written == ROWS
    copypump.pump(*ready, **REBUILD | {"into": "made", "create": True, "mode": None})
    assert sql(ready.dst, "SELECT count(*) FROM made") == [(ROWS,)]


# What stays ------------------------------------------------------------------------------------------------

STAYS = {
    "it is the replica identity": (
        "once",
        "ALTER TABLE t ALTER n SET NOT NULL; CREATE UNIQUE INDEX once ON t (n, id);"
        " ALTER TABLE t REPLICA IDENTITY USING INDEX once",
    ),
    "it is the replica identity of a published table": (
        "t_key",
        "ALTER TABLE t ADD CONSTRAINT t_key PRIMARY KEY (id); CREATE PUBLICATION p FOR TABLE t",
    ),
    "constraint f on table public.referring depends on it": (
        "t_key",
        "ALTER TABLE t ADD CONSTRAINT t_key PRIMARY KEY (id);"
        " CREATE TABLE referring (id int CONSTRAINT f REFERENCES t)",
    ),
    "rule _RETURN on view public.grouped depends on it": (
        "t_key",
        "ALTER TABLE t ADD CONSTRAINT t_key PRIMARY KEY (id);"
        " CREATE VIEW grouped AS SELECT id, v FROM t GROUP BY id",
    ),
    "it belongs to extension plpgsql": ("i", "CREATE INDEX i ON t (v); ALTER INDEX i DEPENDS ON EXTENSION plpgsql"),
    "it belongs to index public.whole_id_idx": (
        "t_id_idx",
        "CREATE TABLE whole (id int, part int, v text, n numeric) PARTITION BY LIST (part);"
        " CREATE INDEX ON whole (id); ALTER TABLE whole ATTACH PARTITION t DEFAULT",
    ),
    "it is not valid": ("i", None),
    "it is not valid: made again, it would not check the rows of this run": (
        "f",
        "CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other SELECT generate_series(0, 5);"
        " ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (part) REFERENCES other NOT VALID",
    ),
    "its triggers are disabled, or fire on replicas": (
        "f",
        "CREATE TABLE other (id int PRIMARY KEY);"
        " ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (part) REFERENCES other; ALTER TABLE t DISABLE TRIGGER ALL",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("server", "why"), in_turn(STAYS), indirect=["server"])
def test_what_stays_and_why(server: Server, two: Pair, why: str) -> None:
    """And still the other one is rebuilt."""
    name, statements = STAYS[why]
    columns = "(id int NOT NULL, part int, v text, n numeric)"
    sql(
        two.src, f"CREATE TABLE t {columns}; INSERT INTO t SELECT i, i % 3, i, i FROM generate_series(1, 9) i"
    )
    sql(two.dst, f"CREATE TABLE t {columns}; CREATE INDEX another ON t (v, n)")
    if statements is not None:
        sql(two.dst, statements)
    else:
        sql(two.dst, "INSERT INTO t VALUES (1), (1)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            sql(two.dst, "CREATE UNIQUE INDEX CONCURRENTLY i ON t (id)")
        sql(two.dst, "TRUNCATE t")
    before = dump(server, two.dst)
    plan = api.plan(*two, **REBUILD)
    assert (plan.as_dict()["indexes"]["rebuilt"], kept(plan)) == (["another"], {name: why})
    assert f"kept: {name}, as {why}" in plan.describe()
    assert copypump.pump(*two, **REBUILD).rows_written == 9
    assert dump(server, two.dst) == before


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "CREATE TABLE x (id int, part int) PARTITION BY LIST (part)",
            "partitioned table: its indexes are made",
        ),
        ("CREATE VIEW x AS SELECT id, part FROM t", "goes with an ordinary table, and this is a view"),
    ],
)
def test_targets_that_are_refused(ready: Pair, statement: str, words: str) -> None:
    sql(ready.dst, statement)
    with pytest.raises(RefusedError, match=words):
        api.plan(*ready, **REBUILD | {"into": "x", "columns": ["id", "part"], "mode": "insert"})


def test_a_role_that_could_not_make_them_again(server: Server, ready: Pair) -> None:
    sql(ready.dst, "GRANT ALL ON t, other TO pg_monitor")
    dst = f"{ready.dst} options='-c role=pg_monitor'"
    with pytest.raises(TargetError, match="who owns it; CREATE on the schema public") as raised:
        copypump.pump(ready.src, dst, **REBUILD)
    assert (raised.value.sqlstate, count(ready.dst)) == ("42501", 20)
    sql(ready.dst, "GRANT CREATE ON SCHEMA public TO pg_monitor; ALTER TABLE t OWNER TO pg_monitor")
    sql(ready.dst, "REVOKE REFERENCES ON other FROM pg_monitor")
    assert kept(api.plan(ready.src, dst, **REBUILD)) == {
        "points": "the role lacks REFERENCES on public.other"
    }
    assert copypump.pump(ready.src, dst, **REBUILD).rows_written == ROWS
    assert named(ready.dst) == NAMES


@pytest.mark.parametrize("source", [{"table": "other"}, {"query": "SELECT id FROM other"}])
def test_a_source_that_a_foreign_key_refers_to(ready: Pair, source: dict[str, Any]) -> None:
    """Dropping the key locks it against all readers, ourselves among them."""
    job = {"into": "t", "mode": "append", "create": False, "indexes": "rebuild"} | source
    sql(ready.dst, "ALTER TABLE t ALTER part SET DEFAULT 1")
    for way in ({}, {"run_id": "r"}):
        with pytest.raises(RefusedError, match=r"reads public\.other, which dropping a foreign key"):
            copypump.pump(ready.dst, ready.dst, **job, **way)
    assert named(ready.dst) == NAMES


def test_options_that_do_not_fit() -> None:
    for words in (
        {"indexes": "some"},
        {"maintenance_work_mem": 1 << 20},
        {"indexes": "rebuild", "maintenance_work_mem": 1000},
    ):
        with pytest.raises(UsageError, match=r"indexes|maintenance_work_mem"):
            copypump.pump("", "", table="t", **words)  # type: ignore[arg-type]


def test_the_plan_tells_whether_it_is_expected_to_pay(two: Pair) -> None:
    """By the bytes that are there and those that come, where both are known."""
    for dsn in two:
        sql(
            dsn,
            "CREATE TABLE t (id int, v text); INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 16) i",
        )
    sql(two.dst, "CREATE INDEX by_id ON t (id)")
    job = REBUILD | {"table": "t"}
    shown = api.plan(*two, **job).as_dict()["indexes"]
    assert (shown["there"], shown["coming"], shown["pays"]) == (16384, 16384, True)
    sql(two.dst, "INSERT INTO t SELECT t.* FROM t, generate_series(1, 50)")
    plan = api.plan(*two, **job)
    shown = plan.as_dict()["indexes"]
    assert shown["there"] > indexes.PAYS * shown["coming"]
    assert shown["pays"] is False
    assert (
        f"not expected to pay, as 16,384 bytes come to {shown['there']:,}: {indexes.RULE}" in plan.describe()
    )
    assert api.plan(*two, **job | {"mode": "truncate"}).as_dict()["indexes"]["pays"] is True
    for unknown in ({"where": "id = 1"}, {"table": None, "query": "TABLE t", "into": "t"}):
        assert api.plan(*two, **job | unknown).as_dict()["indexes"]["pays"] is None


# When something fails ---------------------------------------------------------------------------------------


def test_in_one_transaction_nothing_is_changed(server: Server, ready: Pair) -> None:
    before, rows = dump(server, ready.dst), sql(ready.dst, "TABLE t ORDER BY id")

    def fails(batch: Any) -> Any:
        if batch.num_rows:
            raise ValueError
        return batch

    with pytest.raises(copypump.TransformError):
        copypump.pump(*ready, **REBUILD, transform=fails)
    for broken, sqlstate, name in (
        ("UPDATE t SET id = 7 WHERE id = 110", "23505", "t_key"),
        ("UPDATE t SET id = 110, n = 7 WHERE id = 7", "23P01", "apart"),
        ("UPDATE t SET n = 110, part = 99 WHERE n = 7", "23503", "points"),
    ):
        sql(ready.src, broken)
        with pytest.raises(TargetError, match=name) as raised:
            copypump.pump(*ready, **REBUILD)
        error = raised.value
        assert (error.sqlstate, error.exit_code, error.table) == (sqlstate, ExitCode.TARGET, "public.t")
        assert "nothing was committed" in str(error.state)
        assert name in str(error.hint)
        assert dump(server, ready.dst) == before
        assert sql(ready.dst, "TABLE t ORDER BY id") == rows


def broken_run(ready: Pair) -> TargetError:
    """A run with a ledger whose rows break the key, which it finds when it makes it again."""
    sql(ready.src, "UPDATE t SET id = 7 WHERE id = 110")
    with pytest.raises(TargetError, match='could not create unique index "t_key"') as raised:
        copypump.pump(*ready, **REBUILD, **MANY)
    return raised.value


MEND = "DELETE FROM t WHERE id = 7 AND n = 110"


def test_a_violation_that_is_found_at_the_end_can_be_mended(server: Server, ready: Pair) -> None:
    before = dump(server, ready.dst)
    error = broken_run(ready)
    assert (error.sqlstate, error.exit_code) == ("23505", ExitCode.TARGET)
    assert "copypump resume r" in str(error.hint)
    assert "6 of 6 chunks are committed" in str(error.state)
    assert count(ready.dst) == 20 + ROWS
    assert "t_key" not in named(ready.dst)
    with pytest.raises(
        RefusedError, match=r"has dropped what it has not made again: .*indexes t_key \(gone\)"
    ) as raised:
        forget("r", ready.dst)
    assert "--indexes rebuild" in str(raised.value.hint)
    with pytest.raises(TargetError, match="t_key"):
        forget("r", ready.dst, indexes="rebuild")
    with pytest.raises(TargetError, match="t_key"):
        resume("r", *ready)
    sql(ready.dst, MEND)
    resume("r", *ready)
    assert dump(server, ready.dst) == before
    assert count(ready.dst) == 20 + ROWS - 1
    sql(ready.dst, "DROP INDEX plain")  # of a run that is done, nobody asks
    assert forget("r", ready.dst) == ()


def test_a_run_is_forgotten_with_its_indexes_made_or_left(server: Server, ready: Pair) -> None:
    before = dump(server, ready.dst)
    broken_run(ready)
    sql(ready.dst, MEND)
    assert forget("r", ready.dst, indexes="rebuild") == ()
    assert dump(server, ready.dst) == before
    sql(ready.src, "UPDATE t SET id = id + 1000, n = n + 1000, v = v || 'x'")
    sql(ready.src, "UPDATE t SET id = 7 WHERE n = 1111")
    with pytest.raises(TargetError):
        copypump.pump(*ready, **REBUILD, **MANY)
    left = forget("r", ready.dst, indexes="leave")
    assert copypump.runs(ready.dst) == []
    assert "t_key" not in named(ready.dst)
    sql(ready.dst, "DELETE FROM t WHERE id = 7 AND n = 1111")
    with psycopg.connect(ready.dst, application_name=TEST_APPLICATION) as connection:
        for statement in left:
            connection.execute(statement.encode())
    assert dump(server, ready.dst) == before


def test_a_foreign_key_that_rows_break(server: Server, ready: Pair) -> None:
    """What was made before it is not made again."""
    before = dump(server, ready.dst)
    sql(ready.src, "UPDATE t SET part = 9 WHERE part = 3")
    with pytest.raises(TargetError, match="points") as raised:
        copypump.pump(*ready, **REBUILD, **MANY)
    assert raised.value.sqlstate == "23503"
    assert set(NAMES) - set(named(ready.dst)) == {"points"}
    made = sql(ready.dst, "SELECT oid FROM pg_class WHERE relname = 'plain'")
    sql(ready.dst, "INSERT INTO other VALUES (9)")
    resume("r", *ready)
    assert dump(server, ready.dst) == before
    assert sql(ready.dst, "SELECT oid FROM pg_class WHERE relname = 'plain'") == made


def dies(batch: Any) -> Any:
    """A transform in whose middle the process is killed, once its environment says so."""
    if os.environ.get("COPYPUMP_TEST_DIES") and 3 in batch.column("part").to_pylist():
        os.kill(os.getpid(), signal.SIGKILL)
    return batch


DIES = {"transform": "tests.engine.around.test_indexes:dies"}


def killed(ready: Pair, **job: Any) -> None:
    """Run it in a process that dies while rows move."""
    code = "import copypump, json, sys; copypump.pump(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *ready, json.dumps(job)],
        env={**os.environ, "COPYPUMP_TEST_DIES": "1"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize("way_out", ["resume", "rebuild"])
def test_a_copypump_that_is_killed_between_drop_and_rebuild(
    server: Server, ready: Pair, way_out: str
) -> None:
    before = dump(server, ready.dst)
    killed(ready, **REBUILD, **MANY, **DIES)
    assert named(ready.dst) == []
    if way_out == "resume":
        resume("r", *ready, new_snapshot=True)
        assert count(ready.dst) == 20 + ROWS
    else:
        with pytest.raises(RefusedError) as raised:
            forget("r", ready.dst)
        assert all(name in str(raised.value) for name in NAMES)
        forget("r", ready.dst, indexes="rebuild")
    assert dump(server, ready.dst) == before


def test_one_that_is_killed_in_one_transaction(server: Server, ready: Pair) -> None:
    before = dump(server, ready.dst)
    killed(ready, **REBUILD, **DIES)
    assert (dump(server, ready.dst), count(ready.dst)) == (before, 20)


def test_a_table_that_is_gone_is_owed_nothing(ready: Pair) -> None:
    broken_run(ready)
    sql(ready.dst, "DROP TABLE t")
    assert forget("r", ready.dst) == ()


def test_a_target_that_has_changed_since_the_plan(ready: Pair) -> None:
    plan = api.plan(*ready, **REBUILD)
    sql(ready.dst, "DROP INDEX plain; CREATE INDEX plain ON t (v)")
    drop = plan.loading.prepare[0]
    assert isinstance(drop, Drop)
    with Session(ready.dst, Side.TARGET) as session:
        session.begin_target()
        with pytest.raises(
            RefusedError, match=r"changed after the plan was made: indexes plain \(comment, definition, "
        ):
            drop.run(session, Tally())
    assert named(ready.dst) == NAMES


def test_what_was_made_again_is_held_against_what_was_dropped(ready: Pair) -> None:
    """Somebody made one of the indexes himself, meanwhile, in another way."""
    broken_run(ready)
    sql(ready.dst, MEND)
    sql(ready.dst, "DROP INDEX plain; CREATE INDEX plain ON t (v) INCLUDE (n)")
    sql(ready.dst, "DELETE FROM copypump.steps WHERE step LIKE 'indexes %'")
    with pytest.raises(RefusedError, match=r"indexes plain \(definition, indclass, options\)"):
        resume("r", *ready)


def test_a_process_that_was_overtaken(ready: Pair) -> None:
    """It planned by notes that are not the last ones."""
    broken_run(ready)
    record = recorded("r", ready.dst)
    options = Options.of(**REBUILD, **MANY)
    with pytest.raises(RefusedError, match="further meanwhile"):
        carry_out(*ready, options, resumed=replace(record, notes={}))
