"""How costs grow: with rows, the batch size, the number of columns, and the length of the wire.

Each sweep moves rows with copypump and, where it can, with the raw pipe, in turn, into a target without a log.
scaling_report.py says in words what came of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from bench import making, scaling_report
from bench.compare import connect
from bench.delay import delayed
from bench.making import Connection, execute
from bench.measure import ROOT, Cost, run
from bench.peers.table import Places, program, psql
from bench.results import scene
from bench.servers import Pair, address, moved
from bench.workloads import PEOPLE, SCHEMA, WORKLOADS

INTO = f"{SCHEMA}.scaled"
PEOPLE_COLUMNS = WORKLOADS["W1"].columns
PEOPLE_OUT = WORKLOADS["W1"].out or {}

BATCHES = [64 << shift for shift in range(11)]  # kB, to 64 MB
COLUMNS = [1, 4, 16, 64, 256, 1024]
ROUND_TRIPS = [0, 5, 10, 20, 50]  # ms

Tell = Callable[[str], object]


@dataclass(frozen=True)
class Sizes:
    """How much is moved.

    Attributes:
        most_rows: the rows sweep goes from 100,000 (or this, if it is less) to this, tenfold each time.
        batch_scale: lineitem's scale for the batch sweep.
        values: rows times columns of the columns sweep.
        wire_rows: rows of the wire sweep.
        runs: of each point, in turn with those beside it, and of its start over no rows; the median counts.

    """

    most_rows: int = 1_000_000
    batch_scale: float = 0.2
    values: int = 10_000_000
    wire_rows: int = 200_000
    runs: int = 3


@dataclass(frozen=True)
class Point:
    """One measured place of a sweep: `x` is what is swept; seconds, and MB, at the median of `runs`."""

    sweep: str
    way: str
    x: float
    rows: int
    runs: int
    wall: float
    cpu: float
    start_cpu: float
    memory: float
    samples: list[tuple[float, float]]


def measure(pair: Pair, places: Places, sizes: Sizes, sweeps: Sequence[str], tell: Tell) -> dict[str, Any]:
    """Run the sweeps; the outcome is what scaling.json holds."""
    points: list[Point] = []
    with connect(pair.src) as source, connect(pair.dst) as target:
        making.schema(source)
        making.schema(target)
        course = Course(pair, places, source, target, sizes)
        try:
            for name in sweeps:
                _, label, spell = scaling_report.SWEEPS[name]
                for point in SWEEPS[name](course):
                    at = f"{label} {spell(point.x)}"
                    tell(f"{name}: {point.way} at {at}: {point.wall:.2f} s, {point.memory:.0f} MB")
                    points.append(point)
        finally:
            execute(target, f"DROP TABLE IF EXISTS {INTO}")
    return {**scene(pair, places), "points": [asdict(point) for point in points]}


def beside(before: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """What was measured now, with the sweeps of an earlier file that were not, if the same was measured."""
    if any(before[what] != made[what] for what in ("machine", "source", "target", "environment")):
        return made
    now = {point["sweep"] for point in made["points"]}
    return made | {"points": made["points"] + [each for each in before["points"] if each["sweep"] not in now]}


class Course:
    """What every sweep needs: both sides, and a way to run over them."""

    def __init__(
        self, pair: Pair, places: Places, source: Connection, target: Connection, sizes: Sizes
    ) -> None:
        self.pair, self.places, self.sizes = pair, places, sizes
        self.source, self.target = source, target
        self._starts: dict[str, float] = {}

    def target_table(self, columns: dict[str, str]) -> None:
        """Make the target anew, without a log."""
        execute(self.target, f"DROP TABLE IF EXISTS {INTO}")
        declared = ", ".join(f"{name} {type_}" for name, type_ in columns.items())
        execute(self.target, f"CREATE UNLOGGED TABLE {INTO} ({declared})")

    def points(self, sweep: str, *stops: Stop) -> Iterator[Point]:
        """Run all of them in turn, as often as is wanted, and give what each took."""
        costs: list[list[Cost]] = [[] for _ in stops]
        for _ in range(self.sizes.runs):
            for stop, taken in zip(stops, costs, strict=True):
                taken.append(self._run(stop))
        for stop, taken in zip(stops, costs, strict=True):
            middle = sorted(taken, key=lambda cost: cost.wall)[len(taken) // 2]
            yield Point(
                sweep, stop.way.name, stop.x, stop.rows, self.sizes.runs, middle.wall, median(cost.cpu for cost in taken),
                stop.way.start, max(cost.memory for cost in taken), list(middle.samples),
            )  # fmt: skip

    def _run(self, stop: Stop) -> Cost:
        """Once, into an empty table."""
        execute(self.target, f"TRUNCATE {INTO}")
        execute(self.target, "CHECKPOINT")
        cost = run(*stop.way.commands, interval=0.05)
        found = making.count(self.target, INTO)
        if found != stop.rows:
            raise RuntimeError(f"{stop.way.name} left {found:,} rows instead of {stop.rows:,}")
        return cost

    def pump(self, origin: Sequence[str], *words: str, pair: Pair | None = None) -> Way:
        """One copypump from `origin` (--table or --query and its value); its start is that of no rows."""
        src, dst, _ = pair or self.pair
        command = [program(self.places), "run", "--no-progress", "--src", src, "--dst", dst, "--into", INTO]
        command += ["--mode", "append", "--pythonpath", str(ROOT), *words]
        key = " ".join((*command, *origin))
        if key not in self._starts:
            none = [*command, "--query", self._nothing(origin)]
            self._starts[key] = median(run(none).cpu for _ in range(self.sizes.runs))
        return Way("copypump", [[*command, *origin]], self._starts[key])

    def _nothing(self, origin: Sequence[str]) -> str:
        kind, value = origin
        inner = value if kind == "--query" else f"SELECT * FROM {value}"
        return f"SELECT * FROM ({inner}) AS t LIMIT 0"

    def raw(self, query: str, pair: Pair | None = None) -> Way:
        """Two psql."""
        src, dst, _ = pair or self.pair
        out = psql(src, f"COPY ({query}) TO STDOUT (FORMAT BINARY)")
        return Way("psql | psql", [out, psql(dst, f"COPY {INTO} FROM STDIN (FORMAT BINARY)")], 0.0)


@dataclass(frozen=True)
class Way:
    """A name, its commands, and the CPU seconds of its start."""

    name: str
    commands: list[list[str]]
    start: float


@dataclass(frozen=True)
class Stop:
    """A way at one place of a sweep, and the rows that it moves there."""

    x: float
    rows: int
    way: Way


# The sweeps ------------------------------------------------------------------------------------------------


def rows(course: Course) -> Iterator[Point]:
    """From 100,000 rows on, tenfold; the source is a query."""
    count = min(100_000, course.sizes.most_rows)
    course.target_table(PEOPLE_OUT)
    while count <= course.sizes.most_rows:
        query = PEOPLE.format(rows=count).strip()
        pump = course.pump(["--query", query], "--transform", "bench.transforms:people")
        yield from course.points("rows", *(Stop(count, count, way) for way in (course.raw(query), pump)))
        count *= 10


def batches(course: Course) -> Iterator[Point]:
    """--batch-bytes from 64 kB to 64 MB, over lineitem with its transform."""
    workload = WORKLOADS["W2"]
    count = making.source(course.source, workload, course.sizes.batch_scale)
    course.target_table(workload.columns)
    words = ["--transform", workload.transform, "--batch-rows", str(1 << 20)]
    pump = course.pump(["--table", f"{SCHEMA}.{workload.table}"], *words)
    (command,) = pump.commands  # whose start is that of all sizes
    ways = [replace(pump, commands=[[*command, "--batch-bytes", f"{size}kB"]]) for size in BATCHES]
    stops = [Stop(size * 1024, count, way) for size, way in zip(BATCHES, ways, strict=True)]
    yield from course.points("batches", *stops)


def columns(course: Course) -> Iterator[Point]:
    """As many values in ever more columns, each of them rebuilt."""
    for count in COLUMNS:
        names = [f"c{at}" for at in range(1, count + 1)]
        course.target_table(dict.fromkeys(names, "int"))
        amount = max(1, course.sizes.values // count)
        values = ", ".join(f"(i + {at})::int AS {name}" for at, name in enumerate(names))
        query = f"SELECT {values} FROM generate_series(1, {amount}) AS i"
        pump = course.pump(["--query", query], "--transform", "bench.transforms:rebuild")
        yield from course.points("columns", *(Stop(count, amount, way) for way in (course.raw(query), pump)))


def wire(course: Course) -> Iterator[Point]:
    """Round trips of up to 50 ms between the client and both servers."""
    course.target_table(PEOPLE_OUT)
    count = course.sizes.wire_rows
    query = PEOPLE.format(rows=count).strip()
    for milliseconds in ROUND_TRIPS:
        with _longer(course.pair, milliseconds / 2000) as pair:
            pump = course.pump(["--query", query], "--transform", "bench.transforms:people", pair=pair)
            ways = (course.raw(query, pair), pump)
            yield from course.points("wire", *(Stop(milliseconds, count, way) for way in ways))


@contextlib.contextmanager
def _longer(pair: Pair, delay: float) -> Iterator[Pair]:
    """The same servers behind longer wires."""
    with contextlib.ExitStack() as stack:
        src, dst = (
            moved(dsn, stack.enter_context(delayed(*address(dsn), delay))) for dsn in (pair.src, pair.dst)
        )
        yield Pair(src, dst, pair.embedded)


SWEEPS: dict[str, Callable[[Course], Iterator[Point]]] = {
    function.__name__: function for function in (rows, batches, columns, wire)
}
