"""Several columns of a block together, as fast as they can be read; see _decode_tiles.pyx."""

from typing import TypeAlias

from copypump.codec._fields import Fields

WORD32: int
"""Four-byte words into 4 * rows."""
WORD64: int
"""Eight-byte words into 8 * rows."""
DATE: int
"""Dates into 4 * rows."""
TIMESTAMP: int
"""Timestamps into 8 * rows."""
DECIMAL128: int
"""Numerics as decimal128(precision, scale) into 16 * rows."""
PIECE: int
"""Fields of any length, one behind the other, where `offsets` of _decode.pyi has measured them."""

Begun: TypeAlias = tuple[int, int, int, int, int, int]
"""A column to be read: form, its index, the addresses of its values and of its offsets, precision, scale."""

def read(fields: Fields, columns: list[Begun]) -> list[bool]:
    """Fill the buffers of all columns; tell of each whether all of its values were taken.

    A column of which one was not is to be read again by its own loop: its buffers hold anything.
    """
