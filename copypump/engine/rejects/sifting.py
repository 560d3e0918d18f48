"""Finds the bad rows among many that were tried at once, and shows rows as they came from the source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import pyarrow as pa
from msgspec.structs import replace

from copypump.codec.column import Column
from copypump.codec.decoder import ROW_INDEX, Decoder
from copypump.codec.encoder import EncodedColumn, Encoder
from copypump.codec.framing import HEADER, TRAILER, Block, Framer
from copypump.codec.policy import Policy
from copypump.codec.spelling import parse_arrow_type
from copypump.engine.rejects.record import rows_of
from copypump.errors import CastError, UnrepresentableError

T = TypeVar("T")

# What is about one value, and so about one row.
OF_VALUES = (CastError, UnrepresentableError)

# Rows that are tried at once where more have failed: a try costs some 50 us however few they are, and at 1%
# bad rows two or three of so many fail.
_TOGETHER = 256

_OPAQUE = "opaque"


def sift(
    rows: int,
    attempt: Callable[[int, int], T],
    place: Callable[[CastError | UnrepresentableError], int | None],
    refuse: Callable[[int, CastError | UnrepresentableError], None],
) -> Iterator[T]:
    """Do something with rows 0 to `rows`, all at once or, where that fails, without the bad ones.

    Args:
        rows: how many there are.
        attempt: does it for the rows from one number up to, and without, another.
        place: the row that an error of the last attempt is about, counted from that attempt's first; None
            where it does not tell.
        refuse: is given each bad row, in order.

    """
    left = [(0, rows)]
    whole = True
    while left:
        low, high = left.pop()
        try:
            yield attempt(low, high)
        except OF_VALUES as error:
            if high - low == 1:
                refuse(low, error)
                continue
            if whole and rows > _TOGETHER:
                left += [(i, min(i + _TOGETHER, rows)) for i in range(0, rows, _TOGETHER)][::-1]
            else:
                told = place(error)
                at = (low + high) // 2 if told is None or not 0 <= told < high - low else low + told
                left += [(a, b) for a, b in ((at + 1, high), (at, at + 1), (low, at)) if a < b]
        whole = False


def part_of(block: Block, low: int, high: int) -> Block:
    """Rows of a block, as a block that has the same bytes below it."""
    assert block.positions is not None
    rows = high - low
    positions = pa.allocate_buffer(4 * block.columns * rows)
    old, new = memoryview(block.positions), memoryview(positions)
    for column in range(block.columns):
        at = 4 * (column * block.stride + low)
        new[4 * column * rows : 4 * (column + 1) * rows] = old[at : at + 4 * rows]
    return replace(block, rows=rows, first_row=block.first_row + low, positions=positions, stride=rows)


class InputRows:
    """Shows rows of a source's blocks, in one thread: all of their columns, whatever a transform reads."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = tuple(columns)
        self._policies = {column.name: Policy.KEEP for column in columns}
        self._types: dict[str, pa.DataType] = {}
        self._copier = Encoder(
            [
                EncodedColumn(replace(column, not_null=False), None, index)
                for index, column in enumerate(columns)
            ]
        )

    def show(self, block: Block | None, batch: pa.RecordBatch, places: pa.Array[Any]) -> list[dict[str, Any]]:
        """The rows at some places of a block, or of the batch where there is none, as JSON takes them."""
        if block is None:
            names = [name for name in batch.schema.names if name != ROW_INDEX]
            return rows_of(batch.take(places).select(names))
        wire = self._copier.encode(
            [None] * len(self._columns),
            len(places),
            block=block,
            row_ids=places.cast(pa.int32()),
            first_row=0,
        )
        framer = Framer(len(self._columns), positions=True, batch_rows=max(1, len(places)))
        return [
            row for part in framer.feed(HEADER + bytes(wire) + TRAILER) for row in rows_of(self._decode(part))
        ]

    def _decode(self, block: Block) -> pa.RecordBatch:
        """A value without a place in its Arrow type is shown as its bytes, and so are all of its column."""
        while True:
            decoder = Decoder(self._columns, types=self._types, policies=self._policies)
            try:
                return decoder.decode(block)
            except UnrepresentableError as error:
                if error.column is None or error.column in self._types:
                    raise
                self._types[error.column] = parse_arrow_type(_OPAQUE)
                self._policies.pop(error.column, None)
