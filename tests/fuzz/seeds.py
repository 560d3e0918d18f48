"""Where fuzzing begins: golden values of every type, types made of them at random, and ways to spoil bytes.

All of it is drawn from one `random.Random`, so that a seed tells a run.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from random import Random

import pyarrow as pa

from copypump.codec.column import FIRST_OWN_OID, Column, ServerType
from tests.codec import golden
from tests.codec.agreement import choices
from tests.codec.strategies import sized
from tests.codec.streams import stream

MAX_DEPTH = 4


@dataclass(frozen=True)
class Seed:
    """A column, the Arrow type to read it as, and fields that a server could send."""

    column: Column
    type: pa.DataType
    fields: tuple[bytes, ...]

    def __str__(self) -> str:
        return f"{self.column.declared} as {self.type}"


def golden_seeds() -> list[Seed]:
    """Every declared type of golden.toml, read in every way."""
    found = [Seed(case.column, type_, case.wire) for case in golden.load() for type_ in choices(case.column)]
    assert found
    return found


def random_seed(rng: Random) -> Seed:
    """A column of a type made at random."""
    kind, fields = _tree(rng, rng.randint(1, MAX_DEPTH))
    column = Column("v", kind, -1, kind.name)
    forms = choices(column)
    return Seed(column, rng.choice([forms[0], rng.choice(forms)]), fields)


def _tree(rng: Random, depth: int) -> tuple[ServerType, tuple[bytes, ...]]:
    case = rng.choice(golden.load())
    if not depth:
        return case.column.type, case.wire
    family, oid = rng.choice("aaccrmd"), rng.randrange(FIRST_OWN_OID, 2**32)
    inner, fields = _tree(rng, depth - 1)
    some = [None, *rng.choices(fields, k=rng.randint(0, 4))]
    if family == "d":
        return ServerType(oid, "s", "dom", "d", (inner,)), fields
    if family == "a":
        head = struct.pack(">iiIii", 1, 1, inner.oid, len(some), 1)
        kind = ServerType(oid, "s", f"_{inner.name}", parts=(inner,), is_array=True)
        return kind, (head + b"".join(map(sized, some)), struct.pack(">iiI", 0, 0, inner.oid))
    if family == "c":
        parts = [(inner, fields), *(_tree(rng, rng.randrange(depth)) for _ in range(rng.randint(0, 2)))]
        kinds = tuple(kind for kind, _ in parts)
        names = tuple(f"f{place}" for place in range(len(parts)))
        kind = ServerType(oid, "s", "row", "c", kinds, names, part_typmods=(-1,) * len(parts))
        return kind, tuple(
            struct.pack(">i", len(parts))
            + b"".join(
                struct.pack(">I", of.oid) + sized(rng.choice([None, *of_fields])) for of, of_fields in parts
            )
            for _ in range(2)
        )
    span = ServerType(oid, "s", "span", "r", (inner,))
    ranges = tuple(
        bytes([flags])
        + b"".join(sized(rng.choice(fields)) for infinite in (8, 16) if not flags & (1 | infinite))
        for flags in (0, 2, 6, 12, 18, 24, 1)
    )
    if family == "r":
        return span, ranges
    spans = ServerType(oid ^ 1, "s", "spans", "m", (span,))
    return spans, (struct.pack(">i", 2) + sized(rng.choice(ranges)) + sized(rng.choice(ranges)), bytes(4))


# Words at which counts, lengths, flags and offsets turn.
_WORDS = [
    0,
    1,
    2,
    6,
    7,
    8,
    31,
    32,
    127,
    128,
    255,
    256,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
]
_WORDS += [0xFFFFFFFE, 0x3FFFFFFF, 0x40000000, 0x00010000, 0x20000000]
_TEXTS = [b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"a"]


def spoiled(rng: Random, data: bytes, other: bytes) -> bytes:
    """Bytes near `data`; parts may come from `other`."""
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at = rng.randint(0, len(data))
        size = rng.choice([1, 2, 4, 4, 8])
        match rng.randrange(8):
            case 0:
                put, cut = rng.choice(_WORDS).to_bytes(4, "big"), 4
            case 1:
                put, cut = (rng.choice(_WORDS) & 0xFFFF).to_bytes(2, "big"), 2
            case 2:
                put, cut = rng.randbytes(size), size
            case 3:
                put, cut = rng.choice(_TEXTS), rng.choice([0, 1])
            case 4:
                put, cut = b"", size
            case 5:
                put, cut = data[at : at + size * rng.randint(1, 8)], 0
            case 6:
                start = rng.randint(0, len(other))
                put, cut = other[start : start + 4 * size], rng.choice([0, 4 * size])
            case _:
                number = int.from_bytes(data[at : at + 4].rjust(4, b"\0"), "big") + rng.choice([-1, 1, 4, -4])
                put, cut = (number & 0xFFFFFFFF).to_bytes(4, "big"), 4
        data = data[:at] + put + data[at + cut :]
    return data


def spoiled_stream(rng: Random, pool: list[bytes]) -> tuple[bytes, bytes | None]:
    """A stream of fields, some of them spoiled, or all; the second is the one that is new."""
    if not pool or rng.random() < 0.02:
        pool = [rng.randbytes(rng.randint(0, 64))]
    rows: list[list[bytes | None]] = [[rng.choice([None, *pool])] for _ in range(rng.randint(0, 5))]
    if rng.random() < 0.2:
        data = stream(rows)
        return spoiled(rng, data, data), None
    new = spoiled(rng, rng.choice(pool), rng.choice(pool))
    rows.insert(rng.randint(0, len(rows)), [new])
    return stream(rows), new
