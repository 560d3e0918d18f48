"""Whole processes, by the operating system's own account of them; see launch.py."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]

# Python may keep what it compiled, as it does where a user installed it. Where it may not, copypump compiles all
# of itself at each start: 0.13 s of CPU more.
KEEPING = {"PYTHONDONTWRITEBYTECODE": ""}


class FailedError(Exception):
    """A measured command failed, or took too long; the message is what it said."""


@dataclass(frozen=True)
class Cost:
    """What the processes of one run took.

    Seconds of wall time and of CPU in user and system mode; the sum of the commands' peaks of resident memory,
    in MB; and where that was asked for, pairs of seconds since the start and resident MB of all.
    """

    wall: float
    user: float
    system: float
    memory: float
    samples: tuple[tuple[float, float], ...] = ()

    @property
    def cpu(self) -> float:
        """Seconds of CPU in both modes."""
        return self.user + self.system


def run(
    *commands: Sequence[str],
    environment: Mapping[str, str] | None = None,
    interval: float = 0.0,
    timeout: float = 3600.0,
) -> Cost:
    """Run the commands as one pipe, in the repository's root, and give what they cost.

    Args:
        commands: each as its words.
        environment: variables beside those that are there.
        interval: seconds between two samples of memory; 0: none.
        timeout: seconds after which all are killed.

    Raises:
        FailedError: one of them failed, or they took too long.

    """
    job = {
        "commands": [list(command) for command in commands],
        "environment": {**KEEPING, **(environment or {})},
        "interval": interval,
        "timeout": timeout,
    }
    launcher = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py"))]
    done = subprocess.run(
        launcher, input=json.dumps(job), capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        raise FailedError(done.stderr.strip().splitlines()[-1])
    told = json.loads(done.stdout)
    if told["error"]:
        raise FailedError(told["error"])
    samples = tuple((seconds, size / 1e6) for seconds, size in told["samples"])
    return Cost(told["wall"], told["user"], told["system"], told["memory"] / 1e6, samples)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median, and the least and the most; of a single value, that alone."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} - {max(values):.{digits}f})"
