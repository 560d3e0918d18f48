"""How the fields of one column become one Arrow array: a reader each, made once a stream.

A reader is chosen by a column's row in `types.TYPES` and the Arrow type that it goes to. All memory is
allocated here and in nested_readers.py, by pyarrow, in exact sizes; the native loops fill it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import pyarrow as pa
from msgspec import Struct

from copypump.codec import _decode, _decode_moments, _decode_numbers, _decode_tiles, _fields, types
from copypump.codec._fields import Fields
from copypump.codec.column import Column
from copypump.codec.faults import UNREPRESENTABLE, Fault, Found
from copypump.codec.policy import Policy
from copypump.codec.registry import Converter
from copypump.codec.spelling import is_opaque
from copypump.codec.types import Kernel

AnyArray: TypeAlias = "pa.Array[Any]"
_Outcome: TypeAlias = tuple[int, int, int]  # row, fault, number; see _decode.pyi


class Choice(Struct, frozen=True):
    """What the user wants of a column's odd values, and where their warnings are counted."""

    column: str
    policy: Policy | None
    warnings: Counter[str]

    @property
    def keeps_infinity(self) -> bool:
        """Whether infinite dates and timestamps stay."""
        return self.policy in (None, Policy.KEEP)

    @property
    def keeps_midnight(self) -> bool:
        """Whether 24:00:00 stays."""
        return self.policy is Policy.KEEP

    def count(self, what: str, number: int = 1) -> None:
        """Count a warning."""
        if number:
            self.warnings[f'column "{self.column}": {what}'] += number


