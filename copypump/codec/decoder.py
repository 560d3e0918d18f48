"""Blocks of wire rows to `pa.RecordBatch`, one native loop a column.

A reader for each column is made once a stream, from its row in `types.TYPES` and the Arrow type it goes to.
All memory is allocated here, by pyarrow, in exact sizes; the native loops fill it. Arrays get slices of their
buffers, which nobody can write to: an array that a transform hands on is known by its memory.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import pyarrow as pa

from copypump.codec import _decode, types
from copypump.codec.column import Column
from copypump.codec.framing import Block
from copypump.codec.types import Kernel
from copypump.codec.types import field as arrow_field
from copypump.errors import CopypumpError, DecodeError, RefusedError, UnrepresentableError

ROW_INDEX = "__copypump_row"

_Array: TypeAlias = "pa.Array[Any]"
_Outcome: TypeAlias = tuple[int, int, int]  # row, fault, number; see _decode.pyi


class Fault(enum.IntEnum):
    """What can be wrong with a field; the numbers are those of _numeric.pxd."""

    OK = 0
    LENGTH = 1
    INVALID = 2
    VERSION = 3
    UTF8 = 4
    OUT_OF_RANGE = 5
    NOT_A_NUMBER = 6
    INFINITE = 7
    TOO_PRECISE = 8
    TOO_BIG = 9
    MIDNIGHT = 10
    TOO_LATE = 11
    TOO_MUCH = 12


# Faults of the stream: no PostgreSQL server sends such a field.
_IMPOSSIBLE = {
    Fault.LENGTH: "{pg} of length {number}",
    Fault.INVALID: "not a valid {pg}",
    Fault.VERSION: "{pg} of an unknown version",
    Fault.UTF8: "{pg} that is not UTF-8, or has a NUL byte in it",
    Fault.OUT_OF_RANGE: "{pg} outside the range of its type",
}

# Valid values that Arrow cannot hold, each with the type to choose instead.
_UNREPRESENTABLE = {
    Fault.NOT_A_NUMBER: ("NaN does not fit {arrow}", "--type {column}=utf8"),
    Fault.INFINITE: ("an infinite {pg} does not fit {arrow}", "--type {column}=utf8"),
    Fault.TOO_PRECISE: ("{pg} with more than {scale} digits after the point", "--type {column}=utf8"),
    Fault.TOO_BIG: ("{pg} with more than {precision} digits at scale {scale}", "--type {column}=utf8"),
    Fault.MIDNIGHT: ("24:00:00 does not fit {arrow}", "--type {column}=opaque"),
    Fault.TOO_LATE: ("{pg} too late for {arrow}", "--type {column}=opaque"),
    Fault.TOO_MUCH: ("more than 2 GiB of text in one batch", "a smaller --batch-rows"),
}


@dataclass(frozen=True, slots=True)
class _Reader:
    """One column's way into Arrow: where it stands in the wire rows, and the type that it becomes."""

    column: Column
    index: int
    type: pa.DataType

    def read(self, fields: _decode.Fields, block: Block) -> tuple[_Array, int]:
        """Give the column's array, and how many infinities it holds."""
        raise NotImplementedError

    def _validity(self, fields: _decode.Fields) -> tuple[pa.Buffer | None, int]:
        """Give the validity bitmap, none where there are no NULLs, and how many there are."""
        count = _decode.nulls(fields, self.index)
        if not count:
            return None, 0
        bits = pa.allocate_buffer((fields.rows + 7) // 8)
        _decode.validity(fields, self.index, bits.address)
        return bits.slice(), count

    def _settle(self, outcome: _Outcome, block: Block, width: int | None = None) -> int:
        """Give the number of a loop that went well, else raise what its fault means."""
        row, code, number = outcome
        if not code:
            return number
        fault = Fault(code)
        raise self._error(fault, number, width, block.first_row + row + 1)

    def _error(self, fault: Fault, number: int, width: int | None, row: int) -> CopypumpError:
        name = self.column.name
        facts = {
            "pg": types.pg_type(self.column).name,
            "arrow": types.spelling(self.type),
            "column": name,
            "number": number,
            "precision": getattr(self.type, "precision", None),
            "scale": getattr(self.type, "scale", None),
        }
        if fault in _IMPOSSIBLE:
            message = _IMPOSSIBLE[fault].format(**facts)
            if fault == Fault.LENGTH and width is not None:
                message += f", expected {width}"
            return DecodeError(message, column=name, row=row)
        text, hint = _UNREPRESENTABLE[fault]
        return UnrepresentableError(text.format(**facts), column=name, row=row, hint=hint.format(**facts))


_Loop = Callable[[_decode.Fields, int, int], _Outcome]

# Wire forms of one width: bytes on the wire, bits in Arrow, and the loop.
_FIXED: dict[Kernel, tuple[int, int, _Loop]] = {
    Kernel.BOOL: (1, 1, _decode.booleans),
    Kernel.FIXED16: (2, 16, _decode.words16),
    Kernel.FIXED32: (4, 32, _decode.words32),
    Kernel.FIXED64: (8, 64, _decode.words64),
    Kernel.UUID: (16, 128, _decode.uuids),
    Kernel.DATE: (4, 32, _decode.dates),
    Kernel.TIME: (8, 64, _decode.times),
    Kernel.TIMESTAMP: (8, 64, _decode.timestamps),
}

# Wire forms of any length: the version byte in front (-1: none), and whether the rest is text.
_VARIABLE: dict[Kernel, tuple[int, bool]] = {
    Kernel.TEXT: (-1, True),
    Kernel.JSONB: (1, True),
    Kernel.BYTES: (-1, False),
}


@dataclass(frozen=True, slots=True)
class _Fixed(_Reader):
    """A wire form of one width, into one buffer of values."""

    width: int | None
    bits: int
    loop: _Loop

    def read(self, fields: _decode.Fields, block: Block) -> tuple[_Array, int]:
        rows = fields.rows
        validity, nulls = self._validity(fields)
        values = pa.allocate_buffer((rows * self.bits + 7) // 8)
        infinities = self._settle(self.loop(fields, self.index, values.address), block, self.width)
        return pa.Array.from_buffers(self.type, rows, [validity, values.slice()], nulls), infinities


@dataclass(frozen=True, slots=True)
class _Variable(_Reader):
    """A wire form of any length, into offsets and bytes."""

    version: int
    is_text: bool

    def read(self, fields: _decode.Fields, block: Block) -> tuple[_Array, int]:
        rows = fields.rows
        validity, nulls = self._validity(fields)
        offsets = pa.allocate_buffer(4 * (rows + 1))
        start = offsets.address
        size = self._settle(_decode.offsets(fields, self.index, self.version, start), block)
        data = pa.allocate_buffer(size)
        _decode.gather(fields, self.index, self.version, start, data.address)
        if self.is_text:
            self._settle(_decode.check_texts(start, rows, data.address), block)
        return pa.Array.from_buffers(self.type, rows, [validity, offsets.slice(), data.slice()], nulls), 0


@dataclass(frozen=True, slots=True)
class _NumericText(_Reader):
    """Numerics as the server would write them."""

    def read(self, fields: _decode.Fields, block: Block) -> tuple[_Array, int]:
        rows = fields.rows
        validity, nulls = self._validity(fields)
        offsets = pa.allocate_buffer(4 * (rows + 1))
        size = self._settle(_decode.numeric_offsets(fields, self.index, offsets.address), block)
        data = pa.allocate_buffer(size)
        _decode.numeric_texts(fields, self.index, offsets.address, data.address)
        return pa.Array.from_buffers(self.type, rows, [validity, offsets.slice(), data.slice()], nulls), 0


@dataclass(frozen=True, slots=True)
class _Interval(_Reader):
    """Intervals, into a struct of months, days and microseconds."""

    def read(self, fields: _decode.Fields, block: Block) -> tuple[_Array, int]:
        rows = fields.rows
        validity, nulls = self._validity(fields)
        parts = [pa.allocate_buffer(width * rows) for width in (4, 4, 8)]
        outcome = _decode.intervals(fields, self.index, *(part.address for part in parts))
        self._settle(outcome, block, 16)
        children = [
            pa.Array.from_buffers(part_type, rows, [None, part], 0)
            for part_type, part in zip((pa.int32(), pa.int32(), pa.int64()), parts, strict=True)
        ]
        return pa.Array.from_buffers(self.type, rows, [validity], nulls, children=children), 0


def _reader(column: Column, index: int, type_: pa.DataType) -> _Reader:
    """Choose a column's reader, for the whole stream."""
    kernel = types.kernel(column, type_)
    if kernel in _FIXED:
        width, bits, loop = _FIXED[kernel]
        return _Fixed(column, index, type_, width, bits, loop)
    if kernel in _VARIABLE:
        return _Variable(column, index, type_, *_VARIABLE[kernel])
    if kernel == Kernel.INTERVAL:
        return _Interval(column, index, type_)
    if not pa.types.is_decimal(type_):
        return _NumericText(column, index, type_)
    decimals = _decode.decimals128 if type_.bit_width == 128 else _decode.decimals256
    precision, scale = type_.precision, type_.scale

    def loop_decimals(fields: _decode.Fields, index: int, address: int) -> _Outcome:
        return decimals(fields, index, precision, scale, address)

    return _Fixed(column, index, type_, None, type_.bit_width, loop_decimals)


class Decoder:
    """Reads columns of one stream's blocks.

    `columns` are all fields of a wire row, in order; `read` are the places (from 0) of those to decode, in
    the order in which the batch has them (None: all). `types` gives the user's choice of Arrow type by column
    name. With `row_index`, an int32 column ROW_INDEX comes last: 0, 1, 2 ... within each block.

    `schema` is what every batch has. `warnings` counts, by text, what was kept but may be misread.
    Raises RefusedError where a column cannot become the type chosen for it.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        read: Sequence[int] | None = None,
        types: Mapping[str, pa.DataType] = MappingProxyType({}),
        row_index: bool = False,
    ) -> None:
        self.warnings: Counter[str] = Counter()
        self._columns = len(columns)
        self._row_index = row_index
        self._counted: _Array = pa.array([], pa.int32())
        self._readers: list[_Reader] = []
        fields: list[pa.Field[pa.DataType]] = []
        for index in range(len(columns)) if read is None else read:
            column = columns[index]
            if row_index and column.name == ROW_INDEX:
                raise RefusedError("the name is taken by copypump's own column", column=column.name)
            field = arrow_field(column, types.get(column.name))
            fields.append(field)
            self._readers.append(_reader(column, index, field.type))
        if row_index:
            fields.append(pa.field(ROW_INDEX, pa.int32(), nullable=False))
        self.schema = pa.schema(fields)

    def decode(self, block: Block) -> pa.RecordBatch:
        """Decode a block that was framed with positions, into a batch of as many rows.

        Raises DecodeError where a field is impossible for its type, UnrepresentableError where Arrow has no
        place for a valid value; both name the column and its row in the stream.
        """
        if block.columns != self._columns:
            raise ValueError(f"a block of {block.columns} columns, expected {self._columns}")
        fields = _decode.Fields(block)
        arrays = []
        for reader in self._readers:
            array, infinities = reader.read(fields, block)
            arrays.append(array)
            if infinities:
                self._warn(reader.column, infinities)
        if self._row_index:
            arrays.append(self._count(block.rows))
        if not arrays:
            # A batch without columns still has rows, which from_arrays cannot know.
            bare: Any = pa.Array.from_buffers(pa.struct([]), block.rows, [None], 0)
            return pa.RecordBatch.from_struct_array(bare)
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _warn(self, column: Column, infinities: int) -> None:
        text = f'column "{column.name}": infinity kept as the largest or smallest integer'
        self.warnings[text] += infinities

    def _count(self, rows: int) -> _Array:
        """Give 0..rows-1, a slice of the longest that was ever needed."""
        if len(self._counted) < rows:
            values = pa.allocate_buffer(4 * rows)
            _decode.count_up(rows, values.address)
            self._counted = pa.Array.from_buffers(pa.int32(), rows, [None, values.slice()], 0)
        return self._counted.slice(0, rows)
