"""What fills the workloads' tables, and makes the ones that rows land in."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
from psycopg import sql

from bench.workloads import PEOPLE, SCHEMA, Workload, mix_columns

MOODS = ("sad", "ok", "happy", "delighted")

Connection = psycopg.Connection[tuple[object, ...]]
Fill = Callable[[Connection, str, int], None]


def execute(connection: Connection, statement: str) -> psycopg.Cursor[tuple[object, ...]]:
    """Run a statement that was put together here."""
    return connection.execute(sql.SQL(statement))


def schema(connection: Connection) -> None:
    """Make our schema and its enum, where they are missing."""
    execute(connection, f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    if execute(connection, f"SELECT to_regtype('{SCHEMA}.mood')").fetchone() == (None,):
        labels = ", ".join(f"'{label}'" for label in MOODS)
        execute(connection, f"CREATE TYPE {SCHEMA}.mood AS ENUM ({labels})")


def source(connection: Connection, workload: Workload, scale: float) -> int:
    """Make and fill a workload's table at a scale, unless it is there; give its rows.

    What is there is known by the table's comment, which is written last.
    """
    schema(connection)
    table, mark = f"{SCHEMA}.{workload.table}", f"copypump bench, scale {scale:g}"
    found = execute(connection, f"SELECT obj_description(to_regclass('{table}'), 'pg_class')").fetchone()
    if found != (mark,):
        execute(connection, f"DROP TABLE IF EXISTS {table}")
        execute(connection, workload.create(table))
        if workload.fill == "values":
            execute(connection, f"INSERT INTO {table} {workload.values}")
        else:
            FILLS[workload.fill](connection, table, max(1, round(workload.rows * scale)))
        execute(connection, f"VACUUM (FREEZE, ANALYZE) {table}")
        execute(connection, f"COMMENT ON TABLE {table} IS '{mark}'")
    return count(connection, table)


def part(connection: Connection, workload: Workload, name: str, rows: int) -> str:
    """Make a table of the first rows of a workload's; give its name with the schema's."""
    table = f"{SCHEMA}.{name}"
    execute(connection, f"DROP TABLE IF EXISTS {table}")
    execute(connection, f"CREATE TABLE {table} (LIKE {SCHEMA}.{workload.table})")
    execute(connection, f"INSERT INTO {table} SELECT * FROM {SCHEMA}.{workload.table} LIMIT {rows}")
    execute(connection, f"VACUUM (FREEZE, ANALYZE) {table}")
    return table


def count(connection: Connection, table: str) -> int:
    """How many rows a table has."""
    row = execute(connection, f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]


def people(connection: Connection, table: str, rows: int) -> None:
    """W1, by the server alone."""
    execute(connection, f"INSERT INTO {table} {PEOPLE.format(rows=rows)}")


def lineitem(connection: Connection, table: str, rows: int) -> None:
    """W2, of tpchgen-cli: TPC-H has about 6,001,215 rows at its scale 1, and fewer or more at others."""
    with tempfile.TemporaryDirectory() as folder:
        tool = str(Path(sys.executable).with_name("tpchgen-cli"))
        wanted = ["-s", f"{rows / 6_001_215:.6f}", "--tables=lineitem", f"--output-dir={folder}"]
        subprocess.run([tool, "csv", *wanted], check=True, stdout=subprocess.DEVNULL)
        with (Path(folder) / "lineitem.csv").open("rb") as file:
            _copy(
                connection,
                f"COPY {table} FROM STDIN (FORMAT csv, HEADER)",
                iter(lambda: file.read(1 << 20), b""),
            )


def accounts(connection: Connection, table: str, rows: int) -> None:
    """W3, as `pgbench --initialize --init-steps=G` fills it."""
    execute(
        connection,
        f"INSERT INTO {table} SELECT aid, (aid - 1) / 100000 + 1, 0, '' FROM generate_series(1, {rows}) AS aid",
    )


def documents(connection: Connection, table: str, rows: int) -> None:
    """W4, from a seed: text of 1 to 100 kB, long ones as often as short ones ten times shorter."""
    rng = random.Random(4)
    words = [bytes(rng.choices(range(97, 123), k=rng.randint(2, 11))).decode() for _ in range(20_000)]
    pool = " ".join(rng.choices(words, k=600_000))

    def text(size: int) -> str:
        at = rng.randrange(len(pool) - size)
        return pool[at : at + size]

    def lines() -> Iterator[bytes]:
        for i in range(1, rows + 1):
            size = int(1000 * 100 ** rng.random())
            sections = [
                {"heading": text(30), "rank": at, "score": rng.random(), "body": text(2000)}
                for at in range(max(1, size // 2000))
            ]
            document = {
                "id": i,
                "title": text(40),
                "public": i % 3 == 0,
                "parent": None,
                "sections": sections,
            }
            yield f"{i}\t{json.dumps(document)}\t{text(int(1000 * 100 ** rng.random()))}\n".encode()

    _copy(connection, f"COPY {table} FROM STDIN", lines())


def mixed(connection: Connection, table: str, rows: int) -> None:
    """W5, by the server alone."""
    values = ", ".join(value for _, value in mix_columns().values())
    execute(connection, f"INSERT INTO {table} SELECT {values} FROM generate_series(1, {rows}::bigint) AS i")


def flights(connection: Connection, table: str, rows: int) -> None:
    """W6: the real flights, the first of them or several times over."""
    from copypump.cli.demo_data import directory

    packed = directory() / "flights.csv.zip"
    if packed.exists():
        with zipfile.ZipFile(packed) as archive:
            data = archive.read("flights.csv")
    else:
        data = (directory() / "flights.csv").read_bytes()

    def lines() -> Iterator[bytes]:
        left = rows
        while left > 0:
            file = io.BytesIO(data)
            next(file)
            for _, line in zip(range(left), file, strict=False):
                left -= 1
                yield line

    _copy(connection, f"COPY {table} FROM STDIN (FORMAT csv, NULL 'NA')", lines())


def _copy(connection: Connection, statement: str, pieces: Iterator[bytes]) -> None:
    """Send pieces, gathered so that each step is worth its price."""
    with connection.cursor().copy(sql.SQL(statement)) as out:
        gathered = bytearray()
        for piece in pieces:
            gathered += piece
            if len(gathered) >= 1 << 20:
                out.write(bytes(gathered))
                gathered.clear()
        out.write(bytes(gathered))


FILLS: dict[str, Fill] = {
    function.__name__: function for function in (people, lineitem, accounts, documents, mixed, flights)
}
