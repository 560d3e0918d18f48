"""What a configuration file may say: everything that the flags of `run` can, and nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest
from click.core import ParameterSource
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from copypump.cli.config import _toml, show
from copypump.cli.config_file import holds_password
from copypump.cli.configured import keys_of
from copypump.cli.options import CONTEXT
from copypump.cli.run import run
from copypump.errors import UsageError
from tests import readme
from tests.cli.conftest import Cli
from tests.cli.samples import other, sample


def context(*words: str) -> click.Context:
    return run.make_context("run", list(words), **CONTEXT)


def chosen(tmp_path: Path, text: str, *words: str, mode: int = 0o600) -> click.Context:
    """The context of `run job` with this file."""
    file = tmp_path / "copypump.toml"
    file.write_text(text)
    file.chmod(mode)
    return context("job", "--config", str(file), *words)


ENDS = 'src = "a"\ndst = "b"\n'
OPTIONS = keys_of(run)


def test_the_options_of_a_run_are_all_there() -> None:
    assert len(OPTIONS) > 15
    options = {option.name for option in run.params if isinstance(option, click.Option)}
    assert options == {option.name for option in OPTIONS.values()} | {"config"}


@pytest.mark.parametrize("key", OPTIONS)
def test_whatever_a_flag_says_a_file_can_say(tmp_path: Path, key: str) -> None:
    option = OPTIONS[key]
    value = sample(option)
    words = [f"--{key}", str(value)]
    if option.is_flag:
        words = [option.opts[0] if value else option.secondary_opts[0]]
    ends = "".join(f'{end} = "x"\n' for end in ("src", "dst") if end != key)
    by_file = chosen(tmp_path, f"[run.job]\n{ends}{key} = {_toml(value)}\n")
    by_flag = chosen(tmp_path, f"[run.job]\n{ends}", *words)
    assert by_file.params == by_flag.params
    assert option.name is not None
    assert by_file.get_parameter_source(option.name) is ParameterSource.DEFAULT_MAP
    assert by_flag.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    if option.expose_value:
        assert by_file.params != chosen(tmp_path, "[run.job]\nsrc = 'x'\ndst = 'x'\n").params


@pytest.mark.parametrize("key", OPTIONS)
def test_a_value_of_a_wrong_type_is_refused_with_its_place(tmp_path: Path, key: str) -> None:
    for wrong, said in (("1979-05-27", "a date or time"), ("{a = 1}", "a table"), ("[[1]]", "an array")):
        with pytest.raises(
            UsageError, match=rf"copypump\.toml, line 2, \[run\.job\], {key}: it must be .*, not {said}"
        ):
            chosen(tmp_path, f"[run.job]\n{key} = {wrong}\n")
    wrong = '"yes"' if OPTIONS[key].is_flag else "true"
    with pytest.raises(UsageError, match=r"it must be"):
        chosen(tmp_path, f"[run.job]\n{key} = {wrong}\n")


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ('columns = ["id", "\\"Full name\\""]', "columns", ("id", "Full name")),
        ('type = ["a=utf8", "b=text"]', "types", {"a": "utf8", "b": "text"}),
        ('transform = ["m:f", "m:g"]', "transform", ("m:f", "m:g")),
        ('transform = "m:f"', "transform", ("m:f",)),
        ("batch-bytes = 1048576", "batch_bytes", 1 << 20),
        ("progress = false", "progress", False),
    ],
)
def test_values(tmp_path: Path, text: str, name: str, value: object) -> None:
    assert chosen(tmp_path, f"[run.job]\n{ENDS}{text}\n").params[name] == value


def test_flag_before_environment_before_run_before_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
        [defaults]
        src = "defaults"
        dst = "defaults"
        table = "defaults"
        where = "defaults"
        [run.job]
        src = "run"
        dst = "run"
        table = "run"
        [run.other]
        where = "other"
        """
    monkeypatch.setenv("COPYPUMP_SRC", "environment")
    monkeypatch.setenv("COPYPUMP_DST", "environment")
    got = chosen(tmp_path, text, "--dst", "flag").params
    assert {name: got[name] for name in ("src", "dst", "table", "where")} == {
        "src": "environment",
        "dst": "flag",
        "table": "run",
        "where": "defaults",
    }


