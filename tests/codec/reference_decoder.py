"""COPY BINARY read slowly, in plain Python, straight from PostgreSQL's documentation; native code must agree.

Values are the plainest ones: bool, str, bytes, int for integers, for dates and times (as Arrow counts them) and
for decimals (unscaled), little-endian bytes for the bits of a float, a list for a list, a tuple for a struct, and
a list of pairs for a map. What a field may look like is told by PostgreSQL's send functions, and where they say
nothing by its receive functions.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

import pyarrow as pa

from copypump.codec import types
from copypump.codec.column import Column
from copypump.codec.types import Kernel

SIGNATURE = b"PGCOPY\n\xff\r\n\0"


class ImpossibleError(Exception):
    """No server sends this."""


class UnrepresentableError(Exception):
    """A valid value without a place in the Arrow type."""


def rows(stream: bytes, columns: int) -> list[list[bytes | None]]:
    """Read a whole stream, header and trailer included."""
    at = 0

    def take(count: int) -> bytes:
        nonlocal at
        if count < 0 or at + count > len(stream):
            raise ImpossibleError("truncated")
        at += count
        return stream[at - count : at]

    if take(11) != SIGNATURE:
        raise ImpossibleError("signature")
    flags, extension = struct.unpack(">Ii", take(8))
    if flags >> 16 or not 0 <= extension <= 1 << 20:
        raise ImpossibleError("header")
    take(extension)
    result: list[list[bytes | None]] = []
    while (count := struct.unpack(">h", take(2))[0]) != -1:
        if count != columns:
            raise ImpossibleError("field count")
        row = []
        for _ in range(columns):
            (length,) = struct.unpack(">i", take(4))
            row.append(None if length == -1 else take(length))
        result.append(row)
    if at != len(stream):
        raise ImpossibleError("bytes after the trailer")
    return result


def value(column: Column, type_: pa.DataType, field: bytes) -> Any:
    """Read one field of a column that is not NULL, as Arrow's `type_` holds it."""
    kernel = types.kernel(column, type_)
    if isinstance(type_, pa.BaseExtensionType):
        type_ = type_.storage_type
    if kernel in _NESTED:
        return _NESTED[kernel](column, type_, field)
    match kernel:
        case Kernel.BYTES:
            return field
        case Kernel.TEXT:
            return text(field)
        case Kernel.JSONB:
            if field[:1] != b"\x01":
                raise ImpossibleError("version")
            return text(field[1:])
        case Kernel.NUMERIC:
            return numeric(type_, field)
        case Kernel.ENUM:
            return label(column, type_, field)
        case Kernel.BITS:
            return bits(field)
        case _:
            return fixed(kernel, type_, field)


def label(column: Column, type_: pa.DataType, field: bytes) -> str:
    if pa.types.is_dictionary(type_) and field not in map(str.encode, column.wire_type.names):
        raise UnrepresentableError("label")
    return text(field)


def text(field: bytes) -> str:
    try:
        decoded = field.decode()
    except UnicodeDecodeError as error:
        raise ImpossibleError("encoding") from error
    if "\0" in decoded:
        raise ImpossibleError("NUL")
    return decoded


_WIDTHS = {
    Kernel.BOOL: 1,
    Kernel.FIXED8: 1,
    Kernel.FIXED16: 2,
    Kernel.FIXED32: 4,
    Kernel.FIXED64: 8,
    Kernel.UUID: 16,
    Kernel.DATE: 4,
    Kernel.TIME: 8,
    Kernel.TIMETZ: 12,
    Kernel.TIMESTAMP: 8,
    Kernel.INTERVAL: 16,
}


def fixed(kernel: Kernel, type_: pa.DataType, field: bytes) -> Any:
    if len(field) != _WIDTHS[kernel]:
        raise ImpossibleError("length")
    match kernel:
        case Kernel.BOOL:
            if field not in (b"\0", b"\1"):
                raise ImpossibleError("bool")
            return field == b"\1"
        case Kernel.UUID:
            return field
        case Kernel.INTERVAL:
            return interval(type_, *struct.unpack(">qii", field))
        case Kernel.TIMETZ:
            time, offset = struct.unpack(">qi", field)
            # timetz_recv of date.c: less than TZDISP_LIMIT, sixteen hours, either way.
            if not -57600 < offset < 57600:
                raise ImpossibleError("offset")
            return moment(Kernel.TIME, time), offset
        case Kernel.DATE | Kernel.TIME | Kernel.TIMESTAMP:
            return moment(kernel, int.from_bytes(field, "big", signed=True))
        case _ if pa.types.is_floating(type_):
            return field[::-1]
        case _:
            return int.from_bytes(field, "big", signed=pa.types.is_signed_integer(type_))


