"""From `module:function` to the function, and what may be wrong on the way."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from copypump.errors import RefusedError, UsageError
from copypump.transforms import Transform
from copypump.transforms.finding import load
from tests.transforms.conftest import BATCH, SCHEMA, older


@pytest.fixture
def etl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], str]]:
    """Write modules of a user's; `sys.path`, `sys.modules` and the current directory come back."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def write(name: str, text: str) -> str:
        path = tmp_path / "lib" / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return str(tmp_path / "lib")

    yield write
    for name in set(sys.modules) - before:
        if name.split(".")[0].startswith("cp_"):
            del sys.modules[name]


def test_load_finds_functions_and_methods(etl: Callable[[str, str], str]) -> None:
    path = etl(
        "cp_etl", "def clean(batch): return batch\nclass Etl:\n    @staticmethod\n    def clean(b): return b"
    )
    etl("cp_pack.deep", "def clean(batch): return batch")
    assert load("cp_etl:clean", [path])(BATCH) is BATCH
    assert load("cp_etl:Etl.clean", [path])(BATCH) is BATCH
    assert load("cp_pack.deep:clean", [path])(BATCH) is BATCH
    assert sys.path[0] == path


def test_load_looks_in_the_current_directory_last(etl: Callable[[str, str], str], tmp_path: Path) -> None:
    (tmp_path / "cp_here.py").write_text("def clean(batch): return batch")
    load("cp_here:clean")
    assert sys.path[-1] == str(tmp_path)


@pytest.mark.parametrize(
    "reference", ["clean", "cp_etl", "cp_etl:", ":clean", "cp_etl.py:clean()", "../cp_etl:clean"]
)
def test_load_wants_module_and_function(reference: str) -> None:
    with pytest.raises(UsageError, match="does not name a transform"):
        load(reference)


def test_load_wants_directories(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a directory"):
        load("cp_etl:clean", [str(tmp_path / "nowhere")])


BROKEN: dict[str, tuple[str, str, str]] = {
    "missing": ("", "cp_elt:clean", 'no module "cp_elt"; near names: cp_etl'),
    "missing below": ("", "cp_etl.deep:clean", 'no module "cp_etl.deep"'),
    "attribute": ("def clean(b): return b", "cp_etl:claen", 'has no "claen"; near names: clean'),
    "callable": ("clean = {}", "cp_etl:clean", "cp_etl:clean is dict, not a function"),
    "import": (
        "import cp_nothing",
        "cp_etl:clean",
        r'imports "cp_nothing", which is not there \(cp_etl.py:1\)',
    ),
    "from": ("from json import nope", "cp_etl:clean", r"ImportError: cannot import name 'nope'.*cp_etl.py:1"),
    "syntax": ("x = 1\ndef clean(b:", "cp_etl:clean", r"does not parse \(cp_etl.py:2\)"),
    "error": ("x = 1\n1 / 0", "cp_etl:clean", r"ZeroDivisionError: division by zero \(cp_etl.py:2\)"),
    "exit": ("raise SystemExit(0)", "cp_etl:clean", "SystemExit"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_load_tells_what_is_wrong(case: str, etl: Callable[[str, str], str]) -> None:
    text, reference, message = BROKEN[case]
    path = etl("cp_etl", text)
    with pytest.raises(RefusedError, match=message):
        load(reference, [path])


def test_a_chain_is_named_as_the_user_named_it(etl: Callable[[str, str], str]) -> None:
    path = etl("cp_etl", "def clean(batch): raise TypeError('no')")
    transform = Transform(["cp_etl:clean", older], pythonpath=[path])
    assert str(transform) == f"cp_etl:clean, {older.__module__}:older"
    with pytest.raises(
        RefusedError, match=r"cp_etl:clean failed on an empty batch: TypeError: no \(cp_etl.py:1\)"
    ):
        transform.probe(SCHEMA)
    with pytest.raises(RefusedError, match="a transform is a function, not int"):
        Transform([3])  # type: ignore[list-item]
