"""Typical fields of each type, made from a seed, and the streams that have the shape of W1's and W2's rows."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

from copypump.codec.column import Column, ServerType

Field = bytes | None
Make = Callable[[random.Random], Field]

NOUNS = ["pump", "wire", "block", "chunk", "plan", "source", "target", "ledger", "batch", "column"]
LABELS = ("sad", "ok", "happy", "delighted")


def builtin(oid: int, name: str) -> ServerType:
    """A type that means the same on every server."""
    return ServerType(oid, "pg_catalog", name)


INT4, TEXT, NUMERIC = builtin(23, "int4"), builtin(25, "text"), builtin(1700, "numeric")
MOOD = ServerType(16400, "public", "mood", kind="e", names=LABELS)
VECTOR = ServerType(16412, "public", "vector")
PAIR = ServerType(16402, "public", "pair", kind="c", parts=(INT4, TEXT), names=("a", "b"))


def array_of(oid: int, item: ServerType) -> ServerType:
    """The array type of `item`."""
    return ServerType(oid, item.schema, f"_{item.name}", parts=(item,), is_array=True)


def field(data: Field) -> bytes:
    """A field as it stands in a row or in a value."""
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def words(rng: random.Random) -> bytes:
    """A few words."""
    return " ".join(rng.choices(NOUNS, k=rng.randint(1, 6))).encode()


def number(rng: random.Random, digits: int, scale: int) -> bytes:
    """A numeric of up to `digits` digits (numeric_send of PostgreSQL's numeric.c)."""
    value = rng.randrange(10 ** rng.randint(1, digits)) * 10 ** (-scale % 4)
    groups: list[int] = []
    while value:
        value, group = divmod(value, 10000)
        groups.insert(0, group)
    weight = len(groups) - 1 - (scale + 3) // 4
    while groups and not groups[-1]:
        groups.pop()
    head = struct.pack(">HhHH", len(groups), weight if groups else 0, 0, scale)
    return head + struct.pack(f">{len(groups)}H", *groups)


def array(oid: int, items: list[Field]) -> bytes:
    """An array of one dimension."""
    if not items:
        return struct.pack(">iii", 0, 0, oid)
    head = struct.pack(">iiiii", 1, None in items, oid, len(items), 1)
    return head + b"".join(map(field, items))


def int4(rng: random.Random) -> bytes:
    """A four-byte integer."""
    return struct.pack(">i", rng.randrange(-(2**31), 2**31))


def moment(rng: random.Random) -> bytes:
    """A timestamp of the last years."""
    return struct.pack(">q", rng.randrange(9 * 10**14))


def pair(rng: random.Random) -> bytes:
    """A composite of an integer and a text."""
    return struct.pack(">ii", 2, 23) + field(int4(rng)) + struct.pack(">i", 25) + field(words(rng))


def span(rng: random.Random) -> bytes:
    """An int4range with both bounds."""
    return b"\x02" + field(int4(rng)) + field(int4(rng))


def bits(rng: random.Random) -> bytes:
    """A bit string of whole bytes."""
    data = rng.randbytes(rng.randint(1, 16))
    return struct.pack(">i", 8 * len(data)) + data


def pairs(rng: random.Random) -> bytes:
    """An hstore."""
    keys = rng.sample(NOUNS, rng.randint(0, 4))
    body = b"".join(field(key.encode()) + field(words(rng)) for key in keys)
    return struct.pack(">i", len(keys)) + body


def vector(rng: random.Random, dimensions: int) -> bytes:
    """A vector of pgvector's (vector_send of its vector.c)."""
    return struct.pack(f">hh{dimensions}f", dimensions, 0, *(rng.random() for _ in range(dimensions)))


def numeric_typmod(precision: int, scale: int) -> int:
    """See numeric.c: precision and scale in one number, four on top."""
    return ((precision << 16) | (scale & 0x7FF)) + 4


@dataclass(frozen=True)
class Case:
    """A type, and how one field of it is made."""

    declared: str
    type: ServerType
    make: Make
    typmod: int = -1


CASES = (
    Case("bool", builtin(16, "bool"), lambda r: bytes([r.randrange(2)])),
    Case('"char"', builtin(18, "char"), lambda r: r.randbytes(1)),
    Case("int2", builtin(21, "int2"), lambda r: r.randbytes(2)),
    Case("int4", INT4, int4),
    Case("int8", builtin(20, "int8"), lambda r: r.randbytes(8)),
    Case("float8", builtin(701, "float8"), lambda r: struct.pack(">d", r.random())),
    Case("numeric(15,2)", NUMERIC, lambda r: number(r, 12, 2), numeric_typmod(15, 2)),
    Case("numeric(38,10)", NUMERIC, lambda r: number(r, 36, 10), numeric_typmod(38, 10)),
    Case("numeric(76,20)", NUMERIC, lambda r: number(r, 70, 20), numeric_typmod(76, 20)),
    Case("numeric", NUMERIC, lambda r: number(r, 20, 6)),
    Case("text", TEXT, words),
    Case("varchar(60)", builtin(1043, "varchar"), words, 64),
    Case("bytea", builtin(17, "bytea"), lambda r: r.randbytes(r.randint(0, 60))),
    Case("jsonb", builtin(3802, "jsonb"), lambda r: b'\x01{"a": "' + words(r) + b'"}'),
    Case("uuid", builtin(2950, "uuid"), lambda r: r.randbytes(16)),
    Case("date", builtin(1082, "date"), lambda r: struct.pack(">i", r.randrange(9000))),
    Case("time", builtin(1083, "time"), lambda r: struct.pack(">q", r.randrange(86_400_000_000))),
    Case("timetz", builtin(1266, "timetz"), lambda r: struct.pack(">qi", r.randrange(86_400_000_000), -7200)),
    Case("timestamp", builtin(1114, "timestamp"), moment),
    Case("interval", builtin(1186, "interval"), lambda r: moment(r) + struct.pack(">ii", 3, 14)),
    Case("money", builtin(790, "money"), lambda r: struct.pack(">q", r.randrange(10**9))),
    Case("varbit", builtin(1562, "varbit"), bits),
    Case("inet", builtin(869, "inet"), lambda r: b"\x02\x20\x00\x04" + r.randbytes(4)),
    Case("point", builtin(600, "point"), lambda r: struct.pack(">dd", r.random(), r.random())),
    Case("enum", MOOD, lambda r: r.choice(LABELS).encode()),
    Case("int4[]", array_of(1007, INT4), lambda r: array(23, [int4(r) for _ in range(r.randint(0, 12))])),
    Case(
        "text[]",
        array_of(1009, TEXT),
        lambda r: array(25, [None if r.random() < 0.1 else words(r) for _ in range(r.randint(0, 6))]),
    ),
    Case(
        "numeric(15,2)[]",
        array_of(1231, NUMERIC),
        lambda r: array(1700, [number(r, 12, 2) for _ in range(r.randint(0, 6))]),
        numeric_typmod(15, 2),
    ),
    Case(
        "enum[]",
        array_of(16399, MOOD),
        lambda r: array(16400, [r.choice(LABELS).encode() for _ in range(r.randint(0, 6))]),
    ),
    Case("composite", PAIR, pair),
    Case(
        "composite[]",
        array_of(16401, PAIR),
        lambda r: array(16402, [pair(r) for _ in range(r.randint(0, 4))]),
    ),
    Case("int4range", ServerType(3904, "pg_catalog", "int4range", kind="r", parts=(INT4,)), span),
    Case(
        "int4multirange",
        ServerType(
            4451,
            "pg_catalog",
            "int4multirange",
            kind="m",
            parts=(ServerType(3904, "pg_catalog", "int4range", kind="r", parts=(INT4,)),),
        ),
        lambda r: struct.pack(">i", 2) + field(span(r)) + field(span(r)),
    ),
    Case("hstore", ServerType(16410, "public", "hstore"), pairs),
    Case("vector", VECTOR, lambda r: vector(r, r.randint(1, 100))),
    Case("vector(384)", VECTOR, lambda r: vector(r, 384), 384),
)


def case(declared: str) -> Case:
    """The entry of a type (StopIteration: there is none)."""
    return next(one for one in CASES if one.declared == declared)


@dataclass(frozen=True)
class Shape:
    """A stream of several columns: what each holds, and how often it is NULL."""

    declared: str
    cases: tuple[Case, ...]
    nulls: float = 0.0

    def columns(self) -> list[Column]:
        """Its columns, named by their place."""
        return [
            Column(f"c{at}", one.type, one.typmod, one.declared) for at, one in enumerate(self.cases, start=1)
        ]

    def rows(self, count: int) -> list[list[Field]]:
        """Rows of fields, the same each time."""
        rng = random.Random(self.declared)
        return [
            [None if rng.random() < self.nulls else one.make(rng) for one in self.cases] for _ in range(count)
        ]


def fixed(declared: str, width: int) -> Case:
    """A char(n)."""
    return Case(
        declared, builtin(1042, "bpchar"), lambda r: r.choice(NOUNS).encode()[:width].ljust(width), width + 4
    )


PRICE, DAY = case("numeric(15,2)"), case("date")
SHAPES = (
    Shape("W1: people", (case("int8"), case("text"), case("int4"), case("float8"))),
    Shape(
        "W2: lineitem",
        (
            *(case("int8"), case("int8"), case("int8"), case("int4"), PRICE, PRICE, PRICE, PRICE),
            *(fixed("char(1)", 1), fixed("char(1)", 1), DAY, DAY, DAY, fixed("char(25)", 25)),
            *(fixed("char(10)", 10), case("varchar(60)")),
        ),
    ),
)
ALONE = tuple(Shape(one.declared, (one,), 0.05) for one in CASES)
