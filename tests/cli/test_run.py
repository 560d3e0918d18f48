"""`copypump run` from end to end, on real servers; in a process of its own where that is what is tested."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.cli.conftest import Cli, environment
from tests.conftest import Pair
from tests.servers import PASSWORD, PASSWORD_ROLE, TEST_APPLICATION, Server, sql

ETL = """
import pyarrow as pa
import pyarrow.compute as pc

def clean(batch):
    older = pc.add(batch["age"], pa.scalar(1, pa.int32()))
    tax = pc.multiply(batch["salary"], 0.8)
    return pa.record_batch({"id": batch["id"], "name": batch["name"], "age": older, "salary_after_tax": tax})

def few(batch):
    return batch.filter(pc.less(batch["id"], 11))

def fails(batch):
    if batch.num_rows:
        raise ValueError(f"secret {batch['name'][0]}")
    return batch
"""
PEOPLE = "CREATE TABLE people (id bigint, name text, age int, salary float8)"
ROWS = 3000


@pytest.fixture
def job(pair: Pair, tmp_path: Path) -> list[str]:
    """The words of a run of people into an empty table that fits the transform `clean`."""
    sql(pair.src, PEOPLE)
    sql(pair.src, f"INSERT INTO people SELECT i, 'p' || i, i % 90, i FROM generate_series(1, {ROWS}) AS i")
    sql(pair.dst, "CREATE TABLE people (id bigint, name text, age int, salary_after_tax float8)")
    (tmp_path / "cp_etl.py").write_text(ETL)
    return ["run", "--src", pair.src, "--dst", pair.dst]


TABLE = ["--table", "people", "--transform", "cp_etl:clean"]


def test_the_main_job(process: Cli, copypump: Cli, pair: Pair, job: list[str]) -> None:
    done = process(*job, *TABLE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("done: ")
    assert "3,000 rows in " in done.stdout
    assert not done.stderr
    assert sql(pair.dst, "SELECT count(*), sum(age), sum(salary_after_tax)::int8 FROM people") == sql(
        pair.src, "SELECT count(*), sum(age + 1), sum(salary * 0.8::float8)::int8 FROM people"
    )
    again = process(*job, *TABLE)
    assert again.returncode == 3
    assert "--mode" in again.stderr
    assert "truncate" in again.stderr
    assert copypump(*job, *TABLE, "--mode", "truncate").returncode == 0
    assert sql(pair.dst, "SELECT count(*) FROM people") == [(ROWS,)]
    assert copypump(*job, *TABLE, "--mode", "append").returncode == 0
    assert sql(pair.dst, "SELECT count(*) FROM people") == [(2 * ROWS,)]


def test_a_query_from_a_file_through_a_chain_into_a_new_table(
    copypump: Cli, pair: Pair, job: list[str], tmp_path: Path
) -> None:
    (tmp_path / "q.sql").write_text("select * from people where id % 2 = 0")
    chain = ["--transform", "cp_etl:clean", "--transform", "cp_etl:few", "--create", "--into", "even"]
    done = copypump(*job, "--query", "@q.sql", *chain)
    assert done.returncode == 0, done.stderr
    assert "1,500 rows read, 5 written" in done.stdout
    assert sql(pair.dst, "SELECT array_agg(id ORDER BY id) FROM even") == [([2, 4, 6, 8, 10],)]


def test_columns_where_and_reads(copypump: Cli, pair: Pair, job: list[str], tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "cp_lib.py").write_text(ETL)
    words = ["--table", "people", "--columns", "NAME,id", "--where", "id <= 20", "--into", "few", "--create"]
    done = copypump(*job, *words, "--transform", "cp_lib:few", "--pythonpath", "lib", "--reads", "id")
    assert done.returncode == 0, done.stderr
    assert sql(pair.dst, "SELECT max(name), count(*) FROM few") == [("p9", 10)]


def test_the_report_alone_on_stdout(copypump: Cli, job: list[str]) -> None:
    done = copypump(*job, *TABLE, "--report", "-")
    report = json.loads(done.stdout)
    assert report["status"] == "done"
    assert report["rows_read"] == report["rows_written"] == ROWS
    wanted = {"bytes_read", "bytes_written", "seconds", "bottleneck", "warnings"}
    assert wanted <= report.keys()
    assert set(report["stages"]) == {"read", "decode", "transform", "encode", "write"}
    assert all(stage.keys() == {"busy", "waiting"} for stage in report["stages"].values())
    failed = copypump(*job, *TABLE, "--report", "-")
    assert failed.returncode == 3
    report = json.loads(failed.stdout)
    assert (report["status"], report["exit_code"], report["rows_written"]) == ("failed", 3, 0)


def test_the_profile_as_text_and_as_json(copypump: Cli, job: list[str], tmp_path: Path) -> None:
    done = copypump(*job, *TABLE, "--profile", "profile.txt")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "profile.txt").read_text()
    assert all(words in text for words in ("decode bigint", "transform", "in the kernel", "waited"))
    words = [*TABLE, "--transform", "cp_etl:fails", "--mode", "append", "--profile", "profile.json"]
    done = copypump(*job, *words)
    assert done.returncode == 6  # the transform's fault; the profile is there all the same
    parts = json.loads((tmp_path / "profile.json").read_text())["parts"]
    assert parts["transform"]["calls"] > 0
    assert all(part["cpu"] >= 0 for part in parts.values())


def test_the_report_in_a_file_beside_the_summary(copypump: Cli, job: list[str], tmp_path: Path) -> None:
    done = copypump(*job, *TABLE, "--report", "report.json")
    assert done.stdout.startswith("done: ")
    assert json.loads((tmp_path / "report.json").read_text())["rows_read"] == ROWS


def test_a_dry_run_prints_the_plan_and_moves_nothing(copypump: Cli, pair: Pair, job: list[str]) -> None:
    done = copypump(*job, *TABLE, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "cp_etl:clean" in done.stdout
    assert "salary_after_tax" in done.stdout
    assert sql(pair.dst, "SELECT count(*) FROM people") == [(0,)]
    wrong = copypump(*job, "--table", "people", "--dry-run")
    assert wrong.returncode == 3
    assert "salary" in wrong.stderr


def test_a_transform_that_fails(copypump: Cli, pair: Pair, job: list[str]) -> None:
    words = ["--table", "people", "--transform", "cp_etl:clean", "--transform", "cp_etl:fails"]
    done = copypump(*job, *words)
    assert done.returncode == 6
    assert "cp_etl:fails raised ValueError (cp_etl.py:" in done.stderr
    assert "batch 1 (source rows 1 to 3,000)" in done.stderr
    assert "state:" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
    debug = copypump(*job, *words, "--debug")
    assert "secret p1" in debug.stderr
    assert sql(pair.dst, "SELECT count(*) FROM people") == [(0,)]


def test_json_logs(copypump: Cli, job: list[str]) -> None:
    done = copypump(*job, *TABLE, "--log-level", "debug", "--log-format", "json")
    assert done.returncode == 0, done.stderr
    assert all(json.loads(line)["message"] for line in done.stderr.splitlines())
    failed = copypump(*job, *TABLE, "--log-format", "json")
    last = json.loads(failed.stderr.splitlines()[-1])
    assert last["exit_code"] == failed.returncode == 3


def test_a_password_is_never_shown(copypump: Cli, pg15: Any, pair: Pair, job: list[str]) -> None:
    src = pg15.dsn(user=PASSWORD_ROLE, password="wrong s3cret")
    words = ["run", "--src", src, "--dst", pair.dst, "--table", "people", "--log-level", "debug", "--debug"]
    done = copypump(*words)
    assert done.returncode == 4
    assert "password authentication failed" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


def test_endpoints_from_the_environment(copypump: Cli, pair: Pair, job: list[str]) -> None:
    done = copypump("run", *TABLE, COPYPUMP_SRC=pair.src, COPYPUMP_DST=pair.dst)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_goes_changes_nothing(pair: Pair, job: list[str], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "copypump", *job, *TABLE]
    done = subprocess.run(words, cwd=tmp_path, env=environment(), stdout=writer, stderr=writer, check=False)
    os.close(writer)
    assert done.returncode == 0
    assert sql(pair.dst, "SELECT count(*) FROM people") == [(ROWS,)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_waiting_for_a_lock(
    number: int, code: int, pair: Pair, job: list[str], tmp_path: Path, pg16: Server
) -> None:
    with psycopg.connect(pair.dst, application_name=TEST_APPLICATION) as blocker:
        blocker.execute("LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
        words = [sys.executable, "-m", "copypump", *job, *TABLE, "--mode", "truncate"]
        process = subprocess.Popen(
            words, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        waiting = f"SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> {blocker.info.backend_pid}"
        deadline = time.monotonic() + 30
        while sql(pair.dst, waiting) == [(0,)]:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert process.returncode == code, err
    assert not out
    assert err.startswith("error: ")
    assert "Traceback" not in err
    pg16.check_leaks()
    assert sql(pair.dst, "SELECT count(*) FROM people") == [(0,)]


def test_a_start_loads_only_what_the_run_needs(pair: Pair, job: list[str], tmp_path: Path) -> None:
    # How soon it is at work is measured by bench/start.py; each of these would make that later.
    words = [*job, "--table", "people", "--where", "false", "--create", "--into", "e"]
    code = "import sys\nfrom copypump.cli import main\nmain(sys.argv[1:], standalone_mode=False)\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert {"copypump.engine", "pyarrow", "psycopg"} <= loaded
    unneeded = {"duckdb", "multiprocessing", "pandas", "polars", "pyarrow.compute", "psycopg_pool"}
    assert unneeded & loaded == set()


@pytest.mark.parametrize("form", ["conninfo", "URI", "environment"])
def test_no_password_is_said_or_kept(copypump: Cli, pg15: Server, pair: Pair, form: str) -> None:
    sql(
        pair.src,
        f"CREATE TABLE t AS SELECT i FROM generate_series(1, 5) AS i; GRANT SELECT ON t TO {PASSWORD_ROLE}",
    )
    given = conninfo_to_dict(pair.src) | {"user": PASSWORD_ROLE}
    src, env = make_conninfo("", **given, password=PASSWORD), {}
    if form == "URI":
        place = f"{given['host']}:{given['port']}/{given['dbname']}?sslmode=disable"
        src = f"postgresql://{PASSWORD_ROLE}:{quote(PASSWORD)}@{place}"
    elif form == "environment":
        src, env = make_conninfo("", **given), {"PGPASSWORD": PASSWORD}
    job = [
        "--src",
        src,
        "--dst",
        pair.dst,
        "--table",
        "t",
        "--create",
        "--run-id",
        "r",
        "--log-level",
        "debug",
    ]
    done = [
        copypump("plan", *job, "--json", **env),
        copypump("plan", *job, **env),
        copypump("config", "show", *job[:-2], **env),
        copypump("run", *job, "--report", "-", **env),
        copypump("status", "r", "--dst", pair.dst, "--json"),
        copypump("runs", "--dst", pair.dst, "--json"),
    ]
    assert [each.returncode for each in done] == [0] * len(done), [each.stderr for each in done]
    failed = [
        copypump("run", *job, **env),
        copypump("run", "--debug", "--log-format", "json", *job, "--where", "i / 0 = 1", **env),
        copypump("run", *[word.replace(str(given["dbname"]), "no_such") for word in job], **env),
    ]
    assert all(each.returncode for each in failed)
    kept = []
    for (table,) in sql(pair.dst, "SELECT tablename FROM pg_tables WHERE schemaname = 'copypump'"):
        kept += sql(pair.dst, f"SELECT each::text FROM copypump.{table} AS each")
    assert len(kept) > 2
    for text in (*(each.stdout + each.stderr for each in (*done, *failed)), str(kept)):
        assert PASSWORD not in text
        assert quote(PASSWORD) not in text
