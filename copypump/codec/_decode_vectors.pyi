"""Loops over a column of pgvector's vectors; what they take and return is told in _decode.pyi.

Offsets go into 4 * (rows + 1). Floats are copied as bits, to the order of this machine's bytes.
"""

from copypump.codec._fields import Fields

def count_dimensions(fields: Fields, column: int, offsets: int) -> tuple[int, int, int]:
    """Count the dimensions of vectors of any number of them: offsets; the number is theirs."""

def vectors(fields: Fields, column: int, offsets: int, address: int) -> None:
    """Copy the floats of vectors that `count_dimensions` has counted into four bytes each."""

def fixed_vectors(fields: Fields, column: int, dimensions: int, address: int) -> tuple[int, int, int]:
    """Copy vectors that must have so many dimensions into 4 * dimensions * rows."""
