"""The workloads: tables, how they are filled, and what is done to their rows on the way."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

PEOPLE = """
SELECT i::bigint AS id, 'person ' || i AS name, (20 + i % 60)::int AS age, (i % 100000) * 1.25::float8 AS salary
  FROM generate_series(1, {rows}) AS i"""

LINEITEM = """
CREATE TABLE {name} (
    l_orderkey bigint, l_partkey bigint, l_suppkey bigint, l_linenumber int,
    l_quantity numeric(15,2), l_extendedprice numeric(15,2), l_discount numeric(15,2), l_tax numeric(15,2),
    l_returnflag char(1), l_linestatus char(1), l_shipdate date, l_commitdate date, l_receiptdate date,
    l_shipinstruct char(25), l_shipmode char(10), l_comment varchar(44))"""


@dataclass(frozen=True)
class Workload:
    """One table and its transforms.

    `same` creates an empty table like the source's, `out` the one that the transforms land in; `fill` makes
    the source at a scale (1: the size of the bars). `expected` is the transform in SQL, over the source.
    """

    name: str
    table: str
    fill: Callable[[psycopg.Connection, float], None]
    same: str
    out: str
    transforms: dict[str, str]
    expected: str


def fill_people(connection: psycopg.Connection, scale: float) -> None:
    """10,000,000 rows at scale 1."""
    rows = int(10_000_000 * scale)
    connection.execute(sql.SQL("CREATE TABLE people AS " + PEOPLE.format(rows=rows)))


def fill_lineitem(connection: psycopg.Connection, scale: float) -> None:
    """TPC-H lineitem from tpchgen-cli: 6,001,215 rows at scale 1."""
    connection.execute(sql.SQL(LINEITEM.format(name="lineitem")))
    with tempfile.TemporaryDirectory() as folder:
        tool = Path(sys.executable).with_name("tpchgen-cli")
        command = [tool, "csv", "-s", str(scale), "--tables=lineitem", f"--output-dir={folder}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        copy = "COPY lineitem FROM STDIN (FORMAT csv, HEADER)"
        with (Path(folder) / "lineitem.csv").open("rb") as file, connection.cursor().copy(copy) as out:
            while data := file.read(1 << 20):
                out.write(data)


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "W1",
            "people",
            fill_people,
            "CREATE TABLE {name} (id bigint, name text, age int, salary float8)",
            "CREATE TABLE {name} (id bigint, name text, age int, salary_after_tax float8)",
            {"all columns": "bench.transforms:people"},
            "SELECT id, name, age + 1 AS age, salary * 0.8::float8 AS salary_after_tax FROM people",
        ),
        Workload(
            "W2",
            "lineitem",
            fill_lineitem,
            LINEITEM,
            LINEITEM,
            {
                "all columns": "bench.transforms:lineitem",
                "two columns": "bench.transforms:lineitem_two",
            },
            "SELECT l_orderkey, l_partkey, l_suppkey, l_linenumber, l_quantity,"
            " round(l_extendedprice * (1 - l_discount), 2)::numeric(15,2) AS l_extendedprice,"
            " l_discount, l_tax, l_returnflag, l_linestatus, l_shipdate, l_commitdate, l_receiptdate,"
            " l_shipinstruct, l_shipmode, l_comment FROM lineitem",
        ),
    )
}
