"""How soon copypump is at work: its help, its first row, and the CPU that a start takes.

Whole processes, in turn, of which the first turn warms up and is not counted. The first row is seen by a proxy
before the target (first_row.py), on W1's table, whose first batch has to be read, transformed and encoded before. The
CPU of a start is that of the same command over no rows.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.first_row import watched
from bench.measure import KEEPING, ROOT, FailedError, run
from bench.peers.table import PEERS, Places, program
from bench.pump import Arena, Way, telling
from bench.results import scene
from bench.servers import Pair, uri
from bench.workloads import WORKLOADS

Tell = Callable[[str], object]

WAYS = ("copypump", "copypump-plain")

# Seconds that each shall stay within.
HELP, FIRST_ROW, CPU = 0.3, 1.0, 0.6


def measure(pair: Pair, places: Places, scale: float, runs: int, tell: Tell) -> dict[str, Any]:
    """All of it; the outcome is what start.json holds."""
    found: dict[tuple[str, str, float], list[float]] = {}
    with Arena(pair, WORKLOADS["W1"], scale, places) as arena:
        ways = [arena.way(PEERS[name]) for name in WAYS]
        for turn in range(runs + 1):
            taken = {("copypump --help", "wall", HELP): run([program(places), "--help"]).wall}
            for way in ways:
                what = "run through a transform" if way.peer.transforms else "run without a transform"
                taken[f"{what}, to the first row sent", "wall", FIRST_ROW] = first_row(arena, way, places)
                taken[f"{what}, over no rows", "CPU", CPU] = arena.idle(way).cpu
            tell(", ".join(f"{what} {seconds:.2f} s" for (what, _, _), seconds in taken.items()))
            for key, seconds in taken.items():
                if turn:
                    found.setdefault(key, []).append(seconds)
        rows = arena.rows
    return {
        **scene(pair, places),
        "rows": rows,
        "measures": [
            {"what": what, "of": of, "bar": bar, "seconds": seconds}
            for (what, of, bar), seconds in found.items()
        ],
    }


def first_row(arena: Arena, way: Way, places: Places) -> float:
    """Seconds from the start of the process until its first row passes the proxy; it then runs to its end."""
    arena.clear()
    with watched(way.job.dst) as proxy:
        (command,) = way.peer.commands(replace(way.job, dst=uri(proxy.dsn)), places)
        start = time.monotonic()
        done = subprocess.run(
            command, env={**os.environ, **KEEPING}, cwd=ROOT, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise FailedError(telling(done.stderr))
    if proxy.sent is None:
        raise FailedError("no row was seen")
    return proxy.sent - start
