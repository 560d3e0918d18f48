"""What every loop over a block's fields needs: where they lie, and what a loop came to."""

from libc.stdint cimport int32_t, int64_t, uint8_t


# What a loop came to: the row of the first fault, its kind, and a number (see _decode.pyi).
cdef struct Outcome:
    Py_ssize_t row
    int fault
    int64_t number


cdef enum:
    MAY_BE_NULL = -1


cdef class Fields:
    cdef const uint8_t[::1] data
    cdef uint8_t[::1] places
    cdef int32_t *lengths  # of the block; NULL where nobody looked
    cdef object lengths_held
    cdef const uint8_t *base
    cdef const uint8_t *end
    cdef Py_ssize_t stride
    cdef int columns
    cdef readonly Py_ssize_t rows

    cdef int32_t *positions(self, int column) except NULL

    # The length that all fields of a column have; below zero where they vary, or one may be NULL.
    cdef inline int32_t common_length(self, int column) noexcept:
        return self.lengths[column] if self.lengths != NULL else MAY_BE_NULL
