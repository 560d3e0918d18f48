"""How the values of options are read, and which of them contradict each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from copypump.cli.options import CONTEXT
from copypump.cli.run import check, run
from copypump.engine.options import Options
from tests.cli.conftest import Cli

ENDS = ["--src", "a", "--dst", "b"]


def parsed(*words: str) -> dict[str, Any]:
    """The parameters that `run` would be called with."""
    return run.make_context("run", [*ENDS, *words], **CONTEXT).params


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("id", ("id",)),
        ("id,Age , NAME", ("id", "age", "name")),
        ('"Full name", id', ("Full name", "id")),
        ('"a,b","say ""hi""",c', ("a,b", 'say "hi"', "c")),
        ("größe,Élan", ("größe", "Élan")),  # PostgreSQL folds only ASCII in a multi-byte encoding
        ("", ()),
    ],
)
def test_names_are_read_as_sql_reads_them(text: str, names: tuple[str, ...]) -> None:
    assert parsed("--columns", text)["columns"] == names
    assert parsed("--reads", text)["reads"] == names


@pytest.mark.parametrize("text", ["id,,age", "full name", '"open', "a=b", ",id"])
def test_names_that_sql_cannot_read(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write column names as in SQL"):
        parsed("--columns", text)


def test_policies() -> None:
    words = ["null", "due=keep", '"a=b" = error']
    options = parsed(*(word for value in words for word in ("--on-unrepresentable", value)))
    assert options["on_unrepresentable"] == {"": "null", "due": "keep", "a=b": "error"}
    assert parsed()["on_unrepresentable"] == {}
    for wrong in (["drop"], ["a="], ["a=nul"], ["null", "keep"], ["a=null", "a=keep"]):
        with pytest.raises(click.BadParameter):
            parsed(*(word for value in wrong for word in ("--on-unrepresentable", value)))


def test_types() -> None:
    types = parsed("--type", "Price=decimal128(18, 4)", "--type", '"a=b" = utf8')["types"]
    assert types == {"price": "decimal128(18, 4)", "a=b": "utf8"}
    for wrong in ("price", "price=", "=utf8", "a b=utf8"):
        with pytest.raises(click.BadParameter, match="COLUMN=ARROW_TYPE"):
            parsed("--type", wrong)
    with pytest.raises(click.BadParameter, match='two types for the column "a"'):
        parsed("--type", "a=utf8", "--type", "A=int32")


@pytest.mark.parametrize(
    ("text", "size"),
    [("1048576", 1 << 20), ("512kB", 1 << 19), ("4MB", 1 << 22), ("1 GiB", 1 << 30), ("2m", 1 << 21)],
)
def test_sizes(text: str, size: int) -> None:
    assert parsed("--batch-bytes", text)["batch_bytes"] == size


@pytest.mark.parametrize("text", ["0", "2GB", "-1", "1.5MB", "much"])
def test_wrong_sizes(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parsed("--batch-bytes", text)


def test_the_defaults_are_the_engine_s_own() -> None:
    job = parsed("--table", "t")
    given = {
        name: job[name] for name in ("batch_rows", "batch_bytes", "create", "mode", "types", "where", "into")
    }
    options = Options(table="t")
    assert given == {name: getattr(options, name) for name in given}


def test_query_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text("select 'é'", encoding="utf-8")
    assert parsed("--query", f"@{tmp_path}/q.sql")["query"] == "select 'é'"
    (tmp_path / "latin.sql").write_bytes(b"select '\xe9'")
    with pytest.raises(click.BadParameter, match="it is not UTF-8"):
        parsed("--query", f"@{tmp_path}/latin.sql")
    with pytest.raises(click.BadParameter, match="No such file"):
        parsed("--query", f"@{tmp_path}/nowhere.sql")


CONTRADICTIONS = [
    ([], "one of --table and --query"),
    (["--table", "t", "--query", "select 1"], "one of --table and --query"),
    (["--query", "select 1"], "--query needs --into"),
    (["--query", "select 1", "--into", "t", "--columns", "a"], "--columns goes with --table"),
    (["--query", "select 1", "--into", "t", "--where", "true"], "--where goes with --table"),
    (["--table", "t", "--columns", ""], "names no column"),
    (["--table", "t", "--reads", "a"], "--reads goes with --transform"),
    (["--table", "t", "--dry-run", "--report", "-"], "--dry-run has none"),
    (["--table", "t", "--dry-run", "--profile", "p"], "--dry-run has none"),
    (["--table", "t", "--workers", "processes", "--profile", "p"], "the work of threads"),
]


@pytest.mark.parametrize(("words", "message"), CONTRADICTIONS)
def test_contradictions(words: list[str], message: str) -> None:
    job = parsed(*words)
    with pytest.raises(click.UsageError, match=message):
        check(job, job["dry_run"], job["report"], job["preview"], job["profile"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--table", "t", "--query", "select 1"], "give one of --table and --query"),
        (["--table", "t", "--mode", "swap"], "'swap' is not one of"),
        (["--table", "t", "--pythonpath", "nowhere"], "does not exist"),
        (["--table", "t", "--report", "no/such/report.json"], "there is no directory no/such"),
        (["--table", "t", "--tabel", "t"], "Did you mean"),
    ],
)
def test_a_usage_error_exits_with_2(copypump: Cli, words: list[str], message: str) -> None:
    done = copypump("run", *ENDS, *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert not done.stdout


def test_the_endpoints_are_needed_and_come_from_the_environment(copypump: Cli) -> None:
    missing = copypump("run", "--table", "t")
    assert missing.returncode == 2
    assert "--src" in missing.stderr
    words = ["run", "--table", "t", "--transform", "cp_no_such_module:fn"]
    found = copypump(*words, COPYPUMP_SRC="host=/nowhere", COPYPUMP_DST="host=/nowhere")
    assert found.returncode == 3  # the transform is looked for before any connection
    assert 'no module "cp_no_such_module"' in found.stderr


def test_a_dsn_that_does_not_parse_is_not_shown(copypump: Cli) -> None:
    done = copypump(
        "run",
        "--src",
        "postgresql://u:s3cret@[broken/db",
        "--dst",
        "postgresql://u:s3cret@h:x:y/db",
        "--table",
        "t",
    )
    assert done.returncode == 2
    assert "s3cret" not in done.stderr + done.stdout
