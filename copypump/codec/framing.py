"""Cuts a COPY BINARY stream into blocks of whole rows, and holds the stream to its format.

The Framer is fed the stream in any pieces, and every length on the wire is checked in its one native pass,
before anything is read or allocated by it. It knows no types and needs no pyarrow unless field positions are
asked for. Format: PostgreSQL's documentation of COPY, "Binary Format".
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from copypump.codec import _framing
from copypump.errors import DecodeError

if TYPE_CHECKING:
    import pyarrow as pa

SIGNATURE = b"PGCOPY\n\xff\r\n\0"
HEADER = SIGNATURE + bytes(4) + bytes(4)
TRAILER = b"\xff\xff"

# Flag bits 16 to 31 are critical: a reader that does not know one must stop. Bit 16 (oids) is gone since
# PostgreSQL 12.
CRITICAL_FLAGS = 0xFFFF0000
MAX_HEADER_EXTENSION = 1 << 20
MAX_ROW_BYTES = 1 << 30  # a server's own limit: MaxAllocSize of PostgreSQL's utils/memutils.h
MAX_COLUMNS = 1664  # MaxTupleAttributeNumber of PostgreSQL's access/htup_details.h
_INT32_MAX = (1 << 31) - 1


class Scan(enum.IntEnum):
    """How a native scan ended; the numbers are those of _framing.pyx."""

    FULL = 0
    MORE = 1
    TRAILER = 2
    BAD_COUNT = 3
    BAD_LENGTH = 4
    TOO_LONG = 5


class Block(Struct):
    """A run of whole rows, data[start:end], without header and trailer; nobody may change `data` any more.

    `first_row` counts from 0 in the stream. `positions`, where asked for, is a buffer of int32, one column
    after the other: positions[c * stride + r] is the offset from `start` of field c's data in row r, -1 for
    NULL; its length stands big-endian in the four bytes before. All of them were checked by the Framer.
    `lengths` is an int32 for each column: the length that all of its fields have, -1 if one may be NULL, -3
    if none is and their lengths may vary; None where nobody looked.
    """

    data: bytes | bytearray
    start: int
    end: int
    rows: int
    first_row: int
    columns: int
    positions: pa.Buffer | None = None
    stride: int = 0
    lengths: bytearray | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the rows, and of their positions."""
        return self.end - self.start + (4 * self.columns * self.rows if self.positions is not None else 0)


