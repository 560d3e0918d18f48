"""Many workers: beside as many raw pipes, what their ledger costs, and how busy each is on a skewed table.

The raw pipes are psql processes in pairs; as many pairs at once as there are jobs take equal ctid ranges off one
queue. Each turn runs every way once, so that ratios are taken between neighbours in time.
"""

from __future__ import annotations

import queue
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import copypump
from bench import making
from bench.compare import connect, difference
from bench.making import Connection, execute
from bench.measure import FailedError, run, spread
from bench.peers.table import Places
from bench.results import scene
from bench.servers import Pair, uri
from bench.workloads import SCHEMA, WORKLOADS, Workload
from copypump.engine.options import DEFAULT_CHUNK_BYTES
from copypump.engine.splits.cutting import PER_WORKER

WORKERS = (1, 2, 4)
WORKLOADS_OF_JOBS = ("W1", "W2")

# Each costs a raw pipe the start of two psql.
RANGES = 16

# What a chunk costs by itself shows where the same rows go in many more of them.
SMALL = "many chunks"
SMALL_CHUNK = 4 << 20

# The table whose bytes lie in 1% of its rows, all in one place.
SKEWED_ROWS = 100_000
# Cut as a table of any size is by default, into so many chunks a worker.
SKEWED_BYTES = 60_000
HEAVY_SHARE = 100

RUN = "bench"

Tell = Callable[[str], object]


@dataclass(frozen=True)
class Sizes:
    """How many rows of a workload (1: all), how often each way is run, and what is measured."""

    scale: float
    runs: int
    workloads: tuple[str, ...] = WORKLOADS_OF_JOBS
    workers: tuple[int, ...] = WORKERS


def measure(pair: Pair, places: Places, sizes: Sizes, tell: Tell) -> dict[str, Any]:
    """Everything of this module."""
    jobs = []
    for name in sizes.workloads:
        with _tables(pair, WORKLOADS[name], sizes.scale) as landing:
            jobs.append(_side_by_side(pair, WORKLOADS[name], landing, places, sizes, tell))
    skew = _skew(pair, sizes, tell)
    return {**scene(pair, places), "scale": sizes.scale, "ranges": RANGES, "jobs": jobs, "skew": skew}


@contextmanager
def _tables(pair: Pair, workload: Workload, scale: float) -> Iterator[str]:
    """The source's rows, and a table of the target's for as long as the block lasts."""
    landing = f"{SCHEMA}.jobs_of_{workload.table}"
    with connect(pair.src) as source, connect(pair.dst) as target:
        making.source(source, workload, scale)
        making.schema(target)
        execute(target, f"DROP TABLE IF EXISTS {landing}")
        execute(target, workload.create(landing, out=True))
        try:
            yield landing
        finally:
            execute(target, f"DROP TABLE IF EXISTS {landing}")


def _side_by_side(
    pair: Pair, workload: Workload, landing: str, places: Places, sizes: Sizes, tell: Tell
) -> dict[str, Any]:
    """Wall seconds of copypump, of raw pipes, and of copypump with many more chunks, turn by turn."""
    seconds: dict[str, list[float]] = {}
    chunks: dict[str, int] = {}
    with connect(pair.src) as source, connect(pair.dst) as target:
        ways: dict[str, Callable[[], float]] = {}
        if 1 in sizes.workers:
            ways[SMALL] = lambda: _pump(
                pair, workload, landing, places, 1, "--split", "ctid", "--run-id", RUN,
                "--chunk-bytes", str(SMALL_CHUNK),
            )  # fmt: skip
        for workers in sizes.workers:
            ways[f"raw {workers}"] = lambda workers=workers: _raw(pair, source, workload, landing, workers)  # type: ignore[misc]
            ways[f"copypump {workers}"] = lambda workers=workers: _pump(  # type: ignore[misc]
                pair, workload, landing, places, workers, "--split", "ctid", "--run-id", RUN
            )
        for turn in range(sizes.runs + 1):
            for name, way in ways.items():
                execute(target, f"TRUNCATE {landing}")
                _forget(pair)
                execute(target, "CHECKPOINT")
                took = way()
                tell(f"{workload.name} {name}: {took:.2f} s{'' if turn else ', not counted'}")
                if turn:
                    seconds.setdefault(name, []).append(took)
                elif not name.startswith("raw"):
                    _check(source, target, workload, landing)
                    chunks[name] = copypump.status(RUN, pair.dst).state.chunks
        _forget(pair)
        table = f"{SCHEMA}.{workload.table}"
        size, _ = _size(source, table)
        return {
            "name": workload.name,
            "rows": making.count(source, table),
            "bytes": size,
            "chunks": chunks,
            "seconds": seconds,
        }


