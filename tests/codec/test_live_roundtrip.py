"""Server to Arrow to server: generated values of every type, rebuilt by a transform, arrive byte for byte.

Values are drawn by strategies.py, taken by the source's own COPY IN, pumped, and compared as both servers send
them, oids of users' types normalized. Types that only the distribution's server has are pumped there alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st

import copypump
from copypump.codec import types
from copypump.codec.column import Column
from copypump.codec.types import TYPES
from copypump.errors import Side
from copypump.postgres.catalog import find_table
from copypump.postgres.session import Session
from tests.codec import golden, strategies
from tests.codec import reference_decoder as reference
from tests.codec.agreement import representable
from tests.codec.streams import stream
from tests.conftest import Server
from tests.servers import TEST_APPLICATION, sql

# Scalars of the table as a column is declared; a type with a typmod has more than one form.
FORMS = {
    "char": ['"char"'],
    "numeric": [
        "numeric",
        "numeric(15,2)",
        "numeric(38,10)",
        "numeric(76,38)",
        "numeric(5,-3)",
        "numeric(3,6)",
    ],
    "bit": ["bit(1)", "bit(12)"],
    "varbit": ["varbit", "varbit(9)"],
    "varchar": ["varchar", "varchar(3)"],
    "bpchar": ["bpchar", "bpchar(3)"],
}
# Without libxml and contrib on the wheel's servers; no column can be of an unknown type.
DISTRIBUTION = ("xml", "citext", "hstore")
# Of pgvector, which the wheel's servers have and the distribution's has not.
PGVECTOR = ("vector", "vector(3)", "vector[]", "vector(3)[]", "unit", "unit[]", "embedded", "embedded[]")
PGVECTOR_SETUP = """
CREATE EXTENSION vector;
CREATE DOMAIN unit AS vector(2);
CREATE TYPE embedded AS (name text, at vector(3), many vector[]);
"""
SCALARS = [
    form
    for row in TYPES
    if row.name not in (*DISTRIBUTION, "vector", "unknown")
    for form in FORMS.get(row.name, [row.name])
]
RANGES = ["int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange", "floats", "words"]

SETUP = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'very happy', 'naïve');
CREATE DOMAIN price AS numeric(10,2);
CREATE DOMAIN tags AS text[];
CREATE TYPE floats AS RANGE (subtype = float8, multirange_type_name = floatses);
CREATE TYPE words AS RANGE (subtype = text, collation = "C", multirange_type_name = wordses);
CREATE TYPE pair AS (a int, b text);
CREATE TYPE whole AS ({attributes});
CREATE TYPE outside AS (p pair, ps pair[], m mood, ms mood[], d price, r int4range, rs int4range[], t tags);
"""
NESTED = [
    "mood", "price", "tags", "mood[]", "price[]", "tags[]", "pair", "pair[]", "whole", "outside",
    "outside[]", "floatses", "wordses[]",
]  # fmt: skip
MULTIRANGES = ["int4multirange", "int8multirange", "nummultirange", "datemultirange", "tsmultirange"]


def groups(declared: Sequence[str], size: int = 20) -> list[tuple[str, ...]]:
    assert declared
    return [tuple(declared[at : at + size]) for at in range(0, len(declared), size)]


GROUPS = [
    *groups(SCALARS),
    *groups([f"{form}[]" for form in SCALARS]),
    *groups([*RANGES, *(f"{name}[]" for name in RANGES)]),
    *groups(NESTED, 7),
]


@dataclass(frozen=True)
class Databases:
    """Two databases with the same types, of two servers or of one."""

    src: str
    dst: str


@contextlib.contextmanager
def databases(source: Server, target: Server, setup: str = "") -> Iterator[Databases]:
    # A type of every scalar; oids of the target's types are others.
    attributes = ", ".join(f"c{place} {form}" for place, form in enumerate(SCALARS))
    types_ = SETUP.format(attributes=attributes) + setup
    with source.fresh_database() as src, target.fresh_database() as dst:
        sql(source.dsn(src), types_)
        sql(target.dsn(dst), f"CREATE TYPE other AS (a int); {types_}")
        yield Databases(source.dsn(src), target.dsn(dst))


@pytest.fixture(scope="module")
def wheels(pg16: Server, pg18: Server) -> Iterator[Databases]:
    with databases(pg16, pg18) as both:
        yield both


