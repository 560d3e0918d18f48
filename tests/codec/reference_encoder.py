"""A slow encoder in plain Python, written from the server's own send functions; the native one must agree.

`field` gives one value's bytes without the length word, or raises Unfit. Values are: int for the words (dates
in days, times and timestamps in microseconds, as Arrow counts them), Decimal or str for numerics, str, bytes,
bool, and (months, days, microseconds) for intervals.
"""

from __future__ import annotations

import math
import re
import struct
import uuid
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal

EXACT = Context(prec=1000)
EPOCH_DAYS = 10957
EPOCH_MICROSECONDS = 946_684_800_000_000
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Unfit(Exception):  # noqa: N818 - an answer, not an error
    """The value has no place in the type."""


def rows(columns: Sequence[Sequence[bytes | None]]) -> bytes:
    return b"".join(row(fields) for fields in zip(*columns, strict=True))


def row(fields: Iterable[bytes | None]) -> bytes:
    fields = list(fields)
    parts = [
        struct.pack("!i", -1) if data is None else struct.pack("!i", len(data)) + data for data in fields
    ]
    return struct.pack("!h", len(fields)) + b"".join(parts)


def word(code: str, value: float) -> bytes:
    return struct.pack("!" + code, value)


def text(value: bytes, characters: int | None = None) -> bytes:
    try:
        decoded = value.decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise Unfit from None
    if "\0" in decoded or (characters is not None and len(decoded) > characters):
        raise Unfit
    return value


def date(days: int) -> bytes:
    if days == 2**31 - 1:
        return word("i", days)
    if days in (-(2**31), -(2**31) + 1):
        return word("i", -(2**31))
    wire = days - EPOCH_DAYS
    if not -2451545 <= wire < 2147483494 - 2451545:
        raise Unfit
    return word("i", wire)


def time(microseconds: int, digits: int = 6) -> bytes:
    if not 0 <= microseconds <= 86_400_000_000 or microseconds % 10 ** (6 - digits):
        raise Unfit
    return word("q", microseconds)


def timestamp(microseconds: int, digits: int = 6) -> bytes:
    if microseconds == 2**63 - 1:
        return word("q", microseconds)
    if microseconds in (-(2**63), -(2**63) + 1):
        return word("q", -(2**63))
    wire = microseconds - EPOCH_MICROSECONDS
    if not -211813488000000000 <= wire < 9223371331200000000 or microseconds % 10 ** (6 - digits):
        raise Unfit
    return word("q", wire)


def interval(months: int, days: int, microseconds: int) -> bytes:
    return struct.pack("!qii", microseconds, days, months)


def uuid_text(value: str) -> bytes:
    if not re.fullmatch(r"(\{)?([0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}(?(1)\})", value):
        raise Unfit
    return uuid.UUID(hex=value.strip("{}").replace("-", "")).bytes


def numeric(  # noqa: C901 - one value, told from its text to its bytes
    value: str | Decimal, precision: int | None = None, scale: int = 0, dscale: int | None = None
) -> bytes:
    """`dscale` is the display scale of a decimal's type; text has its own when nothing limits it."""
    if isinstance(value, str):
        special = {"nan": 0xC000, "infinity": 0xD000, "inf": 0xD000, "-infinity": 0xF000, "-inf": 0xF000}
        special |= {"+infinity": 0xD000, "+inf": 0xD000}
        if value.lower() in special:
            sign = special[value.lower()]
            if precision is not None and sign != 0xC000:
                raise Unfit
            return struct.pack("!hhHh", 0, 0, sign, 0 if sign == 0xC000 else 32)
        if not NUMBER.fullmatch(value):
            raise Unfit
        value = EXACT.create_decimal(value)
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    if dscale is None:
        dscale = max(0, -exponent) if precision is None else max(0, scale)
    unscaled = int("".join(map(str, digits)) or "0")
    while unscaled and unscaled % 10 == 0:
        unscaled //= 10
        exponent += 1
    limited = precision is not None and unscaled
    if limited and (-exponent > scale or len(str(unscaled)) + exponent > precision - scale):
        raise Unfit
    if unscaled == 0:
        return struct.pack("!hhHh", 0, 0, 0, dscale)
    unscaled *= 10 ** (exponent % 4)
    weight = exponent // 4 - 1
    groups = []
    while unscaled:
        unscaled, group = divmod(unscaled, 10000)
        groups.append(group)
        weight += 1
    if dscale > 0x3FFF or not -0x7FFF <= weight <= 0x7FFF:
        raise Unfit
    head = struct.pack("!hhHh", len(groups), weight, 0x4000 if sign else 0, dscale)
    return head + struct.pack(f"!{len(groups)}h", *reversed(groups))