def _check(source: Connection, target: Connection, workload: Workload, landing: str) -> None:
    """FailedError unless all of the table has landed, as the source's own SQL has it."""
    expected = workload.expected.format(table=f"{SCHEMA}.{workload.table}")
    if fault := difference(source, expected, target, f"SELECT * FROM {landing}"):
        raise FailedError(f"{workload.name}: {fault}")


def _forget(pair: Pair) -> None:
    if RUN in [each.run for each in copypump.runs(pair.dst)]:
        copypump.forget(RUN, pair.dst)


def _pump(pair: Pair, workload: Workload, landing: str, places: Places, workers: int, *more: str) -> float:
    """One copypump, as its command line is."""
    command = [
        places.pump, "-m", "copypump", "run", "--src", uri(pair.src), "--dst", uri(pair.dst),
        "--table", f"{SCHEMA}.{workload.table}", "--into", landing, "--transform", workload.transform,
        "--jobs", str(workers), "--no-progress", *more,
    ]  # fmt: skip
    return run(command).wall


def _raw(pair: Pair, source: Connection, workload: Workload, landing: str, workers: int) -> float:
    """As many pairs of psql at once, each with the next range until none is left; no transform."""
    raw = f"{landing}_raw"
    with connect(pair.dst) as target:
        execute(target, f"DROP TABLE IF EXISTS {raw}")
        execute(target, workload.create(raw))
        ranges: queue.SimpleQueue[str] = queue.SimpleQueue()
        for condition in _ranges(source, f"{SCHEMA}.{workload.table}"):
            ranges.put(condition)
        failed: list[str] = []

        def work() -> None:
            while True:
                try:
                    condition = ranges.get_nowait()
                except queue.Empty:
                    return
                rows = f"SELECT * FROM {SCHEMA}.{workload.table} WHERE {condition}"
                out = [*_psql(pair.src), f"COPY ({rows}) TO STDOUT (FORMAT BINARY)"]
                into = [*_psql(pair.dst), f"COPY {raw} FROM STDIN (FORMAT BINARY)"]
                with subprocess.Popen(out, stdout=subprocess.PIPE) as reading:
                    done = subprocess.run(into, stdin=reading.stdout, stdout=subprocess.DEVNULL, check=False)
                if done.returncode or reading.returncode:
                    failed.append(condition)

        threads = [threading.Thread(target=work) for _ in range(workers)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall = time.perf_counter() - start
        complete = making.count(target, raw) == making.count(source, f"{SCHEMA}.{workload.table}")
        execute(target, f"DROP TABLE {raw}")
    if failed or not complete:
        raise FailedError(f"raw pipes of {workload.name} left rows out")
    return wall


def _psql(dsn: str) -> list[str]:
    return ["psql", uri(dsn), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c"]


def _size(source: Connection, table: str) -> tuple[int, int]:
    """Bytes and blocks of a table."""
    row = execute(
        source,
        f"SELECT pg_relation_size('{table}'), pg_relation_size('{table}') / current_setting('block_size')::int",
    ).fetchone()
    assert row is not None
    size, blocks = row
    assert isinstance(size, int)
    assert isinstance(blocks, int)
    return size, blocks


def _ranges(source: Connection, table: str) -> list[str]:
    """Equal stretches of the table's blocks, the last one open."""
    _, blocks = _size(source, table)
    cuts = [blocks * part // RANGES for part in range(RANGES)]
    below = [*(f" AND ctid < '({cut},0)'" for cut in cuts[1:]), ""]
    return [f"ctid >= '({cut},0)'{end}" for cut, end in zip(cuts, below, strict=True)]


# Skew


class Busy(ThreadPoolExecutor):
    """Workers that count, each, the seconds that they are at work."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.seconds: Counter[str] = Counter()

    def submit(self, work: Callable[..., Any], /, *args: Any, **settings: Any) -> Future[Any]:
        """As any executor's."""

        def counted() -> Any:
            start = time.perf_counter()
            try:
                return work(*args, **settings)
            finally:
                self.seconds[threading.current_thread().name] += time.perf_counter() - start  # type: ignore[assignment]

        return super().submit(counted)


def _skew(pair: Pair, sizes: Sizes, tell: Tell) -> list[dict[str, Any]]:
    """How long each worker is busy, on a table of which 1% of the rows, all in one place, hold the bytes."""
    table = f"{SCHEMA}.skewed"
    rows = max(1000, round(SKEWED_ROWS * min(1.0, sizes.scale)))
    found = []
    with connect(pair.src) as source, connect(pair.dst) as target:
        for connection in (source, target):
            making.schema(connection)
            execute(connection, f"DROP TABLE IF EXISTS {table}")
            execute(connection, f"CREATE TABLE {table} (id bigint, body text)")
        execute(source, f"ALTER TABLE {table} ALTER body SET STORAGE EXTERNAL")
        heavy = rows // HEAVY_SHARE
        execute(
            source,
            f"INSERT INTO {table} SELECT i, CASE WHEN i BETWEEN {rows // 2} AND {rows // 2 + heavy - 1}"
            f" THEN repeat(md5(i::text), {SKEWED_BYTES // 32}) END FROM generate_series(1, {rows}) AS i",
        )
        execute(source, f"VACUUM (ANALYZE) {table}")
        for workers in (each for each in sizes.workers if each > 1):
            execute(target, f"TRUNCATE {table}")
            with Busy(workers) as executor:
                report = copypump.pump(
                    pair.src, pair.dst, table=table, transform="bench.transforms:rebuild", jobs=workers,
                    split="ctid", chunk_bytes=heavy * SKEWED_BYTES // (PER_WORKER * workers),
                    executor=executor,
                )  # fmt: skip
            busy = sorted(executor.seconds.values())
            ratio = busy[-1] / (sum(busy) / workers)
            tell(f"skewed, {workers} workers, {report.chunks} chunks: longest / mean {ratio:.2f}")
            found.append(
                {"workers": workers, "rows": rows, "chunks": report.chunks, "busy": busy, "ratio": ratio}
            )
        for connection in (source, target):
            execute(connection, f"DROP TABLE {table}")
    return found


# What is printed


def tables(made: dict[str, Any]) -> Iterator[str]:
    """Lines of Markdown; every ratio is the median of those of the turns."""
    yield f"Wall seconds, through the workloads' transforms; raw pipes share {made['ranges']} ranges of one table."
    yield ""
    yield "| workload | jobs | copypump | raw pipes | ratio | copypump: to jobs 1 | raw: to one pipe |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for each in made["jobs"]:
        seconds = each["seconds"]
        for workers in (number for number in WORKERS if f"raw {number}" in seconds):
            ours, raw = seconds[f"copypump {workers}"], seconds[f"raw {workers}"]
            to_one = [
                f"{_ratio(many, seconds[one]):.2f}" if one in seconds else ""
                for many, one in ((ours, "copypump 1"), (raw, "raw 1"))
            ]
            cells = [each["name"], workers, spread(ours), spread(raw), f"{_ratio(ours, raw):.2f}", *to_one]
            yield f"| {' | '.join(map(str, cells))} |"
    yield from _ledger([each for each in made["jobs"] if SMALL in each["seconds"]])
    if made["skew"]:
        yield from _skewed(made["skew"])


def _skewed(skew: list[dict[str, Any]]) -> Iterator[str]:
    """The table of how evenly the workers are busy."""
    yield ""
    yield "| skewed table | chunks | busy seconds of each worker | longest / mean |"
    yield "| --- | --- | --- | --- |"
    for each in skew:
        busy = ", ".join(f"{seconds:.2f}" for seconds in each["busy"])
        yield f"| {each['workers']} workers | {each['chunks']} | {busy} | {each['ratio']:.2f} |"


def _ledger(jobs: list[dict[str, Any]]) -> Iterator[str]:
    """The table of what its transaction, ledger row and queries cost a chunk, by the chunks that a run has more."""
    if not jobs:
        return
    yield ""
    default = f"{DEFAULT_CHUNK_BYTES >> 20} MB"
    yield f"| workload | rows | chunks | seconds | chunks | seconds | a chunk costs | share of one of {default} |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for each in jobs:
        few, many = each["seconds"]["copypump 1"], each["seconds"][SMALL]
        less, more = each["chunks"]["copypump 1"], each["chunks"][SMALL]
        cost = median(other - one for one, other in zip(few, many, strict=True)) / max(1, more - less)
        share = cost / (median(few) * DEFAULT_CHUNK_BYTES / each["bytes"])
        cells = [
            each["name"], f"{each['rows']:,}", less, spread(few), more, spread(many), f"{1000 * cost:.0f} ms",
            f"{share:.1%}",
        ]  # fmt: skip
        yield f"| {' | '.join(map(str, cells))} |"


def _ratio(ones: list[float], others: list[float]) -> float:
    return median(one / other for one, other in zip(ones, others, strict=True))
