"""Scripts of pg_restore's, taken apart; what pg_dump is told of a server, and what of it anybody can see."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from copypump.errors import RefusedError, Side
from copypump.postgres import tools
from copypump.postgres.catalog import find_table
from copypump.postgres.dump import dump_table, section_of
from copypump.postgres.interrupt import Aborted, Interrupt
from copypump.postgres.query import statements_of
from copypump.postgres.session import Session
from copypump.postgres.tools import find_tools, run, way_to
from tests.postgres.conftest import later, within
from tests.servers import PASSWORD, PASSWORD_ROLE, SystemServer, sql

SCRIPTS = [
    ("", []),
    ("-- ;\n\n/* ; /* ; */ */ SELECT 1 ;\n;; SELECT\n2", ["SELECT 1", "SELECT\n2"]),
    (
        "SELECT ';', \";\", $$;$$, $a$;$$;$a$, E'\\';';\nX;",
        ["SELECT ';', \";\", $$;$$, $a$;$$;$a$, E'\\';'", "X"],
    ),
    ("RULE r DO (A; B);\nC -- ; of C\n D;", ["RULE r DO (A; B)", "C -- ; of C\n D"]),
    ("SELECT '\\';SELECT 2;", ["SELECT '\\'", "SELECT 2"]),
    ("A /* ; */;--x", ["A /* ; */"]),
]


@pytest.mark.parametrize(("script", "statements"), SCRIPTS)
def test_statements_of_a_script(script: str, statements: list[str]) -> None:
    assert list(statements_of(script)) == statements


def test_a_scripts_settings_are_for_one_transaction() -> None:
    script = r"""
\restrict abc
SET statement_timeout = 0;
SET xmloption = content;
SELECT pg_catalog.set_config('search_path', '', false);
SET default_table_access_method = heap;
CREATE TABLE s.t (c text DEFAULT '
\restrict x
');
ALTER TABLE ONLY s.t ALTER COLUMN c SET (pg_attver=26512056);
ALTER TABLE ONLY s."t t" ALTER COLUMN c SET (n_distinct=5, pg_attver=26512056);
ALTER TABLE ONLY s.t ALTER COLUMN c SET DEFAULT 'SET (pg_attver=1)';

\unrestrict abc
"""
    section = section_of(script)
    assert section.settings == (
        "SET LOCAL xmloption = content",
        "SET LOCAL search_path = ''",
        "SET LOCAL default_table_access_method = heap",
    )
    assert section.statements == (
        "CREATE TABLE s.t (c text DEFAULT '\n\\restrict x\n')",
        'ALTER TABLE ONLY s."t t" ALTER COLUMN c SET (n_distinct=5)',
        "ALTER TABLE ONLY s.t ALTER COLUMN c SET DEFAULT 'SET (pg_attver=1)'",
    )


def test_a_command_that_is_not_known_is_refused() -> None:
    with pytest.raises(RefusedError, match="only psql"):
        section_of("SET a = b;\n\\connect other\nSELECT 1;")


def test_a_password_goes_by_the_environment_alone(
    pg15: SystemServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("PGOPTIONS", "-c x=y")
    dsn = pg15.dsn(user=PASSWORD_ROLE, password=PASSWORD, sslmode="require", options="-c a.b=c")
    with Session(dsn, Side.SOURCE) as session, way_to(session) as (conninfo, environment):
        told = conninfo_to_dict(conninfo)
        assert (told["host"], told["user"], told["sslmode"]) == ("127.0.0.1", PASSWORD_ROLE, "require")
        assert told["options"] == "-c a.b=c"
        assert PASSWORD not in conninfo
        assert environment["PGPASSWORD"] == PASSWORD
        assert not {"PGHOST", "PGOPTIONS", "PGSERVICEFILE"} & set(environment)


def test_pg_dump_logs_in_with_a_password_over_tls(pg15: SystemServer) -> None:
    with pg15.fresh_database() as name:
        sql(pg15.dsn(name), f"CREATE TABLE t (id int); GRANT ALL ON t TO {PASSWORD_ROLE}")
        dsn = pg15.dsn(name, user=PASSWORD_ROLE, password=PASSWORD, sslmode="require")
        with Session(dsn, Side.SOURCE) as session:
            session.begin_source()
            table = find_table(session, "t")
            assert table is not None
            dump = dump_table(session, table, find_tools(session.server_version))
    assert dump.before.statements[-1].startswith("CREATE TABLE public.t (\n    id integer")
    assert dump.after.all == ()


def test_a_secret_without_a_variable_goes_by_a_file_of_ours(pg15: SystemServer, tmp_path: Path) -> None:
    """The passphrase of a client's key, without which no session opens."""
    key = ["-newkey", "rsa:2048", "-passout", "pass:open sesame", "-keyout", tmp_path / "key"]
    make = ["openssl", "req", "-x509", *key, "-out", tmp_path / "crt", "-days", "2", "-subj", "/CN=postgres"]
    subprocess.run(make, check=True, capture_output=True)
    (tmp_path / "key").chmod(0o600)
    tls = {"sslmode": "require", "sslcert": str(tmp_path / "crt"), "sslkey": str(tmp_path / "key")}
    with Session(pg15.dsn(**tls, sslpassword="open sesame"), Side.SOURCE) as session:
        with way_to(session) as (conninfo, environment):
            assert "sesame" not in conninfo
            file = Path(environment["PGSERVICEFILE"])
            assert file.stat().st_mode & 0o777 == 0o600
            version = [find_tools(session.server_version).pg_dump, "--schema-only", "--dbname", conninfo]
            assert b"PostgreSQL database dump" in run(version, None, environment=environment)
        assert not file.exists()


def test_an_interrupt_ends_a_program_and_what_it_waits_for(database: str, interrupt: Interrupt) -> None:
    """pg_dump waits for a lock, and its server with it."""
    sql(database, "CREATE TABLE t (id int)")
    with psycopg.connect(database) as holder, Session(database, Side.SOURCE, interrupt=interrupt) as session:
        session.begin_source()
        table = find_table(session, "t")
        assert table is not None
        session.rollback()
        holder.execute("LOCK TABLE t")
        with later(0.5, interrupt.set), within(10), pytest.raises(Aborted):
            dump_table(session, table, find_tools(session.server_version))


def test_an_error_has_the_programs_own_words(database: str, tmp_path: Path) -> None:
    del database
    with pytest.raises(tools.ToolError, match=r"^cat failed: .*No such file"):
        run(["cat", tmp_path / "none"], None)
    with pytest.raises(tools.ToolError, match="cannot be run"):
        run([tmp_path / "none"], None)
