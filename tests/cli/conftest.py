"""The command line in processes of its own, as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A test's outcome must not hang on the terminal or the environment that it was started from.
SILENT = ("COPYPUMP_", "PG", "NO_COLOR", "TERM", "FORCE_COLOR")

Result = subprocess.CompletedProcess[str]
Cli = Callable[..., Result]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SILENT)}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": "error"} | more


@pytest.fixture
def copypump(tmp_path: Path) -> Cli:
    """`copypump("run", ...)` in `tmp_path`, its environment given by keyword; stdout and stderr apart."""

    def call(*words: str, **env: str) -> Result:
        return subprocess.run(
            [sys.executable, "-m", "copypump", *words],
            cwd=tmp_path,
            env=environment(**env),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return call