@pytest.mark.parametrize("key", OPTIONS)
def test_each_flag_before_its_variable_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    option = OPTIONS[key]
    assert option.name is not None
    one, two = sample(option), other(option)
    assert one != two
    ends = "".join(f'{end} = "x"\n' for end in ("src", "dst") if end != key)
    file = f"[run.job]\n{ends}{key} = {_toml(one)}\n"
    words = [f"--{key}", str(two)]
    if option.is_flag and len(option.secondary_opts) == 1:
        words = [option.opts[0] if two else option.secondary_opts[0]]
    elif option.is_flag:  # one that can only be said
        one, two, words = two, one, [f"--{key}"]
        file = f"[run.job]\n{ends}{key} = {_toml(one)}\n"
    by_flag = chosen(tmp_path, f"[run.job]\n{ends}", *words)
    monkeypatch.setenv(
        f"COPYPUMP_{key.upper().replace('-', '_')}", str(two).lower() if option.is_flag else str(two)
    )
    by_variable = chosen(tmp_path, file)
    assert by_variable.get_parameter_source(option.name) is ParameterSource.ENVIRONMENT
    assert by_variable.params == by_flag.params
    monkeypatch.setenv(
        f"COPYPUMP_{key.upper().replace('-', '_')}", str(one).lower() if option.is_flag else str(one)
    )
    by_all = chosen(tmp_path, file, *words)
    assert by_all.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    assert by_all.params == by_flag.params


def test_a_variable_of_several_values_and_a_wrong_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COPYPUMP_CHECK", "age >= 0\nname <> ''")
    assert chosen(tmp_path, f"[run.job]\n{ENDS}").params["check"] == ("age >= 0", "name <> ''")
    monkeypatch.setenv("COPYPUMP_BATCH_BYTES", "much")
    with pytest.raises(UsageError, match=r"^the environment, COPYPUMP_BATCH_BYTES: write a size"):
        chosen(tmp_path, f"[run.job]\n{ENDS}")


def test_the_line_of_a_fault(tmp_path: Path) -> None:
    text = f"""# run
[defaults]
{ENDS}
[ run . "job" ]  # the one
query = '''
batch-rows = 1
[run.other]
'''
table = 't'
batch-rows = 0
"""
    with pytest.raises(UsageError, match=r"copypump\.toml, line 12, \[run\.job\], batch-rows: 0 is not in"):
        chosen(tmp_path, text)
    with pytest.raises(UsageError, match=r"copypump\.toml, line 4, \[defaults\]: there is no key dts; near"):
        chosen(tmp_path, text.replace("dst =", "dts ="))
    with pytest.raises(UsageError, match=r"copypump\.toml, \[run\.job\], batch-rows: 0"):
        chosen(tmp_path, "run.job.batch-rows = 0", "--src", "a", "--dst", "b")


