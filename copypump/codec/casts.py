"""Lossless casts on the way from a transform to the target: which ones there are, and the casting itself.

`encoded_type` answers from types alone: None where no value could be trusted to arrive exactly. Where it
gives a type, `cast` brings an array to it value by value, or names the first row that does not fit. Limits
that only the target's typmod knows (varchar(n), timestamp(p)) are the Encoder's to check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import pyarrow as pa

from copypump.codec import typmod as typmods
from copypump.codec.column import Column
from copypump.codec.convert import AnyArray, BrokenError, bare, convert, is_binary, is_text, item_field
from copypump.codec.spelling import is_opaque
from copypump.codec.types import INTERVAL, MAX_DECIMAL128, MAX_DECIMAL256, Kernel, pg_type
from copypump.errors import CastError, TransformError

# Arrow rescales decimals by powers of ten that it has in tables; farther ones go through text.
_MAX_SHIFT = 38
_MAX_SCALE = 1000
# The encoder drops so many zeros at the end of a decimal by itself: 10 ** 18 is the largest in 64 bits.
_MAX_CUT = 18

# Levels of values within values that the encoder goes down: arrays of composites of arrays, and so on.
MAX_DEPTH = 64

_UUID = pa.binary(16)
_HINT = "change the value in the transform (round, clip, or make it NULL), or widen the target column's type"


def encoded_type(column: Column, offered: pa.DataType) -> pa.DataType | None:
    """Give the Arrow type in which the Encoder takes a target column, when a transform offers `offered`.

    None: no lossless way there. `offered` may be nested, an extension type, dictionary or run-end encoded;
    what is given is none of the latter, at any depth, and has no large types or views. Only labels of an enum
    stay a dictionary, of int32 and utf8.
    """
    return _encoded(column, offered, 0)


def _encoded(column: Column, offered: pa.DataType, depth: int) -> pa.DataType | None:
    """Do the same for what stands `depth` levels within a column's values."""
    row = pg_type(column)
    if is_opaque(offered):
        return _from_opaque(column, offered, depth)
    if row.converter is not None:
        return pa.binary() if row.converter.takes(offered, column.wire_typmod) else None
    if isinstance(offered, pa.BaseExtensionType | pa.DictionaryType | pa.RunEndEncodedType):
        plain = _encoded(column, bare(offered), depth)
        return _labels(offered) if row.kernel is Kernel.ENUM and plain is not None else plain
    if row.kernel in _NESTED:
        if depth == MAX_DEPTH:
            return None
        offered = row.arrow(column) if pa.types.is_null(offered) else offered
        return _NESTED[row.kernel](column, offered, depth + 1)
    natural = row.arrow(column)
    if pa.types.is_null(offered):
        return _encoded(column, natural, depth)
    return _CHOICES[row.kernel](column, bare(natural), offered)


def cast(array: AnyArray, to: pa.DataType, column_name: str, first_row: int) -> AnyArray:
    """Give `array` as type `to` (from encoded_type), every value as it was; itself if that is its type.

    Raises CastError with the row (first_row + index + 1) of the first value that does not fit, and
    TransformError for an array whose buffers are not what its type says.
    """
    if array.type == to:
        return array
    try:
        return convert(array, to)
    except pa.ArrowNotImplementedError:
        raise CastError(
            f"Arrow has no cast from {array.type} to {to}",
            column=column_name,
            hint="cast the column in the transform",
        ) from None
    except (pa.ArrowException, BrokenError):
        row = _first_failing(array, to)
        if row is None:
            raise TransformError(
                f"the values of one batch do not fit one array of {to}",
                column=column_name,
                hint="return smaller batches",
            ) from None
        raise _blame(array.slice(row, 1), to, column_name, first_row + row + 1) from None


def _blame(one: AnyArray, to: pa.DataType, column_name: str, row: int) -> CastError | TransformError:
    """Tell a value that does not fit from a broken array; never in Arrow's words, which hold values."""
    try:
        convert(one, to)
    except BrokenError:
        return TransformError(
            f"the array of {one.type} is not valid",
            column=column_name,
            row=row,
            hint="return arrays that pass pyarrow's validate(full=True)",
        )
    except pa.ArrowException:
        pass
    return CastError(
        f"a value of {one.type} does not fit {to} exactly", column=column_name, row=row, hint=_HINT
    )


def _first_failing(array: AnyArray, to: pa.DataType) -> int | None:
    """Find the first row that cannot be converted, by halving; None when only all at once cannot."""
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        if _fails(array.slice(low, middle - low), to):
            high = middle
        else:
            low = middle
    return low if high > low and _fails(array.slice(low, 1), to) else None


def _fails(array: AnyArray, to: pa.DataType) -> bool:
    try:
        convert(array, to)
    except (pa.ArrowException, BrokenError):
        return True
    return False


# ---- what each wire form takes


