"""`copypump plan`: the same as `run --dry-run`, for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from copypump.cli.configured import keys_of
from copypump.cli.plan import plan
from copypump.cli.run import run
from tests.cli.conftest import Cli
from tests.conftest import Pair
from tests.servers import sql

ETL = """
import copypump
import pyarrow.compute as pc

@copypump.reads("id")
def odd(batch):
    return copypump.reject(batch, pc.equal(batch["id"], 2), "two")
"""


@pytest.fixture
def job(pair: Pair, tmp_path: Path) -> list[str]:
    sql(pair.src, """CREATE TABLE t (id int, "[red]name" text)""")
    sql(
        pair.src,
        r"INSERT INTO t SELECT i, E'[bold]secret\x1b[31m\n' || repeat('x', 100) FROM generate_series(1, 5) i",
    )
    sql(pair.dst, """CREATE TABLE t (id int PRIMARY KEY, "[red]name" text)""")
    (tmp_path / "cp_plan.py").write_text(ETL)
    return ["--src", pair.src, "--dst", pair.dst, "--table", "t", "--transform", "cp_plan:odd"]


def test_it_takes_what_run_takes() -> None:
    mine = {option.name for option in keys_of(plan).values()}
    runs = {option.name for option in keys_of(run).values()}
    assert mine == runs - {"dry_run", "profile", "progress", "report"} | {"as_json"}


def test_for_people(copypump: Cli, pair: Pair, job: list[str]) -> None:
    done = copypump("plan", *job)
    assert done.returncode == 0, done.stderr
    assert done.stdout == copypump("run", *job, "--dry-run").stdout
    assert not done.stderr
    for part in (
        "source     public.t, table of PostgreSQL 1",
        "transform  cp_plan:odd\n",
        "    [red]name text, bytes as they are -> [red]name text\n",
        "    CREATE UNIQUE INDEX t_pkey ON public.t USING btree (id), ",
        '    COPY "public"."t" ("id", "[red]name") FROM STDIN (FORMAT BINARY)\n',
        '    "public"."t" on the target: ROW EXCLUSIVE, until the COMMIT at the end; others can read and write\n',
    ):
        assert part in done.stdout
    assert "secret" not in done.stdout
    assert sql(pair.dst, "SELECT count(*) FROM t") == [(0,)]


def test_as_json(copypump: Cli, job: list[str]) -> None:
    done = copypump("plan", *job, "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["version"] == 1
    assert shown["preview"] is None
    assert "secret" not in done.stdout


def test_a_preview(copypump: Cli, job: list[str]) -> None:
    done = copypump("run", *job, "--dry-run", "--preview", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(r"[bold]secret\x1b[31m\n") == 5  # three before, two after
    assert "x" * 30 not in done.stdout
    assert "\x1b" not in done.stdout
    assert "two" in done.stdout
    shown = json.loads(copypump("plan", *job, "--preview", "3", "--json").stdout)["preview"]
    assert [row["id"] for row in shown["before"]] == [1, 2, 3]
    assert [row["id"] for row in shown["after"]] == [1, 3]
    assert shown["rejected"] == [{"by": "transform cp_plan:odd", "reason": "two", "row": {"id": 2}}]
    assert shown["before"][0]["[red]name"].startswith("[bold]secret\x1b")


def test_a_run_of_a_file(copypump: Cli, job: list[str], tmp_path: Path) -> None:
    keys = "\n".join(f"{job[i].removeprefix('--')} = '{job[i + 1]}'" for i in range(0, len(job), 2))
    (tmp_path / "copypump.toml").write_text(f"[run.job]\nprogress = false\n{keys}\n")
    assert copypump("plan", "job").stdout == copypump("plan", *job).stdout
    (tmp_path / "copypump.toml").write_text("[run.job]\njson = true\n")
    assert "there is no key json" in copypump("plan", "job").stderr


def test_refusals(copypump: Cli, pair: Pair, job: list[str]) -> None:
    lone = copypump("run", *job, "--preview", "3")
    assert lone.returncode == 2
    assert "--preview goes with --dry-run" in lone.stderr
    sql(pair.dst, "ALTER TABLE t DROP id")
    done = copypump("plan", *job)
    assert done.returncode == 3
    assert 'column "id": the target has no such column' in done.stderr
    assert not done.stdout


def test_all_refusals_are_told(copypump: Cli, pair: Pair, job: list[str]) -> None:
    sql(pair.dst, "ALTER TABLE t DROP id, ADD more int NOT NULL")
    done = copypump("plan", *job)
    assert done.returncode == 3
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 2
    assert "hint:  let the transform make it" in done.stderr
    line = json.loads(copypump("run", *job, "--log-format", "json").stderr)
    assert [other["error"].partition(": ")[2][:12] for other in line["others"]] == ["the target's"]
