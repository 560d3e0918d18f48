"""Whole processes, by the operating system's own account of them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Cost:
    """Wall and CPU (user + system) seconds, and the peak resident memory of the largest process in MB."""

    wall: float
    cpu: float
    memory: float


def run(*commands: Sequence[str]) -> Cost:
    """Run the commands as one pipe, and sum up what they cost; RuntimeError if one of them fails."""
    start = time.perf_counter()
    processes: list[subprocess.Popen[bytes]] = []
    for at, command in enumerate(commands):
        processes.append(
            subprocess.Popen(
                command,
                stdin=processes[-1].stdout if processes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if at + 1 < len(commands) else subprocess.DEVNULL,
                stderr=subprocess.PIPE if at + 1 == len(commands) else None,
            )
        )
        if at:
            stdout = processes[at - 1].stdout
            assert stdout is not None
            stdout.close()
    stderr = processes[-1].stderr
    assert stderr is not None
    words = stderr.read().decode()
    stderr.close()
    cpu = memory = 0.0
    failed = False
    for process in processes:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        failed = failed or process.returncode != 0
        cpu += usage.ru_utime + usage.ru_stime
        memory = max(memory, usage.ru_maxrss / 1024)
    wall = time.perf_counter() - start
    if failed:
        raise RuntimeError(f"{[p.args for p in processes]} failed:\n{words}")
    return Cost(wall, cpu, memory)


def spread(values: Sequence[float]) -> str:
    """Median, and the least and the most."""
    return f"{median(values):.2f} ({min(values):.2f} - {max(values):.2f})"
