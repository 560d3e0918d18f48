"""Decoding and encoding alone, without a server: MB/s and ns a value for each type, beside text of the same size.

    python -m bench.codec                  every type
    python -m bench.codec --type int4 --type "numeric(15,2)" --rows 50000

Each type's fields are typical ones, made from a seed. The yardstick of a type is a column of text whose fields are
as long as its own on the wire; a ratio is the type's ns a byte over the text's. Medians of runs taken in turn.
"""

from __future__ import annotations

import argparse
import random
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import pyarrow as pa

from copypump.codec.casts import cast, encoded_type
from copypump.codec.column import Column, ServerType
from copypump.codec.decoder import Decoder
from copypump.codec.encoder import EncodedColumn, Encoder
from copypump.codec.framing import HEADER, TRAILER, Block, Framer

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


class Stream:
    """One column's rows, framed, and what decodes and encodes them."""

    def __init__(self, column: Column, fields: list[Field]) -> None:
        data = HEADER + b"".join(b"\0\1" + field(data) for data in fields) + TRAILER
        framer = Framer(1, positions=True, batch_rows=len(fields))
        self.block: Block = framer.feed(data)[0]
        self.rows = len(fields)
        self.bytes = sum(len(data or b"") for data in fields)
        self.column = column
        self.decoder = Decoder([column])
        self.array = self.decoder.decode(self.block).column(0)
        self.to = encoded_type(column, self.array.type)
        if self.to is None:
            raise ValueError(f"no way back to {column.declared}")
        self.encoder = Encoder([EncodedColumn(column, self.to)])

    def decode(self) -> pa.RecordBatch:
        """Wire to Arrow."""
        return self.decoder.decode(self.block)

    def encode(self) -> bytearray:
        """Arrow to wire, casts included."""
        assert self.to is not None
        array = self.array if self.array.type == self.to else cast(self.array, self.to, "c", 0)
        return self.encoder.encode([array], self.rows, first_row=0)


def seconds(work: Callable[[], object], most: float) -> float:
    """How long one call takes: the least over as many as fit, because whatever else runs only adds."""
    best, end = float("inf"), time.perf_counter() + most
    while True:
        start = time.perf_counter()
        work()
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:
            return best


@dataclass(frozen=True)
class Result:
    """ns a value, MB/s, and ns a byte over that of text of the same size, of one direction."""

    nanoseconds: float
    megabytes: float
    ratio: float


def measure(case: Case, rows: int, turns: int, patience: float) -> tuple[Result, Result]:
    """Time both directions of a type, in turn with text of the same size."""
    rng = random.Random(case.declared)
    fields = [None if rng.random() < 0.05 else case.make(rng) for _ in range(rows)]
    stream = Stream(Column("c", case.type, case.typmod, case.declared), fields)
    letters = [None if data is None else b"x" * len(data) for data in fields]
    text = Stream(Column("c", TEXT, -1, "text"), letters)
    results = []
    for way in ("decode", "encode"):
        times = [
            (seconds(getattr(stream, way), patience), seconds(getattr(text, way), patience))
            for _ in range(turns)
        ]
        mine = median(own for own, _ in times)
        ratio = median(own / other for own, other in times)
        results.append(Result(mine / rows * 1e9, stream.bytes / mine / 1e6, ratio))
    return results[0], results[1]


def table(cases: list[Case], rows: int, turns: int, patience: float) -> str:
    """The Markdown table."""
    lines = [
        "| type | bytes a value | decode ns | MB/s | / text | encode ns | MB/s | / text |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in cases:
        rng = random.Random(0)
        size = sum(len(case.make(rng) or b"") for _ in range(1000)) / 1000
        ways = measure(case, rows, turns, patience)
        cells = [f"{way.nanoseconds:.1f} | {way.megabytes:,.0f} | {way.ratio:.2f}" for way in ways]
        lines.append(f"| {case.declared} | {size:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--type", action="append", help="only this one; repeatable")
    parser.add_argument("--rows", type=int, default=20_000, help="of a block (default: 20000)")
    parser.add_argument("--turns", type=int, default=5, help="pairs of measurements (default: 5)")
    parser.add_argument("--seconds", type=float, default=0.05, help="of each measurement (default: 0.05)")
    args = parser.parse_args()
    known = {case.declared: case for case in CASES}
    wanted = args.type or list(known)
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"no such type: {', '.join(unknown)}; there are {', '.join(known)}")
    print(table([known[name] for name in wanted], args.rows, args.turns, args.seconds))


if __name__ == "__main__":
    main()
