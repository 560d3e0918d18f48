"""Each loop reads column `column` (from 0) of a block and fills buffers at the addresses that it is given.

A loop returns (row, fault, number): (-1, 0, number) when all is well, else the row in the block (from 0) of
the first field at fault, and a `decoder.Fault`; the number is then that field's length where the fault is
its length. Without a fault it is a count as told below. Every byte of a buffer is written, NULLs as zeros.
Sizes are in bytes, for `rows` rows; Arrow's buffers are aligned as the loops need.
"""

from collections.abc import Sequence

from copypump.codec._fields import Fields

def booleans(fields: Fields, column: int, bits: int) -> tuple[int, int, int]:
    """Wire bool into a bitmap of (rows + 7) // 8."""

def words8(fields: Fields, column: int, address: int) -> tuple[int, int, int]:
    """Bytes into rows."""

def words16(fields: Fields, column: int, address: int) -> tuple[int, int, int]:
    """Two-byte words into 2 * rows."""

def words32(fields: Fields, column: int, address: int) -> tuple[int, int, int]:
    """Four-byte words into 4 * rows."""

def words64(fields: Fields, column: int, address: int) -> tuple[int, int, int]:
    """Eight-byte words into 8 * rows."""

def uuids(fields: Fields, column: int, address: int) -> tuple[int, int, int]:
    """Sixteen bytes each into 16 * rows."""

def offsets(fields: Fields, column: int, version: int, address: int) -> tuple[int, int, int]:
    """Measure fields of any length, less the `version` byte that each must start with (-1: none).

    Offsets go into 4 * (rows + 1); the number is the size of all fields.
    """

def bit_strings(fields: Fields, column: int, bits: int, offsets: int) -> tuple[int, int, int]:
    """Measure bit strings: counts of bits into 4 * rows, offsets of their bytes into 4 * (rows + 1).

    The number is the size of all bytes; each field has its count in front, for `gather` to skip.
    """

def clear_unused_bits(rows: int, bits: int, offsets: int, address: int) -> None:
    """Zero the unused bits of bit strings that were gathered where `bit_strings` has measured them."""

def gather(fields: Fields, column: int, skip: int, offsets: int, address: int) -> None:
    """Copy fields, less their first `skip` bytes, to where their offsets say."""

def check_texts(offsets: int, rows: int, address: int) -> tuple[int, int, int]:
    """Hold texts that were gathered to UTF-8 without NUL."""

class Labels:
    """The labels of an enum, to be found by `labels`."""

    def __init__(self, labels: Sequence[str]) -> None: ...

def labels(fields: Fields, column: int, table: Labels, address: int, start: int) -> tuple[int, int, int]:
    """Find labels, from row `start` on; their places in the table's list into 4 * rows."""

def count_up(first: int, rows: int, address: int) -> None:
    """Fill 4 * rows with int32 numbers from `first` on; ValueError where they leave int32."""
