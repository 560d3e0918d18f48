"""COPY BINARY read slowly, in plain Python, straight from PostgreSQL's documentation; native code must agree.

Values are the plainest ones: int for dates and times (as Arrow counts them) and for decimals (unscaled), a
number's bits as little-endian bytes, str, bytes, and a tuple (months, days, microseconds) for an interval.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

import pyarrow as pa

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


def value(kernel: Kernel, type_: pa.DataType, field: bytes) -> Any:
    """Read one field that is not NULL."""
    if kernel == Kernel.BYTES:
        return field
    if kernel in (Kernel.TEXT, Kernel.JSONB):
        if kernel == Kernel.JSONB:
            if field[:1] != b"\x01":
                raise ImpossibleError("version")
            field = field[1:]
        try:
            text = field.decode()
        except UnicodeDecodeError as error:
            raise ImpossibleError("encoding") from error
        if "\0" in text:
            raise ImpossibleError("NUL")
        return text
    if kernel == Kernel.NUMERIC:
        return numeric(type_, field)
    return fixed(kernel, field)


_WIDTHS = {
    Kernel.BOOL: 1,
    Kernel.FIXED16: 2,
    Kernel.FIXED32: 4,
    Kernel.FIXED64: 8,
    Kernel.UUID: 16,
    Kernel.DATE: 4,
    Kernel.TIME: 8,
    Kernel.TIMESTAMP: 8,
    Kernel.INTERVAL: 16,
}


def fixed(kernel: Kernel, field: bytes) -> Any:
    if len(field) != _WIDTHS[kernel]:
        raise ImpossibleError("length")
    if kernel == Kernel.BOOL:
        if field not in (b"\0", b"\1"):
            raise ImpossibleError("bool")
        return field == b"\1"
    if kernel == Kernel.INTERVAL:
        microseconds, days, months = struct.unpack(">qii", field)
        return months, days, microseconds
    if kernel == Kernel.UUID:
        return field
    if kernel in (Kernel.DATE, Kernel.TIME, Kernel.TIMESTAMP):
        return moment(kernel, int.from_bytes(field, "big", signed=True))
    return field[::-1]


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
    special = {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}.get(sign)
    if special:
        if count:
            raise ImpossibleError("digits of a special value")
        if pa.types.is_decimal(type_):
            raise UnrepresentableError(special)
        return special
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
    if (number * 10**dscale).denominator != 1:
        raise ImpossibleError("digits beyond the display scale")
    return minus + unsigned_text(digits, weight, dscale)


def unsigned_text(digits: tuple[int, ...], weight: int, dscale: int) -> str:
    def groups(first: int, end: int) -> str:
        return "".join(f"{digits[i] if 0 <= i < len(digits) else 0:04d}" for i in range(first, end))

    whole = groups(0, weight + 1).lstrip("0") or "0"
    point = "." if dscale else ""
    return whole + point + groups(weight + 1, weight + 1 + (dscale + 3) // 4)[:dscale]


def plain(array: pa.Array) -> list[Any]:
    """An Arrow array as the values that `value` gives."""
    if isinstance(array, pa.ExtensionArray):
        return plain(array.storage)
    kind = array.type
    if pa.types.is_struct(kind):
        return [None if row is None else tuple(row.values()) for row in array.to_pylist()]
    if pa.types.is_date32(kind):
        return array.cast(pa.int32()).to_pylist()
    if pa.types.is_time64(kind) or pa.types.is_timestamp(kind):
        return array.cast(pa.int64()).to_pylist()
    if pa.types.is_decimal(kind):
        width, start = kind.bit_width // 8, array.offset
        values = array.buffers()[1].to_pybytes()
        return [
            int.from_bytes(values[width * i : width * (i + 1)], "little", signed=True) if valid else None
            for i, valid in enumerate(array.is_valid().to_pylist(), start)
        ]
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        width = kind.bit_width // 8
        bits = array.view({2: pa.int16(), 4: pa.int32(), 8: pa.int64()}[width]).to_pylist()
        return [None if word is None else word.to_bytes(width, "little", signed=True) for word in bits]
    return array.to_pylist()
