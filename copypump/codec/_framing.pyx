"""One pass over the framing of COPY BINARY rows; every length is checked before anything reads a field."""

from libc.stdint cimport int16_t, int32_t, uint8_t, uint32_t, uintptr_t
from libc.string cimport memset

cdef extern from "_wire.h" nogil:
    int16_t load16(const uint8_t *at)
    uint32_t load32(const uint8_t *at)

cdef extern from *:
    """
    /* The same number, but the compiler cannot know: it must not merge the two ways of a branch. */
    static inline int32_t foretold(int32_t length) { __asm__("" : "+r"(length)); return length; }
    """
    int32_t foretold(int32_t length) nogil

cdef enum:
    MAX_COLUMNS = 1664  # MaxTupleAttributeNumber of PostgreSQL's access/htup_details.h

    # What a column's lengths have shown so far in one scan; a length else. Not -1, which is a NULL's.
    UNSEEN = -2
    VARIES = -3

    SHORT = 1024  # bytes of a field

# How a scan ended; `framing.Scan` gives the same numbers their names.
cdef enum Scan:
    FULL
    MORE
    TRAILER
    BAD_COUNT
    BAD_LENGTH
    TOO_LONG


cdef struct Walk:
    const uint8_t *at  # start of the first row that was not taken
    Py_ssize_t rows
    Py_ssize_t detail
    int field
    Scan status


cdef inline void walk(
    Walk *state, const uint8_t *start, const uint8_t *end, int columns, Py_ssize_t max_rows,
    Py_ssize_t max_row_bytes, bint placed, int32_t *positions, Py_ssize_t stride, int32_t *lengths,
) noexcept nogil:
    """Take whole rows from `start` until `end`, `max_rows`, the trailer, or a fault.

    Where a field starts hangs on the length before it: a chain of loads, 2 ns a field. A column whose
    lengths were all alike is stepped over by that length, and the processor runs ahead while it compares:
    1.4 ns on TPC-H lineitem. Guessing also where lengths vary was worse than no guess (2.8 ns).

    `lengths`, unless NULL, gets what was seen of each column; also of a row that was not taken whole.
    """
    cdef const uint8_t *row = start
    cdef const uint8_t *at
    cdef int32_t *position = NULL
    cdef Py_ssize_t rows = 0, detail = 0
    cdef Py_ssize_t roomy = 2 + columns * (4 + SHORT)  # of a row whose fields are short
    cdef int field, i
    cdef int16_t count
    cdef int32_t length, guess, step
    cdef int32_t steady[MAX_COLUMNS]
    cdef bint null[MAX_COLUMNS]
    cdef Scan status

    for field in range(columns):
        steady[field] = UNSEEN
    memset(null, 0, columns * sizeof(null[0]))
    while True:
        field = 0
        at = row
        if end - at < 2:
            detail = at - start + 2
            status = MORE
            break
        count = load16(at)
        if count != columns:
            detail = count
            status = TRAILER if count == -1 else BAD_COUNT
            break
        status = FULL
        if rows == max_rows:
            break
        at += 2
        if placed:
            position = positions + rows
        if end - row >= roomy:
            # The usual row of short fields: one comparison a field stands for all checks of its length.
            while field < columns:
                length = <int32_t>load32(at)
                if <uint32_t>length > SHORT:
                    break
                at += 4
                if placed:
                    position[0] = <int32_t>(at - start)
                guess = steady[field]
                step = foretold(guess)
                if length == guess:
                    at += step
                else:
                    steady[field] = length if guess == UNSEEN else VARIES
                    at += length
                if placed:
                    position += stride
                field += 1
        while field < columns:
            if end - at < 4:
                detail = at - start + 4
                status = MORE
                break
            length = <int32_t>load32(at)
            at += 4
            if <uint32_t>length <= <size_t>(end - at):
                if placed:
                    position[0] = <int32_t>(at - start)
                guess = steady[field]
                step = foretold(guess)
                if length == guess:
                    at += step
                else:
                    steady[field] = length if guess == UNSEEN else VARIES
                    at += length
            elif length == -1:
                null[field] = True
                if placed:
                    position[0] = -1
            elif length < 0:
                detail = length
                status = BAD_LENGTH
                break
            else:
                detail = at - start + length
                status = MORE
                break
            if placed:
                position += stride
            field += 1
        if status == MORE and detail - (row - start) > max_row_bytes:
            status = TOO_LONG
        if status != FULL:
            break
        if at - row > max_row_bytes:
            status = TOO_LONG
            break
        row = at
        rows += 1

    if lengths != NULL:
        for i in range(columns):
            lengths[i] = -1 if null[i] else steady[i]
    state.at = row
    state.rows = rows
    state.detail = detail
    state.field = field
    state.status = status


def scan(
    const uint8_t[::1] data, Py_ssize_t start, Py_ssize_t end, int columns, Py_ssize_t max_rows,
    Py_ssize_t max_row_bytes, uintptr_t positions, Py_ssize_t stride, uint8_t[::1] lengths=None,
):
    """Take whole rows from data[start:end]; see _framing.pyi for what it returns."""
    cdef Walk state
    cdef const uint8_t *base
    cdef int32_t *lengths_out = NULL
    if not 0 <= start <= end <= data.shape[0] or end - start > 0x7FFFFFFF:
        raise ValueError("the window is outside the data, or larger than int32 can address")
    if not 0 <= columns <= MAX_COLUMNS or max_rows < 1 or (positions and stride < max_rows):
        raise ValueError("columns, max_rows and stride do not fit each other")
    if lengths is not None:
        if lengths.shape[0] < 4 * columns:
            raise ValueError("columns and lengths do not fit each other")
        if columns:
            lengths_out = <int32_t *>&lengths[0]
    if start == end:
        return MORE, 0, start, start + 2, 0
    base = &data[0]
    with nogil:
        if positions:
            walk(
                &state, base + start, base + end, columns, max_rows, max_row_bytes, True,
                <int32_t *>positions, stride, lengths_out,
            )
        else:
            walk(
                &state, base + start, base + end, columns, max_rows, max_row_bytes, False,
                NULL, 0, lengths_out,
            )
    if state.status == MORE:
        state.detail += start
    return state.status, state.rows, state.at - base, state.detail, state.field