class Reader(Struct, eq=False):
    """One column's way into Arrow: `type` is what its arrays are.

    No reader is compared.
    """

    column: Column
    type: pa.DataType
    choice: Choice

    def read(self, fields: Fields, index: int) -> AnyArray:
        """Give the array of column `index`; raises Found."""
        raise NotImplementedError

    @property
    def tile_form(self) -> int | None:
        """How _decode_tiles reads the usual values; None where it does not."""
        return None

    def begin(self, fields: Fields, index: int) -> tuple[_decode_tiles.Begun, list[pa.Buffer]]:
        """Give what _decode_tiles is to read, and the buffers that it fills; only where it has a form."""
        assert self.tile_form is not None
        values = pa.allocate_buffer(fields.rows * self.type.bit_width // 8)
        return (self.tile_form, index, values.address, 0, 0, 0), [values]

    def finish(self, fields: Fields, index: int, buffers: list[pa.Buffer]) -> AnyArray:
        """Give the array of a column that was begun, and read."""
        return self._array(fields, index, *buffers)

    @property
    def row_bytes(self) -> int:
        """The bytes that a row takes in Arrow at the least, with what it takes to find them."""
        return 4 + max(1, self.type.bit_width // 8 if pa.types.is_primitive(self.type) else 8)

    def _validity(self, fields: Fields, index: int) -> tuple[pa.Buffer | None, int]:
        """Give the validity bitmap, none where there are no NULLs, and how many there are."""
        count = _fields.nulls(fields, index)
        if not count:
            return None, 0
        bits = pa.allocate_buffer((fields.rows + 7) // 8)
        _fields.validity(fields, index, bits.address)
        return bits.slice(), count

    def _settle(self, outcome: _Outcome, width: int | None = None) -> int:
        """Give the number of a loop that went well, else raise its fault."""
        row, code, number = outcome
        if code:
            raise Found(Fault(code), row, number, self.column, self.type, width)
        return number

    def _persist(
        self, fields: Fields, index: int, loop: Callable[[int], _Outcome], width: int | None = None
    ) -> int:
        """Run a loop that can begin at any row; over unrepresentable values, if the user wants them NULL."""
        start = 0
        while True:
            outcome = row, code, _ = loop(start)
            if not code or self.choice.policy is not Policy.NULL or Fault(code) not in UNREPRESENTABLE:
                return self._settle(outcome, width)
            fields.forget(index, row)
            self.choice.count("values that Arrow cannot hold became NULL")
            start = row

    def _array(self, fields: Fields, index: int, *buffers: pa.Buffer, **more: Any) -> AnyArray:
        """Put an array together, with its NULLs as they are now."""
        validity, nulls = self._validity(fields, index)
        # Slices, which nobody can write to: an array that a transform hands on is known by its memory.
        values = [buffer.slice() for buffer in buffers]
        return pa.Array.from_buffers(self.type, fields.rows, [validity, *values], nulls, **more)


_Loop = Callable[[Fields, int, int], _Outcome]

# Wire forms of one width: bytes on the wire, bits in Arrow, and the loop.
_FIXED: dict[Kernel, tuple[int, int, _Loop]] = {
    Kernel.BOOL: (1, 1, _decode.booleans),
    Kernel.FIXED8: (1, 8, _decode.words8),
    Kernel.FIXED16: (2, 16, _decode.words16),
    Kernel.FIXED32: (4, 32, _decode.words32),
    Kernel.FIXED64: (8, 64, _decode.words64),
    Kernel.UUID: (16, 128, _decode.uuids),
}

# Wire forms of any length: the version byte in front (-1: none), and whether the rest is text.
_VARIABLE: dict[Kernel, tuple[int, bool]] = {
    Kernel.TEXT: (-1, True),
    Kernel.JSONB: (1, True),
    Kernel.BYTES: (-1, False),
}


_TILED_WORDS = {32: _decode_tiles.WORD32, 64: _decode_tiles.WORD64}


class _Fixed(Reader):
    """A wire form of one width, into one buffer of values."""

    width: int
    bits: int
    loop: _Loop

    @property
    def tile_form(self) -> int | None:
        """The two usual widths."""
        return _TILED_WORDS.get(self.bits)

    def read(self, fields: Fields, index: int) -> AnyArray:
        values = pa.allocate_buffer((fields.rows * self.bits + 7) // 8)
        self._settle(self.loop(fields, index, values.address), self.width)
        return self._array(fields, index, values)


class Variable(Reader):
    """A wire form of any length, into offsets and bytes."""

    version: int
    is_text: bool

    @property
    def tile_form(self) -> int | None:
        """All that have no version byte."""
        return _decode_tiles.PIECE if self.version < 0 else None

    def begin(self, fields: Fields, index: int) -> tuple[_decode_tiles.Begun, list[pa.Buffer]]:
        """Measure the fields first."""
        offsets, data = self._measured(fields, index)
        return (_decode_tiles.PIECE, index, data.address, offsets.address, 0, 0), [offsets, data]

    def finish(self, fields: Fields, index: int, buffers: list[pa.Buffer]) -> AnyArray:
        """Check texts."""
        offsets, data = buffers
        if self.is_text:
            self._settle(_decode.check_texts(offsets.address, fields.rows, data.address))
        return self._array(fields, index, offsets, data)

    def read(self, fields: Fields, index: int) -> AnyArray:
        """Give the array of column `index`."""
        offsets, data = self._measured(fields, index)
        _decode.gather(fields, index, 1 if self.version >= 0 else 0, offsets.address, data.address)
        return self.finish(fields, index, [offsets, data])

    def _measured(self, fields: Fields, index: int) -> tuple[pa.Buffer, pa.Buffer]:
        """Give offsets, and room for as many bytes."""
        offsets = pa.allocate_buffer(4 * (fields.rows + 1))
        size = self._settle(_decode.offsets(fields, index, self.version, offsets.address))
        return offsets, pa.allocate_buffer(size)


class _Converted(Reader):
    """A type of the user's own: its wire bytes, given to what was registered for it."""

    wire: Variable
    converter: Converter

    def read(self, fields: Fields, index: int) -> AnyArray:
        made: Any = self.wire.read(fields, index)
        return self.converter.from_wire(made, self.type, self.column.name)


class _Moments(Reader):
    """Dates, times and timestamps: words, of which some are kept or not."""

    width: int
    loop: Callable[[Fields, int, int, int, bool], _Outcome]
    form: int | None = None

    @property
    def tile_form(self) -> int | None:
        """Those of dates and timestamps."""
        return self.form

    def read(self, fields: Fields, index: int) -> AnyArray:
        values = pa.allocate_buffer(fields.rows * self.width)
        is_time = pa.types.is_time(self.type)
        keep = self.choice.keeps_midnight if is_time else self.choice.keeps_infinity
        kept = self._persist(
            fields, index, lambda start: self.loop(fields, index, values.address, start, keep), self.width
        )
        self.choice.count(_MIDNIGHT if is_time else _INFINITY, kept)
        return self._array(fields, index, values)


_INFINITY = "infinity kept as the largest or smallest integer"
_MIDNIGHT = "24:00:00 kept as 86,400,000,000 microseconds"


class _Sparse(Reader):
    """Values of one width, not all of which have a place in Arrow."""

    bytes: int
    width: int | None
    loop: Callable[[Fields, int, int, int], _Outcome]

    @property
    def tile_form(self) -> int | None:
        """That of decimals of up to 38 digits."""
        return _decode_tiles.DECIMAL128 if pa.types.is_decimal128(self.type) else None

    def begin(self, fields: Fields, index: int) -> tuple[_decode_tiles.Begun, list[pa.Buffer]]:
        """Tell precision and scale."""
        assert isinstance(self.type, pa.Decimal128Type)
        values = pa.allocate_buffer(fields.rows * self.bytes)
        form = _decode_tiles.DECIMAL128
        return (form, index, values.address, 0, self.type.precision, self.type.scale), [values]

    def read(self, fields: Fields, index: int) -> AnyArray:
        values = pa.allocate_buffer(fields.rows * self.bytes)
        loop = self.loop
        self._persist(fields, index, lambda start: loop(fields, index, values.address, start), self.width)
        return self._array(fields, index, values)


class _NumericText(Reader):
    """Numerics as the server would write them."""

    def read(self, fields: Fields, index: int) -> AnyArray:
        offsets = pa.allocate_buffer(4 * (fields.rows + 1))
        room = self._settle(_decode_numbers.numeric_room(fields, index))
        data = pa.allocate_buffer(room, None, resizable=True)
        outcome = _decode_numbers.numeric_texts(fields, index, offsets.address, data.address)
        data.resize(self._settle(outcome))
        return self._array(fields, index, offsets, data)


class _Interval(Reader):
    """Intervals, into a struct of months, days and microseconds."""

    def read(self, fields: Fields, index: int) -> AnyArray:
        parts = [pa.allocate_buffer(width * fields.rows) for width in (4, 4, 8)]
        outcome = _decode_moments.intervals(fields, index, *(part.address for part in parts))
        self._settle(outcome, 16)
        return self._array(fields, index, children=_children(self.type, fields.rows, parts))


class _ZonedTime(Reader):
    """Times with their offset, into a struct of both."""

    def read(self, fields: Fields, index: int) -> AnyArray:
        times, offsets = pa.allocate_buffer(8 * fields.rows), pa.allocate_buffer(4 * fields.rows)
        keep = self.choice.keeps_midnight
        kept = self._persist(
            fields,
            index,
            lambda start: _decode_moments.zoned_times(
                fields, index, times.address, offsets.address, start, keep
            ),
            12,
        )
        self.choice.count(_MIDNIGHT, kept)
        return self._array(fields, index, children=_children(self.type, fields.rows, [times, offsets]))


class _Bits(Reader):
    """Bit strings, into a struct of their length in bits, and their bytes."""

    def read(self, fields: Fields, index: int) -> AnyArray:
        rows = fields.rows
        counts, offsets = pa.allocate_buffer(4 * rows), pa.allocate_buffer(4 * (rows + 1))
        size = self._settle(_decode.bit_strings(fields, index, counts.address, offsets.address))
        data = pa.allocate_buffer(size)
        _decode.gather(fields, index, 4, offsets.address, data.address)
        _decode.clear_unused_bits(rows, counts.address, offsets.address, data.address)
        children = [
            pa.Array.from_buffers(pa.int32(), rows, [None, counts], 0),
            pa.Array.from_buffers(pa.binary(), rows, [None, offsets, data], 0),
        ]
        return self._array(fields, index, children=children)


class _Enum(Reader):
    """Labels, into a dictionary of all that the type has, in the type's order."""

    labels: _decode.Labels
    dictionary: AnyArray

    def read(self, fields: Fields, index: int) -> AnyArray:
        places = pa.allocate_buffer(4 * fields.rows)
        self._persist(
            fields, index, lambda start: _decode.labels(fields, index, self.labels, places.address, start)
        )
        validity, nulls = self._validity(fields, index)
        made: AnyArray = pa.DictionaryArray.from_buffers(
            self.type, fields.rows, [validity, places], self.dictionary, nulls
        )
        return made


def _children(type_: pa.DataType, rows: int, parts: list[pa.Buffer]) -> list[AnyArray]:
    """Give the arrays of a struct whose parts are words without NULLs."""
    assert isinstance(type_, pa.StructType)
    return [
        pa.Array.from_buffers(part.type, rows, [None, buffer], 0)
        for part, buffer in zip(type_, parts, strict=True)
    ]


def leaf_reader(column: Column, type_: pa.DataType, choice: Choice) -> Reader | None:
    """Choose the reader of values that hold no others; None where they do."""
    kernel = types.kernel(column, type_)
    of = (column, type_, choice)
    if kernel in _FIXED:
        return _Fixed(*of, *_FIXED[kernel])
    converter = types.pg_type(column).converter
    if converter is not None and not is_opaque(type_):
        wire = Variable(column, pa.binary(), choice, *_VARIABLE[Kernel.BYTES])
        return _Converted(*of, wire, converter)
    if kernel in _VARIABLE:
        return Variable(*of, *_VARIABLE[kernel])
    make = _MAKERS.get(kernel)
    return make(column, type_, choice) if make is not None else None


def text_reader(column: Column, type_: pa.DataType, choice: Choice) -> Reader:
    """Give the reader of plain text."""
    return Variable(column, type_, choice, *_VARIABLE[Kernel.TEXT])


def _enum_reader(column: Column, type_: pa.DataType, choice: Choice) -> Reader:
    if not isinstance(type_, pa.DictionaryType):
        return text_reader(column, type_, choice)
    names = column.wire_type.names
    return _Enum(column, type_, choice, _decode.Labels(names), pa.array(names, type_.value_type))


def _numeric_reader(column: Column, type_: pa.DataType, choice: Choice) -> Reader:
    if pa.types.is_floating(type_):
        return _Sparse(column, type_, choice, 8, None, _decode_numbers.doubles)
    if not pa.types.is_decimal(type_):
        return _NumericText(column, type_, choice)
    decimals = _decode_numbers.decimals128 if type_.bit_width == 128 else _decode_numbers.decimals256
    precision, scale = type_.precision, type_.scale

    def loop(fields: Fields, index: int, address: int, start: int) -> _Outcome:
        return decimals(fields, index, precision, scale, address, start)

    return _Sparse(column, type_, choice, type_.bit_width // 8, None, loop)


def _interval_reader(column: Column, type_: pa.DataType, choice: Choice) -> Reader:
    if pa.types.is_struct(type_):
        return _Interval(column, type_, choice)
    return _Sparse(column, type_, choice, 16, 16, _decode_moments.nano_intervals)


_MAKERS: dict[Kernel, Callable[[Column, pa.DataType, Choice], Reader]] = {
    Kernel.DATE: partial(_Moments, width=4, loop=_decode_moments.dates, form=_decode_tiles.DATE),
    Kernel.TIME: partial(_Moments, width=8, loop=_decode_moments.times),
    Kernel.TIMESTAMP: partial(
        _Moments, width=8, loop=_decode_moments.timestamps, form=_decode_tiles.TIMESTAMP
    ),
    Kernel.TIMETZ: _ZonedTime,
    Kernel.INTERVAL: _interval_reader,
    Kernel.BITS: _Bits,
    Kernel.ENUM: _enum_reader,
    Kernel.NUMERIC: _numeric_reader,
}
