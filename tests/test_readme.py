"""What the README says holds: its tables, its examples, its command lines, run as they stand there."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from psycopg.conninfo import conninfo_to_dict

import copypump
from bench.__main__ import main as bench
from copypump.cli import main
from tests import readme
from tests.cli.conftest import environment
from tests.conftest import Pair
from tests.engine.conftest import AFTER_TAX, PEOPLE, wire
from tests.servers import sql

TEXT = readme.README.read_text()
PYTHON = readme.blocks("python")
SHELL = [line for block in readme.blocks("sh") for line in block.splitlines()]
(CONFIGURATION,) = readme.blocks("toml")
COMMANDS = [line for line in SHELL if line.startswith("copypump ")]
RUNS = [line for line in COMMANDS if line.startswith("copypump run ") and "--check" not in line]
CHECKED = [line for line in COMMANDS if "--check" in line]

# The rows that each transform of the README must make of `people`.
AFTER = "SELECT id, name, age + 1 AS age, salary * 0.8::float8 AS salary_after_tax FROM people"
ROWS = {
    "clean": AFTER,
    "with_polars": AFTER,
    "with_duckdb": AFTER,
    "masked": "SELECT id, left(name, 1) || CASE WHEN name <> '' THEN '***' ELSE '' END AS name, age,"
    " salary * 0::float8 AS salary FROM people",
}


def functions(block: str) -> list[str]:
    return [node.name for node in ast.parse(block).body if isinstance(node, ast.FunctionDef)]


TRANSFORMS = {name: block for block in PYTHON for name in functions(block)}
SCRIPTS = [block for block in PYTHON if not functions(block)]


@pytest.fixture
def people(pair: Pair) -> Pair:
    """The quick start's table on the source, odd names and NULLs in it."""
    sql(pair.src, PEOPLE)
    sql(
        pair.src,
        r"""INSERT INTO people
            SELECT i, CASE i % 50 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN E'größe\nline' ELSE 'person ' || i END,
                   nullif(i % 90, 17), nullif(i * 1.5, 12)
              FROM generate_series(1, 3000) AS i""",
    )
    return pair


Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def call(people: Pair, tmp_path: Path) -> Call:
    """`call(*words)`: Python with these words beside `my_etl.py`; old and new are services of libpq's."""
    (tmp_path / "my_etl.py").write_text(TRANSFORMS["clean"])
    services = "".join(
        f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in conninfo_to_dict(dsn).items())
        for name, dsn in (("old", people.src), ("new", people.dst))
    )
    (tmp_path / "services").write_text(services)
    (tmp_path / "copypump.toml").write_text(CONFIGURATION)

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment(PGSERVICEFILE=str(tmp_path / "services")),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done

    return call


def test_the_tables_are_those_of_the_program() -> None:
    assert readme.renewed(TEXT) == TEXT, "run: python -m tests.readme"


def test_every_example_is_known() -> None:
    assert set(TRANSFORMS) == {*ROWS, "with_names"}
    assert len(SCRIPTS) == 3


@pytest.mark.parametrize("name", ROWS)
def test_a_transform_makes_the_rows_that_it_should(people: Pair, tmp_path: Path, name: str) -> None:
    (tmp_path / f"readme_{name}.py").write_text(TRANSFORMS[name])
    report = copypump.pump(
        people.src, people.dst, table="people", create=True,
        transform=f"readme_{name}:{name}", pythonpath=[str(tmp_path)], batch_rows=700,
    )  # fmt: skip
    assert report.rows_written == 3000
    columns = "id, name, age, salary" + ("_after_tax" if ROWS[name] == AFTER else "")
    assert wire(people.dst, f"SELECT {columns} FROM people ORDER BY id") == wire(
        people.src, f"{ROWS[name]} ORDER BY id"
    )


