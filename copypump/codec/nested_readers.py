"""Readers of values that hold values: each finds what stands within, and has other readers read that."""

from __future__ import annotations

import bisect
from array import array

import pyarrow as pa

from copypump.codec import _decode_nested, _decode_vectors, types
from copypump.codec._fields import Fields
from copypump.codec.column import Column
from copypump.codec.faults import Fault, Found
from copypump.codec.readers import AnyArray, Choice, Reader, leaf_reader, text_reader
from copypump.codec.types import Kernel


class _List(Reader):
    """Arrays of one dimension, into lists."""

    item: Reader

    def read(self, fields: Fields, index: int) -> AnyArray:
        offsets = pa.allocate_buffer(4 * (fields.rows + 1))
        oid = self.item.column.type.oid
        count = self._persist(
            fields,
            index,
            lambda start: _decode_nested.count_items(fields, index, oid, offsets.address, start),
        )
        places = pa.allocate_buffer(4 * count)
        self._settle(_decode_nested.items(fields, index, offsets.address, places.address))
        items = _read_within(self.item, fields.inside(places, 1, count), 0, "an element", offsets)
        return self._array(fields, index, offsets, children=[items])


class _Shaped(Reader):
    """Arrays of any shape, into structs of their sizes, lower bounds and elements."""

    item: Reader

    def read(self, fields: Fields, index: int) -> AnyArray:
        rows = fields.rows
        dimensions, offsets = pa.allocate_buffer(4 * (rows + 1)), pa.allocate_buffer(4 * (rows + 1))
        oid = self.item.column.type.oid
        count = self._settle(
            _decode_nested.count_nd_items(fields, index, oid, dimensions.address, offsets.address)
        )
        size = memoryview(dimensions).cast("i")[rows]
        numbers = [pa.allocate_buffer(4 * size) for _ in range(2)]
        _decode_nested.nd_shapes(fields, index, dimensions.address, *(n.address for n in numbers))
        places = pa.allocate_buffer(4 * count)
        self._settle(_decode_nested.items(fields, index, offsets.address, places.address))
        items = _read_within(self.item, fields.inside(places, 1, count), 0, "an element", offsets)
        assert isinstance(self.type, pa.StructType)
        inner: list[AnyArray] = [
            pa.Array.from_buffers(pa.int32(), size, [None, buffer], 0) for buffer in numbers
        ]
        children = [
            pa.Array.from_buffers(part.type, rows, [None, starts], 0, children=[values])
            for part, starts, values in zip(
                self.type, (dimensions, dimensions, offsets), (*inner, items), strict=True
            )
        ]
        return self._array(fields, index, children=children)


class _Composite(Reader):
    """Composites, into structs."""

    attributes: tuple[Reader, ...]
    oids: array[int]

    @property
    def row_bytes(self) -> int:
        return 4 + sum(reader.row_bytes for reader in self.attributes)

    def read(self, fields: Fields, index: int) -> AnyArray:
        rows, count = fields.rows, len(self.attributes)
        places = pa.allocate_buffer(4 * rows * count)
        self._settle(_decode_nested.attributes(fields, index, self.oids, places.address))
        inner = fields.inside(places, count, rows)
        children = [
            _read_within(reader, inner, at, f'attribute "{reader.column.name}"')
            for at, reader in enumerate(self.attributes)
        ]
        return self._array(fields, index, children=children)


class _Range(Reader):
    """Ranges, into structs of their bounds and flags."""

    bound: Reader

    @property
    def row_bytes(self) -> int:
        return 5 + 2 * self.bound.row_bytes

    def read(self, fields: Fields, index: int) -> AnyArray:
        rows = fields.rows
        flags, places = pa.allocate_buffer(rows), pa.allocate_buffer(8 * rows)
        self._settle(_decode_nested.bounds(fields, index, flags.address, places.address))
        inner = fields.inside(places, 2, rows)
        children = [
            _read_within(self.bound, inner, at, f"the {which} bound")
            for at, which in enumerate(("lower", "upper"))
        ]
        children.append(pa.Array.from_buffers(pa.uint8(), rows, [None, flags], 0))
        return self._array(fields, index, children=children)


class _Multirange(Reader):
    """Multiranges, into lists of ranges."""

    range: Reader

    def read(self, fields: Fields, index: int) -> AnyArray:
        offsets = pa.allocate_buffer(4 * (fields.rows + 1))
        count = self._settle(_decode_nested.count_parts(fields, index, 5, offsets.address))
        places = pa.allocate_buffer(4 * count)
        self._settle(_decode_nested.parts(fields, index, 1, offsets.address, places.address))
        ranges = _read_within(self.range, fields.inside(places, 1, count), 0, "a range", offsets)
        return self._array(fields, index, offsets, children=[ranges])


