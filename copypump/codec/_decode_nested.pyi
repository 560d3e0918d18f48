"""Loops over a column of values that hold values; what they take and return is told in _decode.pyi.

Offsets go into 4 * (rows + 1), positions into four bytes for each field that was counted: one column of
fields after the other, for `Fields.inside`.
"""

from array import array

from copypump.codec._fields import Fields

def count_items(fields: Fields, column: int, oid: int, offsets: int, start: int) -> tuple[int, int, int]:
    """Count the elements of arrays that are lists, from row `start` on: offsets; the number is theirs."""

def count_nd_items(
    fields: Fields, column: int, oid: int, dimensions: int, offsets: int
) -> tuple[int, int, int]:
    """Count the dimensions and the elements of arrays of any shape: offsets of both."""

def nd_shapes(fields: Fields, column: int, dimensions: int, sizes: int, lower_bounds: int) -> None:
    """Copy sizes and lower bounds, four bytes a dimension, where `count_nd_items` has counted them."""

def items(fields: Fields, column: int, offsets: int, places: int) -> tuple[int, int, int]:
    """Find the elements of arrays that were counted."""

def attributes(fields: Fields, column: int, oids: array[int], places: int) -> tuple[int, int, int]:
    """Find the attributes of composites, whose types have these oids: a column of `rows` for each."""

def bounds(fields: Fields, column: int, flags: int, places: int) -> tuple[int, int, int]:
    """Copy the flags of ranges into rows bytes, and find their bounds: two columns of `rows`."""

def count_parts(fields: Fields, column: int, smallest: int, offsets: int) -> tuple[int, int, int]:
    """Count what stands in values that begin with its number, of at least `smallest` bytes each: offsets."""

def parts(fields: Fields, column: int, width: int, offsets: int, places: int) -> tuple[int, int, int]:
    """Find what `count_parts` has counted, `width` fields each, of which the first may not be NULL."""
