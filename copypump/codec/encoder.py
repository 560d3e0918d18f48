"""Arrow arrays back to COPY BINARY rows.

An Encoder is made once per stream from the columns of the target, in the order of its COPY, and then turns
batches into rows; header and trailer are the caller's (framing.HEADER, framing.TRAILER). It does no I/O and
casts nothing: casts.py brings arrays to the types it takes. It trusts no array and checks every value against
the target's type, typmod included, because the server would round or cut silently.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from copypump.codec._encode import Fault, RowWriter
from copypump.codec.convert import match, true_places
from copypump.codec.framing import Block
from copypump.codec.lanes import EncodedColumn, lanes
from copypump.errors import CastError, CopypumpError, TransformError

__all__ = ["EncodedColumn", "Encoder"]

XML_OID = 142
# Of xml's declaration, which a server looks for at the very beginning, the encoding.
_DECLARATION = rb"""^<\?xml\s[^>]*?encoding\s*=\s*["']([^"'>]*)["']"""

_NARROW = "change the value in the transform, or widen the target column's type"
_BROKEN = "return arrays that pass pyarrow's validate(full=True)"
_FAULTS: dict[int, tuple[type[CopypumpError], str, str]] = {
    Fault.LENGTH: (TransformError, "as many values as rows were expected", "return columns of one length"),
    Fault.BUFFER: (TransformError, "a buffer of its array is shorter than its length tells", _BROKEN),
    Fault.OFFSETS: (TransformError, "the offsets of its array turn back or leave its data", _BROKEN),
    Fault.INDEX: (TransformError, "an index leads out of its array's dictionary", _BROKEN),
    Fault.ROW_NULL: (TransformError, "the row index is NULL", "keep __copypump_row as it came with each row"),
    Fault.ROW_RANGE: (
        TransformError,
        "the row index names no row of this batch",
        "keep __copypump_row as it came with each row, and return rows from the call that they came with",
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
        "a part of the value is NULL",
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
    Fault.LABEL: (
        CastError,
        "the text is no label of {type}",
        "change it in the transform, or add the label to the target's type",
    ),
    Fault.ZONE: (CastError, "the time zone is 16 hours or more from UTC", "change it in the transform"),
    Fault.BIT_DATA: (
        CastError,
        "the data does not hold as many bits as are told, or has others behind them",
        "give bits, and data of (bits + 7) // 8 bytes, the unused bits of the last one being zeros",
    ),
    Fault.BIT_COUNT: (CastError, "the number of bits is not what {type} holds", _NARROW),
    Fault.KEY_NULL: (CastError, "a key is NULL", "drop the pair in the transform"),
    Fault.KEY_TWICE: (CastError, "a key stands twice in one value", "keep one pair of it in the transform"),
    Fault.FLAGS: (
        CastError,
        "the flags are not those of any range",
        "add up 1 (empty, then alone), 2 and 4 (lower and upper bound inclusive), 8 and 16 (infinite)",
    ),
    Fault.BOUND: (
        CastError,
        "a bound is NULL though the flags say finite, or is not though they say infinite or empty",
        "let flags and bounds agree in the transform",
    ),
    Fault.DIMENSIONS: (
        CastError,
        "dimensions, lower bounds and values do not make an array",
        "give at most 6 dimensions, each of 1 or more, as many lower bounds, and the product as values",
    ),
    Fault.ITEMS: (CastError, "the value has more items than PostgreSQL takes", "split it in the transform"),
    Fault.RANGE_NULL: (CastError, "a range of a multirange is NULL", "drop it in the transform"),
    Fault.DIMENSION_COUNT: (
        CastError,
        "the number of elements is not what {type} holds",
        "give as many as the type says or, if it does not, 1 to 16,000",
    ),
    Fault.ELEMENT_NULL: (
        CastError,
        "an element of the vector is NULL",
        "fill it in the transform, or make the whole value NULL",
    ),
    Fault.NOT_FINITE: (
        CastError,
        "an element of the vector is NaN or infinite, which pgvector refuses",
        "change it in the transform, or make the whole value NULL",
    ),
    Fault.VALUE_SIZE: (CastError, "the value takes 1 GiB or more", "split it in the transform"),
}


class Encoder:
    """Turns arrays, one for each of `columns`, into rows. Several threads may encode at once."""

    def __init__(self, columns: Sequence[EncodedColumn]) -> None:
        self.columns = tuple(columns)
        self._xml = [
            encoded.type is not None and encoded.column.wire_type.oid == XML_OID for encoded in self.columns
        ]
        self._has_wire = any(column.wire is not None for column in self.columns)
        required = [
            (index, column.wire)
            for index, column in enumerate(self.columns)
            if column.wire is not None and column.column.not_null
        ]
        described = lanes(self.columns)
        self._places = described.places
        self._writer = RowWriter(
            len(self.columns), described.top, described.lanes, required, secrets.randbits(64)
        )

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
        self._check(arrays, first_row)
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

    def _check(self, arrays: Sequence[pa.Array[Any] | None], first_row: int) -> None:
        """Hold arrays to the types that they were to have."""
        for encoded, array, is_xml in zip(self.columns, arrays, self._xml, strict=True):
            if array is None:
                if encoded.wire is None:
                    raise TransformError("the column is missing", column=encoded.column.name)
            elif array.type != encoded.type:
                raise TransformError(
                    f"the array is {array.type}, expected {encoded.type}", column=encoded.column.name
                )
            elif pa.types.is_nested(array.type):
                _check_shape(array, encoded.column.name)
            elif is_xml and array.type == pa.utf8():
                _check_declarations(array, encoded.column.name, first_row)

    def _error(self, fault: int, index: int, lane: int, row: int, first_row: int) -> CopypumpError:
        """Say what the native loops found."""
        kind, message, hint = _FAULTS[fault]
        column = self.columns[index].column if index >= 0 else None
        declared = column.declared if column else ""
        within = ""
        if lane >= 0:
            declared = self._places[lane].column.declared
            within = self._places[lane].within
        return kind(
            message.format(type=declared) + (f", in {within}" if within else ""),
            column=column.name if column else None,
            row=first_row + row + 1 if row >= 0 else None,
            hint=hint,
        )


def _check_declarations(array: pa.Array[Any], column_name: str, first_row: int) -> None:
    """Refuse xml that declares another encoding: the server would convert from it what is UTF-8."""
    raw: Any = array.view(pa.binary())
    try:
        raw.validate(full=True)
    except pa.ArrowException:
        return  # the native loop says what is wrong
    declared = match(raw, _DECLARATION.decode())
    for row in true_places(declared):
        found = re.match(_DECLARATION, raw[row].as_py())
        if found is None or found[1].lower() not in (b"utf-8", b"utf8"):
            raise CastError(
                "the xml declares another encoding than UTF-8, and the server would read it in that",
                column=column_name,
                row=first_row + row + 1,
                hint="take the encoding out of the declaration: text in Arrow is UTF-8",
            )


def _check_shape(array: pa.Array[Any], column_name: str) -> None:
    """Have Arrow compare the lengths of children: it ends the process where it slices a child too short."""
    try:
        array.validate()
    except pa.ArrowException:
        raise TransformError(
            f"the array of {array.type} is not valid", column=column_name, hint=_BROKEN
        ) from None