class Framer:
    """Turns the pieces of one stream into blocks of 1 to `batch_rows` rows.

    `columns` is how many fields each row must have. `rows` counts those given so far, `ended` tells that
    the trailer was seen. Raises DecodeError, naming row and byte of the stream, for whatever breaks the
    format; it is of no use after that.
    """

    def __init__(
        self, columns: int, *, positions: bool, batch_rows: int, max_row_bytes: int = MAX_ROW_BYTES
    ) -> None:
        if not 0 <= columns <= MAX_COLUMNS or batch_rows < 1 or not 0 < max_row_bytes <= _INT32_MAX:
            raise ValueError("columns, batch_rows or max_row_bytes is out of range")
        self.columns = columns
        self.rows = 0
        self.ended = False
        self._batch_rows = batch_rows
        self._max_row_bytes = max_row_bytes
        self._allocate = _allocator() if positions else None
        self._begun = False
        self._tail = bytearray()
        self._needed = 0  # bytes of the tail without which no further step is possible
        self._offset = 0  # of the next byte to look at, in the stream

    def feed(self, data: bytes | bytearray) -> list[Block]:
        """Take the next piece of the stream, cut anywhere; give the blocks of the rows that are whole now.

        Blocks point into `data` without a copy unless the piece before it ended within a row, so nobody may
        change `data` from now on. Part of a row is kept, at most `max_row_bytes`, until its rest comes.
        """
        if self._tail:
            self._tail += data
            if len(self._tail) < self._needed:
                return []
            data = self._tail
        at = 0 if self._begun else self._skip_header(data)
        blocks: list[Block] = []
        while self._begun and not self.ended and at < len(data):
            block, stop, more = self._next(data, at)
            self._offset += stop - at
            at = stop
            if block is not None:
                blocks.append(block)
            if more:
                break
        if self.ended and at < len(data):
            raise self._error(f"{len(data) - at:,} bytes follow the trailer")
        if at or data is not self._tail:
            self._tail = bytearray(memoryview(data)[at:])
            self._needed -= at
        return blocks

    def finish(self) -> None:
        """Hold the stream to its end: DecodeError unless the trailer was its last word."""
        if self.ended:
            return
        if not self._begun:
            raise self._error("the stream ended within its header")
        within = "within a row" if self._tail else "without its trailer"
        raise self._error(f"the stream ended {within}", row=self.rows + 1 if self._tail else None)

    def _skip_header(self, data: bytes | bytearray) -> int:
        """Check signature and flags, and give the length of the header; 0 while it is not whole."""
        if data[: len(SIGNATURE)] != SIGNATURE[: len(data)]:
            raise self._error("the stream does not start with the signature of COPY BINARY")
        if len(data) < len(HEADER):
            return 0
        flags = int.from_bytes(data[11:15], "big")
        extension = int.from_bytes(data[15:19], "big", signed=True)
        if flags & CRITICAL_FLAGS:
            raise self._error(f"the header has unknown critical flags {flags & CRITICAL_FLAGS:#010x}")
        if not 0 <= extension <= MAX_HEADER_EXTENSION:
            raise self._error(f"the header has an extension of {extension:,} bytes")
        self._needed = len(HEADER) + extension
        if len(data) < self._needed:
            return 0
        self._begun = True
        self._offset = self._needed
        return self._needed

    def _next(self, data: bytes | bytearray, at: int) -> tuple[Block | None, int, bool]:
        """Scan from `at`: a block if there is a whole row, where it stopped, whether bytes are missing."""
        end = min(len(data), at + _INT32_MAX)
        # As many rows as could be there, so that positions never outweigh the data.
        max_rows = max(1, min(self._batch_rows, (end - at) // (2 + 4 * self.columns)))
        # An odd number of cache lines a column keeps the columns out of each other's cache sets.
        stride = 16 * (-(-max_rows // 16) | 1) if self._allocate else 0
        positions = self._allocate(4 * self.columns * stride) if self._allocate else None
        lengths = bytearray(4 * self.columns) if self._allocate else None
        status, rows, stop, detail, field = _framing.scan(
            data,
            at,
            end,
            self.columns,
            max_rows,
            self._max_row_bytes,
            positions.address if positions is not None else 0,
            stride,
            lengths,
        )
        block = None
        if rows:
            block = Block(data, at, stop, rows, self.rows, self.columns, positions, stride, lengths)
            self.rows += rows
        if status > Scan.TRAILER:
            self._offset += stop - at
            raise self._fault(Scan(status), detail, field)
        if status == Scan.TRAILER:
            self.ended = True
            return block, stop + len(TRAILER), False
        self._needed = detail
        return block, stop, status == Scan.MORE and (end == len(data) or not rows)

    def _fault(self, status: Scan, detail: int, field: int) -> DecodeError:
        """Say what is wrong with the row that starts where the scan stopped."""
        if status == Scan.BAD_COUNT:
            message = f"a row of {detail} fields, expected {self.columns}"
        elif status == Scan.BAD_LENGTH:
            message = f"field {field + 1} has length {detail}"
        else:
            reached = min(field + 1, self.columns)
            message = f"the row is longer than {self._max_row_bytes:,} bytes at field {reached}"
        return self._error(message, row=self.rows + 1)

    def _error(self, message: str, row: int | None = None) -> DecodeError:
        return DecodeError(f"{message} (at byte {self._offset:,} of the stream)", row=row)


def _allocator() -> Callable[[int], pa.Buffer]:
    """Give Arrow's allocator: its pool keeps pages that the system would clear anew for each block."""
    import pyarrow as pa

    return pa.allocate_buffer
