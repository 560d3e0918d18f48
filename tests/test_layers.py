"""Imports go down only: cli, engine, transforms and postgres, codec, errors; and each room's own library."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "copypump"

# Where each library may be imported; an import within a function counts too.
HOMES = {
    "click": ("cli",),
    "rich": ("cli",),
    "psycopg": ("cli", "engine", "postgres"),
    "pyarrow": ("cli", "engine", "transforms", "codec"),
}


def files() -> list[Path]:
    found = [path for path in sorted(PACKAGE.rglob("*.py*")) if path.suffix in (".py", ".pyx", ".pyi")]
    assert len(found) > 40
    return found


def imported(path: Path) -> Iterator[str]:
    """The absolute modules that a file imports, by their whole names."""
    text = path.read_text()
    if path.suffix == ".pyx":
        yield from re.findall(r"^\s*(?:from|import)\s+([\w.]+)", text, re.MULTILINE)
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].partition(".")[0]


@pytest.mark.parametrize("library", HOMES)
def test_each_library_is_imported_only_in_its_rooms(library: str) -> None:
    rooms = {room(path) for path in files() if library in {name.partition(".")[0] for name in imported(path)}}
    assert rooms
    assert rooms <= set(HOMES[library])


BLOCKED = """
import importlib, sys
for name in {libraries!r}:
    sys.modules[name] = None
for module in {modules!r}:
    importlib.import_module(module)
"""


def modules(of: str) -> list[str]:
    """Every module of a room, native ones too, or one module's own name."""
    if not (PACKAGE / of).is_dir():
        return [f"copypump.{of}"]
    names = {
        path.name.partition(".")[0] for path in (PACKAGE / of).iterdir() if path.suffix in (".py", ".so")
    }
    assert "__init__" in names
    return [f"copypump.{of}", *sorted(f"copypump.{of}.{name}" for name in names - {"__init__"})]


@pytest.mark.parametrize(
    ("loaded", "blocked"),
    [
        ("codec", ["psycopg", "psycopg_c", "click", "rich"]),
        ("postgres", ["pyarrow", "numpy", "click", "rich"]),
        ("transforms", ["psycopg", "click", "rich"]),
        ("engine", ["click", "rich"]),
        ("engine.modes", ["pyarrow", "psycopg", "click", "rich"]),
        ("engine.options", ["pyarrow", "psycopg", "click", "rich"]),
        ("codec.column", ["pyarrow", "psycopg", "click", "rich"]),
        ("errors", ["pyarrow", "psycopg", "click", "rich"]),
        ("cli", ["pyarrow", "psycopg"]),
    ],
)
def test_each_room_loads_without_the_libraries_of_others(loaded: str, blocked: list[str]) -> None:
    names = (
        [f"copypump.{loaded}"] if loaded == "cli" else modules(loaded)
    )  # its commands import when they run
    code = BLOCKED.format(libraries=blocked, modules=names)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


CHECK = """
import sys
from importlinter.cli import lint_imports
sys.exit(lint_imports(config_filename=sys.argv[1], no_cache=True))
"""


def contracts(configuration: Path) -> tuple[int, str]:
    """Exit code and output of import-linter."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(configuration)],
        cwd=ROOT, text=True, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_imports_go_down_only() -> None:
    code, output = contracts(ROOT / "pyproject.toml")
    assert code == 0, output
    assert "imports go down only KEPT" in output


def test_the_contract_names_every_room_and_would_notice(tmp_path: Path) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = settings["contracts"]
    layers = contract["layers"]
    named = {name.removeprefix("copypump.") for layer in layers for name in layer.split(" | ")}
    assert named == {room(path) for path in files()} - {"__init__", "__main__"}
    upside_down = tmp_path / "upside_down.toml"
    upside_down.write_text(
        f"[tool.importlinter]\nroot_package = 'copypump'\n[[tool.importlinter.contracts]]\nname = 'up'\n"
        f"type = 'layers'\nlayers = {layers[::-1]!r}\n"
    )
    code, output = contracts(upside_down)
    assert code == 1, output
    assert "up BROKEN" in output
