"""The one table of PostgreSQL types: how each looks in Arrow, and which kernel reads and writes it.

Decoder and Encoder pick their native loops by a row's `kernel`; tests, help and the documentation iterate
`TYPES`. A type whose wire form has a kernel is added as one row here and nowhere else. A row is found by the
oid of a built-in type, by the name of an extension's, or by the family of a type that users make (enum,
array, composite, range, multirange). A type without a row travels as `arrow.opaque` over its wire bytes and
goes back as they are.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import NamedTuple

import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from copypump.codec import typmod as typmods
from copypump.codec.column import Column, ServerType
from copypump.codec.registry import Converter, registered
from copypump.codec.spelling import ANY_STRUCT, VENDOR, is_opaque, spelling
from copypump.errors import RefusedError

MAX_DECIMAL128 = 38
MAX_DECIMAL256 = 76


def _parts(**parts: pa.DataType) -> pa.StructType:
    """Give a struct none of whose parts may be NULL."""
    return pa.struct([pa.field(name, type_, nullable=False) for name, type_ in parts.items()])


# An interval as it is on the wire, least significant part last; month_day_nano overflows past 292 years.
INTERVAL = _parts(months=pa.int32(), days=pa.int32(), microseconds=pa.int64())

# The offset counts seconds west of UTC, as on the wire.
TIMETZ = _parts(time=pa.time64("us"), offset=pa.int32())

# `bits` is how many bits of `data` are the value's, the first being the highest of its first byte.
BITS = _parts(bits=pa.int32(), data=pa.binary())


class Kernel(enum.StrEnum):
    """A wire form: one pair of native loops reads it into Arrow buffers and writes it from them."""

    BOOL = "bool"  # one byte, 0 or 1
    FIXED8 = "fixed8"  # big-endian words, bits kept as they are
    FIXED16 = "fixed16"
    FIXED32 = "fixed32"
    FIXED64 = "fixed64"
    NUMERIC = "numeric"  # base-10000 digits under an eight-byte head
    TEXT = "text"  # UTF-8 without NUL
    JSONB = "jsonb"  # version byte 1, then text
    BYTES = "bytes"  # anything
    UUID = "uuid"  # sixteen bytes
    DATE = "date"  # int32 days since 2000-01-01
    TIME = "time"  # int64 microseconds of the day
    TIMETZ = "timetz"  # a time, then int32 seconds west of UTC
    TIMESTAMP = "timestamp"  # int64 microseconds since 2000-01-01
    INTERVAL = "interval"  # int64 microseconds, int32 days, int32 months
    BITS = "bits"  # int32 number of bits, then the bytes that hold them
    ENUM = "enum"  # a label, UTF-8
    HSTORE = "hstore"  # int32 number of pairs, then key and value of each, with their lengths
    VECTOR = "vector"  # int16 number of dimensions, int16 zero, then a float4 for each
    ARRAY = "array"  # dimensions, has-nulls flag, element's oid, sizes and lower bounds, then the elements
    COMPOSITE = "composite"  # int32 number of attributes, then oid and value of each
    RANGE = "range"  # flags, then those bounds that there are
    MULTIRANGE = "multirange"  # int32 number of ranges, then each


class PgType(Struct, frozen=True):
    """One PostgreSQL type: its wire form and its place in Arrow.

    `oid` is 0 where only the name (an extension's type) or the family tells. `arrow` gives the type that a
    column's values decode to unless the user chooses one of `alternatives`, which are spelled as `spelling`
    spells them (any precision and scale: "decimal128(p,s)"); "struct" is then the form of `nd_array`.
    `kept` says which unusual values stay exact, `refused` which are an error once the column is read;
    `shape` is the Arrow type in words, where it depends on the column. `converter` is what a user registered
    for the type: it stands between the wire's bytes and `arrow`.
    """

    name: str
    oid: int
    kernel: Kernel
    arrow: Callable[[Column], pa.DataType]
    alternatives: tuple[str, ...] = ()
    kept: str = ""
    refused: str = ""
    shape: str = ""
    converter: Converter | None = None


def _always(type_: pa.DataType) -> Callable[[Column], pa.DataType]:
    """Give `type_` whatever the column."""
    return lambda _column: type_


def _decimal(column: Column) -> pa.DataType:
    """Give the smallest decimal that holds every finite numeric of this typmod, or utf8 where none does."""
    limits = typmods.numeric(column.wire_typmod)
    if limits is None or limits.precision > MAX_DECIMAL256:
        return pa.utf8()
    if limits.precision > MAX_DECIMAL128:
        return pa.decimal256(*limits)
    return pa.decimal128(*limits)


def _vector(column: Column) -> pa.DataType:
    """Give as many floats for all, where the typmod says how many each vector has."""
    item = pa.field("item", pa.float32(), nullable=False)
    return pa.list_(item, typmods.dimensions(column.wire_typmod) or -1)


def _list(column: Column) -> pa.DataType:
    [item] = column.children
    return pa.list_(pa.field(item.name, arrow_type(item)))


def _struct(column: Column) -> pa.DataType:
    return pa.struct([pa.field(child.name, arrow_type(child)) for child in column.children])


def _range(column: Column) -> pa.DataType:
    """`flags` are those of the wire: RANGE_* of PostgreSQL's utils/rangetypes.h."""
    [bound] = column.children
    type_ = arrow_type(bound)
    return pa.struct(
        [pa.field("lower", type_), pa.field("upper", type_), pa.field("flags", pa.uint8(), nullable=False)]
    )


def _multirange(column: Column) -> pa.DataType:
    [part] = column.children
    return pa.list_(pa.field(part.name, arrow_type(part), nullable=False))


def nd_array(column: Column) -> pa.StructType:
    """Give the struct that holds arrays of any dimensions and lower bounds; values in row-major order."""
    numbers = pa.list_(pa.field("item", pa.int32(), nullable=False))
    return _parts(dims=numbers, lower_bounds=numbers, values=_list(column))


_BITS = "-0.0, infinities and NaN payloads, bit for bit"
_ENDLESS = "infinity and -infinity as the largest and smallest integer, counted as a warning"
_FAR = "from January 294247 on, where microseconds since 1970 overflow"
_LOCAL = "the number, which may mean something else in another database"

# reg* types hold oids of catalog rows.
_REG = (
    ("regproc", 24),
    ("regprocedure", 2202),
    ("regoper", 2203),
    ("regoperator", 2204),
    ("regclass", 2205),
    ("regtype", 2206),
    ("regconfig", 3734),
    ("regdictionary", 3769),
    ("regnamespace", 4089),
    ("regrole", 4096),
    ("regcollation", 4191),
)

TYPES: tuple[PgType, ...] = (
    PgType("bool", 16, Kernel.BOOL, _always(pa.bool_())),
    PgType("bytea", 17, Kernel.BYTES, _always(pa.binary())),
    PgType("char", 18, Kernel.FIXED8, _always(pa.uint8()), kept="any byte"),
    PgType("name", 19, Kernel.TEXT, _always(pa.utf8())),
    PgType("int8", 20, Kernel.FIXED64, _always(pa.int64())),
    PgType("int2", 21, Kernel.FIXED16, _always(pa.int16())),
    PgType("int4", 23, Kernel.FIXED32, _always(pa.int32())),
    PgType("text", 25, Kernel.TEXT, _always(pa.utf8())),
    PgType("oid", 26, Kernel.FIXED32, _always(pa.uint32())),
    PgType("xid", 28, Kernel.FIXED32, _always(pa.uint32())),
    PgType("cid", 29, Kernel.FIXED32, _always(pa.uint32())),
    PgType("json", 114, Kernel.TEXT, _always(pa.json_()), ("utf8",), kept="the text as it was written"),
    PgType(
        "xml", 142, Kernel.TEXT, _always(pa.utf8()), kept="the text; the server leaves out its declaration"
    ),
    PgType("float4", 700, Kernel.FIXED32, _always(pa.float32()), kept=_BITS),
    PgType("float8", 701, Kernel.FIXED64, _always(pa.float64()), kept=_BITS),
    PgType("unknown", 705, Kernel.TEXT, _always(pa.utf8())),
    PgType("money", 790, Kernel.FIXED64, _always(pa.int64()), kept="units of the server's lc_monetary"),
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
    PgType(
        "interval",
        1186,
        Kernel.INTERVAL,
        _always(INTERVAL),
        ("month_day_nano_interval",),
        kept="months, days and microseconds apart",
        refused="as month_day_nano_interval: beyond 292 years of microseconds",
    ),
    PgType("timetz", 1266, Kernel.TIMETZ, _always(TIMETZ), kept="the offset", refused="24:00:00"),
    PgType("bit", 1560, Kernel.BITS, _always(BITS)),
    PgType("varbit", 1562, Kernel.BITS, _always(BITS)),
    PgType(
        "numeric",
        1700,
        Kernel.NUMERIC,
        _decimal,
        ("utf8", "decimal128(p,s)", "decimal256(p,s)", "double"),
        kept="as utf8: the display scale, NaN and infinities",
        refused="as a decimal: NaN, infinities, more digits than it holds; as a double: more than 15 digits",
        shape="decimal128(p,s) up to 38 digits, decimal256(p,s) up to 76, utf8 beyond or without precision",
    ),
    PgType("uuid", 2950, Kernel.UUID, _always(pa.uuid()), ("fixed_size_binary(16)",)),
    PgType("pg_lsn", 3220, Kernel.FIXED64, _always(pa.uint64())),
    PgType("jsonb", 3802, Kernel.JSONB, _always(pa.json_()), ("utf8",), kept="the server's own text of it"),
    PgType("xid8", 5069, Kernel.FIXED64, _always(pa.uint64())),
    *(PgType(name, oid, Kernel.FIXED32, _always(pa.uint32()), kept=_LOCAL) for name, oid in _REG),
    PgType("citext", 0, Kernel.TEXT, _always(pa.utf8())),
    PgType("hstore", 0, Kernel.HSTORE, _always(pa.map_(pa.utf8(), pa.utf8())), kept="NULL values"),
    PgType(
        "vector",
        0,
        Kernel.VECTOR,
        _vector,
        kept="-0.0, bit for bit",
        shape="fixed_size_list<float>[n] for vector(n), list<float> without n",
    ),
)

FAMILIES: tuple[PgType, ...] = (
    PgType(
        "enum",
        0,
        Kernel.ENUM,
        _always(pa.dictionary(pa.int32(), pa.utf8())),
        ("utf8",),
        refused="labels that were added after the run began",
        shape="dictionary of its labels",
    ),
    PgType(
        "array",
        0,
        Kernel.ARRAY,
        _list,
        ("struct",),
        kept="NULL elements; as struct: any dimensions and lower bounds",
        refused="as list: more than one dimension, lower bounds other than 1",
        shape="list",
    ),
    PgType("composite", 0, Kernel.COMPOSITE, _struct, kept="NULL attributes", shape="struct"),
    PgType(
        "range",
        0,
        Kernel.RANGE,
        _range,
        kept="empty, unbounded, and inclusive bounds, as flags",
        shape="struct of lower, upper, flags",
    ),
    PgType(
        "multirange",
        0,
        Kernel.MULTIRANGE,
        _multirange,
        kept="as of ranges",
        shape="list of struct of lower, upper, flags",
    ),
)

OTHERS = PgType(
    "every other type",
    0,
    Kernel.BYTES,
    lambda column: opaque(column.wire_type),
    ("binary",),
    kept="every byte",
    shape="opaque",
)

_BY_OID = {row.oid: row for row in TYPES if row.oid}
_BY_NAME = {row.name: row for row in TYPES if not row.oid}
_BY_FAMILY = {row.name: row for row in FAMILIES}
_KINDS = {"e": "enum", "c": "composite", "r": "range", "m": "multirange"}


def opaque(server_type: ServerType) -> pa.OpaqueType:
    """Give the Arrow type that carries a server type's wire bytes untouched."""
    return pa.opaque(pa.binary(), server_type.name, VENDOR)


def is_opaque_of(type_: pa.DataType, server_type: ServerType) -> bool:
    """Whether `type_` carries the wire bytes of a type of this name."""
    return isinstance(type_, pa.OpaqueType) and is_opaque(type_) and type_.type_name == server_type.name


def pg_type(column: Column) -> PgType:
    """Find the row of the values that a column has on the wire; a type without one gets an opaque row."""
    wire = column.wire_type
    own = None if column.inner else registered(wire.name)
    if own is not None:
        arrow = own.arrow
        return replace(
            OTHERS,
            name=wire.name,
            oid=wire.oid,
            arrow=lambda of: arrow(of.wire_typmod),
            alternatives=(),
            converter=own,
        )
    if wire.is_array and wire.parts:
        return _BY_FAMILY["array"]
    if wire.kind in _KINDS and (wire.kind in "ec" or wire.parts):
        return _BY_FAMILY[_KINDS[wire.kind]]
    row = _BY_OID.get(wire.oid) if wire.is_builtin else _BY_NAME.get(wire.name)
    if row is not None:
        return row
    return replace(OTHERS, name=wire.name, oid=wire.oid)


def kernel(column: Column, type_: pa.DataType) -> Kernel:
    """Name the wire form in which a column's values turn into (or come from) Arrow's `type_`."""
    return Kernel.BYTES if is_opaque(type_) else pg_type(column).kernel


def arrow_type(column: Column, chosen: pa.DataType | None = None) -> pa.DataType:
    """Give the Arrow type that a column decodes to; `chosen` is the user's own wish.

    Any opaque type stands for the column's own, and a struct without fields for its struct form. Raises
    RefusedError, naming the column and what can be chosen, where the column's type cannot become `chosen`.
    """
    row = pg_type(column)
    usual = row.arrow(column)
    if chosen is None or chosen == usual:
        return usual
    if is_opaque(chosen):
        return opaque(column.wire_type)
    if row.kernel is Kernel.ARRAY and chosen in (ANY_STRUCT, nd_array(column)):
        return nd_array(column)
    if spelling(chosen, generic=True) in row.alternatives and not isinstance(chosen, pa.StructType):
        return chosen
    choices = dict.fromkeys((spelling(usual), *row.alternatives, "opaque"))
    raise RefusedError(
        f"{column.declared} cannot be read as {spelling(chosen)}",
        column=column.name,
        hint=f"choose one of {', '.join(choices)}",
    )


def field(column: Column, chosen: pa.DataType | None = None) -> pa.Field[pa.DataType]:
    """Give the Arrow field of a column, with the server's oid, typmod and type name as metadata.

    PG:type is the type's own name, with its schema, each quoted where SQL would quote it; PG:declared is the
    type as the server writes it, typmod and all.
    """
    server_type = column.type
    return pa.field(
        column.name,
        arrow_type(column, chosen),
        nullable=not column.not_null,
        metadata={
            b"PG:oid": str(server_type.oid).encode(),
            b"PG:typmod": str(column.typmod).encode(),
            b"PG:type": ".".join(map(_quoted, (server_type.schema, server_type.name))).encode(),
            b"PG:declared": column.declared.encode(),
        },
    )


def _quoted(name: str) -> str:
    return name if re.fullmatch("[a-z_][a-z0-9_$]*", name) else '"' + name.replace('"', '""') + '"'


class Facts(NamedTuple):
    """A row of the table in words: what `copypump types` and the README show of it."""

    postgresql: str
    arrow: str
    choices: str
    kept: str
    refused: str


def facts() -> list[Facts]:
    """Give the whole table in words, types of which the same is true together; all other types last."""
    names: dict[tuple[str, ...], list[str]] = {}
    for row in (*TYPES, *FAMILIES, OTHERS):
        arrow = row.shape or _plain(
            row.arrow(Column(row.name, ServerType(row.oid, "", row.name), -1, row.name))
        )
        told = (arrow, ", ".join(row.alternatives), row.kept, row.refused)
        names.setdefault(told, []).append(row.name)
    return [Facts(", ".join(alike), *told) for told, alike in names.items()]


def _plain(type_: pa.DataType) -> str:
    """Spell a type with what it holds."""
    if isinstance(type_, pa.StructType):
        return f"struct of {', '.join(part.name for part in type_)}"
    return (
        spelling(type_) if isinstance(type_, pa.BaseExtensionType) else str(type_).replace("string", "utf8")
    )
