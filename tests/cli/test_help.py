"""Help answers at once and says what the tables say; public names are there, and loaded when used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import copypump as package
from copypump.engine.modes import MODES
from copypump.errors import CopypumpError, ExitCode
from tests.cli.conftest import Cli, environment

HEAVY = {"pyarrow", "psycopg", "rich", "polars", "pandas"}


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh process has loaded after `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('', *sys.modules, file=sys.stderr)"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in done.stderr.split()}


HELP = """
from copypump.cli import main
for words in (
    ["--help"], ["run", "--help"], ["plan", "--help"], ["config", "show", "--help"], ["resume", "--help"],
    ["status", "--help"], ["runs", "--help"], ["forget", "--help"], ["demo", "--help"], ["--version"],
):
    main(words, standalone_mode=False)
"""


@pytest.mark.parametrize(
    "code", [HELP, "import copypump; dir(copypump); copypump.RefusedError; copypump.__version__"]
)
def test_help_and_import_load_nothing_heavy(code: str) -> None:
    loaded = loaded_by(code)
    assert "copypump" in loaded
    assert not HEAVY & loaded


def test_a_run_loads_neither_rich_nor_compute_before_it_needs_them() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import copypump, sys; copypump.pump, copypump.read; print(*sys.modules)"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "pyarrow" in loaded
    assert not {"pyarrow.compute", "pandas", "rich", "click"} & set(loaded)


def test_help_lists_the_exit_codes(copypump: Cli) -> None:
    text = " ".join(copypump("--help").stdout.split())
    assert list(ExitCode)
    for code in ExitCode:
        assert f"{code.value} {code.meaning}" in text


def test_help_lists_the_modes(copypump: Cli) -> None:
    text = " ".join(copypump("run", "--help").stdout.split())
    assert MODES
    for mode in MODES.values():
        assert f"{mode.name}: {mode.help}" in text


def test_help_keeps_the_lines_of_examples(copypump: Cli) -> None:
    for words in (["--help"], ["run", "--help"]):
        text = copypump(*words).stdout
        assert "\\b" not in text
        assert "\n  copypump run --src " in text


def test_version(process: Cli) -> None:
    assert process("--version").stdout == f"copypump {package.__version__}\n"


def test_every_public_name_is_there_and_no_submodule_has_it() -> None:
    assert package.__all__
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert name in dir(package)
    directory = Path(str(package.__file__)).parent
    modules = {path.stem for path in directory.iterdir() if not path.name.startswith("_")}
    assert not modules & set(package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'pmup'"):
        package.pmup  # noqa: B018


def test_every_error_class_is_public() -> None:
    pending, classes = [CopypumpError], set()
    while pending:
        class_ = pending.pop()
        if class_.__module__ == "copypump.errors":
            classes.add(class_.__name__)
        pending += class_.__subclasses__()
    assert classes <= set(package.__all__)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(str(package.__file__)).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        alias.asname or "": f"{statement.module}"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert typed == {name: f"copypump.{home}" for name, home in package._HOMES.items()}