def _from_opaque(column: Column, offered: pa.DataType, depth: int) -> pa.DataType | None:
    """Wire bytes of the same type pass; whether typmods and oids agree is the mapping's to say.

    It says so of whole columns: within a value they are those of types that hold no others.
    """
    same = isinstance(offered, pa.OpaqueType) and offered.type_name == column.wire_type.name
    return pa.binary() if same and (depth == 0 or not column.wire_type.parts) else None


def _same(_column: Column, natural: pa.DataType, offered: pa.DataType) -> pa.DataType | None:
    return natural if offered == natural else None


def _word(_column: Column, natural: pa.DataType, offered: pa.DataType) -> pa.DataType | None:
    """Integers from integers and decimals; floats from integers and floats no wider than they are."""
    if pa.types.is_integer(offered):
        return natural
    if pa.types.is_integer(natural):
        return natural if pa.types.is_decimal(offered) and abs(offered.scale) <= _MAX_SHIFT else None
    if pa.types.is_floating(offered) and offered.bit_width <= natural.bit_width:
        return natural
    return None


def _text(_column: Column, _natural: pa.DataType, offered: pa.DataType) -> pa.DataType | None:
    return pa.utf8() if is_text(offered) else None


def _labels(offered: pa.DataType) -> pa.DataType:
    """Labels in a dictionary stay in one, which is looked at once; others are text."""
    if isinstance(offered, pa.BaseExtensionType):
        return _labels(offered.storage_type)
    if isinstance(offered, pa.DictionaryType):
        return pa.dictionary(pa.int32(), pa.utf8(), ordered=offered.ordered)
    return pa.utf8()


def _bytes(_column: Column, _natural: pa.DataType, offered: pa.DataType) -> pa.DataType | None:
    return pa.binary() if is_binary(offered) else None


def _uuid(_column: Column, _natural: pa.DataType, offered: pa.DataType) -> pa.DataType | None:
    if is_text(offered):
        return pa.utf8()
    fits = is_binary(offered) and (not pa.types.is_fixed_size_binary(offered) or offered == _UUID)
    return _UUID if fits else None


def _date(_column: Column, natural: pa.DataType, offered: pa.DataType) -> pa.DataType | None:
    return natural if pa.types.is_date(offered) else None


def _time(_column: Column, natural: pa.DataType, offered: pa.DataType) -> pa.DataType | None:
    return natural if pa.types.is_time(offered) else None


def _timestamp(_column: Column, natural: pa.DataType, offered: pa.DataType) -> pa.DataType | None:
    """Any unit; but a point in time is no wall clock, so both have a time zone or neither has."""
    if not isinstance(offered, pa.TimestampType) or not isinstance(natural, pa.TimestampType):
        return None
    return natural if (offered.tz is None) == (natural.tz is None) else None


def _interval(_column: Column, _natural: pa.DataType, offered: pa.DataType) -> pa.DataType | None:
    if offered == pa.month_day_nano_interval():
        return offered
    return _struct(offered, {part.name: _whole(part.type) for part in INTERVAL})


def _timetz(_column: Column, _natural: pa.DataType, offered: pa.DataType) -> pa.DataType | None:
    def time(type_: pa.DataType) -> pa.DataType | None:
        return pa.time64("us") if pa.types.is_time(type_) else None

    return _struct(offered, {"time": time, "offset": _whole(pa.int32())})


def _bits(_column: Column, _natural: pa.DataType, offered: pa.DataType) -> pa.DataType | None:
    def data(type_: pa.DataType) -> pa.DataType | None:
        return pa.binary() if is_binary(type_) else None

    return _struct(offered, {"bits": _whole(pa.int32()), "data": data})


def _numeric(column: Column, _natural: pa.DataType, offered: pa.DataType) -> pa.DataType | None:
    """Text as it is; decimals and integers as the decimal of the target, or as text where Arrow has none."""
    if is_text(offered):
        return pa.utf8()
    if pa.types.is_integer(offered):
        precision, scale = 20 if offered == pa.uint64() else 19, 0
    elif pa.types.is_decimal(offered) and abs(offered.scale) <= _MAX_SCALE:
        precision, scale = offered.precision, offered.scale
    else:
        return None
    limits = typmods.numeric(column.wire_typmod)
    if limits is not None:
        if limits.precision > MAX_DECIMAL256 or abs(limits.scale - scale) > _MAX_SHIFT:
            return pa.utf8() if abs(scale) <= MAX_DECIMAL256 else None  # Arrow spells no others
        if 0 <= scale - limits.scale <= _MAX_CUT and isinstance(offered, pa.Decimal128Type):
            return offered  # the encoder itself drops the zeros at the end, and counts the digits
        precision, scale = limits
    return pa.decimal128(precision, scale) if precision <= MAX_DECIMAL128 else pa.decimal256(precision, scale)


# ---- what holds other values

