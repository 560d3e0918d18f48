"""The commands on a ledger's runs, with the file and the environment of the runs themselves."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.core import ParameterSource

from copypump.cli.config import _toml
from copypump.cli.configured import Configured, keys_of
from copypump.cli.forget import forget
from copypump.cli.options import CONTEXT
from copypump.cli.resume import resume
from copypump.cli.run import KEYS
from copypump.cli.runs import runs
from copypump.cli.status import status
from copypump.errors import UsageError
from tests.cli.conftest import Cli
from tests.cli.samples import sample
from tests.conftest import Pair
from tests.servers import sql

COMMANDS: dict[str, tuple[Configured, tuple[str, ...]]] = {
    "resume": (resume, ("job",)),
    "status": (status, ("job",)),
    "forget": (forget, ("job",)),
    "runs": (runs, ()),
}

# The options that each has in common with a run, which are not all that are called alike.
SHARED = {
    "resume": {
        "src", "dst", "jobs", "retries", "ledger-schema", "progress", "report", "log-level", "log-format", "debug",
    },
    "status": {"dst", "ledger-schema"},
    "forget": {"dst", "ledger-schema"},
    "runs": {"dst", "ledger-schema"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current directory has no file but that of the test."""
    monkeypatch.chdir(tmp_path)


def context(name: str, *words: str) -> click.Context:
    command, argument = COMMANDS[name]
    return command.make_context(name, [*argument, *words], **CONTEXT)


def write(text: str, name: str = "copypump.toml") -> None:
    Path(name).write_text(text)
    Path(name).chmod(0o600)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_shared_with_a_run(name: str) -> None:
    command, _ = COMMANDS[name]
    shared = {
        key for key, option in keys_of(command).items() if key in KEYS and option.name == KEYS[key].name
    }
    assert shared == SHARED[name]


