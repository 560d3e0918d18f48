"""Hypothesis strategies made from the type table: type trees, and the fields that a server sends for them.

`columns` draws a column of any type, `fields` the bytes of a value of any column, as PostgreSQL would take them
and send them again (what Arrow cannot hold is among them), `strange` bytes of which many are no value at all.
A wire form without an entry in `FIELDS` fails the tests that walk the table.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from copypump.codec import types, typmod
from copypump.codec.column import FIRST_OWN_OID, Column, ServerType
from copypump.codec.types import TYPES, Kernel, PgType
from tests.codec import reference_decoder as reference
from tests.codec import reference_encoder
from tests.codec.streams import numeric_typmod

Fields = SearchStrategy[bytes]


def sized(content: bytes | None) -> bytes:
    """A field with its length before it."""
    return struct.pack(">i", -1) if content is None else struct.pack(">i", len(content)) + content


# --- types


def server_type(row: PgType) -> ServerType:
    """The type of a row, as a server would describe it."""
    if row.oid:
        return ServerType(row.oid, "pg_catalog", row.name)
    return ServerType(FIRST_OWN_OID + len(row.name), "extensions", row.name)


_POINT = ServerType(600, "pg_catalog", "point")  # has no row
_USER_OIDS = st.integers(FIRST_OWN_OID, 2**32 - 1)
_NAMES = st.text("aé b", min_size=1, max_size=3)
_NUMERICS = [-1, *(numeric_typmod(*of) for of in ((15, 2), (38, 10), (76, 38), (80, 3), (5, -3), (3, 6)))]
_TYPMODS = {
    "numeric": _NUMERICS,
    "varchar": [-1, 7],
    "bit": [1, 12],
    "varbit": [-1, 9],
    "bpchar": [-1, 7],
    "vector": [-1, 3],
}


def scalars() -> SearchStrategy[ServerType]:
    enums = st.builds(
        lambda oid, names: ServerType(oid, "s", "mood", "e", names=tuple(names)),
        _USER_OIDS,
        st.lists(_NAMES, min_size=1, max_size=4, unique=True),
    )
    return st.one_of(st.sampled_from([*map(server_type, TYPES), _POINT]), enums)


def _typmods(kind: ServerType) -> SearchStrategy[int]:
    """A typmod that a column, an attribute or a domain of this type could have."""
    if kind.kind == "d":
        return st.just(-1)
    name = kind.parts[0].name if kind.is_array else kind.name
    return st.sampled_from(_TYPMODS.get(name, [-1]))


@st.composite
def server_types(draw: st.DrawFn, depth: int) -> ServerType:
    """A type with at most `depth` others within one another."""
    if not depth or draw(st.integers(0, 3)) == 0:
        return draw(scalars())
    oid, family = draw(_USER_OIDS), draw(st.sampled_from("dacrm"))
    inner = server_types(depth - 1)
    if family == "d":
        base = draw(inner)
        return ServerType(oid, "s", "dom", "d", (base,), typmod=draw(_typmods(base)))
    if family == "a":
        # An array's element is no array: PostgreSQL has more dimensions instead.
        item = draw(inner.filter(lambda kind: not kind.is_array))
        return ServerType(oid, "s", f"_{item.name}", parts=(item,), is_array=True)
    if family == "c":
        names = tuple(draw(st.lists(_NAMES, max_size=4, unique=True)))
        parts = tuple(draw(inner) for _ in names)
        typmods = tuple(draw(_typmods(part)) for part in parts)
        return ServerType(oid, "s", "row", "c", parts, names, part_typmods=typmods)
    span = ServerType(oid, "s", "span", "r", (draw(inner),))
    return span if family == "r" else ServerType(draw(_USER_OIDS), "s", "spans", "m", (span,))


@st.composite
def columns(draw: st.DrawFn, depth: int = 4) -> Column:
    """A column of any type."""
    kind = draw(server_types(draw(st.integers(0, depth))))
    return Column("c", kind, draw(_typmods(kind)), kind.name)


# --- fields


def fields(column: Column) -> Fields:
    """Values of a column that are not NULL, as a server sends them."""
    return FIELDS[types.pg_type(column).kernel](column)


def _words(bits: int, *edges: int, low: int | None = None, high: int | None = None) -> SearchStrategy[int]:
    """Integers, many of them at the ends and around `edges`."""
    least, most = -(2 ** (bits - 1)) if low is None else low, 2 ** (bits - 1) - 1 if high is None else high
    near = [edge + step for edge in (0, least, most, *edges) for step in (-1, 0, 1)]
    return st.one_of(
        st.integers(least, most), st.sampled_from([number for number in near if least <= number <= most])
    )


def _packed(code: str, *parts: SearchStrategy[int]) -> Fields:
    return st.tuples(*parts).map(lambda numbers: struct.pack(f">{code}", *numbers))


def _always(strategy: Fields) -> Callable[[Column], Fields]:
    return lambda _column: strategy


_LETTERS = st.characters(exclude_characters="\0", codec="utf-8")
_TEXT = st.one_of(st.text(_LETTERS, max_size=12), st.text("ab é🐘", max_size=40))
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), _TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXT, inner, max_size=3)),
    max_leaves=4,
).map(lambda value: json.dumps(value, ensure_ascii=False).encode())


def _texts(column: Column) -> Fields:
    name = types.pg_type(column).name
    if name == "json":
        return _JSON
    if name == "xml":
        return st.text("ab é", max_size=9).map(lambda text: f"<a>{text}</a>".encode())
    if name == "name":
        return st.text(_LETTERS, max_size=15).map(str.encode)
    limit = typmod.characters(column.wire_typmod)
    if limit is None:
        return _TEXT.map(str.encode)
    texts = st.text(_LETTERS, max_size=limit)
    return texts.map(lambda text: (text.ljust(limit) if name == "bpchar" else text).encode())


def _numerics(column: Column) -> Fields:
    limits = typmod.numeric(column.wire_typmod)
    special = [bytes.fromhex("00000000c0000000")]
    if limits is None:
        precision, scales = 60, st.integers(0, 45)
        special += [bytes.fromhex("00000000d0000020"), bytes.fromhex("00000000f0000020")]
    else:
        precision, scales = limits.precision, st.just(limits.scale)
    digits = st.one_of(
        st.integers(0, 10**precision - 1),
        st.integers(0, precision - 1).flatmap(lambda zeros: st.integers(0, 9).map(lambda d: d * 10**zeros)),
        st.integers(0, 10 ** min(precision, 6) - 1),
        st.just(10**precision - 1),
    )

    def build(unscaled: int, scale: int, negative: bool) -> bytes:
        number = reference_encoder.EXACT.create_decimal(
            (int(negative), tuple(map(int, str(unscaled))), -scale)
        )
        return reference_encoder.numeric(number, dscale=max(0, scale))

    return st.one_of(*[st.builds(build, digits, scales, st.booleans())] * 9, st.sampled_from(special))


def _bits(column: Column) -> Fields:
    limit = column.wire_typmod
    least = limit if types.pg_type(column).name == "bit" and limit >= 0 else 0
    counts = st.integers(least, limit if limit >= 0 else 70)

    def build(count: int) -> Fields:
        size = (count + 7) // 8
        return st.integers(0, 2**count - 1).map(
            lambda bits: struct.pack(">i", count) + (bits << (size * 8 - count)).to_bytes(size, "big")
        )

    return counts.flatmap(build)


_DAY = 86_400_000_000
_TIMES = st.one_of(*[_words(64, low=0, high=_DAY - 1)] * 9, st.just(_DAY))
_DATES = st.one_of(
    *[_words(32, 10957, low=-2451545, high=2147483493 - 2451545)] * 9, st.sampled_from([-(2**31), 2**31 - 1])
)
_TIMESTAMPS = st.one_of(
    *[_words(64, 2**63 - 1 - 946684800000000, low=-211813488000000000, high=9223371331199999999)] * 9,
    st.sampled_from([-(2**63), 2**63 - 1]),
)


def _hstores(_column: Column) -> Fields:
    # As hstore_send has them: keys once, the shorter first.
    pairs = st.dictionaries(_TEXT.map(str.encode), st.none() | _TEXT.map(str.encode), max_size=4)

    def build(content: dict[bytes, bytes | None]) -> bytes:
        ordered = sorted(content.items(), key=lambda pair: (len(pair[0]), pair[0]))
        return struct.pack(">i", len(ordered)) + b"".join(sized(key) + sized(text) for key, text in ordered)

    return pairs.map(build)


def _vectors(column: Column) -> Fields:
    dimensions = typmod.dimensions(column.wire_typmod)
    least, most = (1, 9) if dimensions is None else (dimensions, dimensions)
    floats = st.lists(
        st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=least, max_size=most
    )
    return floats.map(reference_encoder.vector)


@st.composite
def _arrays(draw: st.DrawFn, column: Column) -> bytes:
    [item] = column.children
    elements = st.none() | fields(item)
    shapes = st.one_of(
        *[st.integers(0, 4).map(lambda size: [(size, 1)] if size else [])] * 8,
        st.lists(st.tuples(st.integers(1, 2), st.integers(-(2**31), 2**31 - 10)), max_size=6),
        st.just([(0, 0)]),  # ''::oidvector::oid[]
    )
    sizes = draw(shapes)
    count = 1 if sizes else 0
    for size, _ in sizes:
        count *= size
    values = [draw(elements) for _ in range(count)]
    # A slice keeps the flag of the whole.
    flag = None in values or (count > 0 and draw(st.integers(0, 9)) == 0)
    head = struct.pack(">iiI", len(sizes), flag, item.type.oid)
    return head + b"".join(struct.pack(">ii", *size) for size in sizes) + b"".join(map(sized, values))


@st.composite
def _composites(draw: st.DrawFn, column: Column) -> bytes:
    parts = [
        struct.pack(">I", child.type.oid) + sized(draw(st.none() | fields(child)))
        for child in column.children
    ]
    return struct.pack(">i", len(parts)) + b"".join(parts)


@st.composite
def _ranges(draw: st.DrawFn, column: Column) -> bytes:
    """Both bounds in order, where there is an order that is the server's."""
    [bound] = column.children
    flags = draw(st.sampled_from([0, 2, 4, 6, 8, 12, 16, 18, 24, 1]))
    ends = sorted([draw(fields(bound)), draw(fields(bound))], key=lambda field: _order(bound, field))
    there = (not flags & 9, not flags & 17)
    return bytes([flags]) + b"".join(sized(end) for end, has in zip(ends, there, strict=True) if has)


