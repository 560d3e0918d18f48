"""How Arrow types are written and read by people: what `--type` takes, and what messages say."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

import pyarrow as pa

from copypump.errors import UsageError

VENDOR = "PostgreSQL"

# Stand for a column's own opaque type, and for its own struct form, where the user names a type for it.
ANY_OPAQUE = pa.opaque(pa.binary(), "unknown", VENDOR)
ANY_STRUCT = pa.struct([])


def is_opaque(type_: pa.DataType) -> bool:
    """Whether `type_` carries the wire bytes of a PostgreSQL type; polars makes views of it."""
    return (
        isinstance(type_, pa.OpaqueType)
        and type_.vendor_name == VENDOR
        and type_.storage_type in (pa.binary(), pa.large_binary(), pa.binary_view())
    )


def spelling(type_: pa.DataType, *, generic: bool = False) -> str:
    """Spell a type as `parse_arrow_type` reads it; `generic` leaves a decimal's numbers open.

    A nested type is spelled by its outermost form alone: list, struct, map.
    """
    if is_opaque(type_):
        return "opaque"
    if isinstance(type_, pa.BaseExtensionType):
        return type_.extension_name.removeprefix("arrow.")
    if pa.types.is_decimal128(type_) or pa.types.is_decimal256(type_):
        numbers = "p,s" if generic else f"{type_.precision},{type_.scale}"
        return f"decimal{type_.bit_width}({numbers})"
    if pa.types.is_fixed_size_binary(type_):
        return f"fixed_size_binary({type_.byte_width})"
    if pa.types.is_nested(type_) or pa.types.is_dictionary(type_):
        return str(type_).partition("<")[0]
    return "utf8" if type_ == pa.utf8() else str(type_)


_NAMED: dict[str, Callable[[], pa.DataType]] = {
    "opaque": lambda: ANY_OPAQUE,
    "struct": lambda: ANY_STRUCT,
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
