"""Runs commands as one pipe and tells what they cost: a process of its own, as small as Python gets.

    python -I -S launch.py < job.json > costs.json        (Linux)

The kernel lets a process inherit the peak memory of the one that started it. Started from here, the peaks are
the commands' own, down to the 10 MB of this one; started from the bench, they would hold the bench's imports.

The job: `commands` (lists of words), `environment` (beside what is there), `interval` (seconds between two
looks at resident memory; 0: none) and `timeout` in seconds. The costs: `wall`; `user` and `system`, summed over
all processes and what they waited for; `memory`, the sum of the commands' own peaks in bytes; `samples`, pairs
of seconds and resident bytes of all; `error`, the end of what a command that failed said, else null.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time

TYPE_CHECKING = False  # as typing's, whose import would cost a megabyte
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import IO

PAGE = os.sysconf("SC_PAGE_SIZE")


def family(pid: int) -> list[int]:
    """Give a process and all below it."""
    found = [pid]
    for each in found:
        try:
            for thread in os.listdir(f"/proc/{each}/task"):
                with open(f"/proc/{each}/task/{thread}/children") as file:
                    found += map(int, file.read().split())
        except OSError:
            pass  # gone meanwhile
    return found


def resident(pids: set[int]) -> int:
    """Sum up the resident bytes of processes and all below them; pages that two of them share count twice."""
    total = 0
    for pid in pids:
        for each in family(pid):
            try:
                with open(f"/proc/{each}/statm") as file:
                    total += int(file.read().split()[1]) * PAGE
            except (OSError, IndexError):
                pass
    return total


def start(commands: list[list[str]], environment: dict[str, str], words: IO[bytes]) -> list[int]:
    """Start the commands, each reading what the one before it writes; standard error goes to `words`."""
    pids, reading = [], os.open(os.devnull, os.O_RDONLY)
    try:
        for at, command in enumerate(commands):
            if at + 1 < len(commands):
                following, writing = os.pipe()
            else:
                following, writing = -1, os.open(os.devnull, os.O_WRONLY)
            actions = [(os.POSIX_SPAWN_DUP2, reading, 0), (os.POSIX_SPAWN_DUP2, writing, 1)]
            actions.append((os.POSIX_SPAWN_DUP2, words.fileno(), 2))
            try:
                pids.append(
                    os.posix_spawnp(
                        command[0],
                        command,
                        environment,
                        file_actions=actions,
                        setsigmask=[],
                        setsigdef=[signal.SIGPIPE],  # Python ignores it, and its children would
                    )
                )
            finally:
                os.close(reading)
                os.close(writing)
                reading = following
    except OSError:
        end(pids)
        raise
    return pids


def end(pids: Iterable[int]) -> None:
    """Kill what is left of them."""
    for pid in pids:
        for each in reversed(family(pid)):
            try:
                os.kill(each, signal.SIGKILL)
            except OSError:
                pass


def run(
    commands: list[list[str]], environment: dict[str, str], interval: float, timeout: float
) -> dict[str, object]:
    """See the module."""
    signal.pthread_sigmask(
        signal.SIG_BLOCK, [signal.SIGCHLD]
    )  # to be waited for, at most until the next look
    with tempfile.TemporaryFile() as words:
        begin = time.perf_counter()
        deadline, look = begin + timeout, begin
        pids = start(commands, {**os.environ, **environment}, words)
        left, usages, samples, failed = set(pids), [], [], []
        while left:
            now = time.perf_counter()
            if now > deadline:
                end(left)
                deadline = float("inf")
            if interval and now >= look:
                size = resident(left)
                if size:  # else they have ended, and wait to be asked
                    samples.append((round(now - begin, 4), size))
                look += interval
            for pid in sorted(left):
                done, status, usage = os.wait4(pid, os.WNOHANG)
                if done:
                    left.discard(pid)
                    usages.append(usage)
                    if status:
                        failed.append(os.path.basename(commands[pids.index(pid)][0]))
            if left:
                until = min(look, deadline) if interval else deadline
                signal.sigtimedwait([signal.SIGCHLD], max(0.0, min(until - time.perf_counter(), 1.0)))
        wall = time.perf_counter() - begin
        words.seek(max(0, words.seek(0, os.SEEK_END) - 4000))
        said = words.read().decode(errors="replace").strip()
    error = f"{', '.join(failed)} failed: {said}" if failed else None
    if deadline == float("inf") and timeout < wall:
        error = f"not done after {timeout:g} s"
    return {
        "wall": wall,
        "user": sum(usage.ru_utime for usage in usages),
        "system": sum(usage.ru_stime for usage in usages),
        "memory": sum(usage.ru_maxrss for usage in usages) * 1024,
        "samples": samples,
        "error": error,
    }


if __name__ == "__main__":
    json.dump(run(**json.load(sys.stdin)), sys.stdout)