@pytest.mark.parametrize(("name", "key"), [(name, key) for name in SHARED for key in sorted(SHARED[name])])
def test_flag_before_environment_before_file(name: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    option = keys_of(COMMANDS[name][0])[key]
    assert option.name is not None
    value = sample(option)
    section = "defaults" if name == "runs" else "run.job"
    ends = "".join(f'{end} = "x"\n' for end in ("src", "dst") if end != key)
    write(f"[{section}]\n{ends}{key} = {_toml(value)}\n")
    by_file = context(name)
    assert by_file.get_parameter_source(option.name) is ParameterSource.DEFAULT_MAP
    text = str(value).lower() if option.is_flag else str(value)
    monkeypatch.setenv(f"COPYPUMP_{key.upper().replace('-', '_')}", text)
    by_variable = context(name)
    assert by_variable.get_parameter_source(option.name) is ParameterSource.ENVIRONMENT
    words = [f"--{key}", text]
    if option.is_flag:
        words = [option.opts[0] if value else option.secondary_opts[0]]
    by_flag = context(name, *words)
    assert by_flag.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    assert by_file.params == by_variable.params == by_flag.params


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_may_say_more_and_nothing_wrong(name: str) -> None:
    text = "[defaults]\nsrc = 's'\ndst = 'd'\n[run.job]\ntable = 'people'\nindexes = 'rebuild'\n"
    write(text)
    assert context(name).params["dst"] == "d"
    write(text + "[run.other]\ntabel = 'people'\n")
    with pytest.raises(UsageError, match=r"line 8, \[run\.other\]: there is no key tabel; near names: table"):
        context(name)


def test_indexes_that_are_owed_are_not_those_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[defaults]\ndst = 'd'\nindexes = 'rebuild'\n")
    monkeypatch.setenv("COPYPUMP_INDEXES", "rebuild")
    assert context("forget").params["owed"] is None
    assert context("forget", "--indexes", "leave").params["owed"] == "leave"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_default_file_need_not_be_there(name: str) -> None:
    ends = ("--src", "s", "--dst", "d") if name == "resume" else ("--dst", "d")
    for text in (None, "[run.other]\n", ""):
        if text is not None:
            write(text)
        assert context(name, *ends).params["dst"] == "d"
    write("[run.other]\n", "etl.toml")
    with pytest.raises(UsageError, match=r"etl\.toml has no \[") as raised:
        context(name, *ends, "--config", "etl.toml")
    assert raised.value.hint == "its runs: other"
    with pytest.raises(UsageError, match=r"^etl cannot be read: No such file") as raised:
        context(name, *ends, "--config", "etl")
    assert raised.value.hint is None


NAMES = """
[defaults]
dst = "of all"
[run.job]
dst = "of job"
run-id = "job-7"
[run.plain]
"""


@pytest.mark.parametrize(
    ("run", "named", "dst"),
    [
        ("job", "job-7", "of job"),  # by its section
        ("job-7", "job-7", "of job"),  # by its name in the ledger
        ("plain", "plain", "of all"),
        ("made-up", "made-up", "of all"),
    ],
)
def test_a_run_is_named_by_its_section_or_by_itself(run: str, named: str, dst: str) -> None:
    write(NAMES, "etl.toml")
    for words in ((run, "--config", "etl.toml"), ("--config", "etl.toml", run)):
        params = status.make_context("status", list(words), **CONTEXT).params
        assert (params["run"], params["dst"]) == (named, dst)


def test_a_section_s_run_is_named_by_the_environment_first(monkeypatch: pytest.MonkeyPatch) -> None:
    write(NAMES)
    monkeypatch.setenv("COPYPUMP_RUN_ID", "tonight")
    assert context("status").params["run"] == "tonight"
    assert status.make_context("status", ["made-up"], **CONTEXT).params["run"] == "made-up"


def test_a_value_that_does_not_fit_is_told_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[defaults]\nsrc = 's'\ndst = 'd'\n[run.job]\njobs = 'many'\n")
    with pytest.raises(UsageError, match=r"^copypump\.toml, line 5, \[run\.job\], jobs: write auto, or"):
        context("resume")
    monkeypatch.setenv("COPYPUMP_JOBS", "more")
    with pytest.raises(UsageError, match=r"^the environment, COPYPUMP_JOBS: write auto, or"):
        context("resume")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_titles_and_variables(copypump: Cli, name: str) -> None:
    text = copypump(name, "--help").stdout
    assert "\nServers:\n" in text
    assert "[env var: COPYPUMP_DST; required]" in " ".join(text.split())
    assert "\nMany chunks:\n" in text
    assert text.index("\nOther options:\n") < text.index("\n  --config FILE ")


def test_from_a_run_to_its_end_by_one_file(copypump: Cli, pair: Pair) -> None:
    sql(pair.src, "CREATE TABLE t AS SELECT i FROM generate_series(1, 5) AS i")
    sql(pair.dst, "CREATE TABLE t (i int CHECK (i < 5))")
    write(
        f"[defaults]\nsrc = {json.dumps(pair.src)}\ndst = {json.dumps(pair.dst)}\nledger-schema = 'book'\n"
        "[run.nightly]\ntable = 't'\nrun-id = 'nightly-7'\n",
        "etl.toml",
    )
    config = ("--config", "etl.toml")
    assert copypump("run", "nightly", *config).returncode == 5
    [listed] = json.loads(copypump("runs", *config, "--json").stdout)
    shown = json.loads(copypump("status", "nightly", *config, "--json").stdout)
    assert (listed["run"], listed["status"], listed["chunks_done"]) == ("nightly-7", "failed", 0)
    assert listed.items() <= shown.items()
    sql(pair.dst, "ALTER TABLE t DROP CONSTRAINT t_i_check")
    resumed = copypump("resume", "nightly", *config)
    assert resumed.returncode == 0, resumed.stderr
    assert sql(pair.dst, "SELECT count(*) FROM t") == [(5,)]
    forgotten = copypump("forget", "nightly-7", *config)
    assert (forgotten.returncode, forgotten.stdout) == (0, "forgotten: nightly-7\n")