def test_bad_rows_are_kept_from_landing(people: Pair, call: Call, tmp_path: Path) -> None:
    (tmp_path / "readme_names.py").write_text(TRANSFORMS["with_names"])
    job = {"table": "people", "create": True, "transform": "readme_names:with_names"}
    with pytest.raises(copypump.TransformError, match=r"rejected 60 rows \(no name\)"):
        copypump.pump(people.src, people.dst, **job, pythonpath=[str(tmp_path)])
    (line,) = CHECKED
    (condition,) = (word for word in shlex.split(line) if "age between" in word)
    with pytest.raises(copypump.TransformError, match=f'check "{re.escape(condition)}" fails for 60 rows'):
        copypump.pump(people.src, people.dst, table="people", create=True, check=condition)
    sql(people.src, "DELETE FROM people WHERE name = ''")
    call("-m", *shlex.split(line))
    assert wire(people.dst, "TABLE people ORDER BY id") == wire(people.src, "TABLE people ORDER BY id")


@pytest.mark.parametrize("line", RUNS)
def test_a_command_line_does_what_it_says(people: Pair, call: Call, line: str) -> None:
    if "--create" not in line:
        sql(people.dst, AFTER_TAX)
    done = call("-m", *shlex.split(line))
    assert done.stdout.startswith("done: ")
    assert wire(people.dst, "TABLE people ORDER BY id") == wire(people.src, f"{AFTER} ORDER BY id")


def test_pump_from_python(people: Pair, call: Call) -> None:
    (script,) = [block for block in SCRIPTS if "copypump.pump(" in block]
    sql(people.dst, AFTER_TAX)
    done = call("-c", script)
    rows, bottleneck = done.stdout.split()
    assert rows == "3000"
    assert bottleneck in {"source", "decode", "transform", "encode", "target"}
    assert wire(people.dst, "TABLE people ORDER BY id") == wire(people.src, f"{AFTER} ORDER BY id")


def test_read_and_write_from_python(people: Pair, call: Call) -> None:
    (script,) = [block for block in SCRIPTS if "people_over_40" in block]
    call("-c", script)
    assert wire(people.dst, "TABLE people_over_40 ORDER BY id") == wire(
        people.src, "SELECT id, name FROM people WHERE age > 40 ORDER BY id"
    )


def test_a_type_of_ones_own(people: Pair, call: Call) -> None:
    (script,) = [block for block in SCRIPTS if "register_type(" in block]
    call("-c", script)
    places = "SELECT at::text FROM {} ORDER BY 1"
    assert sql(people.dst, places.format("places")) == sql(
        people.src, places.format("(SELECT point(id, age) AS at FROM people) AS p")
    )


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_line_parses(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "copypump.toml").write_text(CONFIGURATION)
    monkeypatch.chdir(tmp_path)
    _, name, *words = shlex.split(line)
    main.commands[name].make_context(name, words)


def test_options_in_the_text_are_there() -> None:
    every = (*main.commands.values(), *bench.commands.values())
    commands = (command for command in every if not isinstance(command, click.Group))
    known = {
        name
        for command in commands
        for option in command.params
        for name in (*option.opts, *option.secondary_opts)
    }
    prose = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`(?:[^`]* )?(--[a-z][a-z-]*)", prose))
    assert {"--create", "--reads", "--debug"} <= named
    assert named <= known | {"--help"}  # click's own, of every command


def test_the_two_commands() -> None:
    """Each is one line; they install extras that exist; the second is found by .ci/run."""
    settings = tomllib.loads((readme.README.parent / "pyproject.toml").read_text())
    extras = set(settings["project"]["optional-dependencies"])
    demo, tests = (line for line in SHELL if "apt-get" in line)
    assert demo.endswith(" && .venv/bin/copypump demo")
    assert " && .venv/bin/pytest" in tests
    assert set(re.findall(r"'\.\[(\w+)\]'", TEXT)) <= extras
    assert f"\n<!-- test command -->\n```sh\n{tests}\n```\n" in TEXT
    assert TEXT.count("<!-- test command -->") == 1
    assert "demo" in main.commands