def interval(type_: pa.DataType, microseconds: int, days: int, months: int) -> tuple[int, int, int]:
    if pa.types.is_struct(type_):
        return months, days, microseconds
    if not -(2**63) <= microseconds * 1000 < 2**63:
        raise UnrepresentableError("nanoseconds")
    return months, days, microseconds * 1000


def moment(kernel: Kernel, number: int) -> int:
    if kernel == Kernel.TIME:
        if not 0 <= number <= 86_400_000_000:
            raise ImpossibleError("time")
        if number == 86_400_000_000:
            raise UnrepresentableError("24:00")
        return number
    bits = _WIDTHS[kernel] * 8
    if number in (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1):
        return number
    day = 1 if kernel == Kernel.DATE else 86_400_000_000
    # From 4713-11-24 BC to 5874897-12-31 (dates) or 294276-12-31, counted in Julian days less those of 2000.
    end = (2147483494 if kernel == Kernel.DATE else 109203528) - 2451545
    if not -2451545 * day <= number < end * day:
        raise ImpossibleError("date or timestamp")
    number += 10957 * day
    if number >= 2 ** (bits - 1) - 1:
        raise UnrepresentableError("too late")
    return number


def numeric(type_: pa.DataType, field: bytes) -> Any:
    if len(field) < 8:
        raise ImpossibleError("length")
    count, weight, sign, dscale = struct.unpack(">HhHH", field[:8])
    if len(field) != 8 + 2 * count or dscale > 0x3FFF:
        raise ImpossibleError("head")
    if special := _SPECIAL.get(sign):
        return special_numeric(type_, special, count)
    digits = struct.unpack(f">{count}H", field[8:])
    if sign not in (0, 0x4000) or any(digit > 9999 for digit in digits):
        raise ImpossibleError("sign or digit")
    number = sum(
        (Fraction(digit) * Fraction(10000) ** (weight - place) for place, digit in enumerate(digits)),
        Fraction(0),
    )
    minus = "-" if sign and number else ""
    if pa.types.is_decimal(type_):
        scaled = number * Fraction(10) ** type_.scale
        if scaled.denominator != 1 or scaled >= 10**type_.precision:
            raise UnrepresentableError("decimal")
        return -scaled.numerator if minus else scaled.numerator
    if pa.types.is_floating(type_):
        return double(number, minus)
    if (number * 10**dscale).denominator != 1:
        raise ImpossibleError("digits beyond the display scale")
    return minus + unsigned_text(digits, weight, dscale)


_SPECIAL = {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}


def special_numeric(type_: pa.DataType, name: str, count: int) -> Any:
    if count:
        raise ImpossibleError("digits of a special value")
    if pa.types.is_decimal(type_):
        raise UnrepresentableError(name)
    return struct.pack("<d", float(name)) if pa.types.is_floating(type_) else name


def double(number: Fraction, minus: str) -> bytes:
    """The nearest double; its digits must be fifteen at most, times a power of ten up to 22 either way."""
    if number >= 10**37 or (number * 10**22).denominator != 1:
        raise UnrepresentableError("double")
    exponent = 0
    while number and number.denominator > 1:
        number, exponent = number * 10, exponent - 1
    while number and number % 10 == 0:
        number, exponent = number / 10, exponent + 1
    if number >= 10**15 or not -22 <= exponent <= 22:
        raise UnrepresentableError("double")
    return struct.pack("<d", float(f"{minus}{number}e{exponent}"))


