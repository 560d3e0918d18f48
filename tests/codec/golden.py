"""Golden bytes: golden.toml holds SQL values, the server's text of each, and their bytes on the wire.

Made by PostgreSQL itself, and made again (it must not differ) with

    python -m tests.codec.golden DSN > tests/codec/golden.toml

where DSN is any UTF-8 database of PostgreSQL 14 or newer; the file in the repository is PostgreSQL 15's.
"""

from __future__ import annotations

import json
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from copypump.codec.column import Column, ServerType


@dataclass(frozen=True)
class Golden:
    """Values of one declared type; `texts` are the server's own, `wire` what it sends."""

    column: Column
    values: tuple[str, ...]
    texts: tuple[str, ...]
    wire: tuple[bytes, ...]


def load() -> list[Golden]:
    tables = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["golden"]
    return [
        Golden(
            Column(
                "v", ServerType(table["oid"], "pg_catalog", table["name"]), table["typmod"], table["declared"]
            ),
            tuple(value for value, _, _ in table["rows"]),
            tuple(text for _, text, _ in table["rows"]),
            tuple(bytes.fromhex(wire) for _, _, wire in table["rows"]),
        )
        for table in tables
    ]


VALUES = {
    "bool": ["true", "false"],
    "int2": ["0", "1", "-1", "32767", "-32768"],
    "int4": ["0", "42", "-1", "2147483647", "-2147483648"],
    "int8": ["0", "-1", "9223372036854775807", "-9223372036854775808"],
    "oid": ["0", "16384", "2147483648", "4294967295"],
    "float4": ["0", "-0", "1.5", "-3.4028235e38", "1e-45", "NaN", "Infinity", "-Infinity"],
    "float8": ["0", "-0", "0.1", "1.7976931348623157e308", "5e-324", "NaN", "Infinity", "-Infinity"],
    "numeric(15,2)": [
        "0", "1", "-1", "0.01", "-0.05", "1.5", "10000", "9999.99", "10000.01", "100000000", "901.00",
        "104949.50", "9999999999999.99", "-9999999999999.99", "1234567890123.4",
    ],
    "numeric(38,10)": ["0", "0.0000000001", "9999999999999999999999999999.9999999999", "-12345678.9"],
    "numeric(76,38)": ["0", "-0.00000000000000000000000000000000000001", "1e37", "12345678901234567890.5"],
    "numeric(5,-3)": ["0", "1000", "-99999000", "12345678"],
    "numeric(3,6)": ["0", "0.000999", "-0.000001"],
    "numeric": [
        "0", "0.00", "1.50", "-1.5000", "0.00005000", "10000", "100000000.00000001", "NaN", "Infinity",
        "-Infinity", "1e50", "-1e-50", "12345678901234567890.123456789", "0.1234", "9999", "1e-20",
    ],
    "text": ["", "plain", "naïve café", "日本語", "🐘 elephant", "a\tb\nc\\", "x" * 70],
    "varchar(5)": ["", "abcde", "äöüß€"],
    "bpchar(5)": ["", "ab", "abcde"],
    "name": ["", "pg_class"],
    "bytea": ["", "\\x00ff80", "\\x5c"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"],
    "json": ['{"a":  1, "a": 2}', "null", '"é"'],
    "jsonb": ['{"a":  1, "b": [true, null]}', "null", '"é"'],
    "date": ["2000-01-01", "1970-01-01", "1999-12-31", "0001-01-01", "9999-12-31", "infinity", "-infinity"],
    "time": ["00:00:00", "12:34:56.789012", "23:59:59.999999"],
    "timestamp": [
        "2000-01-01 00:00:00", "1970-01-01 00:00:00", "1969-12-31 23:59:59.999999", "0001-01-01 00:00:00",
        "9999-12-31 23:59:59.999999", "infinity", "-infinity",
    ],
    "timestamptz": ["2000-01-01 00:00:00+00", "2024-02-29 12:00:00.5+05:30", "infinity", "-infinity"],
    "interval": ["0", "1 mon", "1 day", "00:00:00.000001", "-1 year -2 mons +3 days -04:05:06.789"],
    "int4range": ["empty", "[1,5)", "(,)"],
    "point": ["(1.5,-2)"],
    "inet": ["10.1.2.3/8", "::1"],
}  # fmt: skip


def make(dsn: str) -> None:
    """Print golden.toml, asked from the server at `dsn`."""
    import psycopg

    print(
        "# Made by `python -m tests.codec.golden DSN`; see golden.py. Rows: SQL value, server's text, wire."
    )
    with psycopg.connect(dsn) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set intervalstyle = 'iso_8601'")
        for declared, values in VALUES.items():
            cursor = connection.execute(f"select null::{declared}")
            result = cursor.pgresult
            assert result is not None
            oid, typmod = result.ftype(0), result.fmod(0)
            (name,) = connection.execute("select typname from pg_type where oid = %s", [oid]).fetchone() or ()
            print(f'\n[[golden]]\ndeclared = "{declared}"\nname = "{name}"')
            print(f"oid = {oid}\ntypmod = {typmod}\nrows = [")
            for value in values:
                typed = psycopg.sql.SQL(f"{{}}::{declared}").format(value)  # type: ignore[arg-type]
                query = psycopg.sql.SQL("select format('%s', {})").format(typed)
                (text,) = connection.execute(query).fetchone() or ()
                copy_out = psycopg.sql.SQL("copy (select {}) to stdout (format binary)").format(typed)
                with connection.cursor() as cursor, cursor.copy(copy_out) as copy:
                    stream = b"".join(bytes(piece) for piece in copy)
                # One row of one field: 19 bytes of header, 2 of field count, 4 of length; 2 of trailer.
                cells = (value, text, stream[25:-2].hex())
                print(f"    [{', '.join(json.dumps(cell, ensure_ascii=False) for cell in cells)}],")
            print("]")


if __name__ == "__main__":
    make(sys.argv[1])
