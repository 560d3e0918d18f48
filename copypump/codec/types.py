"""The one table of PostgreSQL types: how each looks in Arrow, and which kernel reads and writes it.

Decoder and Encoder pick their native loops by a row's `kernel`; tests, help and the documentation iterate
`TYPES`. A type whose wire form has a kernel is added as one row here and nowhere else. A type without a row
travels as `arrow.opaque` over its wire bytes and goes back as they are.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import pyarrow as pa

from copypump.codec import typmod as typmods
from copypump.codec.column import Column, ServerType
from copypump.errors import RefusedError, UsageError

VENDOR = "PostgreSQL"
MAX_DECIMAL128 = 38
MAX_DECIMAL256 = 76

# An interval as it is on the wire, least significant part last; month_day_nano would overflow past 292 years.
INTERVAL = pa.struct(
    [
        pa.field("months", pa.int32(), nullable=False),
        pa.field("days", pa.int32(), nullable=False),
        pa.field("microseconds", pa.int64(), nullable=False),
    ]
)


class Kernel(enum.StrEnum):
    """A wire form: one pair of native loops reads it into Arrow buffers and writes it from them."""

    BOOL = "bool"  # one byte, 0 or 1
    FIXED16 = "fixed16"  # big-endian words, bits kept as they are
    FIXED32 = "fixed32"
    FIXED64 = "fixed64"
    NUMERIC = "numeric"  # base-10000 digits under an eight-byte head
    TEXT = "text"  # UTF-8 without NUL
    JSONB = "jsonb"  # version byte 1, then text
    BYTES = "bytes"  # anything
    UUID = "uuid"  # sixteen bytes
    DATE = "date"  # int32 days since 2000-01-01
    TIME = "time"  # int64 microseconds of the day
    TIMESTAMP = "timestamp"  # int64 microseconds since 2000-01-01
    INTERVAL = "interval"  # int64 microseconds, int32 days, int32 months


@dataclass(frozen=True)
class PgType:
    """One PostgreSQL type: its wire form and its place in Arrow.

    `arrow` maps a typmod to the type that its values decode to unless the user chooses one of
    `alternatives`, which are spelled as `spelling` spells them (any precision and scale: "decimal128(p,s)").
    `kept` says which unusual values stay exact, `refused` which are an error once the column is read.
    """

    name: str
    oid: int
    kernel: Kernel
    arrow: Callable[[int], pa.DataType]
    alternatives: tuple[str, ...] = ()
    kept: str = ""
    refused: str = ""


def _always(type_: pa.DataType) -> Callable[[int], pa.DataType]:
    """Give `type_` whatever the typmod."""
    return lambda _typmod: type_


def _decimal(typmod: int) -> pa.DataType:
    """Give the smallest decimal that holds every finite numeric of this typmod, or utf8 where none does."""
    limits = typmods.numeric(typmod)
    if limits is None or limits.precision > MAX_DECIMAL256:
        return pa.utf8()
    if limits.precision > MAX_DECIMAL128:
        return pa.decimal256(*limits)
    return pa.decimal128(*limits)


_BITS = "-0.0, infinities and NaN payloads, bit for bit"
_ENDLESS = "infinity and -infinity as the largest and smallest integer, counted as a warning"
_FAR = "from January 294247 on, where microseconds since 1970 overflow"

TYPES: tuple[PgType, ...] = (
    PgType("bool", 16, Kernel.BOOL, _always(pa.bool_())),
    PgType("bytea", 17, Kernel.BYTES, _always(pa.binary())),
    PgType("name", 19, Kernel.TEXT, _always(pa.utf8())),
    PgType("int8", 20, Kernel.FIXED64, _always(pa.int64())),
    PgType("int2", 21, Kernel.FIXED16, _always(pa.int16())),
    PgType("int4", 23, Kernel.FIXED32, _always(pa.int32())),
    PgType("text", 25, Kernel.TEXT, _always(pa.utf8())),
    PgType("oid", 26, Kernel.FIXED32, _always(pa.uint32())),
    PgType("json", 114, Kernel.TEXT, _always(pa.json_()), ("utf8",), kept="the text as it was written"),
    PgType("float4", 700, Kernel.FIXED32, _always(pa.float32()), kept=_BITS),
    PgType("float8", 701, Kernel.FIXED64, _always(pa.float64()), kept=_BITS),
    PgType("bpchar", 1042, Kernel.TEXT, _always(pa.utf8()), kept="its blanks"),
    PgType("varchar", 1043, Kernel.TEXT, _always(pa.utf8())),
    PgType("date", 1082, Kernel.DATE, _always(pa.date32()), kept=_ENDLESS),
    PgType("time", 1083, Kernel.TIME, _always(pa.time64("us")), refused="24:00:00"),
    PgType(
        "timestamp",
        1114,
        Kernel.TIMESTAMP,
        _always(pa.timestamp("us")),
        kept=_ENDLESS,
        refused=_FAR,
    ),
    PgType(
        "timestamptz",
        1184,
        Kernel.TIMESTAMP,
        _always(pa.timestamp("us", "UTC")),
        kept=_ENDLESS,
        refused=_FAR,
    ),
    PgType("interval", 1186, Kernel.INTERVAL, _always(INTERVAL), kept="months, days and microseconds apart"),
    PgType(
        "numeric",
        1700,
        Kernel.NUMERIC,
        _decimal,
        ("utf8", "decimal128(p,s)", "decimal256(p,s)"),
        kept="as utf8: the display scale, NaN and infinities",
        refused="as a decimal: NaN, infinities, and more digits than it holds",
    ),
    PgType("uuid", 2950, Kernel.UUID, _always(pa.uuid()), ("fixed_size_binary(16)",)),
    PgType("jsonb", 3802, Kernel.JSONB, _always(pa.json_()), ("utf8",), kept="the server's own text of it"),
)

_BY_OID = {row.oid: row for row in TYPES}


def opaque(server_type: ServerType) -> pa.OpaqueType:
    """Give the Arrow type that carries a server type's wire bytes untouched."""
    return pa.opaque(pa.binary(), server_type.name, VENDOR)


