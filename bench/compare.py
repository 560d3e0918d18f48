"""Whether every value arrived: sums over both sides that differ if any value does."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from bench.making import Connection, execute

# What values look like as text depends on these.
SETTINGS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "TimeZone": "UTC",
        "DateStyle": "ISO",
        "IntervalStyle": "postgres",
        "extra_float_digits": "3",
        "bytea_output": "hex",
    }.items()
)


def connect(dsn: str) -> Connection:
    """A session of the bench's own."""
    return psycopg.connect(dsn, autocommit=True, options=SETTINGS)


def sums(connection: Connection, query: str, columns: Sequence[str] = ()) -> tuple[object, ...]:
    """Rows, and an order-free sum of 64-bit hashes: of whole rows as text, or of each of these columns.

    The server's text of a value is exact (floats in their shortest form, numerics with their scale).
    """
    texts = [f'ROW(t."{column}")::text' for column in columns] or ["t::text"]
    hashed = ", ".join(f"sum(hashtextextended({text}, 0)::numeric)" for text in texts)
    row = execute(connection, f"SELECT count(*), {hashed} FROM ({query}) AS t").fetchone()
    assert row is not None
    return row


def names(connection: Connection, query: str) -> list[str]:
    """The columns that a query gives."""
    found = execute(connection, f"SELECT * FROM ({query}) AS t LIMIT 0").description
    assert found is not None
    return [column.name for column in found]


def difference(
    source: Connection,
    wanted: str,
    target: Connection,
    arrived: str,
    expected: tuple[object, ...] | None = None,
) -> str | None:
    """None where both queries give the same rows, in whatever order; else what differs, by column.

    `expected` is what `sums` gave for the wanted rows, if that is known already.
    """
    columns = names(source, wanted)
    if columns != names(target, arrived):
        return "other columns arrived"
    if (expected or sums(source, wanted)) == sums(target, arrived):
        return None
    rows, *there = sums(source, wanted, columns)
    others, *here = sums(target, arrived, columns)
    if rows != others:
        return f"{others:,} rows arrived instead of {rows:,}"
    wrong = [name for name, one, other in zip(columns, there, here, strict=True) if one != other]
    return f"other values in {', '.join(wrong)}" if wrong else "values of different rows stand side by side"
