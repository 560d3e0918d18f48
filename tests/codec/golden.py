"""Golden bytes: golden.toml holds SQL expressions, the server's text of each, and their bytes on the wire.

Made by PostgreSQL itself, and made again (it must not differ) with

    python -m tests.codec.golden DSN > tests/codec/golden.toml
    python -m tests.codec.golden DSN --pgvector > tests/codec/golden_pgvector.toml

where DSN names a superuser's empty UTF-8 database of PostgreSQL 15 with its contrib modules, or of any that has
pgvector; a schema of scratch types is made there and dropped again. Oids of types that users make differ from server to server, so
`number` gives each a number of its name's, in the types and in the bytes alike.
"""

from __future__ import annotations

import functools
import itertools
import json
import struct
import sys
import tomllib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from copypump.codec.column import Column, ServerType

if TYPE_CHECKING:
    import psycopg

FILE = Path(__file__).with_suffix(".toml")
PGVECTOR_FILE = FILE.with_stem("golden_pgvector")


@dataclass(frozen=True)
class Golden:
    """Values of one declared type: SQL expressions, the server's text of each, and what it sends."""

    column: Column
    sql: tuple[str, ...]
    texts: tuple[str, ...]
    wire: tuple[bytes, ...]

    def __str__(self) -> str:
        return self.column.declared


@functools.cache
def load() -> list[Golden]:
    return [*parse(FILE.read_text()), *parse(PGVECTOR_FILE.read_text())]


def parse(text: str) -> list[Golden]:
    tables = tomllib.loads(text)
    built: dict[str, ServerType] = {}
    for name, facts in tables["types"].items():
        schema, _, short = name.partition(".")
        lists = {key: tuple(facts.pop(key, ())) for key in ("parts", "names", "part_typmods")}
        lists["parts"] = tuple(built[part] for part in lists["parts"])
        built[name] = ServerType(schema=schema, name=short, **lists, **facts)
    return [
        Golden(
            Column("v", built[table["type"]], table["typmod"], table["declared"]),
            tuple(sql for sql, _, _ in table["rows"]),
            tuple(text for _, text, _ in table["rows"]),
            tuple(bytes.fromhex(wire) for _, _, wire in table["rows"]),
        )
        for table in tables["golden"]
    ]


class Sql(str):
    """An expression as it stands; other values are literals, cast to the declared type."""

    __slots__ = ()


# What is made once an extension is there.
EXTENSIONS = {
    "citext": "",
    "hstore": "",
    "ltree": "",
    "cube": "",
    "seg": "",
    "vector": """
CREATE DOMAIN golden.unit AS golden.vector(2);
CREATE TYPE golden.embedded AS (name text, at golden.vector(3), many golden.vector[]);
""",
}

SETUP = """
CREATE SCHEMA golden;
CREATE TYPE golden.mood AS ENUM ('sad', 'ok', 'very happy', 'naïve', '');
CREATE TYPE golden.never AS ENUM ();
CREATE DOMAIN golden.positive AS int CHECK (VALUE > 0);
CREATE DOMAIN golden.price AS numeric(10,2);
CREATE DOMAIN golden.cheap AS golden.price CHECK (VALUE < 10);
CREATE DOMAIN golden.tags AS text[];
CREATE TYPE golden.pair AS (a int, "B c" text);
CREATE TYPE golden.nothing AS ();
CREATE TYPE golden.shrunk AS (a int, gone text, z bool);
ALTER TYPE golden.shrunk DROP ATTRIBUTE gone;
CREATE TYPE golden.outer AS (
    p golden.pair, ps golden.pair[], m golden.mood, d golden.cheap, r int4range, n numeric(5,1), t golden.tags
);
CREATE DOMAIN golden.couple AS golden.pair;
CREATE TYPE golden.span AS RANGE (subtype = float8, multirange_type_name = golden.spans);
CREATE TYPE golden.words AS RANGE (subtype = text, collation = "C", multirange_type_name = golden.wordses);
CREATE TYPE golden.moods AS RANGE (subtype = golden.mood, multirange_type_name = golden.moodses);
CREATE TYPE golden.pairs AS RANGE (subtype = golden.pair, multirange_type_name = golden.pairses);
CREATE TYPE golden.lists AS RANGE (subtype = _int4, multirange_type_name = golden.listses);
"""

