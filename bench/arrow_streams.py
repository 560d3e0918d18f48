"""A table into Arrow, and Arrow into a table: copypump.read and copypump.write beside ADBC, through the servers.

ADBC's codec cannot be called without a server, so here are both, each with its client library: all in this process, so
that no start is in the figures, in turn, after one turn that warms up. CPU is that of this process. What is written
is what copypump read, and is compared on the servers.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

import copypump
from bench.compare import difference
from bench.peers.table import Places
from bench.pump import Arena
from bench.results import scene
from bench.servers import Pair, uri
from bench.workloads import WORKLOADS

Tell = Callable[[str], object]

WORKLOADS_OF_STREAMS = ("W1", "W2")
DRIVER = "adbc_driver_postgresql"


@dataclass
class Stream:
    """One way in one direction; `remark` is what is not as the table's owner would have it."""

    workload: str
    direction: str
    way: str
    rows: int
    values: int
    bytes: int
    missing: str | None = None
    remark: str = ""
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def missing() -> str | None:
    """Why ADBC takes no part; None if it does."""
    return None if importlib.util.find_spec(DRIVER) else f"{DRIVER} is not installed"


def copypump_read(src: str, table: str) -> pa.Schema:
    """Every batch, let go at once."""
    with copypump.read(src, table=table) as batches:
        for _ in batches:
            pass
        return batches.schema


def adbc_read(src: str, table: str) -> pa.Schema:
    """The same."""
    import adbc_driver_postgresql.dbapi as adbc

    with adbc.connect(uri(src)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        batches = cursor.fetch_record_batch()
        for _ in batches:
            pass
        return batches.schema


def copypump_write(dst: str, table: str, rows: pa.Table) -> None:
    """One transaction."""
    copypump.write(dst, table, rows, mode="append")


def adbc_write(dst: str, table: str, rows: pa.Table) -> None:
    """The same."""
    import adbc_driver_postgresql.dbapi as adbc

    schema, _, name = table.partition(".")
    with adbc.connect(uri(dst)) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(name, rows.to_reader(), mode="append", db_schema_name=schema)
        connection.commit()


def remark(schema: pa.Schema, mine: pa.Schema) -> str:
    """Which columns come as text from one that come as more from the other."""
    text = [
        field.name
        for field, own in zip(schema, mine, strict=True)
        if _storage(field.type) == pa.string() and own.type != pa.string()
    ]
    return f"as text: {', '.join(text)}" if text else ""


def _storage(type_: pa.DataType) -> pa.DataType:
    return type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_


def measure(pair: Pair, places: Places, scale: float, runs: int, tell: Tell) -> dict[str, Any]:
    """All of it; the outcome is what arrow.json holds."""
    streams: list[Stream] = []
    for name in WORKLOADS_OF_STREAMS:
        with Arena(pair, WORKLOADS[name], scale, places) as arena:
            streams += _of(pair, arena, runs, tell)
    return {**scene(pair, places), "scale": scale, "streams": [asdict(stream) for stream in streams]}


def _of(pair: Pair, arena: Arena, runs: int, tell: Tell) -> list[Stream]:
    """Both directions of one workload."""
    into = arena.landings["same"][1]
    with copypump.read(pair.src, table=arena.table) as batches:
        rows = batches.read_all()
    works: dict[tuple[str, str], Callable[[], pa.Schema | None]] = {
        ("read", "copypump"): lambda: copypump_read(pair.src, arena.table),
        ("read", "ADBC"): lambda: adbc_read(pair.src, arena.table),
        ("write", "copypump"): lambda: copypump_write(pair.dst, into, rows),
        ("write", "ADBC"): lambda: adbc_write(pair.dst, into, rows),
    }
    name, values = arena.workload.name, arena.rows * rows.num_columns
    streams = {key: Stream(name, *key, arena.rows, values, arena.size) for key in works}
    for stream in streams.values():
        stream.missing = missing() if stream.way == "ADBC" else None
    able = {key: stream for key, stream in streams.items() if not stream.missing}
    for turn in range(runs + 1):
        for key, stream in able.items():
            arena.clear()
            wall, cpu = time.perf_counter(), time.process_time()
            schema = works[key]()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            tell(f"{name} {' by '.join(key)}: {wall:.2f} s, {cpu:.2f} s of CPU")
            if turn:
                stream.wall.append(wall)
                stream.cpu.append(cpu)
            else:
                stream.remark = _fault(arena, into) if schema is None else remark(schema, rows.schema)
    return list(streams.values())


def _fault(arena: Arena, into: str) -> str:
    wanted, arrived = (f"SELECT * FROM {name}" for name in (arena.table, into))
    return difference(arena.source, wanted, arena.target, arrived) or ""
