"""How costs grow: with rows, the batch size, the number of columns, and the length of the wire.

Each sweep moves rows with copypump and, where it can, with the raw pipe, in turn, into a target without a log.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bench import making
from bench.compare import connect
from bench.delay import delayed
from bench.making import Connection, execute
from bench.measure import ROOT, Cost, run
from bench.peers.table import Places, packages, program, psql
from bench.servers import Pair, described, machine
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
        runs: of each point, of which the median counts.

    """

    most_rows: int = 1_000_000
    batch_scale: float = 0.05
    values: int = 2_000_000
    wire_rows: int = 200_000
    runs: int = 1


@dataclass(frozen=True)
class Point:
    """One measured place of a sweep: `x` is what is swept; seconds, and MB."""

    sweep: str
    way: str
    x: float
    rows: int
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
                for point in SWEEPS[name](course):
                    tell(f"{name}: {point.way} at {point.x:,g}: {point.wall:.2f} s, {point.memory:.0f} MB")
                    points.append(point)
        finally:
            execute(target, f"DROP TABLE IF EXISTS {INTO}")
    known = packages(places.pump)
    return {
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "source": described(pair.src),
        "target": described(pair.dst),
        "environment": {name: known.get(name) for name in ("copypump", "pyarrow", "numpy", "pandas")},
        "sizes": asdict(sizes),
        "points": [asdict(point) for point in points],
    }


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

    def point(self, sweep: str, x: float, rows: int, way: Way) -> Point:
        """Run a way as often as is wanted, into an empty table each time."""
        costs: list[Cost] = []
        for _ in range(self.sizes.runs):
            execute(self.target, f"TRUNCATE {INTO}")
            execute(self.target, "CHECKPOINT")
            costs.append(run(*way.commands, interval=0.05))
        found = making.count(self.target, INTO)
        if found != rows:
            raise RuntimeError(f"{way.name} left {found:,} rows instead of {rows:,}")
        best = sorted(costs, key=lambda cost: cost.wall)[len(costs) // 2]
        return Point(
            sweep, way.name, x, rows, best.wall, median(cost.cpu for cost in costs), way.start,
            max(cost.memory for cost in costs), list(best.samples),
        )  # fmt: skip

    def pump(self, origin: Sequence[str], *words: str, pair: Pair | None = None) -> Way:
        """One copypump from `origin` (--table or --query and its value); its start is that of no rows."""
        src, dst, _ = pair or self.pair
        command = [program(self.places), "run", "--no-progress", "--src", src, "--dst", dst, "--into", INTO]
        command += ["--mode", "append", "--pythonpath", str(ROOT), *words]
        key = " ".join((*command, *origin))
        if key not in self._starts:
            none = [*command, "--query", self._nothing(origin)]
            self._starts[key] = median(run(none).cpu for _ in range(3))
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


# The sweeps ------------------------------------------------------------------------------------------------


def rows(course: Course) -> Iterator[Point]:
    """From 100,000 rows on, tenfold; the source is a query."""
    count = min(100_000, course.sizes.most_rows)
    course.target_table(PEOPLE_OUT)
    while count <= course.sizes.most_rows:
        query = PEOPLE.format(rows=count).strip()
        pump = course.pump(["--query", query], "--transform", "bench.transforms:people")
        for way in (course.raw(query), pump):
            yield course.point("rows", count, count, way)
        count *= 10


def batches(course: Course) -> Iterator[Point]:
    """--batch-bytes from 64 kB to 64 MB, over lineitem with its transform."""
    workload = WORKLOADS["W2"]
    count = making.source(course.source, workload, course.sizes.batch_scale)
    course.target_table(workload.columns)
    table = f"{SCHEMA}.{workload.table}"
    for size in BATCHES:
        words = [
            "--transform",
            workload.transform,
            "--batch-bytes",
            f"{size}kB",
            "--batch-rows",
            str(1 << 20),
        ]
        yield course.point("batches", size * 1024, count, course.pump(["--table", table], *words))


def columns(course: Course) -> Iterator[Point]:
    """As many values in ever more columns, each of them rebuilt."""
    for count in COLUMNS:
        names = [f"c{at}" for at in range(1, count + 1)]
        course.target_table(dict.fromkeys(names, "int"))
        amount = max(1, course.sizes.values // count)
        values = ", ".join(f"(i + {at})::int AS {name}" for at, name in enumerate(names))
        query = f"SELECT {values} FROM generate_series(1, {amount}) AS i"
        pump = course.pump(["--query", query], "--transform", "bench.transforms:rebuild")
        for way in (course.raw(query), pump):
            yield course.point("columns", count, amount, way)


def wire(course: Course) -> Iterator[Point]:
    """Round trips of up to 50 ms between the client and both servers."""
    course.target_table(PEOPLE_OUT)
    count = course.sizes.wire_rows
    query = PEOPLE.format(rows=count).strip()
    for milliseconds in ROUND_TRIPS:
        with _longer(course.pair, milliseconds / 2000) as pair:
            pump = course.pump(["--query", query], "--transform", "bench.transforms:people", pair=pair)
            for way in (course.raw(query, pair), pump):
                yield course.point("wire", milliseconds, count, way)


@contextlib.contextmanager
def _longer(pair: Pair, delay: float) -> Iterator[Pair]:
    """The same servers behind longer wires."""
    with contextlib.ExitStack() as stack:
        dsns = []
        for dsn in (pair.src, pair.dst):
            parts = conninfo_to_dict(dsn)
            host, port = str(parts.get("host", "localhost")), int(str(parts.get("port", 5432)))
            dsns.append(
                make_conninfo(dsn, host="127.0.0.1", port=stack.enter_context(delayed(host, port, delay)))
            )
        yield Pair(dsns[0], dsns[1], pair.embedded)


SWEEPS: dict[str, Callable[[Course], Iterator[Point]]] = {
    function.__name__: function for function in (rows, batches, columns, wire)
}