@pytest.fixture(scope="module")
def distribution(pg15: Server) -> Iterator[Databases]:
    with databases(pg15, pg15, "CREATE EXTENSION citext; CREATE EXTENSION hstore;") as both:
        yield both


@pytest.fixture(scope="module")
def vectors(pg16: Server, pg18: Server) -> Iterator[Databases]:
    with databases(pg16, pg18, PGVECTOR_SETUP) as both:
        yield both


@pytest.fixture(scope="module")
def upgrade(pg15: Server, pg18: Server) -> Iterator[Databases]:
    with databases(pg15, pg18) as both:
        yield both


def rebuild(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Read everything, and give every column made anew."""
    taken: Any = batch.take(pa.array(range(batch.num_rows), pa.int64()))
    return taken


def make_tables(both: Databases, declared: Sequence[str]) -> tuple[list[Column], list[Column]]:
    """Make the table t on both sides, with the columns of these types; give them as each server describes them."""
    columns = ", ".join(f"c{place} {form}" for place, form in enumerate(declared))
    found = []
    for dsn in (both.src, both.dst):
        sql(dsn, f"DROP TABLE IF EXISTS t; CREATE TABLE t ({columns})")
        with Session(dsn, Side.SOURCE) as session:
            table = find_table(session, "t")
            assert table is not None
            found.append(list(table.columns))
    return found[0], found[1]


def fill(dsn: str, rows: Sequence[Sequence[bytes | None]]) -> None:
    """Let the server's own receive functions take the values."""
    with psycopg.connect(dsn, application_name=TEST_APPLICATION) as connection:
        connection.execute("TRUNCATE t")
        try:
            with connection.cursor().copy("COPY t FROM STDIN (FORMAT BINARY)") as copy:
                copy.write(stream(rows))
        except (psycopg.errors.NumericValueOutOfRange, psycopg.errors.DatetimeFieldOverflow):
            reject()  # a range up to the last integer, whose canonical form has the next one for a bound


def sent(dsn: str, columns: Sequence[Column]) -> list[list[bytes | None]]:
    """What a server sends of t, oids normalized."""
    with (
        psycopg.connect(dsn, application_name=TEST_APPLICATION) as connection,
        connection.cursor().copy("COPY t TO STDOUT (FORMAT BINARY)") as copy,
    ):
        data = b"".join(bytes(piece) for piece in copy)
    return [
        [
            None if field is None else golden.renumber(column.type, field)
            for column, field in zip(columns, row, strict=True)
        ]
        for row in reference.rows(data, len(columns))
    ]


def exact(column: Column) -> st.SearchStrategy[bytes]:
    """Values that a server takes and that Arrow holds."""
    usual = types.arrow_type(column)
    return strategies.fields(column).filter(lambda field: representable(column, usual, field))


def check_arrives(both: Databases, declared: Sequence[str]) -> None:
    columns, landed = make_tables(both, declared)
    strategy = st.lists(st.tuples(*(st.none() | exact(column) for column in columns)), min_size=2, max_size=6)

    # A run over two servers takes its time: no shrinking.
    @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(strategy)
    def each(rows: list[tuple[bytes | None, ...]]) -> None:
        fill(both.src, rows)
        report = copypump.pump(both.src, both.dst, table="t", transform=rebuild, mode="truncate")
        assert report.rows_written == len(rows)
        assert sent(both.dst, landed) == sent(both.src, columns)

    each()


@pytest.mark.parametrize("declared", GROUPS, ids=lambda names: names[0])
def test_values_arrive_on_another_major(wheels: Databases, declared: tuple[str, ...]) -> None:
    check_arrives(wheels, declared)


@pytest.mark.parametrize("declared", groups(MULTIRANGES), ids=lambda names: names[0])
def test_multiranges_arrive(wheels: Databases, declared: tuple[str, ...]) -> None:
    check_arrives(wheels, declared)


def test_types_of_the_distribution_arrive(distribution: Databases) -> None:
    assert set(DISTRIBUTION) <= {row.name for row in TYPES}
    check_arrives(distribution, [*DISTRIBUTION, *(f"{name}[]" for name in DISTRIBUTION)])


def test_vectors_arrive(vectors: Databases) -> None:
    check_arrives(vectors, PGVECTOR)


def test_nested_types_arrive_from_an_old_server(upgrade: Databases) -> None:
    check_arrives(upgrade, NESTED[:7])
