"""The pump beside the raw pipe and the peers, in turn (A B C A B C ...), on the same rows in the same run.

What each leaves behind is compared with what the source's own SQL gives; what each costs is the operating
system's account of its processes.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bench import making
from bench.compare import connect, difference, sums
from bench.making import Connection, execute
from bench.measure import Cost, FailedError, run
from bench.peers.job import Job
from bench.peers.table import Peer, Places, missing, of, psql, version
from bench.servers import Pair, uri
from bench.workloads import SCHEMA, Workload

YARDSTICK = "raw"
SAMPLING = 0.05
LEAST = 2
# Runs over no rows, of which the median is the start: copypump's bar hangs on it, the others' do not.
STARTS_OF_OURS, STARTS_OF_PEERS = 3, 1
# What the slowest peers are sampled with shrinks below this scale, or they would take most of a small run.
WHOLE_SAMPLES = 0.1

Tell = Callable[[str], object]


@dataclass(frozen=True)
class Turns:
    """How often each is run, after a first time that warms caches, samples memory and is checked.

    `ours` is for copypump, the raw pipe, and whatever `often` names; `peers` for all others, where 0 lets the
    first time count. `timeout` in seconds ends any single run. After `until` (of time.monotonic()) only `LEAST`
    turns of ours are still made.
    """

    ours: int = 5
    peers: int = 1
    timeout: float = 600.0
    until: float = float("inf")
    often: frozenset[str] = frozenset({YARDSTICK})

    def of(self, peer: Peer) -> int:
        """The counted turns of a peer."""
        return self.ours if peer.ours or peer.name in self.often else self.peers


@dataclass
class Way:
    """One peer's part in one workload.

    `rows` is what it moved; `fault` what did not arrive as it should, `missing` and `failed` why there is no
    figure. `costs` are by turn, with None where it had none; `first` is the uncounted one; `start` the median
    of runs over no rows.
    """

    peer: Peer
    job: Job
    rows: int
    version: str = ""
    missing: str | None = None
    failed: str | None = None
    fault: str | None = None
    start: Cost | None = None
    first: Cost | None = None
    costs: list[Cost | None] = field(default_factory=list)


@dataclass
class Match:
    """One workload, measured. `size` is the bytes of the source's binary COPY."""

    workload: Workload
    rows: int
    size: int
    ways: list[Way]


