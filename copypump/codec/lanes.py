"""How columns are described to the native half of the Encoder: which loop writes each, and its limits.

A lane is one loop with its limits: of an output column, or of what stands within each of its values. Called
by Encoder once a stream; no array is seen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import pyarrow as pa
from msgspec import Struct

from copypump.codec import typmod as typmods
from copypump.codec._encode import Form
from copypump.codec.column import Column
from copypump.codec.types import Kernel, pg_type

# NAMEDATALEN - 1 of PostgreSQL's pg_config_manual.h.
MAX_NAME_BYTES = 63

Lane: TypeAlias = dict[str, Any]

_MICROSECOND_DIGITS = 6

_FIXED = {8: Form.FIXED8, 16: Form.FIXED16, 32: Form.FIXED32, 64: Form.FIXED64}
_SIMPLE = {
    Kernel.BOOL: Form.BOOL,
    Kernel.JSONB: Form.JSONB,
    Kernel.UUID: Form.UUID,
    Kernel.DATE: Form.DATE,
    Kernel.TIME: Form.TIME,
    Kernel.TIMESTAMP: Form.TIMESTAMP,
    Kernel.TIMETZ: Form.TIMETZ,
}

# Bits of an interval's fields, and the smallest unit that each keeps: INTERVAL_MASK of utils/timestamp.h.
_YEAR, _MONTH, _DAY, _HOUR, _MINUTE, _SECOND = (1 << bit for bit in (2, 1, 3, 10, 11, 12))
_HOUR_MICROSECONDS = 3_600_000_000
_MINUTE_MICROSECONDS = 60_000_000


class EncodedColumn(Struct, frozen=True):
    """One column of the output, `column` being the target's.

    Either `type` is the Arrow type its arrays have (one that casts.encoded_type gave), or `wire` is the index
    of the source column whose field bytes are copied from the block.
    """

    column: Column
    type: pa.DataType | None = None
    wire: int | None = None


class Place(Struct, frozen=True):
    """Where a lane's values stand: `within` those of an output column ("" are its own), as `column`."""

    column: Column
    within: str = ""

    def inside(self, part: str, column: Column) -> Place:
        """Give the place of one part of these values."""
        return Place(column, f"{part} of {self.within}" if self.within else part)


class Lanes(Struct, frozen=True):
    """All lanes, those of the output columns first (`top` of them), each with its place."""

    top: int
    lanes: tuple[Lane, ...]
    places: tuple[Place, ...]


def lanes(columns: Sequence[EncodedColumn]) -> Lanes:
    """Describe the columns to the native loops; source columns copied side by side make one run."""
    found: list[Lane] = []
    places: list[Place] = []
    for index, encoded in enumerate(columns):
        if encoded.wire is not None:
            last = found[-1] if found else {"form": -1}
            if last["form"] == Form.WIRE and last["last"] + 1 == encoded.wire:
                last["last"] = encoded.wire
                continue
            lane: Lane = {"form": Form.WIRE, "first": encoded.wire, "last": encoded.wire}
        elif encoded.type is not None:
            lane = {**_lane(encoded.column, encoded.type), "required": encoded.column.not_null}
        else:
            raise ValueError("a column needs a type or a wire index")
        found.append({**lane, "column": index})
        places.append(Place(encoded.column))
    top = len(found)
    for index, lane in enumerate(found):  # which grows meanwhile
        within = lane.pop("within", ())
        lane.update(first_kid=len(found), kids=len(within))
        for part, column, kid in within:
            found.append({**kid, "column": lane["column"]})
            places.append(places[index].inside(part, column))
    return Lanes(top, tuple(found), tuple(places))


def _lane(column: Column, type_: pa.DataType) -> Lane:
    """Choose the loop for values of `type_` on their way to `column`, and its limits.

    `within` are the parts of a value: what to call each, its column and its lane.
    """
    row = pg_type(column)
    if type_ == pa.binary():
        return {"form": Form.BYTES}  # bytea, or wire bytes as they are
    if row.kernel in _NESTED:
        return _nested(column, row.kernel, type_)
    typmod = column.wire_typmod
    match row.kernel:
        case Kernel.FIXED8 | Kernel.FIXED16 | Kernel.FIXED32 | Kernel.FIXED64:
            return {"form": _FIXED[type_.bit_width]}
        case Kernel.TEXT:
            return _text(row.name, typmod)
        case Kernel.ENUM:
            form = Form.ENUM_INDEX if isinstance(type_, pa.DictionaryType) else Form.ENUM
            return {"form": form, "labels": [label.encode() for label in column.wire_type.names]}
        case Kernel.BITS:
            bits = typmods.bits(typmod)
            return {"form": Form.BITS, "limit": -1 if bits is None else bits, "exact": row.name == "bit"}
        case Kernel.TIME | Kernel.TIMESTAMP | Kernel.TIMETZ:
            return {"form": _SIMPLE[row.kernel], "unit": _unit(typmods.fraction(typmod))}
        case Kernel.INTERVAL:
            form = Form.INTERVAL if pa.types.is_struct(type_) else Form.NANO_INTERVAL
            return {"form": form, **_interval(typmod)}
        case Kernel.NUMERIC:
            return _numeric(typmod, type_)
    form = Form.UUID_TEXT if row.kernel is Kernel.UUID and type_ == pa.utf8() else _SIMPLE[row.kernel]
    return {"form": form}


