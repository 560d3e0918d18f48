"""Arrow arrays back to COPY BINARY rows.

An Encoder is made once per stream from the columns of the target, in the order of its COPY, and then turns
batches into rows; header and trailer are the caller's (framing.HEADER, framing.TRAILER). It does no I/O and
casts nothing: casts.py brings arrays to the types it takes. It trusts no array and checks every value against
the target's type, typmod included, because the server would round or cut silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from copypump.codec import typmod as typmods
from copypump.codec._encode import Fault, Form, RowWriter
from copypump.codec.column import Column
from copypump.codec.framing import Block
from copypump.codec.types import Kernel, pg_type
from copypump.errors import CastError, CopypumpError, TransformError

# NAMEDATALEN - 1 of PostgreSQL's pg_config_manual.h.
MAX_NAME_BYTES = 63

_MICROSECOND_DIGITS = 6

_FIXED = {8: Form.FIXED8, 16: Form.FIXED16, 32: Form.FIXED32, 64: Form.FIXED64}
_SIMPLE = {
    Kernel.BOOL: Form.BOOL,
    Kernel.JSONB: Form.JSONB,
    Kernel.DATE: Form.DATE,
    Kernel.TIME: Form.TIME,
    Kernel.TIMESTAMP: Form.TIMESTAMP,
}

# Bits of an interval's fields, and the smallest unit that each keeps: INTERVAL_MASK of utils/timestamp.h.
_YEAR, _MONTH, _DAY, _HOUR, _MINUTE, _SECOND = (1 << bit for bit in (2, 1, 3, 10, 11, 12))
_HOUR_MICROSECONDS = 3_600_000_000
_MINUTE_MICROSECONDS = 60_000_000

_NARROW = "change the value in the transform, or widen the target column's type"
_BROKEN = "return arrays that pass pyarrow's validate(full=True)"
_FAULTS: dict[int, tuple[type[CopypumpError], str, str]] = {
    Fault.LENGTH: (TransformError, "as many values as rows were expected", "return columns of one length"),
    Fault.BUFFER: (TransformError, "a buffer of its array is shorter than its length tells", _BROKEN),
    Fault.OFFSETS: (TransformError, "the offsets of its array turn back or leave its data", _BROKEN),
    Fault.ROW_NULL: (TransformError, "the row index is NULL", "keep __copypump_row as it came with each row"),
    Fault.ROW_RANGE: (
        TransformError,
        "the row index names no row of this batch",
        "keep __copypump_row as it came with each row",
    ),
    Fault.TOO_LARGE: (TransformError, "the rows need 2 GiB or more on the wire", "return smaller batches"),
    Fault.NULL_VALUE: (
        CastError,
        "a NULL, where the target's column is NOT NULL",
        "fill or drop it in the transform, or drop the constraint",
    ),
    Fault.UTF8: (CastError, "the text is not valid UTF-8", "repair it in the transform"),
    Fault.NUL: (
        CastError,
        "the text holds a NUL character, which PostgreSQL has not",
        "take it out in the transform",
    ),
    Fault.TOO_LONG: (
        CastError,
        "the text is too long for {type}",
        "shorten it in the transform, or widen the column",
    ),
    Fault.RANGE: (CastError, "the value is out of the range of {type}", _NARROW),
    Fault.FRACTION: (
        CastError,
        "the value has a finer fraction than {type} keeps",
        "round it in the transform",
    ),
    Fault.FIELDS: (CastError, "the interval has fields that {type} does not keep", _NARROW),
    Fault.PART_NULL: (
        CastError,
        "a part of the interval is NULL",
        "make the whole value NULL, or fill the part",
    ),
    Fault.PRECISION: (CastError, "the number has more digits than {type} holds", _NARROW),
    Fault.SCALE: (
        CastError,
        "the number has more decimal places than {type} keeps",
        "round it in the transform",
    ),
    Fault.SYNTAX: (CastError, "the text is not a {type}", "repair it in the transform"),
    Fault.INFINITE: (CastError, "{type} holds no infinity", "make the column numeric without precision"),
    Fault.DIGITS: (CastError, "the number has more digits than PostgreSQL takes in binary", _NARROW),
}


@dataclass(frozen=True, slots=True)
class EncodedColumn:
    """One column of the output, `column` being the target's.

    Either `type` is the Arrow type its arrays have (one that casts.encoded_type gave), or `wire` is the index
    of the source column whose field bytes are copied from the block.
    """

    column: Column
    type: pa.DataType | None = None
    wire: int | None = None


class Encoder:
    """Turns arrays, one for each of `columns`, into rows. Several threads may encode at once."""

    def __init__(self, columns: Sequence[EncodedColumn]) -> None:
        self.columns = tuple(columns)
        self._has_wire = any(column.wire is not None for column in self.columns)
        required = [
            (index, column.wire)
            for index, column in enumerate(self.columns)
            if column.wire is not None and column.column.not_null
        ]
        self._writer = RowWriter(len(self.columns), _lanes(self.columns), required)

    def encode(
        self,
        arrays: Sequence[pa.Array[Any] | None],
        rows: int,
        *,
        block: Block | None = None,
        row_ids: pa.Array[Any] | None = None,
        first_row: int,
    ) -> bytearray:
        """Give `rows` rows without header and trailer.

        `arrays[i]` has the type of `columns[i]`, or is None for a wire column. Wire columns copy the fields
        of row `row_ids[r]` of `block` (None: row r). `first_row` rows were sent before; errors name row
        first_row + r + 1.

        Raises CastError for a value that the target's type cannot hold exactly, TransformError for arrays
        that are not what they claim to be, for row ids that name no row, and for 2 GiB or more of rows.
        """
        for encoded, array in zip(self.columns, arrays, strict=True):
            if array is None:
                if encoded.wire is None:
                    raise TransformError("the column is missing", column=encoded.column.name)
            elif array.type != encoded.type:
                raise TransformError(
                    f"the array is {array.type}, expected {encoded.type}", column=encoded.column.name
                )
        if not self._has_wire:
            result = self._writer.write(arrays, rows, None, None, 0, 0, None)
        elif block is None:
            raise ValueError("columns that copy wire bytes need their block")
        elif row_ids is not None and row_ids.type != pa.int32():
            raise TransformError(f"the row index is {row_ids.type}, expected int32")
        else:
            data = memoryview(block.data)[block.start : block.end]
            result = self._writer.write(
                arrays, rows, data, block.positions, block.stride, block.rows, row_ids
            )
        if isinstance(result, bytearray):
            return result
        raise self._error(*result, first_row)

    def _error(self, fault: int, index: int, row: int, first_row: int) -> CopypumpError:
        """Say what the native loops found."""
        kind, message, hint = _FAULTS[fault]
        column = self.columns[index].column if index >= 0 else None
        return kind(
            message.format(type=column.declared if column else ""),
            column=column.name if column else None,
            row=first_row + row + 1 if row >= 0 else None,
            hint=hint,
        )


def _lanes(columns: Sequence[EncodedColumn]) -> list[dict[str, int]]:
    """Describe the columns to the native loops; source columns copied side by side make one run."""
    lanes: list[dict[str, int]] = []
    for index, encoded in enumerate(columns):
        if encoded.wire is not None:
            last = lanes[-1] if lanes else {"form": -1}
            if last["form"] == Form.WIRE and last["last"] + 1 == encoded.wire:
                last["last"] = encoded.wire
            else:
                lanes.append(
                    {"form": Form.WIRE, "column": index, "first": encoded.wire, "last": encoded.wire}
                )
        elif encoded.type is not None:
            lane = _lane(encoded.column, encoded.type)
            lanes.append({**lane, "column": index, "required": encoded.column.not_null})
        else:
            raise ValueError("a column needs a type or a wire index")
    return lanes


def _lane(column: Column, type_: pa.DataType) -> dict[str, int]:
    """Choose the loop for values of `type_` on their way to `column`, and its limits."""
    row = pg_type(column)
    typmod = column.wire_typmod
    if type_ == pa.binary():
        return {"form": Form.BYTES}  # bytea, or wire bytes as they are
    match row.kernel:
        case Kernel.FIXED16 | Kernel.FIXED32 | Kernel.FIXED64:
            return {"form": _FIXED[type_.bit_width]}
        case Kernel.TEXT if row.name == "name":
            return {"form": Form.TEXT, "limit": MAX_NAME_BYTES, "in_bytes": 1}
        case Kernel.TEXT | Kernel.BYTES:
            characters = typmods.characters(typmod) if row.kernel == Kernel.TEXT else None
            return {"form": Form.TEXT, "limit": -1 if characters is None else characters}
        case Kernel.UUID:
            return {"form": Form.UUID_TEXT if type_ == pa.utf8() else Form.UUID}
        case Kernel.TIME | Kernel.TIMESTAMP:
            return {"form": _SIMPLE[row.kernel], "unit": _unit(typmods.fraction(typmod))}
        case Kernel.INTERVAL:
            form = Form.INTERVAL if pa.types.is_struct(type_) else Form.NANO_INTERVAL
            return {"form": form, **_interval(typmod)}
        case Kernel.NUMERIC:
            return _numeric(typmod, type_)
        case kernel:
            return {"form": _SIMPLE[kernel]}


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
