"""`python -m tests.faults --schedules 200 --seed 1`: random schedules of faults, a line each.

`--every` instead puts each fault at each step of a run. `--ways` names the ways in which the runs go: by default
any, and one with `--every`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from tests.faults.scene import two_servers
from tests.faults.schedule import Schedule, Servers, Told, at_random, carry_out, every
from tests.faults.ways import WAYS


class Pair:
    """Two servers, which are used again as long as nothing fails on them."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._servers: Servers | None = None

    def get(self) -> Servers:
        if self._servers is None:
            self._servers = self._stack.enter_context(two_servers())
        return self._servers

    def close(self) -> None:
        self._servers = None
        self._stack.close()


class Runner:
    """Carries schedules out, several at once, each on servers of its own; prints a line each, and counts."""

    def __init__(self) -> None:
        self._own = threading.local()
        self._pairs: list[Pair] = []
        self._lock = threading.Lock()
        self.done = self.hits = self.missed = 0
        self.hit_by = Counter[int]()
        self.failed: list[str] = []

    def __call__(self, named: tuple[str, Schedule]) -> None:
        name, schedule = named
        if not hasattr(self._own, "pair"):
            self._own.pair = Pair()
            with self._lock:
                self._pairs.append(self._own.pair)
        start, failed = time.monotonic(), ""
        try:
            told = carry_out(schedule, *self._own.pair.get())
        except Exception as error:
            line = traceback.extract_tb(error.__traceback__)[-1]
            told, failed = Told(), f"FAILED: {type(error).__name__}: {error} ({line.name}: {line.line})"
            self._own.pair.close()
        with self._lock:
            self.done += 1
            self.hits += told.hits
            self.missed += told.missed
            self.hit_by[told.hits] += not failed
            if failed:
                self.failed.append(f"{name} ({schedule})")
            print(f"{name}: {schedule}: {failed or told.text} ({time.monotonic() - start:.1f} s)", flush=True)

    def close(self) -> None:
        for pair in self._pairs:
            pair.close()

    def summary(self) -> str:
        counts = ", ".join(
            f"{number} hit by {hits}" for hits, number in sorted(self.hit_by.items()) if number
        )
        lines = [
            f"{self.done - len(self.failed)} of {self.done} schedules ended with exact tables",
            f"{self.hits} faults hit, {self.missed} came too late to do anything; of the schedules, {counts}",
            *(f"not: {each}" for each in self.failed),
        ]
        return "\n".join(lines)


def _every(ways: list[str]) -> Iterator[tuple[str, Schedule]]:
    for way in ways:
        with two_servers() as servers:
            schedules = list(every(way, *servers))
        yield from ((f"{number} of {len(schedules)}", each) for number, each in enumerate(schedules, 1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, help="how many; by default 200, or all of --every")
    parser.add_argument("--seed", type=int, default=1, help="that of the first; the others follow it")
    parser.add_argument("--every", action="store_true", help="each fault at each step")
    parser.add_argument(
        "--ways", nargs="+", choices=sorted(WAYS), metavar="WAY", help=", ".join(sorted(WAYS))
    )
    parser.add_argument("--from", type=int, default=1, dest="first", help="of --every, the first to do")
    parser.add_argument("--jobs", type=int, default=1, help="how many at once, each on servers of its own")
    given = parser.parse_args()
    # A shell lets what it starts in the background ignore Ctrl-C, and that would be inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if given.every:
        named = list(_every(given.ways or ["empty-key"]))[given.first - 1 :][: given.schedules]
    else:
        seeds = range(given.seed, given.seed + (given.schedules or 200))
        named = [(f"seed {seed}", at_random(seed, given.ways or WAYS)) for seed in seeds]
    runner = Runner()
    try:
        with ThreadPoolExecutor(given.jobs) as executor:
            list(executor.map(runner, named))
    finally:
        runner.close()
        print(runner.summary(), flush=True)
    return 1 if runner.failed else 0


if __name__ == "__main__":
    sys.exit(main())
