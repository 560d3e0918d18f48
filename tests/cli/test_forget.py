"""`copypump forget`, of a run that has dropped indexes and not made them again."""

from __future__ import annotations

from tests.cli.conftest import Cli
from tests.conftest import Pair
from tests.servers import sql


def test_indexes_that_a_run_owes(copypump: Cli, pair: Pair) -> None:
    """Refused with the ways out; left out with the statements that make them, which work as they stand."""
    for dsn in pair:
        sql(dsn, "CREATE TABLE t (id int CONSTRAINT t_key PRIMARY KEY, v text); CREATE INDEX by_v ON t (v)")
        sql(dsn, "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    job = ["--table", "t", "--mode", "append", "--indexes", "rebuild", "--maintenance-work-mem", "8MB"]
    run = copypump("run", "--src", pair.src, "--dst", pair.dst, *job, "--run-id", "r")
    assert run.returncode == 5, run.stderr
    assert 'could not create unique index "t_key"' in run.stderr
    refused = copypump("forget", "r", "--dst", pair.dst)
    assert refused.returncode == 3
    assert "t_key (gone)" in refused.stderr
    assert "copypump forget r --indexes rebuild" in refused.stderr
    assert copypump("forget", "r", "--dst", pair.dst, "--indexes", "rebuild").returncode == 5
    left = copypump("forget", "r", "--dst", pair.dst, "--indexes", "leave")
    assert left.returncode == 0, left.stderr
    statements, _, last = left.stdout.rstrip().rpartition("\n")
    assert last == "forgotten: r"
    assert statements.startswith("BEGIN;\n")
    assert sql(pair.dst, "SELECT FROM pg_index WHERE indrelid = 't'::regclass AND indisunique") == []
    sql(pair.dst, "DELETE FROM t WHERE ctid IN (SELECT max(ctid) FROM t GROUP BY id)")
    sql(pair.dst, statements)
    assert sql(pair.dst, "SELECT conname FROM pg_constraint WHERE conrelid = 't'::regclass AND contype = 'p'") == [
        ("t_key",)
    ]  # fmt: skip