# Rows of the type table whose values no server sends: a result's column of unknown is sent as text.
UNSENT = frozenset({"unknown"})

LATEST = "294276-12-31 23:59:59.999999"

VALUES: dict[str, list[str]] = {
    "bool": ["true", "false"],
    "bytea": ["", "\\x00ff80", "\\x5c"],
    '"char"': [Sql(f'({byte})::"char"') for byte in (65, 0, -128, -61, 127, -1)],
    "name": ["", "pg_class", "é" * 31 + "x"],
    "int8": ["0", "-1", "9223372036854775807", "-9223372036854775808"],
    "int2": ["0", "1", "-1", "32767", "-32768"],
    "int4": ["0", "42", "-1", "2147483647", "-2147483648"],
    "text": ["", "plain", "naïve café", "日本語", "🐘 elephant", "a\tb\nc\\", "x" * 70],
    "oid": ["0", "16384", "2147483648", "4294967295"],
    "xid": ["0", "3", "4294967295"],
    "cid": ["0", "7", "4294967295"],
    "json": ['{"a":  1, "a": 2}', "null", '"é"'],
    "xml": [
        "", "<a>é</a>", "text <b/> &lt;", '<?xml version="1.0"?><a/>',
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<a/>',
    ],
    "float4": ["0", "-0", "1.5", "-3.4028235e38", "1e-45", "NaN", "Infinity", "-Infinity"],
    "float8": ["0", "-0", "0.1", "1.7976931348623157e308", "5e-324", "NaN", "Infinity", "-Infinity"],
    "money": ["0", "-12.34", "92233720368547758.07", "-92233720368547758.08"],
    "bpchar(5)": ["", "ab", "abcde"],
    "bpchar": ["", "ab  "],
    "varchar(5)": ["", "abcde", "äöüß€"],
    "varchar": ["", "  blanks  "],
    "date": [
        "2000-01-01", "1970-01-01", "1999-12-31", "0001-01-01", "9999-12-31", "infinity", "-infinity",
        "4714-11-24 BC", "5874897-12-31", "0001-12-31 BC",
    ],
    "time": ["00:00:00", "12:34:56.789012", "23:59:59.999999", "24:00:00"],
    "time(3)": ["12:34:56.789"],
    "timestamp": [
        "2000-01-01 00:00:00", "1970-01-01 00:00:00", "1969-12-31 23:59:59.999999", "0001-01-01 00:00:00",
        "9999-12-31 23:59:59.999999", "infinity", "-infinity", "4714-11-24 00:00:00 BC",
        "294247-01-10 04:00:54.775806", "294247-01-10 04:00:54.775807", LATEST,
    ],
    "timestamp(0)": ["2024-02-29 12:00:00"],
    "timestamptz": [
        "2000-01-01 00:00:00+00", "2024-02-29 12:00:00.5+05:30", "infinity", "-infinity",
        "4714-11-24 00:00:00+00 BC", f"{LATEST}+00",
    ],
    "interval": [
        "0", "1 mon", "1 day", "00:00:00.000001", "-1 year -2 mons +3 days -04:05:06.789",
        Sql("make_interval(months => 2147483647, days => -2147483648)"),
        "2562047788:00:54.775807",
    ],
    "timetz": [
        "00:00:00+00", "12:34:56.789012-08", "23:59:59.999999+15:59:59", "01:02:03-15:59:59", "24:00:00+01",
    ],
    "bit(1)": ["0", "1"],
    "bit(12)": ["101010101010", "000000000001"],
    "bit(16)": ["1111111100000000"],
    "varbit": ["", "1", "0000000", "10101010", "101010101"],
    "varbit(9)": ["", "111111111"],
    "numeric(15,2)": [
        "0", "1", "-1", "0.01", "-0.05", "1.5", "10000", "9999.99", "10000.01", "100000000", "901.00",
        "104949.50", "9999999999999.99", "-9999999999999.99", "1234567890123.4", "NaN",
    ],
    "numeric(38,10)": ["0", "0.0000000001", "9999999999999999999999999999.9999999999", "-12345678.9"],
    "numeric(76,38)": ["0", "-0.00000000000000000000000000000000000001", "1e37", "12345678901234567890.5"],
    "numeric(77,1)": ["0", "1e75", "-0.5"],
    "numeric(5,-3)": ["0", "1000", "-99999000", "12345678"],
    "numeric(3,6)": ["0", "0.000999", "-0.000001"],
    "numeric": [
        "0", "0.00", "1.50", "-1.5000", "0.00005000", "10000", "100000000.00000001", "NaN", "Infinity",
        "-Infinity", "1e50", "-1e-50", "12345678901234567890.123456789", "0.1234", "9999", "1e-20",
    ],
    "uuid": ["00000000-0000-0000-0000-000000000000", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"],
    "pg_lsn": ["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"],
    "jsonb": ['{"a":  1, "b": [true, null]}', "null", '"é"'],
    "xid8": ["0", "18446744073709551615"],
    "regproc": ["-", "pg_backend_pid", "4294967295"],
    "regprocedure": ["-", "abs(integer)"],
    "regoper": ["0", "||/"],
    "regoperator": ["0", "+(integer,integer)"],
    "regclass": ["-", "pg_catalog.pg_class", "4000000000"],
    "regtype": ["-", "integer"],
    "regconfig": ["-", "simple"],
    "regdictionary": ["-", "simple"],
    "regnamespace": ["-", "pg_catalog"],
    "regrole": ["-", "pg_monitor"],
    "regcollation": ["-", '"C"'],
    "golden.citext": ["", "MiXed É"],
    "golden.hstore": ["", "a=>1", "a=>NULL, b=>\"x y\", \"\"=>\"\"", "é=>\"\\\"\"", "aaa=>1, b=>2, cc=>3"],
    # Types without a row.
    "point": ["(1.5,-2)", "(NaN,Infinity)"],
    "line": ["{1,-1,0}"],
    "lseg": ["[(0,0),(1,1)]"],
    "box": ["(1,1),(0,0)"],
    "path": ["[(0,0),(1,1)]", "((0,0),(1,1),(2,0))"],
    "polygon": ["((0,0),(1,1),(2,0))"],
    "circle": ["<(0,0),2>"],
    "inet": ["10.1.2.3/8", "::1", "192.168.0.1"],
    "cidr": ["10.0.0.0/8", "2001:db8::/32"],
    "macaddr": ["08:00:2b:01:02:03"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "tsvector": ["", "'fat':2A,4 'rat':3B", "'é'"],
    "tsquery": ["", "'fat' & ( 'rat':*A | !'cat' )", "'a' <-> 'b'"],
    "jsonpath": ["$", 'strict $.a[*] ? (@.b > 1)'],
    "tid": ["(0,1)", "(4294967295,65535)"],
    "pg_snapshot": ["10:20:10,14,15", "1:1:"],
    "txid_snapshot": ["10:20:10,14,15"],
    "int2vector": ["", "1 2 -3"],
    "oidvector": ["", "1 2 4294967295"],
    "refcursor": ["", "a cursor"],
    "golden.ltree": ["", "Top.Science.Astronomy"],
    "golden.lquery": ["*.Astro*@.!pizza{0,1}"],
    "golden.cube": ["(1,2,3)", "(0),(1)"],
    "record": [Sql("row(1, 'a'::text, NULL::bool)"), Sql("row()")],
    # Arrays.
    "int4[]": [
        "{}", "{1}", "{1,NULL,-3}", "{NULL}", Sql("('{NULL,1,2}'::int[])[2:3]"), Sql("('{1,2}'::int[])[5:6]"),
        "[0:1]={1,2}", "[-5:-4]={NULL,7}", "{{1,2},{3,NULL}}", "[2:3][0:0]={{1},{2}}",
        "{{{1,2},{3,4}},{{5,6},{7,8}}}", "{{{{{{1}}}}}}", Sql("''::oidvector::oid[]::text[]::int[]"),
        "[2147483646:2147483646]={9}", "[-2147483648:-2147483648]={9}",
    ],
    "oid[]": [Sql("''::oidvector::oid[]"), Sql("'1 2'::oidvector::oid[]")],
    "int2[]": [Sql("''::int2vector::int2[]"), Sql("'1 2'::int2vector::int2[]"), "{1,2}"],
    "bool[]": ["{t,f,NULL}"],
    "text[]": ["{}", '{"",NULL,"NULL","a b","q\\"u","b\\\\s","c,d","{}"}', "{{é},{日本語}}"],
    "varchar(3)[]": ["{abc,é,NULL}"],
    "bytea[]": [Sql("array['\\x00ff'::bytea, '', NULL]")],
    "numeric(6,2)[]": ["{1.5,NULL,-0.01,9999.99}"],
    "numeric[]": ["{1.50,NaN,Infinity,NULL}"],
    "timestamptz[]": ['{"2000-01-01 00:00:00+00",infinity,NULL}'],
    "timetz[]": ["{12:34:56.789-08,NULL}"],
    "interval[]": ['{"1 mon 2 days 3 s",NULL}'],
    "uuid[]": ["{f81d4fae-7dec-11d0-a765-00a0c91e6bf6,NULL}"],
    "jsonb[]": [Sql("array['{\"a\": 1}'::jsonb, NULL]")],
    "varbit[]": ["{101,NULL,\"\"}"],
    'point[]': ['{"(1,2)",NULL}'],
    "inet[]": ["{::1,NULL}"],
    '"char"[]': [Sql('array[65::"char", (-128)::"char", NULL]')],
    "golden.hstore[]": [Sql("array['a=>NULL'::golden.hstore, '', NULL]")],
    "golden.citext[]": ["{A,NULL}"],
    "int4range[]": ['{empty,"[1,5)",NULL}'],
    "int4multirange[]": ['{"{[1,2),[5,)}",NULL}'],
    # Enums and domains.
    "golden.mood": ["sad", "very happy", "naïve", ""],
    "golden.mood[]": ['{sad,NULL,"very happy"}', "{}"],
    "golden.positive": ["1", "2147483647"],
    "golden.cheap": ["9.99", "-1"],
    "golden.tags": ["{a,NULL}", "{}"],
    "golden.tags[]": ['{"{a,b}",NULL,"{}"}'],
    "golden.cheap[]": ["{1.5,NULL}"],
    # Composites.
    "golden.pair": ['(1,"a b")', "(,)", '(-1,"")', '(7,"q""u")'],
    "golden.couple": ['(1,"a b")'],
    "golden.nothing": ["()"],
    "golden.shrunk": ["(1,t)", "(,)"],
    "golden.pair[]": [Sql("array[row(1,'x')::golden.pair, NULL, row(NULL,NULL)::golden.pair]"), "{}"],
    "golden.outer": [
        Sql("row(row(1,'x'), array[row(2,NULL)::golden.pair, NULL], 'ok', 1.5, '[1,5)', 2.5, '{q}')::golden.outer"),
        "(,,,,,,)",
        Sql("row(row(NULL,NULL), '{}', NULL, NULL, 'empty', NULL, NULL)::golden.outer"),
    ],
    # Ranges and multiranges.
    "int4range": ["empty", "[1,5)", "(,)", "[1,)", "(,5)"],
    "int8range": ["[-9223372036854775808,9223372036854775807)"],
    "numrange": ["[1.50,2.5]", "(1,2)", "[1,2)", "(1,2]", "[,2]", "(1,]", "[NaN,NaN]"],
    "daterange": ["[2000-01-01,infinity)", "[-infinity,infinity]"],
    "tsrange": ['["2000-01-01 00:00:00","2000-01-02 00:00:00"]'],
    "tstzrange": ['("2000-01-01 00:00:00+00",infinity]', "empty"],
    "golden.span": ["[-0,0]", "(-Infinity,NaN)"],
    "golden.words": ['["",b)', "[a,]", "empty", '["a b","c""d"]'],
    "golden.moods": ["[sad,ok]", "(,)"],
    "golden.pairs": [Sql("golden.pairs(row(1,'x')::golden.pair, row(2,NULL)::golden.pair, '[]')")],
    "golden.lists": ['["{1,NULL}","{2}"]'],
    "int4multirange": ["{}", "{[1,2),[5,7)}", "{(,1),[9,)}", "{(,)}"],
    "nummultirange": ["{[1.5,2.50],(3,4)}"],
    "golden.spans": ["{[-1,0),(0,1]}"],
    "golden.wordses": ["{[a,b),[c,d]}"],
}  # fmt: skip


# Of pgvector, which the distribution's server is without: golden_pgvector.toml's.
OF_PGVECTOR: dict[str, list[str]] = {
    "golden.vector": ["[0]", "[1,-0,3.5]", "[3.4028235e+38,-1e-45]", f"[{','.join('1' * 300)}]"],
    "golden.vector(3)": ["[1,-0,3.5]", "[0.1,-2e+10,1e-45]"],
    "golden.vector[]": ['{"[1,2]",NULL,"[3]"}', "{}", '{{"[1]"},{"[-0]"}}'],
    "golden.vector(2)[]": ['{NULL,"[1,2]"}'],
    "golden.unit": ["[1,0]"],
    "golden.unit[]": ['{"[0,1]",NULL}'],
    "golden.embedded": ['(x,"[1,2,3]","{""[1]"",NULL}")', "(,,)"],
    "golden.halfvec(2)": ["[1,-0]"],
    "golden.sparsevec(5)": ["{1:1.5,5:-2}/5"],
}
VALUES |= OF_PGVECTOR


def number(kind: ServerType) -> int:
    """Give the oid that stands for a type on all servers: its own, or one of its name's."""
    return kind.oid if kind.is_builtin else 0x80000000 | zlib.crc32(f"{kind.schema}.{kind.name}".encode())


def renumber(kind: ServerType, field: bytes) -> bytes:
    """`field`, a value of `kind`, with `number` for every oid that stands in it."""
    kind = kind.base
    at = 0

    def take(count: int) -> bytes:
        nonlocal at
        at += count
        return field[at - count : at]

    def values(parts: Iterator[ServerType], *, with_oids: bool = False) -> bytes:
        out = b""
        while at < len(field):
            part = next(parts)
            if with_oids:
                take(4)
                out += struct.pack(">I", number(part))
            out += (length := take(4))
            if length != b"\xff" * 4:
                out += renumber(part, take(int.from_bytes(length, "big")))
        return out

    if kind.is_array:
        [item] = kind.parts
        dimensions = int.from_bytes(field[:4], "big")
        head = take(8) + struct.pack(">I", number(item))
        take(4)
        return head + take(8 * dimensions) + values(itertools.repeat(item))
    if kind.kind == "c":
        return take(4) + values(iter(kind.parts), with_oids=True)
    if kind.kind == "r":
        return take(1) + values(itertools.repeat(kind.parts[0]))
    if kind.kind == "m":
        return take(4) + values(itertools.repeat(kind.parts[0]))
    return field


def expressions(declared: str) -> list[str]:
    """The SQL of each value of a declared type."""
    return [
        str(value) if isinstance(value, Sql) else "'{}'::{}".format(value.replace("'", "''"), declared)
        for value in VALUES[declared]
    ]


def make(dsn: str, names: Iterable[str] = tuple(VALUES)) -> str:
    """Give `names`, declared types, as the server at `dsn` tells them; types that it lacks are left out."""
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as connection:
        _run(
            connection,
            "SET timezone = 'UTC'; SET intervalstyle = 'iso_8601'; SET client_min_messages = error",
        )
        _run(connection, SETUP)
        try:
            for name, more in EXTENSIONS.items():
                if _run(connection, f"SELECT FROM pg_available_extensions WHERE name = '{name}'"):
                    _run(connection, f"CREATE EXTENSION {name} SCHEMA golden; {more}")
            return _render(connection, dsn, names)
        finally:
            _run(connection, "DROP SCHEMA golden CASCADE")


def _render(connection: psycopg.Connection[Any], dsn: str, names: Iterable[str]) -> str:
    from copypump.errors import Side
    from copypump.postgres.session import Session
    from copypump.postgres.types import load_types

    declared = {name: result for name in names if (result := _described(connection, name))}
    with Session(dsn, Side.SOURCE) as session:
        known = load_types(session, {oid for oid, _ in declared.values()})
    types: dict[str, ServerType] = {}
    lines = []
    for name, (oid, typmod) in declared.items():
        kind = known[oid]
        _collect(kind, types)
        lines += ["", "[[golden]]", f"declared = {_toml(name)}", f"type = {_toml(_key(kind))}"]
        lines += [f"typmod = {typmod}", "rows = ["]
        for sql in expressions(name):
            [(shown,)] = _run(connection, f"SELECT format('%s', {sql})")
            wire = renumber(kind, _sent(connection, sql))
            lines.append(f"    [{', '.join(map(_toml, (sql, shown, wire.hex())))}],")
        lines.append("]")
    head = ["# Made by `python -m tests.codec.golden DSN`; see golden.py.", "", "[types]"]
    head += [f"{_toml(key)} = {_facts(kind)}" for key, kind in types.items()]
    head += ["", "# Rows: SQL, the server's text of it, its bytes on the wire."]
    return "\n".join([*head, *lines]) + "\n"


def _described(connection: psycopg.Connection[Any], declared: str) -> tuple[int, int] | None:
    """Oid and typmod of a type, None where the server has not got it."""
    import psycopg

    try:
        result = connection.execute(f"SELECT {expressions(declared)[0]}".encode()).pgresult
    except (psycopg.errors.UndefinedObject, psycopg.errors.FeatureNotSupported):
        return None
    assert result is not None
    return result.ftype(0), result.fmod(0)


def _sent(connection: psycopg.Connection[Any], sql: str) -> bytes:
    """The field of one value that is not NULL."""
    statement = f"COPY (SELECT {sql}) TO STDOUT (FORMAT BINARY)".encode()
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        stream = b"".join(bytes(piece) for piece in copy)
    # 19 bytes of header, 2 of field count, 4 of length; 2 of trailer.
    assert stream[19:21] == b"\0\1" and int.from_bytes(stream[21:25], "big") == len(stream) - 27  # noqa: PT018
    return stream[25:-2]


def _run(connection: psycopg.Connection[Any], statement: str) -> list[tuple[Any, ...]]:
    cursor = connection.execute(statement.encode())
    return cursor.fetchall() if cursor.description is not None else []


def _key(kind: ServerType) -> str:
    return f"{kind.schema}.{kind.name}"


def _collect(kind: ServerType, types: dict[str, ServerType]) -> None:
    """Note a type, after all of its parts."""
    for part in kind.parts:
        _collect(part, types)
    types[_key(kind)] = kind


def _facts(kind: ServerType) -> str:
    facts: dict[str, object] = {"oid": number(kind), "kind": kind.kind}
    facts |= {"parts": [_key(part) for part in kind.parts], "names": list(kind.names)}
    facts |= {"part_typmods": list(kind.part_typmods), "typmod": kind.typmod}
    facts |= {"is_array": kind.is_array, "binary": kind.binary}
    usual: Mapping[str, object] = {"kind": "b", "typmod": -1, "is_array": False, "binary": True}
    shown = {key: value for key, value in facts.items() if value != [] and value != usual.get(key)}
    return "{ " + ", ".join(f"{key} = {_toml(value)}" for key, value in shown.items()) + " }"


def _toml(value: object) -> str:
    """A value as TOML writes it, which for these is as JSON does, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


if __name__ == "__main__":
    sys.stdout.write(make(sys.argv[1], OF_PGVECTOR if "--pgvector" in sys.argv else VALUES))