def is_opaque(type_: pa.DataType) -> bool:
    """Whether `type_` carries the wire bytes of a PostgreSQL type; polars makes views of it."""
    return (
        isinstance(type_, pa.OpaqueType)
        and type_.vendor_name == VENDOR
        and type_.storage_type in (pa.binary(), pa.large_binary(), pa.binary_view())
    )


def is_opaque_of(type_: pa.DataType, server_type: ServerType) -> bool:
    """Whether `type_` carries the wire bytes of a type of this name."""
    return isinstance(type_, pa.OpaqueType) and is_opaque(type_) and type_.type_name == server_type.name


def pg_type(column: Column) -> PgType:
    """Find the row of the values that a column has on the wire; a type without one gets an opaque row."""
    wire = column.wire_type
    row = _BY_OID.get(wire.oid)
    if row is not None:
        return row
    return PgType(wire.name, wire.oid, Kernel.BYTES, _always(opaque(wire)), ("binary",), kept="every byte")


def kernel(column: Column, type_: pa.DataType) -> Kernel:
    """Name the wire form in which a column's values turn into (or come from) Arrow's `type_`."""
    return Kernel.BYTES if is_opaque(type_) else pg_type(column).kernel


def arrow_type(column: Column, chosen: pa.DataType | None = None) -> pa.DataType:
    """Give the Arrow type that a column decodes to; `chosen` is the user's own wish.

    Any opaque type stands for the column's own. Raises RefusedError, naming the column and what can be
    chosen, where the column's type cannot become `chosen`.
    """
    row = pg_type(column)
    usual = row.arrow(column.wire_typmod)
    if chosen is None or chosen == usual:
        return usual
    if is_opaque(chosen):
        return opaque(column.wire_type)
    if spelling(chosen, generic=True) in row.alternatives:
        return chosen
    choices = dict.fromkeys((spelling(usual), *row.alternatives, "opaque"))
    raise RefusedError(
        f"{column.declared} cannot be read as {spelling(chosen)}",
        column=column.name,
        hint=f"choose one of {', '.join(choices)}",
    )


def field(column: Column, chosen: pa.DataType | None = None) -> pa.Field[pa.DataType]:
    """Give the Arrow field of a column, with the server's oid, typmod and type name as metadata."""
    server_type = column.type
    return pa.field(
        column.name,
        arrow_type(column, chosen),
        nullable=not column.not_null,
        metadata={
            b"PG:oid": str(server_type.oid).encode(),
            b"PG:typmod": str(column.typmod).encode(),
            b"PG:type": f"{server_type.schema}.{server_type.name}".encode(),
        },
    )


def spelling(type_: pa.DataType, *, generic: bool = False) -> str:
    """Spell a type as `parse_arrow_type` reads it; `generic` leaves a decimal's numbers open."""
    if is_opaque(type_):
        return "opaque"
    if isinstance(type_, pa.UuidType):
        return "uuid"
    if isinstance(type_, pa.JsonType):
        return "json"
    if pa.types.is_decimal128(type_) or pa.types.is_decimal256(type_):
        numbers = "p,s" if generic else f"{type_.precision},{type_.scale}"
        return f"decimal{type_.bit_width}({numbers})"
    if pa.types.is_fixed_size_binary(type_):
        return f"fixed_size_binary({type_.byte_width})"
    return "utf8" if type_ == pa.utf8() else str(type_)


_NAMED: dict[str, Callable[[], pa.DataType]] = {
    "opaque": lambda: pa.opaque(pa.binary(), "unknown", VENDOR),
    "uuid": pa.uuid,
    "json": pa.json_,
    "timestamp[us,utc]": lambda: pa.timestamp("us", "UTC"),
}
_NUMBERED: dict[str, tuple[Callable[..., pa.DataType], int]] = {
    "decimal128": (pa.decimal128, 2),
    "decimal256": (pa.decimal256, 2),
    "fixed_size_binary": (pa.binary, 1),
}


def parse_arrow_type(text: str) -> pa.DataType:
    """Read an Arrow type as `--type` spells it: utf8, decimal128(18,4), timestamp[us, UTC], uuid, opaque.

    Raises UsageError for anything else.
    """
    compact = re.sub(r"\s+", "", text).lower().replace("tz=", "")
    numbered = re.fullmatch(r"(\w+)\((\d{1,9}(?:,-?\d{1,9})*)\)", compact)
    alias = cast("Callable[[str], pa.DataType]", pa.type_for_alias)
    try:
        if compact in _NAMED:
            return _NAMED[compact]()
        if numbered is None:
            return alias(compact)
        make, count = _NUMBERED[numbered[1]]
        numbers = [int(number) for number in numbered[2].split(",")]
        if len(numbers) == count:
            return make(*numbers)
    except (KeyError, ValueError, pa.ArrowException):
        pass
    raise UsageError(
        f"{text!r} is not an Arrow type", hint="write it like utf8, decimal128(18,4) or timestamp[us, UTC]"
    )
