"""Decoded values as the server writes them (UTC, ISO intervals, hex bytea): what golden texts are held to."""

from __future__ import annotations

import contextlib
import datetime
import math
import re
import struct
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa

from copypump.codec import types
from copypump.codec.column import Column
from copypump.codec.types import Kernel

# The oids that golden.py gives names for.
_NAMES = {
    "regproc": {0: "-", 2026: "pg_backend_pid"},
    "regprocedure": {0: "-", 1397: "abs(integer)"},
    "regoper": {0: "0", 597: "||/"},
    "regoperator": {0: "0", 551: "+(integer,integer)"},
    "regclass": {0: "-", 1259: "pg_class"},
    "regtype": {0: "-", 23: "integer"},
    "regconfig": {0: "-", 3748: "simple"},
    "regdictionary": {0: "-", 3765: "simple"},
    "regnamespace": {0: "-", 11: "pg_catalog"},
    "regrole": {0: "-", 3373: "pg_monitor"},
    "regcollation": {0: "-", 950: '"C"'},
}


def server_text(column: Column, type_: pa.DataType, value: Any) -> str:
    """Write a value that is not NULL, as `reference_decoder.value` gives it for `type_`."""
    kernel = types.kernel(column, type_)
    if kernel in _NESTED:
        return _NESTED[kernel](column, type_, value)
    name = types.pg_type(column).name
    if name in _SCALARS:
        return _SCALARS[name](value)
    if name in _NAMES:
        return _NAMES[name].get(value, str(value))
    if name == "numeric" and isinstance(value, int):
        return f"{Decimal((int(value < 0), tuple(map(int, str(abs(value)))), -type_.scale)):f}"
    return str(value)


def _float(value: bytes) -> str:
    number = struct.unpack("<f" if len(value) == 4 else "<d", value)[0]
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "-Infinity" if number < 0 else "Infinity"
    digits = next(text for size in range(1, 18) if _is(text := f"{number:.{size}g}", value))
    mantissa, _, exponent = digits.partition("e")
    return mantissa.removesuffix(".0") + (f"e{exponent}" if exponent else "")


def _is(text: str, value: bytes) -> bool:
    """Whether a number's text gives these bits; the shortest such is the server's."""
    with contextlib.suppress(OverflowError):
        return struct.pack("<f" if len(value) == 4 else "<d", float(text)) == value
    return False


def _date(days: int) -> str:
    if days in (-(2**31), 2**31 - 1):
        return "infinity" if days > 0 else "-infinity"
    # A calendar of 400 years comes again after 146,097 days; Python's has the years 1 to 9999.
    cycles = (days - 10957) // 146097
    date = datetime.date(1970, 1, 1) + datetime.timedelta(days - cycles * 146097)
    year = date.year + 400 * cycles
    text = f"{year if year > 0 else 1 - year:04d}-{date:%m-%d}"
    return text if year > 0 else f"{text} BC"


def _clock(microseconds: int) -> str:
    seconds, fraction = divmod(microseconds, 1_000_000)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{fraction:06d}".rstrip("0") if fraction else text


def _timestamp(zone: str) -> Callable[[int], str]:
    def write(microseconds: int) -> str:
        if microseconds in (-(2**63), 2**63 - 1):
            return "infinity" if microseconds > 0 else "-infinity"
        days, microseconds = divmod(microseconds, 86_400_000_000)
        date, _, era = _date(days).partition(" ")
        return f"{date} {_clock(microseconds)}{zone} {era}".rstrip()

    return write


def _timetz(value: tuple[int, int]) -> str:
    time, offset = value
    seconds = abs(offset)
    zone = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    zone = re.sub("(:00)+$", "", zone)
    return f"{_clock(time)}{'-' if offset > 0 else '+'}{zone}"