def _order(column: Column, field: bytes) -> Any:
    """A key by which fields of the types that have ranges of their own are in the server's order."""
    kernel = types.pg_type(column).kernel
    if kernel == Kernel.NUMERIC:
        text = reference.numeric(types.pa.utf8(), field)
        return (float("inf"), 1) if text == "NaN" else (reference_encoder.EXACT.create_decimal(text), 0)
    if kernel in (Kernel.FIXED16, Kernel.FIXED32, Kernel.FIXED64, Kernel.DATE, Kernel.TIME, Kernel.TIMESTAMP):
        if types.pg_type(column).name == "float8":
            number = struct.unpack(">d", field)[0]
            return (number != number, number if number == number else 0)
        return int.from_bytes(field, "big", signed=True)
    return field


@st.composite
def _multiranges(draw: st.DrawFn, column: Column) -> bytes:
    [part] = column.children
    ranges = draw(st.lists(fields(part), max_size=3))
    return struct.pack(">i", len(ranges)) + b"".join(map(sized, ranges))


FIELDS: dict[Kernel, Callable[[Column], Fields]] = {
    Kernel.BOOL: _always(st.sampled_from([b"\0", b"\1"])),
    Kernel.FIXED8: _always(_packed("b", _words(8))),
    Kernel.FIXED16: _always(_packed("h", _words(16))),
    Kernel.FIXED32: _always(_packed("i", _words(32))),
    Kernel.FIXED64: _always(_packed("q", _words(64))),
    Kernel.NUMERIC: _numerics,
    Kernel.TEXT: _texts,
    Kernel.JSONB: _always(_JSON.map(lambda text: b"\1" + text)),
    Kernel.BYTES: lambda column: (
        st.binary(min_size=16, max_size=16) if column.wire_type.name == "point" else st.binary(max_size=40)
    ),
    Kernel.UUID: _always(st.binary(min_size=16, max_size=16)),
    Kernel.DATE: _always(_packed("i", _DATES)),
    Kernel.TIME: _always(_packed("q", _TIMES)),
    Kernel.TIMETZ: _always(_packed("qi", _TIMES, _words(32, low=-57599, high=57599))),
    Kernel.TIMESTAMP: _always(_packed("q", _TIMESTAMPS)),
    Kernel.INTERVAL: _always(_packed("qii", _words(64), _words(32), _words(32))),
    Kernel.BITS: _bits,
    Kernel.ENUM: lambda column: st.sampled_from([name.encode() for name in column.wire_type.names]),
    Kernel.HSTORE: _hstores,
    Kernel.VECTOR: _vectors,
    Kernel.ARRAY: _arrays,
    Kernel.COMPOSITE: _composites,
    Kernel.RANGE: _ranges,
    Kernel.MULTIRANGE: _multiranges,
}


# --- fields that may be no value


_ODD_TEXTS = [b"\0", b"a\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"longer text, \xe2\x82"]
_ODD_WORDS = [
    struct.pack(">I", word) for word in (0, 1, 7, 8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
]


@st.composite
def strange(draw: st.DrawFn, column: Column) -> bytes:
    """Bytes near those of a value: one with a stretch put in, taken out or written over; or any at all."""
    if draw(st.integers(0, 4)) == 0:
        text = draw(st.one_of(st.binary(max_size=20), st.sampled_from(_ODD_TEXTS)))
        return draw(st.sampled_from([b"", b"\1"])) + text
    field = draw(fields(column))
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(field)))
        cut = draw(st.sampled_from([0, 0, 1, 2, 4]))
        put = draw(
            st.one_of(st.sampled_from([b"", *_ODD_WORDS, *_ODD_TEXTS]), st.binary(min_size=cut, max_size=cut))
        )
        field = field[:at] + put + field[at + cut :]
    return field