def _text(name: str, typmod: int) -> Lane:
    """Say how long a text may be: names in bytes, others in characters."""
    if name == "name":
        return {"form": Form.TEXT, "limit": MAX_NAME_BYTES, "in_bytes": 1}
    characters = typmods.characters(typmod) if name in ("varchar", "bpchar") else None
    return {"form": Form.TEXT, "limit": -1 if characters is None else characters}


_NESTED = {Kernel.ARRAY, Kernel.COMPOSITE, Kernel.RANGE, Kernel.MULTIRANGE, Kernel.HSTORE, Kernel.VECTOR}


def _nested(column: Column, kernel: Kernel, type_: pa.DataType) -> Lane:
    """Describe values that hold others."""
    if kernel is Kernel.HSTORE:
        text: Lane = {"form": Form.TEXT}
        return {"form": Form.HSTORE, "within": [("a key", column, text), ("a value", column, text)]}
    if kernel is Kernel.VECTOR:
        float4: Lane = {"form": Form.FIXED32}
        dimensions = typmods.dimensions(column.wire_typmod) or -1
        return {"form": Form.VECTOR, "limit": dimensions, "within": [("an element", column, float4)]}
    if kernel is Kernel.ARRAY and isinstance(type_, pa.StructType):
        number: Lane = {"form": Form.FIXED32}
        numbers: Lane = {"form": Form.LIST, "within": [("a number", column, number)]}
        return {
            "form": Form.ND_LIST,
            "within": [
                ("the dimensions", column, numbers),
                ("the lower bounds", column, dict(numbers)),
                ("the values", column, _nested(column, kernel, type_.field(2).type)),
            ],
        }
    children = column.children
    if isinstance(type_, pa.ListType):
        [item] = children
        part = "an element" if kernel is Kernel.ARRAY else "a range"
        form = Form.LIST if kernel is Kernel.ARRAY else Form.MULTIRANGE
        return {"form": form, "within": [_within(part, item, type_.value_type)]}
    assert isinstance(type_, pa.StructType)
    if kernel is Kernel.RANGE:
        [bound] = children
        parts = ("the lower bound", "the upper bound")
        return {
            "form": Form.PG_RANGE,
            "within": [_within(part, bound, type_.field(i).type) for i, part in enumerate(parts)],
        }
    return {
        "form": Form.COMPOSITE,
        "within": [
            _within(f'attribute "{child.name}"', child, type_.field(i).type)
            for i, child in enumerate(children)
        ],
    }


def _within(part: str, child: Column, type_: pa.DataType) -> tuple[str, Column, Lane]:
    return part, child, {**_lane(child, type_), "oid": child.type.oid}


def _unit(digits: int | None) -> int:
    """Give the microseconds that a value with so many decimals in its seconds is a multiple of."""
    return 10 ** (_MICROSECOND_DIGITS - digits) if digits is not None and digits < _MICROSECOND_DIGITS else 1


def _interval(typmod: int) -> dict[str, int]:
    """Say what the server would keep of an interval (AdjustIntervalForTypmod of timestamp.c)."""
    limits = typmods.interval(typmod)
    if limits is None:
        return {}
    unit = _unit(limits.precision)
    if limits.fields is None or limits.fields & _SECOND:
        return {"unit": unit}
    if limits.fields & _MINUTE:
        return {"unit": max(unit, _MINUTE_MICROSECONDS)}
    if limits.fields & _HOUR:
        return {"unit": max(unit, _HOUR_MICROSECONDS)}
    if limits.fields & _DAY:
        return {"unit": 0}
    return {"unit": 0, "days": 0, "months": 1 if limits.fields & _MONTH else 12}


def _numeric(typmod: int, type_: pa.DataType) -> dict[str, int]:
    """Describe a numeric's digits; see _encode_numeric.pxd for base and pad."""
    if not isinstance(type_, pa.Decimal128Type | pa.Decimal256Type):
        limits = typmods.numeric(typmod)
        if limits is None:
            return {"form": Form.NUMERIC_TEXT}
        return {
            "form": Form.NUMERIC_TEXT,
            "precision": limits.precision,
            "scale": limits.scale,
            "dscale": max(0, limits.scale),
        }
    limits = typmods.numeric(typmod)
    precision, scale, cut = type_.precision, type_.scale, 0
    if limits is not None and isinstance(type_, pa.Decimal128Type):
        precision, scale, cut = limits.precision, limits.scale, type_.scale - limits.scale
    form = Form.DECIMAL128 if isinstance(type_, pa.Decimal128Type) else Form.DECIMAL256
    pad = -scale % 4
    return {
        "form": Form.DECIMAL128_CUT if cut else form,
        "precision": precision,
        "scale": scale,
        "dscale": max(0, scale),
        "base": -((scale + pad) // 4),
        "pad": 10**pad,
        "small": min(10**precision, 10 ** (16 - pad)),
        "cut": 10**cut,
    }