def _interval(value: tuple[int, int, int]) -> str:
    months, days, microseconds = value
    years, months = int(months / 12), int(math.fmod(months, 12))
    date = "".join(f"{number}{unit}" for number, unit in ((years, "Y"), (months, "M"), (days, "D")) if number)
    sign = "-" if microseconds < 0 else ""
    minutes, left = divmod(abs(microseconds), 60_000_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{Decimal(left) / 1_000_000:f}"
    parts = ((str(hours), "H"), (str(minutes), "M"), (seconds, "S"))
    clock = "".join(f"{sign}{number}{unit}" for number, unit in parts if number != "0")
    return "P" + date + ("T" + clock if clock else "") if date or clock else "PT0S"


def _money(cents: int) -> str:
    text = f"${abs(cents) // 100:,}.{abs(cents) % 100:02d}"
    return f"-{text}" if cents < 0 else text


def _bits(value: tuple[int, bytes]) -> str:
    count, data = value
    return "".join(f"{byte:08b}" for byte in data)[:count]


_SCALARS: dict[str, Callable[[Any], str]] = {
    "bool": lambda value: "t" if value else "f",
    "char": lambda value: f"\\{value:03o}" if value > 127 else chr(value) if value else "",
    "bytea": lambda value: "\\x" + value.hex(),
    "float4": _float,
    "float8": _float,
    "money": _money,
    "date": _date,
    "time": _clock,
    "timetz": _timetz,
    "timestamp": _timestamp(""),
    "timestamptz": _timestamp("+00"),
    "interval": _interval,
    "bit": _bits,
    "varbit": _bits,
    "uuid": lambda value: str(uuid.UUID(bytes=value)),
    "pg_lsn": lambda value: f"{value >> 32:X}/{value & 0xFFFFFFFF:X}",
}


def _quoted(text: str, marks: str, escapes: dict[str, str]) -> str:
    """A part of a value in quotes where one of `marks` is in it, or nothing is."""
    if text and not any(mark in text for mark in marks) and not any(map(str.isspace, text)):
        return text
    return '"' + "".join(escapes.get(letter, letter) for letter in text) + '"'


_BACKSLASHES = {'"': '\\"', "\\": "\\\\"}
_DOUBLES = {'"': '""', "\\": "\\\\"}


def _array(column: Column, type_: pa.DataType, value: Any) -> str:
    [item] = column.children
    as_struct = pa.types.is_struct(type_)
    item_type = (type_.field("values").type if as_struct else type_).value_type
    dims, bounds, values = value if as_struct else ([len(value)], [1], value)
    texts = []
    for element in values:
        text = "NULL" if element is None else server_text(item, item_type, element)
        quoted = element is not None and text.upper() == "NULL"
        texts.append(f'"{text}"' if quoted else _quoted(text, '{},"\\', _BACKSLASHES))
    if not texts:
        return "{}"
    for size in reversed(dims):
        joined = ";" if types.pg_type(item).name == "box" else ","
        texts = ["{" + joined.join(texts[at : at + size]) + "}" for at in range(0, len(texts), size)]
    subscripts = "".join(f"[{low}:{low + size - 1}]" for size, low in zip(dims, bounds, strict=True))
    return (f"{subscripts}=" if any(low != 1 for low in bounds) else "") + texts[0]


def _composite(column: Column, type_: pa.DataType, value: Any) -> str:
    texts = [
        "" if part is None else _quoted(server_text(child, of.type, part), '(),"\\', _DOUBLES)
        for child, of, part in zip(column.children, type_, value, strict=True)
    ]
    return f"({','.join(texts)})"


def _range(column: Column, type_: pa.DataType, value: Any) -> str:
    lower, upper, flags = value
    if flags & 1:
        return "empty"
    [bound] = column.children
    texts = [
        ""
        if end is None
        else _quoted(server_text(bound, type_.field("lower").type, end), '()[],"\\', _DOUBLES)
        for end in (lower, upper)
    ]
    return ("[" if flags & 2 else "(") + ",".join(texts) + ("]" if flags & 4 else ")")


def _multirange(column: Column, type_: pa.DataType, value: Any) -> str:
    [part] = column.children
    return "{" + ",".join(server_text(part, type_.value_type, each) for each in value) + "}"


def _hstore(_column: Column, _type: pa.DataType, value: Any) -> str:
    def quoted(text: str) -> str:
        return '"' + "".join(_BACKSLASHES.get(letter, letter) for letter in text) + '"'

    return ", ".join(
        f"{quoted(key)}=>{'NULL' if content is None else quoted(content)}" for key, content in value
    )


def _vector(_column: Column, _type: pa.DataType, value: list[bytes]) -> str:
    return f"[{','.join(map(_float, value))}]"


_NESTED: dict[Kernel, Callable[[Column, pa.DataType, Any], str]] = {
    Kernel.ARRAY: _array,
    Kernel.COMPOSITE: _composite,
    Kernel.RANGE: _range,
    Kernel.MULTIRANGE: _multirange,
    Kernel.HSTORE: _hstore,
    Kernel.VECTOR: _vector,
}