def unsigned_text(digits: tuple[int, ...], weight: int, dscale: int) -> str:
    def groups(first: int, end: int) -> str:
        return "".join(f"{digits[i] if 0 <= i < len(digits) else 0:04d}" for i in range(first, end))

    whole = groups(0, weight + 1).lstrip("0") or "0"
    point = "." if dscale else ""
    return whole + point + groups(weight + 1, weight + 1 + (dscale + 3) // 4)[:dscale]


class Cursor:
    """What is left of a field."""

    def __init__(self, field: bytes) -> None:
        self._field = field

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self._field):
            raise ImpossibleError("truncated")
        taken, self._field = self._field[:count], self._field[count:]
        return taken

    def int32(self) -> int:
        return int.from_bytes(self.take(4), "big", signed=True)

    def oid(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def inner(self) -> bytes | None:
        """A field within the field: its length, -1 for NULL, and its bytes."""
        length = self.int32()
        return None if length == -1 else self.take(length)

    @property
    def left(self) -> int:
        return len(self._field)

    def end(self) -> None:
        if self._field:
            raise ImpossibleError("bytes are left")


class Parts:
    """The values within a value; one that Arrow cannot hold is told last, for worse may follow."""

    def __init__(self) -> None:
        self._values: list[Any] = []
        self._problem: UnrepresentableError | None = None

    def read(self, column: Column, type_: pa.DataType, field: bytes | None) -> None:
        try:
            self._values.append(None if field is None else value(column, type_, field))
        except UnrepresentableError as error:
            self._problem = error

    def settle(self) -> list[Any]:
        if self._problem:
            raise self._problem
        return self._values


def bits(field: bytes) -> tuple[int, bytes]:
    cursor = Cursor(field)
    count = cursor.int32()
    data = cursor.take((count + 7) // 8 if count >= 0 else -1)
    cursor.end()
    if count % 8:  # old servers may have others than zeros behind the last bit
        data = data[:-1] + bytes([data[-1] & (0xFF00 >> count % 8) & 0xFF])
    return count, data


def hstore(_column: Column, _type: pa.DataType, field: bytes) -> list[tuple[str, str | None]]:
    cursor = Cursor(field)
    count = cursor.int32()
    if count < 0:
        raise ImpossibleError("count")
    pairs = []
    for _ in range(count):
        key, content = cursor.inner(), cursor.inner()
        if key is None:
            raise ImpossibleError("NULL key")
        pairs.append((text(key), None if content is None else text(content)))
    cursor.end()
    return pairs


def vector(_column: Column, type_: pa.DataType, field: bytes) -> list[bytes]:
    cursor = Cursor(field)
    dimensions, unused = struct.unpack(">hh", cursor.take(4))
    # vector_recv of pgvector's vector.c; it takes no other number than the typmod's.
    if dimensions < 1 or unused or (pa.types.is_fixed_size_list(type_) and dimensions != type_.list_size):
        raise ImpossibleError("head")
    floats = [cursor.take(4)[::-1] for _ in range(dimensions)]
    cursor.end()
    return floats


MAX_DIMENSIONS = 6  # MAXDIM of PostgreSQL's utils/array.h


def array(column: Column, type_: pa.DataType, field: bytes) -> Any:
    """As a list, or as a struct of dimensions, lower bounds and elements."""
    [item] = column.children
    as_struct = pa.types.is_struct(type_)
    item_type = (type_.field("values").type if as_struct else type_).value_type
    cursor = Cursor(field)
    dimensions, flags, oid = cursor.int32(), cursor.int32(), cursor.oid()
    if not 0 <= dimensions <= MAX_DIMENSIONS or flags not in (0, 1) or oid != item.type.oid:
        raise ImpossibleError("head")
    sizes = [(cursor.int32(), cursor.int32()) for _ in range(dimensions)]
    dims, bounds = [size for size, _ in sizes], [bound for _, bound in sizes]
    # Sizes of zero are sent: ''::oidvector::oid[] has one dimension of none.
    count = 1 if dims else 0
    for size in dims:
        count *= size
        if not 0 <= count <= cursor.left // 4:  # each element has a length of four bytes
            raise ImpossibleError("size")
    fields = [cursor.inner() for _ in range(count)]
    cursor.end()
    parts = Parts()
    for element in fields:
        parts.read(item, item_type, element)
    values = parts.settle()
    if as_struct:
        return dims, bounds, values
    if values and bounds != [1]:
        raise UnrepresentableError("dimensions or lower bound")
    return values


def composite(column: Column, type_: pa.DataType, field: bytes) -> tuple[Any, ...]:
    cursor, parts = Cursor(field), Parts()
    if cursor.int32() != len(column.children):
        raise ImpossibleError("attributes")
    for child, part in zip(column.children, type_, strict=True):
        if cursor.oid() != child.type.oid:
            raise ImpossibleError("oid")
        parts.read(child, part.type, cursor.inner())
    cursor.end()
    return tuple(parts.settle())


# RANGE_* of PostgreSQL's utils/rangetypes.h; range_send sends no other.
EMPTY, LOWER_INCLUSIVE, UPPER_INCLUSIVE, LOWER_INFINITE, UPPER_INFINITE = 1, 2, 4, 8, 16


def range_(column: Column, type_: pa.DataType, field: bytes) -> tuple[Any, Any, int]:
    [bound] = column.children
    cursor, parts = Cursor(field), Parts()
    [flags] = cursor.take(1)
    if flags > 31:
        raise ImpossibleError("flags")
    for infinite in (LOWER_INFINITE, UPPER_INFINITE):
        if flags & (EMPTY | infinite):
            parts.read(bound, type_, None)
        elif (content := cursor.inner()) is not None:
            parts.read(bound, type_.field("lower").type, content)
        else:
            raise ImpossibleError("NULL bound")
    cursor.end()
    lower, upper = parts.settle()
    return lower, upper, flags


def multirange(column: Column, type_: pa.DataType, field: bytes) -> list[tuple[Any, Any, int]]:
    [part] = column.children
    cursor, parts = Cursor(field), Parts()
    count = cursor.int32()
    if count < 0:
        raise ImpossibleError("count")
    for _ in range(count):
        if (content := cursor.inner()) is None:
            raise ImpossibleError("NULL range")
        parts.read(part, type_.value_type, content)
    cursor.end()
    return parts.settle()


_NESTED = {
    Kernel.ARRAY: array,
    Kernel.COMPOSITE: composite,
    Kernel.RANGE: range_,
    Kernel.MULTIRANGE: multirange,
    Kernel.HSTORE: hstore,
    Kernel.VECTOR: vector,
}


def plain(array: pa.Array) -> list[Any]:
    """An Arrow array as the values that `value` gives."""
    if isinstance(array, pa.ExtensionArray):
        return plain(array.storage)
    kind, valid = array.type, array.is_valid().to_pylist()
    if pa.types.is_struct(kind):
        parts = [plain(array.field(i)) for i in range(kind.num_fields)]
        return [tuple(part[row] for part in parts) if there else None for row, there in enumerate(valid)]
    if pa.types.is_list(kind) or pa.types.is_map(kind):
        offsets = array.offsets.to_pylist()
        if pa.types.is_map(kind):
            values = list(zip(plain(array.keys), plain(array.items), strict=True))
        else:
            values = plain(array.values)
        return [values[offsets[i] : offsets[i + 1]] if there else None for i, there in enumerate(valid)]
    if pa.types.is_fixed_size_list(kind):
        values, size = plain(array.values), kind.list_size
        starts = [(array.offset + i) * size for i in range(len(valid))]
        return [values[at : at + size] if there else None for at, there in zip(starts, valid, strict=True)]
    return plain_scalars(array, valid)


def plain_scalars(array: pa.Array, valid: list[bool]) -> list[Any]:
    kind = array.type
    if kind == pa.month_day_nano_interval():
        return [None if row is None else tuple(row) for row in array.to_pylist()]
    if pa.types.is_date32(kind):
        return array.cast(pa.int32()).to_pylist()
    if pa.types.is_time64(kind) or pa.types.is_timestamp(kind):
        return array.cast(pa.int64()).to_pylist()
    if not pa.types.is_decimal(kind) and not pa.types.is_floating(kind):
        return array.to_pylist()
    width, data = kind.bit_width // 8, array.buffers()[1].to_pybytes()
    words = [
        data[width * i : width * (i + 1)] if there else None for i, there in enumerate(valid, array.offset)
    ]
    if pa.types.is_floating(kind):
        return words
    return [None if word is None else int.from_bytes(word, "little", signed=True) for word in words]
