"""Lossless casts on the way from a transform to the target: which ones there are, and the casting itself.

`encoded_type` answers from types alone: None where no value could be trusted to arrive exactly. Where it
gives a type, `cast` brings an array to it value by value, or names the first row that does not fit. Limits
that only the target's typmod knows (varchar(n), timestamp(p)) are the Encoder's to check.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pyarrow as pa

from copypump.codec import typmod as typmods
from copypump.codec.column import Column
from copypump.codec.spelling import is_opaque
from copypump.codec.types import INTERVAL, MAX_DECIMAL128, MAX_DECIMAL256, Kernel, pg_type
from copypump.errors import CastError, TransformError

# Arrow rescales decimals by powers of ten that it has in tables; farther ones go through text.
_MAX_SHIFT = 38
_MAX_SCALE = 1000
# The encoder drops so many zeros at the end of a decimal by itself: 10 ** 18 is the largest in 64 bits.
_MAX_CUT = 18

AnyArray: TypeAlias = "pa.Array[Any]"

_UUID = pa.binary(16)
_HINT = "change the value in the transform (round, clip, or make it NULL), or widen the target column's type"


def encoded_type(column: Column, offered: pa.DataType) -> pa.DataType | None:
    """Give the Arrow type in which the Encoder takes a target column, when a transform offers `offered`.

    None: no lossless way there. `offered` may be an extension type, dictionary or run-end encoded.
    """
    row = pg_type(column)
    if is_opaque(offered):
        return _from_opaque(column, row.kernel, offered)
    if isinstance(offered, pa.BaseExtensionType):
        return encoded_type(column, offered.storage_type)
    if isinstance(offered, pa.DictionaryType | pa.RunEndEncodedType):
        return encoded_type(column, offered.value_type)
    natural = row.arrow(column)
    if isinstance(natural, pa.BaseExtensionType):
        natural = natural.storage_type
    if pa.types.is_null(offered):
        return natural
    if row.kernel == Kernel.BYTES and column.wire_type.kind == "e" and _is_text(offered):
        return pa.utf8()  # an enum's label is its wire form
    return _CHOICES[row.kernel](column, natural, offered)


def cast(array: AnyArray, to: pa.DataType, column_name: str, first_row: int) -> AnyArray:
    """Give `array` as type `to` (from encoded_type), every value as it was; itself if that is its type.

    Raises CastError with the row (first_row + index + 1) of the first value that does not fit, and
    TransformError for an array whose buffers are not what its type says.
    """
    if array.type == to:
        return array
    try:
        return _convert(array, to)
    except pa.ArrowNotImplementedError:
        raise CastError(
            f"Arrow has no cast from {array.type} to {to}",
            column=column_name,
            hint="cast the column in the transform",
        ) from None
    except pa.ArrowException:
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
        one.validate(full=not _is_plain(one.type))
    except pa.ArrowException:
        return TransformError(
            f"the array of {one.type} is not valid",
            column=column_name,
            row=row,
            hint="return arrays that pass pyarrow's validate(full=True)",
        )
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
        _convert(array, to)
    except pa.ArrowException:
        return True
    return False


def _convert(array: AnyArray, to: pa.DataType) -> AnyArray:
    """Convert exactly, or raise pa.ArrowException. Arrow trusts offsets and indices, so they come first."""
    type_ = array.type
    if type_ == to:
        return array
    if isinstance(array, pa.ExtensionArray):
        return _convert(array.storage, to)
    if pa.types.is_null(type_):
        return array.cast(to)
    if isinstance(array, pa.DictionaryArray):
        array.validate(full=True)
        words = pa.DictionaryArray.from_arrays(array.indices, _without_views(array.dictionary))
        return _convert(words.dictionary_decode(), to)
    if isinstance(array, pa.RunEndEncodedArray):
        array.validate(full=True)
        from_arrays: Any = pa.RunEndEncodedArray.from_arrays
        runs: AnyArray = from_arrays(array.run_ends, _without_views(array.values)).slice(
            array.offset, len(array)
        )
        import pyarrow.compute as pc  # rarely needed, and slow to import

        decoded: AnyArray = pc.call_function("run_end_decode", [runs])
        return _convert(decoded, to)
    if _is_text(type_) and to == pa.utf8():
        # As binary: the Encoder checks UTF-8 itself and names the row.
        raw = array.view(_AS_BINARY[str(type_)]())
        raw.validate(full=True)
        return raw.cast(pa.binary()).view(pa.utf8())
    if pa.types.is_integer(type_) and pa.types.is_decimal(to):
        digits = 20 if type_ == pa.uint64() else 19
        array = array.cast(pa.decimal128(digits, 0))
    elif not _is_plain(type_):
        array.validate(full=True)
    return array.cast(to)


def _without_views(array: AnyArray) -> AnyArray:
    """Give a dictionary's or runs' values as a type that Arrow's take knows; polars brings views."""
    if isinstance(array, pa.ExtensionArray):
        return _without_views(array.storage)
    if pa.types.is_string_view(array.type):
        return _convert(array, pa.utf8())
    if pa.types.is_binary_view(array.type):
        return _convert(array, pa.binary())
    return array


_AS_BINARY: dict[str, Callable[[], pa.DataType]] = {
    "string": pa.binary,
    "large_string": pa.large_binary,
    "string_view": pa.binary_view,
}


def _is_text(type_: pa.DataType) -> bool:
    return pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)


def _is_binary(type_: pa.DataType) -> bool:
    return (
        pa.types.is_binary(type_)
        or pa.types.is_large_binary(type_)
        or pa.types.is_binary_view(type_)
        or pa.types.is_fixed_size_binary(type_)
    )


def _is_plain(type_: pa.DataType) -> bool:
    """Whether values are words of one size: no bits of theirs can lead out of a buffer."""
    return pa.types.is_primitive(type_) or pa.types.is_decimal(type_)


# ---- what each wire form takes


def _from_opaque(column: Column, kernel: Kernel, offered: pa.DataType) -> pa.DataType | None:
    """Wire bytes of the same type pass, unless the server would round them to a typmod."""
    same = isinstance(offered, pa.OpaqueType) and offered.type_name == column.wire_type.name
    return pa.binary() if same and (kernel == Kernel.BYTES or column.wire_typmod < 0) else None


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
    return pa.utf8() if _is_text(offered) else None


def _bytes(_column: Column, _natural: pa.DataType, offered: pa.DataType) -> pa.DataType | None:
    return pa.binary() if _is_binary(offered) else None


def _uuid(_column: Column, _natural: pa.DataType, offered: pa.DataType) -> pa.DataType | None:
    if _is_text(offered):
        return pa.utf8()
    fits = _is_binary(offered) and (not pa.types.is_fixed_size_binary(offered) or offered == _UUID)
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
    if not isinstance(offered, pa.StructType):
        return None
    parts = [(part.name, part.type) for part in offered]
    return offered if parts == [(part.name, part.type) for part in INTERVAL] else None


def _numeric(column: Column, _natural: pa.DataType, offered: pa.DataType) -> pa.DataType | None:
    """Text as it is; decimals and integers as the decimal of the target, or as text where Arrow has none."""
    if _is_text(offered):
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


_CHOICES: dict[Kernel, Callable[[Column, pa.DataType, pa.DataType], pa.DataType | None]] = {
    Kernel.BOOL: _same,
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
    Kernel.INTERVAL: _interval,
}