WRONG = [
    ("[run.job]\ntabel = 't'", r"\[run\.job\]: there is no key tabel; near names: table"),
    ("[run.job]\nbatch_rows = 1", "there is no key batch_rows; near names: batch-rows"),
    ("[run.job]\n[run.other]\nfnord = 1", r"\[run\.other\]: there is no key fnord"),
    ("[run.job]\n[default]", "there is no key default; near names: defaults"),
    ("[run.job]\nconfig = 'c'", "there is no key config"),
    ("[run.jobs]", r"has no \[run\.job\]; near names: jobs"),
    ("[run]\ntable = 't'", r"\[run\.table\] must be a table, not a string"),
    ("run = 5", r"\[run\] must be a table, not a number"),
    ("[run.job]\nmode = 'swap'", r"\[run\.job\], mode: 'swap' is not one of"),
    ("[run.job]\ncolumns = 'a b'", r"\[run\.job\], columns: write column names as in SQL"),
    ("[defaults]\nbatch-rows = 0\n[run.job]", r"\[defaults\], batch-rows: 0 is not in the range"),
    ("[run.job]\nwhere = s3cret", "is not TOML: .*line 2"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_faults_name_file_section_and_key(tmp_path: Path, text: str, message: str) -> None:
    # the endpoints come from the flags, so that nothing else is missing
    with pytest.raises(UsageError, match=rf"copypump\.toml.*{message}") as raised:
        chosen(tmp_path, text, "--src", "a", "--dst", "b")
    assert "s3cret" not in str(raised.value)


def test_a_file_without_a_name_is_its_defaults_alone(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text(f"[defaults]\n{ENDS}")
    assert context("--config", str(file)).params["src"] == "a"
    file.write_text("[run.one]\n[run.two]\n")
    with pytest.raises(UsageError, match=r"has no \[defaults\]") as raised:
        context("--config", str(file))
    assert raised.value.hint == "its runs: one, two"


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^copypump.toml cannot be read: No such file") as raised:
        context("job")
    assert "[run.job]" in (raised.value.hint or "")
    Path("copypump.toml").write_bytes(b"[run.job]\nwhere = '\xe9'")
    with pytest.raises(UsageError, match=r"it is not UTF-8"):
        context("job")
    with pytest.raises(UsageError, match=r"Is a directory"):
        context("job", "--config", ".")


# Passwords ------------------------------------------------------------------------------------------------

SECRETS = [
    ("src", "host=h password=s3cret"),
    ("src", "host=h password = 's3 cret'"),
    ("dst", "postgresql://u:s3cret@h/db"),
    ("dst", "postgresql://h/db?password=s3cret"),
    ("dst", "postgresql://h/db?pass%77ord=s3cret"),
    ("src", "sslpassword=s3cret"),
    ("query", "select * from dblink('host=h password=s3cret', 'select 1') as t(a int)"),
    ("where", "PGPASSWORD=s3cret"),
]


@pytest.mark.parametrize(("key", "value"), SECRETS)
def test_a_password_only_in_a_file_of_ones_own(tmp_path: Path, copypump: Cli, key: str, value: str) -> None:
    text = f"[run.job]\n{key} = {_toml(value)}\n"
    for mode in (0o640, 0o604, 0o620):
        with pytest.raises(UsageError, match=rf"run\.job\.{key}: a password") as raised:
            chosen(tmp_path, text, mode=mode)
        assert "s3cret" not in str(raised.value)
        assert "chmod 600" in (raised.value.hint or "")
    shown = copypump("config", "show", "job") if not (tmp_path / "copypump.toml").chmod(0o600) else None
    assert shown is not None
    assert shown.returncode == 0, shown.stderr
    assert "***" in shown.stdout
    assert "cret" not in shown.stdout + shown.stderr


def test_a_file_without_passwords_may_be_read_by_all(tmp_path: Path) -> None:
    text = (
        '[run.job]\nsrc = "service=old passfile=/p user=u"\ndst = "postgresql://u@h1:5432,h2:5433/db?a=b@c"\n'
    )
    assert chosen(tmp_path, text, mode=0o644).params["src"].startswith("service=old")


@given(
    user=st.text("ab :@/%", max_size=3),
    password=st.text("ab '\\:@/%=", min_size=1, max_size=4),
    spaces=st.sampled_from(["", " ", "\n"]),
)
def test_every_password_of_a_conninfo_string_is_noticed(user: str, password: str, spaces: str) -> None:
    dsn = make_conninfo("", user=user, password=password).replace("password=", f"password{spaces}={spaces}")
    assert holds_password(dsn)


# copypump config show -------------------------------------------------------------------------------------


def test_show_tells_every_setting_and_its_origin(tmp_path: Path, copypump: Cli) -> None:
    (tmp_path / "copypump.toml").write_text(
        "[defaults]\nsrc = 'service=old'\nbatch-bytes = '4MB'\n"
        "[run.job]\ntable = 'people'\ncolumns = ['ID', '\"Full name\"']\n"
    )
    done = copypump(
        "config", "show", "job", "--where", "a < \U0001f600\x7f", COPYPUMP_DST="postgresql://u:pw@h/db"
    )
    assert done.returncode == 0, done.stderr
    origins = dict(re.findall(r"^([a-z-]+) = .*?  +# (.*)$", done.stdout, re.MULTILINE))
    assert origins["src"] == "copypump.toml, [defaults]"
    assert origins["dst"] == "environment COPYPUMP_DST"
    assert origins["table"] == "copypump.toml, [run.job]"
    assert origins["where"] == "flag"
    assert origins["batch-rows"] == "default"
    values = tomllib.loads(done.stdout)  # what is shown could stand in a file
    assert values["dst"] == "user=u password=*** dbname=db host=h"
    assert values["columns"] == 'ID,"Full name"'
    assert values["where"] == "a < \U0001f600\x7f"
    assert values["batch-bytes"] == "4MB"
    unset = done.stdout.splitlines()[-1].removeprefix("# not set: ").split(", ")
    assert {"query", "mode", "transform"} <= set(unset)
    assert set(values) | set(unset) == set(OPTIONS)


def test_show_finds_what_run_would(copypump: Cli) -> None:
    done = copypump("config", "show", "--batch-bytes", "much")
    assert done.returncode == 2
    assert "--batch-bytes" in done.stderr
    assert copypump("config", "show").returncode == 0  # without endpoints: there are none to show
    assert {option.name for option in keys_of(show).values()} == {o.name for o in OPTIONS.values()}


def test_a_run_by_name_with_a_fault_exits_with_2(copypump: Cli, tmp_path: Path) -> None:
    (tmp_path / "copypump.toml").write_text("[run.nightly]\ntabel = 'people'\n")
    done = copypump("run", "nightly")
    assert done.returncode == 2
    assert (
        done.stderr
        == "error: copypump.toml, line 2, [run.nightly]: there is no key tabel; near names: table\n"
    )
    assert not done.stdout


def test_the_readme_s_file_is_one(tmp_path: Path) -> None:
    (text,) = readme.blocks("toml")
    file = tmp_path / "copypump.toml"
    file.write_text(text)
    for name in tomllib.loads(text)["run"]:
        assert context(name, "--config", str(file)).params["src"]
