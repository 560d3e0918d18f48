"""All that is measured side by side: the raw pipe, copypump, the floor and the peers, a row each.

A peer that cannot run here is told with its reason, never left out: see `missing`.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from bench.measure import ROOT
from bench.peers.job import Job
from bench.workloads import Workload

Commands = list[list[str]]

# The distribution's `psql` is a Perl script there that looks for the real one; its start is not psql's.
WRAPPER, REAL = "pg_wrapper", Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Places:
    """Where programs are found: the Python of the pump, that of the peers; and a folder for files of a run."""

    pump: str
    peers: str
    folder: Path


@dataclass(frozen=True)
class Peer:
    """One way to move a table's rows.

    Attributes:
        name: for the command line.
        title: for tables and charts.
        how: what it does, in a line.
        commands: its processes, piped into each other.
        transforms: whether the workload's transform is made on the way; else rows go as they are.
        lands: in a table like the source's ("same") or the transform's outcome ("out"), in one of the source's
            own name ("own"), or on the source itself ("floor").
        tools, packages: the programs and the Python distributions that it needs.
        values: the most values that it is given, because it would take minutes; None: the whole table.
        ours: copypump itself.

    """

    name: str
    title: str
    how: str
    commands: Callable[[Job, Places], Commands] = field(repr=False)
    transforms: bool
    lands: Literal["same", "out", "own", "floor"]
    tools: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    values: int | None = None
    ours: bool = False


def tool(name: str) -> str | None:
    """A program on PATH; the real one behind Debian's wrapper."""
    found = shutil.which(name)
    if found is not None and Path(found).resolve().name == WRAPPER:
        real = [path for path in REAL.glob(f"*/bin/{name}") if path.parts[-3].isdigit()]
        found = str(max(real, key=lambda path: int(path.parts[-3]))) if real else None
    return found


@functools.cache
def packages(python: str) -> dict[str, str]:
    """The distributions of a Python's environment, by name, with their versions."""
    script = (
        "import importlib.metadata as m, json, sys\n"
        "json.dump({d.metadata['Name'].lower().replace('_', '-'): d.version for d in m.distributions()}, sys.stdout)"
    )
    told = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True, cwd="/")
    found: dict[str, str] = json.loads(told.stdout)
    return found


def missing(peer: Peer, places: Places) -> str | None:
    """Why a peer cannot run here; None if it can."""
    lacking = [f"{name} is not on PATH" for name in peer.tools if tool(name) is None]
    known = packages(places.pump if peer.ours else places.peers)
    lacking += [f"{name} is not installed" for name in peer.packages if name not in known]
    return ", ".join(lacking) or None


def version(peer: Peer, places: Places) -> str:
    """The versions of what a peer is made of."""
    known = packages(places.pump if peer.ours else places.peers)
    told = [f"{name} {known[name]}" for name in peer.packages if name in known]
    for name in peer.tools:
        if found := tool(name):
            said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
            told += [f"{name} {word}" for word in said.stdout.replace(")", "").split() if word[:1].isdigit()][
                :1
            ]
    return ", ".join(told)


# How each is run -------------------------------------------------------------------------------------------


def psql(dsn: str, statement: str) -> list[str]:
    """One statement in a psql of its own, without the user's settings."""
    return [tool("psql") or "psql", "-qXv", "ON_ERROR_STOP=1", "-d", dsn, "-c", statement]


def pipe(format_: str, job: Job, _: Places) -> Commands:
    """Two psql, the one's output the other's input."""
    return [
        psql(job.src, f"COPY {job.table} TO STDOUT (FORMAT {format_})"),
        psql(job.dst, f"COPY {job.into} FROM STDIN (FORMAT {format_})"),
    ]


def pipe_in_sql(job: Job, _: Places) -> Commands:
    """The same, with the transform in the source's query."""
    query = job.workload.expected.format(table=job.table)
    return [
        psql(job.src, f"COPY ({query}) TO STDOUT (FORMAT BINARY)"),
        psql(job.dst, f"COPY {job.into} FROM STDIN (FORMAT BINARY)"),
    ]


def floor(job: Job, _: Places) -> Commands:
    """No client at all: one statement on the source server."""
    query = job.workload.expected.format(table=job.table)
    return [psql(job.src, f"INSERT INTO {job.into} {query}")]


def program(places: Places) -> str:
    """The copypump of the pump's environment."""
    return str(Path(places.pump).with_name("copypump"))


def pump(job: Job, places: Places, transforms: tuple[str, ...] = ()) -> Commands:
    """One copypump, as its command line is."""
    words = ["run", "--no-progress", "--src", job.src, "--dst", job.dst, "--mode", "append"]
    words += ["--table", job.table, "--into", job.into, "--pythonpath", str(ROOT)]
    for transform in transforms:
        words += ["--transform", transform]
    return [[program(places), *words, *job.rest]]


def pump_transform(job: Job, places: Places) -> Commands:
    """The same with the workload's transform."""
    return pump(job, places, (job.workload.transform,))


def module(name: str, *rest: str) -> Callable[[Job, Places], Commands]:
    """A module beside this one."""
    return lambda job, places: [[places.peers, "-m", f"bench.peers.{name}", *job.words(), *rest]]


def pg_dump(job: Job, _: Places) -> Commands:
    """The archive of one table's rows, uncompressed, restored as it comes."""
    dump = ["-Fc", "-Z0", "--data-only", "-t", job.table, "-d", job.src]
    restore = ["--data-only", "--single-transaction", "-d", job.dst]
    return [[tool("pg_dump") or "pg_dump", *dump], [tool("pg_restore") or "pg_restore", *restore]]