class _Pairs(Reader):
    """An hstore's keys and values, into a map."""

    key: Reader
    value: Reader

    def read(self, fields: Fields, index: int) -> AnyArray:
        offsets = pa.allocate_buffer(4 * (fields.rows + 1))
        count = self._settle(_decode_nested.count_parts(fields, index, 8, offsets.address))
        places = pa.allocate_buffer(8 * count)
        self._settle(_decode_nested.parts(fields, index, 2, offsets.address, places.address))
        inner = fields.inside(places, 2, count)
        pairs = [
            _read_within(self.key, inner, 0, "a key", offsets),
            _read_within(self.value, inner, 1, "a value", offsets),
        ]
        assert isinstance(self.type, pa.MapType)
        entry = pa.struct([self.type.key_field, self.type.item_field])
        entries: AnyArray = pa.Array.from_buffers(entry, count, [None], 0, children=pairs)
        return self._array(fields, index, offsets, children=[entries])


class _Vector(Reader):
    """Vectors of any number of dimensions, into lists of floats."""

    def read(self, fields: Fields, index: int) -> AnyArray:
        rows = fields.rows
        offsets = pa.allocate_buffer(4 * (rows + 1))
        count = self._settle(_decode_vectors.count_dimensions(fields, index, offsets.address))
        floats = pa.allocate_buffer(4 * count)
        _decode_vectors.vectors(fields, index, offsets.address, floats.address)
        return self._array(fields, index, offsets, children=[_floats(floats)])


class _FixedVector(Reader):
    """Vectors of one number of dimensions; a NULL takes as many floats in Arrow as any other."""

    dimensions: int

    @property
    def row_bytes(self) -> int:
        return 4 + 4 * self.dimensions

    def read(self, fields: Fields, index: int) -> AnyArray:
        most = _MAX_FLOATS // self.dimensions
        if fields.rows > most:  # of elements, that is: a block has fewer rows, by row_bytes
            self._settle((most, Fault.TOO_MUCH, 0))
        floats = pa.allocate_buffer(4 * self.dimensions * fields.rows)
        outcome = _decode_vectors.fixed_vectors(fields, index, self.dimensions, floats.address)
        self._settle(outcome, 4 + 4 * self.dimensions)
        return self._array(fields, index, children=[_floats(floats)])


# Of one array: 2 GiB of them.
_MAX_FLOATS = 1 << 29


def _floats(buffer: pa.Buffer) -> AnyArray:
    floats: AnyArray = pa.Array.from_buffers(pa.float32(), buffer.size // 4, [None, buffer.slice()], 0)
    return floats


def _vector_reader(column: Column, type_: pa.DataType, choice: Choice) -> Reader:
    if isinstance(type_, pa.FixedSizeListType):
        return _FixedVector(column, type_, choice, type_.list_size)
    return _Vector(column, type_, choice)


def _read_within(
    reader: Reader, fields: Fields, index: int, place: str, offsets: pa.Buffer | None = None
) -> AnyArray:
    """Read what stands within values; `offsets` tell whose it is, where a value holds any number."""
    try:
        return reader.read(fields, index)
    except Found as found:
        row = found.row
        if offsets is not None:
            row = bisect.bisect_right(memoryview(offsets).cast("i"), row) - 1
        raise found.inside(place, row) from None


def make_reader(column: Column, type_: pa.DataType, choice: Choice) -> Reader:
    """Choose a column's reader, for the whole stream; `type_` is one that `types.arrow_type` gives."""
    leaf = leaf_reader(column, type_, choice)
    if leaf is not None:
        return leaf
    kernel = types.kernel(column, type_)
    of = (column, type_, choice)
    if kernel is Kernel.HSTORE:
        assert isinstance(type_, pa.MapType)
        return _Pairs(
            *of, text_reader(column, type_.key_type, choice), text_reader(column, type_.item_type, choice)
        )
    if kernel is Kernel.VECTOR:
        return _vector_reader(column, type_, choice)
    children = column.children
    inner = [make_reader(child, types.arrow_type(child), choice) for child in children]
    if kernel is Kernel.COMPOSITE:
        return _Composite(*of, tuple(inner), array("I", [child.type.oid for child in children]))
    if kernel is Kernel.ARRAY:
        return _Shaped(*of, *inner) if pa.types.is_struct(type_) else _List(*of, *inner)
    return _Range(*of, *inner) if kernel is Kernel.RANGE else _Multirange(*of, *inner)