# Gives the type that a part of a value is taken as, or None.
_Part: TypeAlias = Callable[[pa.DataType], pa.DataType | None]


def _whole(to: pa.DataType) -> _Part:
    return lambda offered: to if pa.types.is_integer(offered) else None


def _struct(offered: pa.DataType, parts: Mapping[str, _Part]) -> pa.DataType | None:
    """Take a struct that has exactly these fields, in any order."""
    if not isinstance(offered, pa.StructType) or sorted(field.name for field in offered) != sorted(parts):
        return None
    fields = []
    for name, part in parts.items():
        field = offered.field(name)
        type_ = part(field.type)
        if type_ is None:
            return None
        fields.append(field.with_type(type_))
    return pa.struct(fields)


def _listed(offered: pa.DataType, part: _Part) -> pa.DataType | None:
    """Take any kind of list but a map."""
    field = item_field(offered)
    if field is None or isinstance(offered, pa.MapType):
        return None
    type_ = part(field.type)
    return None if type_ is None else pa.list_(field.with_type(type_))


def _within(child: Column, depth: int) -> _Part:
    return lambda offered: _encoded(child, offered, depth)


def _array(column: Column, offered: pa.DataType, depth: int) -> pa.DataType | None:
    """Take a list, or the struct of types.nd_array."""
    [item] = column.children

    def values(type_: pa.DataType) -> pa.DataType | None:
        return _listed(type_, _within(item, depth))

    def numbers(type_: pa.DataType) -> pa.DataType | None:
        return _listed(type_, _whole(pa.int32()))

    if isinstance(offered, pa.StructType):
        return _struct(offered, {"dims": numbers, "lower_bounds": numbers, "values": values})
    return values(offered)


def _composite(column: Column, offered: pa.DataType, depth: int) -> pa.DataType | None:
    """Take a struct whose fields are named as the attributes are."""
    return _struct(offered, {child.name: _within(child, depth) for child in column.children})


def _range(column: Column, offered: pa.DataType, depth: int) -> pa.DataType | None:
    [child] = column.children
    bound = _within(child, depth)
    return _struct(offered, {"lower": bound, "upper": bound, "flags": _whole(pa.uint8())})


def _multirange(column: Column, offered: pa.DataType, depth: int) -> pa.DataType | None:
    [part] = column.children
    return _listed(offered, _within(part, depth))


def _hstore(_column: Column, offered: pa.DataType, _depth: int) -> pa.DataType | None:
    """Take a map, or a list of pairs as some libraries keep one; a NULL key is the Encoder's to refuse."""
    if offered == pa.map_(pa.utf8(), pa.utf8()):
        return offered

    def text(type_: pa.DataType) -> pa.DataType | None:
        return pa.utf8() if is_text(bare(type_)) or pa.types.is_null(type_) else None

    def pair(type_: pa.DataType) -> pa.DataType | None:
        return _struct(type_, {"key": text, "value": text})

    if isinstance(offered, pa.MapType):
        offered = pa.list_(pa.struct([("key", offered.key_type), ("value", offered.item_type)]))
    return _listed(offered, pair)


def _vector(column: Column, offered: pa.DataType, _depth: int) -> pa.DataType | None:
    """Take a list of what a float4 takes; where no type tells how many, that is the Encoder's to check."""
    dimensions = typmods.dimensions(column.wire_typmod)
    if isinstance(offered, pa.FixedSizeListType) and dimensions not in (None, offered.list_size):
        return None

    def element(type_: pa.DataType) -> pa.DataType | None:
        type_ = bare(type_)
        return pa.float32() if pa.types.is_null(type_) else _word(column, pa.float32(), type_)

    return _listed(offered, element)


_NESTED: dict[Kernel, Callable[[Column, pa.DataType, int], pa.DataType | None]] = {
    Kernel.ARRAY: _array,
    Kernel.COMPOSITE: _composite,
    Kernel.RANGE: _range,
    Kernel.MULTIRANGE: _multirange,
    Kernel.HSTORE: _hstore,
    Kernel.VECTOR: _vector,
}

_CHOICES: dict[Kernel, Callable[[Column, pa.DataType, pa.DataType], pa.DataType | None]] = {
    Kernel.BOOL: _same,
    Kernel.FIXED8: _word,
    Kernel.FIXED16: _word,
    Kernel.FIXED32: _word,
    Kernel.FIXED64: _word,
    Kernel.NUMERIC: _numeric,
    Kernel.TEXT: _text,
    Kernel.JSONB: _text,
    Kernel.BYTES: _bytes,
    Kernel.UUID: _uuid,
    Kernel.DATE: _date,
    Kernel.TIME: _time,
    Kernel.TIMESTAMP: _timestamp,
    Kernel.TIMETZ: _timetz,
    Kernel.INTERVAL: _interval,
    Kernel.BITS: _bits,
    Kernel.ENUM: _text,
}
