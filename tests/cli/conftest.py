"""The command line as a user calls it: within the test, or where that matters in a process of its own."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess, run

import pytest

from copypump.cli import main

ROOT = Path(__file__).parents[2]
# A test's outcome must not hang on the terminal or the environment that it was started from.
SILENT = ("COPYPUMP_", "PG", "NO_COLOR", "TERM", "FORCE_COLOR")

Result = CompletedProcess[str]
Cli = Callable[..., Result]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SILENT)}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": "error"} | more


@pytest.fixture
def process(tmp_path: Path) -> Cli:
    """`process("run", ...)`: a process in `tmp_path`, its environment given by keyword; stdout and stderr apart."""

    def call(*words: str, **env: str) -> Result:
        command = [sys.executable, "-m", "copypump", *words]
        return run(
            command, cwd=tmp_path, env=environment(**env), capture_output=True, text=True, timeout=90, check=False
        )  # fmt: skip

    return call


@pytest.fixture
def copypump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """The same in this process, which saves half a second of imports; what libpq says is seen, too."""

    def call(*words: str, **env: str) -> Result:
        capfd.readouterr()
        with _as_at_the_start(tmp_path, env, monkeypatch), pytest.raises(SystemExit) as ended:
            main(words, prog_name="copypump")
        return Result(["copypump", *words], int(ended.value.code or 0), *capfd.readouterr())

    return call


@contextlib.contextmanager
def _as_at_the_start(directory: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Surroundings as a new process has them; what the body changes of them is undone."""
    modules = set(sys.modules)
    with monkeypatch.context() as patch, logging_as_it_was():
        for name in os.environ.keys() - environment().keys():
            patch.delenv(name)
        for name, value in env.items():
            patch.setenv(name, value)
        patch.chdir(directory)
        patch.syspath_prepend(directory)
        try:
            yield
        finally:
            for name in sys.modules.keys() - modules:
                if str(getattr(sys.modules[name], "__file__", None)).startswith(str(directory)):
                    del sys.modules[name]


@contextlib.contextmanager
def logging_as_it_was() -> Iterator[None]:
    """The body may say where logs go, and which."""
    root, ours = logging.getLogger(), logging.getLogger("copypump")
    handlers, level = root.handlers[:], ours.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        ours.setLevel(level)
