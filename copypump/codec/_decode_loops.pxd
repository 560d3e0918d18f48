"""The loops down a column, or down a tile of one, of the forms that most columns have.

`positions` are those of the first of `rows` fields, `base` and `end` bound the block, and `out` is where the
first value goes. `length` is what all of the column's fields have, below zero where that is not known.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from copypump.codec._numeric cimport OK, Scaling, decimal128, load32, load64, small_decimal

cdef extern from *:
    """
    #define prefetch(address) __builtin_prefetch(address)
    """
    void prefetch(const void *address) nogil

cdef enum:
    AHEAD = 16  # how many rows before its turn a field is called into the cache


cdef inline Py_ssize_t word32_rows(
    const uint8_t *base, const int32_t *positions, Py_ssize_t rows, int32_t length, uint32_t *out
) noexcept nogil:
    """Four bytes each, turned to the machine's order; the row of a field of another length, or -1."""
    cdef const uint8_t *at
    cdef Py_ssize_t row
    if length == 4:
        for row in range(rows):
            out[row] = load32(base + positions[row])
        return -1
    for row in range(rows):
        if positions[row] < 0:
            out[row] = 0
            continue
        at = base + positions[row]
        if load32(at - 4) != 4:
            return row
        out[row] = load32(at)
    return -1


cdef inline Py_ssize_t word64_rows(
    const uint8_t *base, const int32_t *positions, Py_ssize_t rows, int32_t length, uint64_t *out
) noexcept nogil:
    """Eight bytes each, likewise."""
    cdef const uint8_t *at
    cdef Py_ssize_t row
    if length == 8:
        for row in range(rows):
            out[row] = load64(base + positions[row])
        return -1
    for row in range(rows):
        if positions[row] < 0:
            out[row] = 0
            continue
        at = base + positions[row]
        if load32(at - 4) != 8:
            return row
        out[row] = load64(at)
    return -1


cdef inline Py_ssize_t decimal_rows(
    const uint8_t *base, const uint8_t *end, const int32_t *positions, Py_ssize_t rows,
    const Scaling *to, bint cold, int *fault, uint64_t *out,
) noexcept nogil:
    """Numerics as decimal128; the row of the first that is none, with its fault, or -1.

    `cold`: the fields are not in the first-level cache.
    """
    cdef const uint8_t *at
    cdef int64_t small = 0
    cdef Py_ssize_t row
    for row in range(rows):
        if cold:
            prefetch(base + positions[row + AHEAD if row + AHEAD < rows else row])
        if positions[row] < 0:
            out[2 * row] = out[2 * row + 1] = 0
            continue
        at = base + positions[row]
        if end - at >= 16 and small_decimal(at, <int32_t>load32(at - 4), to, &small):
            out[2 * row] = <uint64_t>small
            out[2 * row + 1] = <uint64_t>(small >> 63)
            continue
        fault[0] = decimal128(at, <int32_t>load32(at - 4), to.precision, to.scale, out + 2 * row)
        if fault[0] != OK:
            return row
    return -1


cdef inline void gather_alike(
    const uint8_t *base, const uint8_t *end, const int32_t *positions, Py_ssize_t rows, Py_ssize_t length,
    uint8_t *out, const uint8_t *out_end,
) noexcept nogil:
    """Copy fields of one length together."""
    cdef Py_ssize_t row, roomy = rows
    # As in `gather_rows`: short values are copied with what follows them, where 64 bytes are left on both
    # sides.
    while roomy and (
        out_end - out - (roomy - 1) * length < 64 or end - base - positions[roomy - 1] < 64
    ):
        roomy -= 1
    if length == 1:
        roomy = rows
        for row in range(rows):
            out[row] = base[positions[row]]
    elif length <= 16:
        for row in range(roomy):
            memcpy(out + row * length, base + positions[row], 16)
    elif length <= 32:
        for row in range(roomy):
            memcpy(out + row * length, base + positions[row], 32)
    elif length <= 64:
        for row in range(roomy):
            memcpy(out + row * length, base + positions[row], 64)
    else:
        roomy = 0
    for row in range(roomy, rows):
        memcpy(out + row * length, base + positions[row], length)


cdef inline void gather_rows(
    const uint8_t *base, const uint8_t *end, const int32_t *positions, Py_ssize_t rows, int skip,
    const int32_t *offset, uint8_t *out, const uint8_t *out_end,
) noexcept nogil:
    """Copy fields together, without their first `skip` bytes, to where they were measured: `out` + offset."""
    cdef uint8_t *to
    cdef const uint8_t *at
    cdef int32_t length
    cdef Py_ssize_t row
    for row in range(rows):
        length = offset[row + 1] - offset[row]
        if length == 0:
            continue
        at = base + positions[row] + skip
        to = out + offset[row]
        # Short values are copied with what follows them, which costs no branch for each length; the values
        # after them then overwrite that.
        if length <= 64 and out_end - to >= 64 and end - at >= 64:
            memcpy(to, at, 32)
            if length > 32:
                memcpy(to + 32, at + 32, 32)
        else:
            memcpy(to, at, length)
