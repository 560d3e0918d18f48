"""Golden bytes of values that hold other types' oids: golden_rewrite.toml, under the SQL that made them.

Oids are a database's own: `{name}` stands for the oid of the type `name`, in eight hexadecimal digits. Made by
PostgreSQL itself, and made again (it must not differ) with

    python -m tests.codec.golden_rewrite DSN > tests/codec/golden_rewrite.toml

where DSN is an empty UTF-8 database of PostgreSQL 14 or newer.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import psycopg

SETUP = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN feeling AS mood;
CREATE DOMAIN moods AS mood[];
CREATE TYPE pair AS (a int4, m mood);
CREATE TYPE deep AS (p pair, many mood[], d moods, n text);
CREATE DOMAIN pairs AS pair[];
CREATE TYPE span AS RANGE (subtype = mood, multirange_type_name = spans);
CREATE TYPE pairspan AS RANGE (subtype = pair, multirange_type_name = pairspans);
CREATE TYPE holder AS (s span, ss spans, p pairspan);
CREATE TABLE wide (a int4, gone mood, m feeling, n numeric);
ALTER TABLE wide DROP COLUMN gone;
"""

# Names that a server gives to the types that stand in the values.
OWN = ("mood", "feeling", "moods", "pair", "deep", "span", "spans", "pairspan", "pairspans", "_mood")

VALUES = {
    "mood[]": ["{sad,NULL,ok}", "[2:3][0:1]={{sad,ok},{NULL,sad}}", "{}"],
    "feeling[]": ["{ok}"],
    "moods": ["{sad}"],
    "moods[]": ['{"{sad,ok}",NULL}'],
    "pair": ["(7,ok)", "(,)"],
    "pairs": ['{"(1,sad)"}'],
    "deep": ['("(7,sad)","{ok,NULL}","{sad}",text)', "(,,,)"],
    "span": ["[sad,ok]", "empty", "(,ok)", "(,)"],
    "span[]": ['{"[sad,ok]"}'],
    "spans": ["{[sad,sad]}", "{}"],
    "pairspan": ['["(1,sad)","(2,ok)"]', '("(1,sad)",)', "empty"],
    "pairspans[]": ['{"{[\\"(1,sad)\\",\\"(2,ok)\\"]}"}'],
    "holder": ['("[sad,ok]","{[ok,ok]}","empty")'],
    "wide": ["(1,ok,1.5)"],
}


def load() -> list[tuple[str, str, str]]:
    """Give the type, the SQL value, and its bytes with names in the place of oids."""
    rows = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["rows"]
    return [(declared, value, template) for declared, value, template in rows]


def make(dsn: str) -> None:
    """Print golden_rewrite.toml, asked from the server at `dsn`."""
    print("# Made by `python -m tests.codec.golden_rewrite DSN`; see golden_rewrite.py.\nrows = [")
    with psycopg.connect(dsn) as connection:
        connection.execute(SETUP.encode())
        query = "SELECT oid, typname FROM pg_type WHERE typname = ANY (%s)"
        oids = [(f"{oid:08x}", name) for oid, name in connection.execute(query, [list(OWN)])]
        for declared, value in ((d, v) for d, values in VALUES.items() for v in values):
            typed = psycopg.sql.SQL(f"{{}}::{declared}").format(value)  # type: ignore[arg-type]
            copy_out = psycopg.sql.SQL("copy (select {}) to stdout (format binary)").format(typed)
            with connection.cursor() as cursor, cursor.copy(copy_out) as copy:
                wire = b"".join(bytes(piece) for piece in copy)[25:-2].hex()
            for digits, name in oids:
                wire = wire.replace(digits, f"{{{name}}}")
            print(f"    [{', '.join(json.dumps(cell) for cell in (declared, value, wire))}],")
        connection.rollback()
    print("]")


if __name__ == "__main__":
    make(sys.argv[1])