def pgcopydb(job: Job, places: Places) -> Commands:
    """One job; in binary format where it knows that."""
    filters = places.folder / "pgcopydb.ini"
    filters.write_text(f"[include-only-table]\n{job.table}\n")
    words = ["--source", job.src, "--target", job.dst, "--dir", str(places.folder / "pgcopydb"), "--restart"]
    words += ["--filters", str(filters), "--table-jobs", "1", "--not-consistent"]
    help_ = subprocess.run(
        ["pgcopydb", "copy", "table-data", "--help"], capture_output=True, text=True, check=False
    )
    if "--use-copy-binary" in help_.stdout + help_.stderr:
        words.append("--use-copy-binary")
    return [["pgcopydb", "copy", "table-data", *words]]


ADBC = ("adbc-driver-manager", "adbc-driver-postgresql", "pyarrow")

PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "raw",
            "psql | psql",
            "binary COPY, piped; the yardstick",
            functools.partial(pipe, "BINARY"),
            transforms=False,
            lands="same",
            tools=("psql",),
        ),
        Peer(
            "copypump",
            "copypump",
            "the transform on Arrow batches, all columns read",
            pump_transform,
            transforms=True,
            lands="out",
            packages=("copypump", "pyarrow", "psycopg"),
            ours=True,
        ),
        Peer(
            "copypump-plain",
            "copypump, no transform",
            "framing checked, bytes passed",
            pump,
            transforms=False,
            lands="same",
            packages=("copypump", "pyarrow", "psycopg"),
            ours=True,
        ),
        Peer(
            "raw-text",
            "psql | psql, text",
            "text COPY, piped",
            functools.partial(pipe, "TEXT"),
            transforms=False,
            lands="same",
            tools=("psql",),
        ),
        Peer(
            "raw-sql",
            "psql | psql, SQL",
            "binary COPY, piped, the transform in the source's own query",
            pipe_in_sql,
            transforms=True,
            lands="out",
            tools=("psql",),
        ),
        Peer(
            "floor",
            "INSERT ... SELECT",
            "the transform within the source server, no client, no network: the floor",
            floor,
            transforms=True,
            lands="floor",
            tools=("psql",),
        ),
        Peer(
            "pgcopydb",
            "pgcopydb",
            "copy table-data, one job; binary where it can",
            pgcopydb,
            transforms=False,
            lands="own",
            tools=("pgcopydb",),
        ),
        Peer(
            "pg_dump",
            "pg_dump | pg_restore",
            "custom format, uncompressed, data only",
            pg_dump,
            transforms=False,
            lands="own",
            tools=("pg_dump", "pg_restore"),
        ),
        Peer(
            "polars",
            "polars",
            "read_database_uri, expressions, write_database, by ADBC; a whole frame",
            module("polars_frames"),
            transforms=True,
            lands="out",
            packages=("polars", *ADBC),
        ),
        Peer(
            "adbc",
            "ADBC + pyarrow",
            "Arrow batches, pyarrow, adbc_ingest",
            module("adbc_arrow"),
            transforms=True,
            lands="out",
            packages=ADBC,
        ),
        Peer(
            "connectorx",
            "ConnectorX + pgpq",
            "a whole Arrow table, pyarrow, pgpq's encoder, psycopg's COPY",
            module("connectorx_pgpq"),
            transforms=True,
            lands="out",
            packages=("connectorx", "pgpq", "psycopg", "pyarrow"),
        ),
        Peer(
            "psycopg-blocks",
            "psycopg, copy blocks",
            "copy() into write(), no row looked at",
            module("psycopg_blocks"),
            transforms=False,
            lands="same",
            packages=("psycopg",),
            values=4_000_000,
        ),
        Peer(
            "asyncpg",
            "asyncpg",
            "a cursor's records into copy_records_to_table",
            module("asyncpg_records"),
            transforms=True,
            lands="out",
            packages=("asyncpg",),
            values=4_000_000,
        ),
        Peer(
            "psycopg-rows",
            "psycopg, write_row",
            "a server-side cursor's rows into copy.write_row",
            module("psycopg_rows", "write_row"),
            transforms=True,
            lands="out",
            packages=("psycopg",),
            values=4_000_000,
        ),
        Peer(
            "executemany",
            "psycopg, executemany",
            "INSERT, a thousand rows a call",
            module("psycopg_rows", "executemany"),
            transforms=True,
            lands="out",
            packages=("psycopg",),
            values=800_000,
        ),
        Peer(
            "execute",
            "psycopg, execute",
            "INSERT, a call a row",
            module("psycopg_rows", "execute"),
            transforms=True,
            lands="out",
            packages=("psycopg",),
            values=80_000,
        ),
    )
}


def of(workload: Workload) -> tuple[Peer, ...]:
    """All peers of a workload, copypump with its other transforms beside copypump."""
    found = []
    for peer in PEERS.values():
        found.append(peer)
        if peer.name == "copypump":
            for what, spec in workload.also:
                commands = functools.partial(pump, transforms=(spec,))
                title, how = (
                    f"copypump, {what}",
                    f"the transform on Arrow batches, {what}, the others passed as bytes",
                )
                name = f"copypump-{what.replace(' ', '-')}"
                found.append(replace(peer, name=name, title=title, how=how, commands=commands))
    return tuple(found)
