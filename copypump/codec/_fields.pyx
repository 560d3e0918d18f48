"""The fields of one block, or those that stand within them, held for reading."""

from libc.stdint cimport INT32_MAX, int32_t, uint8_t, uint32_t, uintptr_t
from libc.string cimport memset


cdef class Fields:
    """`positions` of each column tell where its fields' data starts, from `base` on; -1 for NULL.

    A field's length stands big-endian in the four bytes before it. Whoever made the positions has checked
    that the field lies within the block.
    """

    def __init__(self, block):
        cdef Py_ssize_t start = block.start, end = block.end
        self.data = block.data
        if not 0 <= start < end <= self.data.shape[0] or end - start > INT32_MAX:
            raise ValueError("the block lies outside its data")
        if block.rows < 1:
            raise ValueError("the block has no rows")
        self.base = &self.data[0] + start
        self.end = &self.data[0] + end
        place(self, block.positions, block.columns, block.rows, block.stride)
        cdef uint8_t[::1] lengths = block.lengths
        if lengths is not None and self.columns:
            if lengths.shape[0] != 4 * self.columns:
                raise ValueError("the block's lengths are not one for each column")
            self.lengths = <int32_t *>&lengths[0]
            self.lengths_held = lengths

    def inside(self, positions, int columns, Py_ssize_t rows):
        """Give what stands within these fields, as fields: `columns` of `rows`, one behind the other."""
        cdef Fields inner = Fields.__new__(Fields)
        inner.data = self.data
        inner.base = self.base
        inner.end = self.end
        place(inner, positions, columns, rows, rows)
        return inner

    def forget(self, int column, Py_ssize_t row):
        """Make a field NULL for all who read it from now on."""
        if not 0 <= row < self.rows:
            raise IndexError("no such row in the block")
        self.positions(column)[row] = -1
        if self.lengths != NULL:
            self.lengths[column] = MAY_BE_NULL

    cdef int32_t *positions(self, int column) except NULL:
        if not 0 <= column < self.columns:
            raise IndexError("no such column in the block")
        return <int32_t *>&self.places[0] + column * self.stride


cdef int place(Fields fields, positions, int columns, Py_ssize_t rows, Py_ssize_t stride) except -1:
    """Take the positions of as many columns and rows."""
    # An empty buffer has no first byte to point at; nobody looks at this one's.
    fields.places = memoryview(positions if positions.size else bytearray(4)).cast("B")
    if not 0 <= rows <= stride or columns * stride * 4 > positions.size:
        raise ValueError("the block's positions are fewer than its fields")
    fields.rows = rows
    fields.stride = stride
    fields.columns = columns
    return 0


def nulls(Fields fields, int column):
    """Count the NULLs of a column."""
    cdef const int32_t *positions = fields.positions(column)
    cdef Py_ssize_t row, rows = fields.rows
    cdef uint32_t count = 0
    if fields.common_length(column) != MAY_BE_NULL:
        return 0
    with nogil:
        for row in range(rows):
            count += <uint32_t>positions[row] >> 31
    return count


def validity(Fields fields, int column, uintptr_t bits):
    """Fill a validity bitmap."""
    cdef const int32_t *positions = fields.positions(column)
    cdef uint8_t *out = <uint8_t *>bits
    cdef Py_ssize_t row, rows = fields.rows, whole = rows & ~7
    cdef uint32_t bit, eight
    with nogil:
        memset(out, 0, (rows + 7) // 8)
        for row in range(0, whole, 8):
            eight = 0
            for bit in range(8):
                eight |= <uint32_t>(positions[row + bit] >= 0) << bit
            out[row >> 3] = <uint8_t>eight
        for row in range(whole, rows):
            out[row >> 3] |= <uint8_t>((positions[row] >= 0) << (row & 7))
