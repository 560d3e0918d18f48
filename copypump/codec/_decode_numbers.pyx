"""Numerics of a block as decimals, as the server's text, or as doubles: one loop down a column each.

As in _decode.pyx, buffers are the caller's. A loop begins at row `start`, so that one that stopped at a value
without a place in Arrow can go on behind it.
"""

from libc.stdint cimport INT32_MAX, int16_t, int32_t, int64_t, uint8_t, uint64_t, uintptr_t
from libc.string cimport memset

from copypump.codec._decode_loops cimport decimal_rows
from copypump.codec._fields cimport Fields, Outcome
from copypump.codec._numeric cimport (
    LENGTH,
    MAX_DSCALE,
    OK,
    TOO_MUCH,
    Numeric,
    Scaling,
    decimal256,
    float64,
    load16,
    load32,
    scaling,
)
from copypump.codec._numeric_text cimport (
    TEXT_SLACK,
    Short,
    examine_short,
    short_size,
    text_length,
    write_short,
    write_text,
)


def decimals128(
    Fields fields, int column, int precision, int scale, uintptr_t address, Py_ssize_t start
):
    """Numerics as decimal128(precision, scale)."""
    cdef const int32_t *positions = fields.positions(column)
    cdef uint64_t *out = <uint64_t *>address
    cdef Scaling to
    cdef int fault = OK
    cdef Py_ssize_t row, rows = fields.rows
    if not 1 <= precision <= 38:
        raise ValueError("a decimal128 has 1 to 38 digits")
    to = scaling(precision, scale)
    with nogil:
        row = decimal_rows(
            fields.base, fields.end, positions + start, rows - start, &to, True, &fault, out + 2 * start
        )
    if row >= 0:
        return start + row, fault, load32(fields.base + positions[start + row] - 4)
    return -1, OK, 0


def decimals256(
    Fields fields, int column, int precision, int scale, uintptr_t address, Py_ssize_t start
):
    """Numerics as decimal256(precision, scale)."""
    cdef const int32_t *positions = fields.positions(column)
    cdef uint64_t *out = <uint64_t *>address
    cdef const uint8_t *at
    cdef int fault
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    if not 1 <= precision <= 76:
        raise ValueError("a decimal256 has 1 to 76 digits")
    with nogil:
        for row in range(start, rows):
            if positions[row] < 0:
                memset(out + 4 * row, 0, 32)
                continue
            at = fields.base + positions[row]
            fault = decimal256(at, <int32_t>load32(at - 4), precision, scale, out + 4 * row)
            if fault != OK:
                outcome = Outcome(row, fault, load32(at - 4))
                break
    return outcome.row, outcome.fault, outcome.number


def numeric_room(Fields fields, int column):
    """Bound the bytes of numerics as the server's text, from their heads alone."""
    cdef const int32_t *positions = fields.positions(column)
    cdef const uint8_t *at
    cdef int64_t total = 0
    cdef int weight
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(rows):
            if positions[row] < 0:
                continue
            at = fields.base + positions[row]
            if load32(at - 4) < 8:
                outcome = Outcome(row, LENGTH, load32(at - 4))
                break
            weight = <int16_t>load16(at + 2)
            # Sign, point and the word -Infinity; digits before the point; digits behind it.
            total += 9 + 4 * <int64_t>max(weight + 1, 0) + (load16(at + 6) & MAX_DSCALE)
            if total > INT32_MAX:
                outcome = Outcome(row, TOO_MUCH, 0)
                break
        if outcome.fault == OK:
            outcome.number = total + TEXT_SLACK
    return outcome.row, outcome.fault, outcome.number


def numeric_texts(Fields fields, int column, uintptr_t offsets, uintptr_t address):
    """Write numerics as text, one behind the other."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int32_t *offset = <int32_t *>offsets
    cdef uint8_t *out = <uint8_t *>address
    cdef const uint8_t *at
    cdef Numeric number
    cdef Short short
    cdef int64_t size = 0, total = 0
    cdef int fault
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        offset[0] = 0
        for row in range(rows):
            if positions[row] >= 0:
                at = fields.base + positions[row]
                if fields.end - at >= 16 and examine_short(at, <int32_t>load32(at - 4), &short):
                    write_short(&short, out + total)
                    size = short_size(&short)
                else:
                    fault = text_length(at, <int32_t>load32(at - 4), &number, &size)
                    if fault != OK:
                        outcome = Outcome(row, fault, load32(at - 4))
                        break
                    write_text(&number, out + total)
                total += size
            offset[row + 1] = <int32_t>total
        if outcome.fault == OK:
            outcome.number = total
    return outcome.row, outcome.fault, outcome.number


def doubles(Fields fields, int column, uintptr_t address, Py_ssize_t start):
    """Numerics as the doubles that give the same decimal digits again."""
    cdef const int32_t *positions = fields.positions(column)
    cdef double *out = <double *>address
    cdef const uint8_t *at
    cdef int fault
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(start, rows):
            if positions[row] < 0:
                out[row] = 0
                continue
            at = fields.base + positions[row]
            fault = float64(at, <int32_t>load32(at - 4), out + row)
            if fault != OK:
                outcome = Outcome(row, fault, load32(at - 4))
                break
    return outcome.row, outcome.fault, outcome.number