class Arena:
    """The tables of one workload on both servers, made for as long as the block lasts."""

    def __init__(self, pair: Pair, workload: Workload, scale: float, places: Places) -> None:
        self._pair, self._scale, self._places = pair, scale, places
        self.workload = workload
        self._made: list[tuple[Connection, str]] = []
        self._parts: dict[int, str] = {}
        self._expected: dict[str, tuple[object, ...]] = {}

    def __enter__(self) -> Arena:
        self.source, self.target = connect(self._pair.src), connect(self._pair.dst)
        workload, source, target = self.workload, self.source, self.target
        self.rows = making.source(source, workload, self._scale)
        making.schema(target)
        self.table = f"{SCHEMA}.{workload.table}"
        self.empty = self._part(0)
        self.landings = {
            "same": (target, f"{SCHEMA}.same"),
            "out": (target, f"{SCHEMA}.outcome"),
            "own": (target, self.table),
            "floor": (source, f"{SCHEMA}.floor"),
        }
        for lands, (connection, name) in self.landings.items():
            execute(connection, f"DROP TABLE IF EXISTS {name}")
            execute(connection, workload.create(name, out=lands in {"out", "floor"}))
            self._made.append((connection, name))
        counted = psql(self._pair.src, f"COPY {self.table} TO STDOUT (FORMAT BINARY)")
        self.size = _piped_bytes(counted)
        return self

    def __exit__(self, *_: object) -> None:
        for connection, name in self._made:
            execute(connection, f"DROP TABLE IF EXISTS {name}")
        self.source.close()
        self.target.close()

    def _part(self, rows: int) -> str:
        if rows not in self._parts:
            name = making.part(self.source, self.workload, f"{self.workload.table}_{rows}", rows)
            self._made.append((self.source, name))
            self._parts[rows] = name
        return self._parts[rows]

    def way(self, peer: Peer) -> Way:
        """One peer's part, before anything is run."""
        table, rows = self.table, self.rows
        if peer.values is not None:
            values = peer.values * min(1.0, self._scale / WHOLE_SAMPLES)
            most = max(1, int(values) // len(self.workload.columns))
            if most < rows:
                table, rows = self._part(most), most
        job = Job(
            uri(self._pair.src), uri(self._pair.dst), self.workload, table, self.landings[peer.lands][1]
        )
        return Way(peer, job, rows, version(peer, self._places), missing(peer, self._places))

    def start(self, way: Way, timeout: float) -> None:
        """Measure the peer over no rows. One that reads a table by its own name has no such run."""
        if way.peer.lands == "own":
            return
        times = STARTS_OF_OURS if way.peer.ours else STARTS_OF_PEERS
        runs = sorted((self.idle(way, timeout) for _ in range(times)), key=lambda cost: cost.cpu)
        way.start = runs[times // 2]

    def idle(self, way: Way, timeout: float = 600.0) -> Cost:
        """Run it once over no rows."""
        return self._run(way, replace(way.job, table=self.empty), timeout)

    def run(self, way: Way, timeout: float, interval: float = 0.0) -> Cost:
        """Run it once, into empty tables."""
        self.clear()
        return self.run_as_is(way, timeout, interval)

    def run_as_is(self, way: Way, timeout: float, interval: float = 0.0) -> Cost:
        """Run it once, into whatever is there."""
        return self._run(way, way.job, timeout, interval)

    def clear(self) -> None:
        """Empty what rows land in, and leave both servers nothing to write behind a run."""
        for connection, name in self.landings.values():
            execute(connection, f"TRUNCATE {name}")
        execute(self.target, "CHECKPOINT")

    def _run(self, way: Way, job: Job, timeout: float, interval: float = 0.0) -> Cost:
        return run(*way.peer.commands(job, self._places), interval=interval, timeout=timeout)

    def fault(self, way: Way) -> str | None:
        """What of the last run did not arrive; None if all is as the source's SQL has it."""
        expected = self.workload.expected if way.peer.transforms else "SELECT * FROM {table}"
        connection, landing = self.landings[way.peer.lands]
        query = expected.format(table=way.job.table)
        if query not in self._expected:  # the source does not change
            self._expected[query] = sums(self.source, query)
        return difference(
            self.source, query, connection, f"SELECT * FROM {landing}", expected=self._expected[query]
        )


def match(
    pair: Pair,
    workload: Workload,
    scale: float,
    places: Places,
    turns: Turns,
    wanted: Callable[[Peer], bool],
    tell: Tell,
) -> Match:
    """Measure every wanted peer over one workload."""
    tell(f"{workload.name}: making {workload.table} ...")
    with Arena(pair, workload, scale, places) as arena:
        ways = [arena.way(peer) for peer in of(workload) if wanted(peer)]
        for way in ways:
            if way.missing:
                tell(f"{workload.name} {way.peer.title}: {way.missing}")
        able = [way for way in ways if not way.missing]
        for way in able:
            tell(f"{workload.name} {way.peer.title}: first run, and check")
            _first(arena, way, turns.timeout)
        for turn in range(max((turns.of(way.peer) for way in able), default=0)):
            if turn >= LEAST and time.monotonic() > turns.until:
                tell(f"{workload.name}: no time for more than {turn} runs")
                break
            for way in able:
                if way.failed or turn >= turns.of(way.peer):
                    way.costs.append(None)
                    continue
                tell(f"{workload.name} {way.peer.title}: run {turn + 1} of {turns.of(way.peer)}")
                way.costs.append(arena.run(way, turns.timeout))
        for way in able:
            if not way.failed and not any(way.costs):
                way.costs = [way.first]
        return Match(workload, arena.rows, arena.size, ways)


def _first(arena: Arena, way: Way, timeout: float) -> None:
    """Measure its start, warm up, sample memory, and check what arrives."""
    try:
        arena.start(way, timeout)
        way.first = arena.run(way, timeout, SAMPLING)
    except FailedError as error:
        way.failed = telling(str(error))
        return
    way.fault = arena.fault(way)


def telling(text: str) -> str:
    """The line that says most of what a failed program printed.

    That is the first which names an error, because what follows is often its consequence; in Python's tracebacks
    it is the last.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    naming = [line for line in lines if re.search(r"error\w*: ", line, re.IGNORECASE)] or lines[-1:]
    return naming[-1 if "Traceback" in text else 0][:300] if naming else text


def _piped_bytes(command: list[str]) -> int:
    """How many bytes a command writes."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        size = 0
        while data := process.stdout.read(1 << 20):
            size += len(data)
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed")
    return size