def sized(data: bytes | None) -> bytes:
    return word("i", -1) if data is None else word("i", len(data)) + data


def timetz(microseconds: int, offset: int, digits: int = 6) -> bytes:
    if abs(offset) >= 16 * 3600:
        raise Unfit
    return time(microseconds, digits) + word("i", offset)


def bit_string(bits: int, data: bytes, exactly: int | None = None, at_most: int | None = None) -> bytes:
    if not 0 <= bits <= 2**31 - 8 or len(data) != (bits + 7) // 8:
        raise Unfit
    if exactly not in (None, bits) or (at_most is not None and bits > at_most):
        raise Unfit
    if int.from_bytes(data, "big") % (1 << (8 * len(data) - bits)):
        raise Unfit
    return word("i", bits) + data


def hstore(pairs: Sequence[tuple[bytes | None, bytes | None]]) -> bytes:
    keys = [key for key, _ in pairs]
    if None in keys or len(set(keys)) < len(keys):
        raise Unfit
    parts = [sized(text(key or b"")) + sized(None if value is None else text(value)) for key, value in pairs]
    return word("i", len(pairs)) + b"".join(parts)


def vector(floats: Sequence[float | None], dimensions: int | None = None) -> bytes:
    if not 1 <= len(floats) <= 16000 or dimensions not in (None, len(floats)):
        raise Unfit
    if any(number is None or not math.isfinite(number) for number in floats):
        raise Unfit
    return struct.pack(f"!hh{len(floats)}f", len(floats), 0, *floats)


def array(oid: int, items: Sequence[bytes | None]) -> bytes:
    """One dimension, its lower bound being 1; none where there are no elements."""
    return nd_array(oid, [len(items)] if items else [], [1] if items else [], items)


def nd_array(oid: int, dims: Sequence[int], bounds: Sequence[int], items: Sequence[bytes | None]) -> bytes:
    if len(dims) != len(bounds) or len(dims) > 6 or any(size < 0 for size in dims):
        raise Unfit
    product = 1 if dims else 0
    for size, bound in zip(dims, bounds, strict=True):
        product *= size
        if bound + size > 2**31 - 1:
            raise Unfit
    if product != len(items):
        raise Unfit
    head = struct.pack("!iiI", len(dims), None in items, oid)
    sizes = b"".join(struct.pack("!ii", *pair) for pair in zip(dims, bounds, strict=True))
    return head + sizes + b"".join(map(sized, items))


def composite(attributes: Sequence[tuple[int, bytes | None]]) -> bytes:
    parts = [word("I", oid) + sized(data) for oid, data in attributes]
    return word("i", len(parts)) + b"".join(parts)


def range_of(lower: bytes | None, upper: bytes | None, flags: int) -> bytes:
    empty, lower_inc, upper_inc, lower_inf, upper_inf = (bool(flags & 1 << bit) for bit in range(5))
    if flags > 31 or (empty and flags != 1) or (lower_inf and lower_inc) or (upper_inf and upper_inc):
        raise Unfit
    if (lower is None) != (empty or lower_inf) or (upper is None) != (empty or upper_inf):
        raise Unfit
    return word("B", flags) + b"".join(sized(bound) for bound in (lower, upper) if bound is not None)


def multirange(ranges: Sequence[bytes | None]) -> bytes:
    if None in ranges:
        raise Unfit
    return word("i", len(ranges)) + b"".join(map(sized, ranges))
