"""Blocks of wire rows to `pa.RecordBatch`: one reader a column, made once a stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from copypump.codec import _decode, _decode_tiles
from copypump.codec._fields import Fields
from copypump.codec.column import Column
from copypump.codec.faults import Found
from copypump.codec.framing import Block
from copypump.codec.nested_readers import make_reader
from copypump.codec.policy import Policy
from copypump.codec.readers import AnyArray, Choice, Reader
from copypump.codec.types import field as arrow_field
from copypump.errors import RefusedError

ROW_INDEX = "__copypump_row"

# What the rows of one block may take in Arrow if all of their values are NULL.
MAX_EMPTY_BYTES = 64 << 20

_INT32_MAX = (1 << 31) - 1


class Decoder:
    """Reads columns of one stream's blocks.

    `columns` are all fields of a wire row, in order; `read` are the places (from 0) of those to decode, in
    the order in which the batch has them (None: all). `types` gives the user's choice of Arrow type by column
    name, `policies` what becomes of values that have no place there. With `row_index`, an int32 column
    ROW_INDEX comes last, which numbers the rows on from block to block (and from 0 again where int32 ends):
    so a row that turns up beside another block than its own is known.

    `schema` is what every batch has. `warnings` counts, by text, what was kept but may be misread, and what
    became NULL. Raises RefusedError where a column cannot become the type chosen for it.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        read: Sequence[int] | None = None,
        types: Mapping[str, pa.DataType] = MappingProxyType({}),
        policies: Mapping[str, Policy] = MappingProxyType({}),
        row_index: bool = False,
    ) -> None:
        self.warnings: Counter[str] = Counter()
        self._columns = len(columns)
        self._row_index = row_index
        self._counted = 0
        self._readers: list[tuple[int, Reader]] = []
        fields: list[pa.Field[pa.DataType]] = []
        for index in range(len(columns)) if read is None else read:
            column = columns[index]
            if row_index and column.name == ROW_INDEX:
                raise RefusedError("the name is taken by copypump's own column", column=column.name)
            field = arrow_field(column, types.get(column.name))
            policy = policies.get(column.name)
            fields.append(field.with_nullable(True) if policy is Policy.NULL else field)
            choice = Choice(column.name, policy, self.warnings)
            self._readers.append((index, make_reader(column, field.type, choice)))
        self._tiled = [
            place for place, (_, reader) in enumerate(self._readers) if reader.tile_form is not None
        ]
        if row_index:
            fields.append(pa.field(ROW_INDEX, pa.int32(), nullable=False))
        self.schema = pa.schema(fields)

    def most_rows(self, wanted: int) -> int:
        """Give how many rows a block should have at the most, if `wanted` or fewer may be.

        A NULL composite of many attributes is four bytes on the wire, and a NULL of each in Arrow.
        """
        row_bytes = sum(reader.row_bytes for _, reader in self._readers)
        return max(1, min(wanted, MAX_EMPTY_BYTES // max(1, row_bytes)))

    def decode(self, block: Block) -> pa.RecordBatch:
        """Decode a block that was framed with positions, into a batch of as many rows.

        Raises DecodeError where a field is impossible for its type, UnrepresentableError where Arrow has no
        place for a valid value; both name the column and its row in the stream.
        """
        if block.columns != self._columns:
            raise ValueError(f"a block of {block.columns} columns, expected {self._columns}")
        fields = Fields(block)
        together = self._read_together(fields)
        arrays = []
        for place, (index, reader) in enumerate(self._readers):
            buffers = together.get(place)
            try:
                if buffers is None:
                    arrays.append(reader.read(fields, index))
                else:
                    arrays.append(reader.finish(fields, index, buffers))
            except Found as found:
                raise found.error(reader.column.name, block.first_row) from None
        if self._row_index:
            arrays.append(self._count(block.rows))
        if not arrays:
            # A batch without columns still has rows, which from_arrays cannot know.
            bare: Any = pa.Array.from_buffers(pa.struct([]), block.rows, [None], 0)
            return pa.RecordBatch.from_struct_array(bare)
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _read_together(self, fields: Fields) -> dict[int, list[pa.Buffer]]:
        """Read the usual columns tile by tile; the filled buffers of those that held usual values only."""
        if len(self._tiled) < 2:
            return {}  # as fast on its own
        columns, filled = [], {}
        for place in self._tiled:
            index, reader = self._readers[place]
            column, filled[place] = reader.begin(fields, index)
            columns.append(column)
        for place, whole in zip(self._tiled, _decode_tiles.read(fields, columns), strict=True):
            if not whole:
                del filled[place]
        return filled

    def _count(self, rows: int) -> AnyArray:
        """Give the next numbers."""
        first = self._counted if self._counted + rows <= _INT32_MAX else 0
        values = pa.allocate_buffer(4 * rows)
        _decode.count_up(first, rows, values.address)
        self._counted = first + rows
        return pa.Array.from_buffers(pa.int32(), rows, [None, values.slice()], 0)
