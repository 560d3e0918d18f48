"""pgvector's vectors: a head of two 16-bit words, how many dimensions and a zero, then a float4 for each.

The wire form is vector_send's, of pgvector's src/vector.c. That a vector has at most 16,000 dimensions (its
VECTOR_MAX_DIM) and no NaN is left to the server, which has checked it.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uintptr_t
from libc.string cimport memset

from copypump.codec._fields cimport Fields, Outcome
from copypump.codec._numeric cimport INVALID, LENGTH, OK, load16, load32


cdef enum:
    HEAD = 4
    MOST = 0x7FFF  # of the word that counts, which has a sign


cdef inline int32_t dimensions_of(const uint8_t *at) noexcept nogil:
    """Count the dimensions of the vector at `at`, whose length stands before it; 0 where it is none."""
    cdef int32_t length = <int32_t>load32(at - 4)
    cdef int32_t count
    if length < HEAD:
        return 0
    count = load16(at)
    if count > MOST or load16(at + 2) or length != HEAD + 4 * count:
        return 0
    return count


cdef inline void copy_floats(uint32_t *out, const uint8_t *at, int32_t count) noexcept nogil:
    cdef int32_t i
    for i in range(count):
        out[i] = load32(at + 4 * i)


def count_dimensions(Fields fields, int column, uintptr_t offsets):
    """Count the dimensions of vectors of any number of them."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int32_t *out = <int32_t *>offsets
    cdef int32_t count, total = 0
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        out[0] = 0
        for row in range(rows):
            if positions[row] >= 0:
                count = dimensions_of(fields.base + positions[row])
                if count == 0:
                    outcome = Outcome(row, INVALID, 0)
                    break
                total += count  # four bytes each lie in the block: the sum fits
            out[row + 1] = total
        if outcome.fault == OK:
            outcome.number = total
    return outcome.row, outcome.fault, outcome.number


def vectors(Fields fields, int column, uintptr_t offsets, uintptr_t address):
    """Copy the floats of vectors that `count_dimensions` has counted."""
    cdef const int32_t *positions = fields.positions(column)
    cdef const int32_t *offset = <const int32_t *>offsets
    cdef uint32_t *out = <uint32_t *>address
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(rows):
            if positions[row] >= 0:
                copy_floats(
                    out + offset[row], fields.base + positions[row] + HEAD, offset[row + 1] - offset[row]
                )


def fixed_vectors(Fields fields, int column, int dimensions, uintptr_t address):
    """Copy vectors of so many dimensions each; a NULL takes as much room."""
    cdef const int32_t *positions = fields.positions(column)
    cdef uint32_t *out = <uint32_t *>address
    cdef const uint8_t *at
    cdef int32_t length
    cdef int fault
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(rows):
            if positions[row] < 0:
                memset(out, 0, 4 * <int64_t>dimensions)
            else:
                at = fields.base + positions[row]
                length = <int32_t>load32(at - 4)
                fault = OK if length == HEAD + 4 * <int64_t>dimensions else LENGTH
                if fault == OK and dimensions_of(at) != dimensions:
                    fault = INVALID
                if fault != OK:
                    outcome = Outcome(row, fault, length)
                    break
                copy_floats(out, at + HEAD, dimensions)
            out += dimensions
    return outcome.row, outcome.fault, outcome.number
