"""Values that hold values: each loop finds where those stand, so that their own loops can read them.

A nested wire form is a head and then fields as of a row, each behind its length. What comes of a column of
them is offsets (for those of any number) and positions, with which `Fields.inside` makes a column of what
stands within. Every length is checked against the value that holds it, and each value must be used up.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uintptr_t

from copypump.codec._fields cimport Fields, Outcome
from copypump.codec._numeric cimport INVALID, LENGTH, OID, OK, SHAPE, load32


cdef enum:
    MAX_DIMENSIONS = 6  # MAXDIM of PostgreSQL's utils/array.h
    HEAD = 12           # of an array: dimensions, has-nulls flag, element's oid

    # RANGE_* of PostgreSQL's utils/rangetypes.h: what a range can have on the wire.
    EMPTY = 0x01
    LOWER_INFINITE = 0x08
    UPPER_INFINITE = 0x10
    RANGE_FLAGS = 0x1F


cdef inline int take(
    const uint8_t **at, const uint8_t *end, const uint8_t *base, int32_t *position
) noexcept nogil:
    """Step over one field with its length; `position` becomes where its data starts, -1 for NULL."""
    cdef int32_t length
    if end - at[0] < 4:
        return INVALID
    length = <int32_t>load32(at[0])
    at[0] += 4
    if length == -1:
        position[0] = -1
        return OK
    if length < 0 or length > end - at[0]:
        return INVALID
    position[0] = <int32_t>(at[0] - base)
    at[0] += length
    return OK


cdef inline int array_head(
    const uint8_t *at, int32_t length, uint32_t oid, int *dimensions, int64_t *items
) noexcept nogil:
    """Check an array's head, and count its dimensions and elements; no more than its bytes can hold."""
    cdef int i
    cdef int32_t size
    if length < HEAD:
        return INVALID
    dimensions[0] = <int32_t>load32(at)
    if not 0 <= dimensions[0] <= MAX_DIMENSIONS or load32(at + 4) > 1:
        return INVALID
    if load32(at + 8) != oid:
        return OID
    length -= HEAD + 8 * dimensions[0]
    if length < 0:
        return INVALID
    items[0] = 1 if dimensions[0] else 0
    for i in range(dimensions[0]):
        size = <int32_t>load32(at + HEAD + 8 * i)
        if size < 0:
            return INVALID
        items[0] *= size
        if items[0] > length // 4:
            return INVALID
    return OK


cdef inline int64_t usual_items(const uint8_t *at, int32_t length, uint32_t oid) noexcept nogil:
    """Count the elements of an array of one dimension that starts at 1, or of none; -1: it is another one.

    Reads as much as a head with one dimension has, and branches on nothing that it finds there: that many
    arrays are empty is what no processor foresees.
    """
    cdef uint32_t dimensions = load32(at), size = load32(at + HEAD)
    cdef bint empty = (dimensions == 0) & (length == HEAD)
    cdef bint line = (
        (dimensions == 1)
        & (load32(at + HEAD + 4) == 1)
        & (length >= HEAD + 8)
        & (<int64_t>size <= (<int64_t>length - HEAD - 8) >> 2)
    )
    cdef bint known = (load32(at + 4) <= 1) & (load32(at + 8) == oid) & (empty | line)
    return <int64_t>(size & (0 - <uint32_t>line)) if known else -1


def count_items(Fields fields, int column, uint32_t oid, uintptr_t offsets, Py_ssize_t start):
    """Count the elements of arrays that are lists: of one dimension that starts at 1, or empty."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int32_t *out = <int32_t *>offsets
    cdef const uint8_t *at
    cdef int64_t items = 0
    cdef int32_t length, total
    cdef int fault, dimensions = 0
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        if start == 0:
            out[0] = 0
        total = out[start]
        for row in range(start, rows):
            if positions[row] >= 0:
                at = fields.base + positions[row]
                length = <int32_t>load32(at - 4)
                items = usual_items(at, length, oid) if fields.end - at >= HEAD + 8 else -1
                fault = OK
                if items < 0:
                    fault = array_head(at, length, oid, &dimensions, &items)
                    # One without elements is an empty list, whatever its sizes and bounds, as on the server.
                    if fault == OK and items and (dimensions > 1 or load32(at + HEAD + 4) != 1):
                        fault = SHAPE
                if fault != OK:
                    outcome = Outcome(row, fault, 0)
                    break
                total += <int32_t>items  # four bytes each lie in the block: the sum fits
            out[row + 1] = total
        if outcome.fault == OK:
            outcome.number = total
    return outcome.row, outcome.fault, outcome.number


def count_nd_items(Fields fields, int column, uint32_t oid, uintptr_t dimensions, uintptr_t offsets):
    """Count the dimensions and the elements of arrays of any shape."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int32_t *dimensions_out = <int32_t *>dimensions
    cdef int32_t *out = <int32_t *>offsets
    cdef const uint8_t *at
    cdef int64_t items = 0
    cdef int fault, count = 0
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        out[0] = dimensions_out[0] = 0
        for row in range(rows):
            dimensions_out[row + 1] = dimensions_out[row]
            out[row + 1] = out[row]
            if positions[row] >= 0:
                at = fields.base + positions[row]
                fault = array_head(at, <int32_t>load32(at - 4), oid, &count, &items)
                if fault != OK:
                    outcome = Outcome(row, fault, 0)
                    break
                dimensions_out[row + 1] += count
                out[row + 1] += <int32_t>items
        if outcome.fault == OK:
            outcome.number = out[rows]
    return outcome.row, outcome.fault, outcome.number


def nd_shapes(Fields fields, int column, uintptr_t dimensions, uintptr_t sizes, uintptr_t lower_bounds):
    """Copy the sizes and lower bounds of arrays that `count_nd_items` has counted."""
    cdef const int32_t *positions = fields.positions(column)
    cdef const int32_t *offset = <const int32_t *>dimensions
    cdef int32_t *sizes_out = <int32_t *>sizes
    cdef int32_t *bounds_out = <int32_t *>lower_bounds
    cdef const uint8_t *at
    cdef int32_t i
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(rows):
            at = fields.base + positions[row] + HEAD
            for i in range(offset[row], offset[row + 1]):
                sizes_out[i] = <int32_t>load32(at)
                bounds_out[i] = <int32_t>load32(at + 4)
                at += 8


def items(Fields fields, int column, uintptr_t offsets, uintptr_t places):
    """Find the elements of arrays that were counted."""
    cdef const int32_t *positions = fields.positions(column)
    cdef const int32_t *offset = <const int32_t *>offsets
    cdef int32_t *out = <int32_t *>places
    cdef const uint8_t *at
    cdef const uint8_t *end
    cdef int32_t i
    cdef int fault = OK
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(rows):
            if positions[row] < 0:
                continue
            at = fields.base + positions[row]
            end = at + <int32_t>load32(at - 4)
            at += HEAD + 8 * <int32_t>load32(at)
            for i in range(offset[row], offset[row + 1]):
                fault = take(&at, end, fields.base, out + i)
                if fault != OK:
                    break
            if fault != OK or at != end:
                outcome = Outcome(row, INVALID, 0)
                break
    return outcome.row, outcome.fault, outcome.number


def attributes(Fields fields, int column, const uint32_t[::1] oids, uintptr_t places):
    """Find the attributes of composites: those of a NULL are NULL."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int32_t *out = <int32_t *>places
    cdef const uint8_t *at
    cdef const uint8_t *end
    cdef int count = <int>oids.shape[0]
    cdef int i, fault
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(rows):
            if positions[row] < 0:
                for i in range(count):
                    out[i * rows + row] = -1
                continue
            at = fields.base + positions[row]
            end = at + <int32_t>load32(at - 4)
            fault = OK if end - at >= 4 and <int32_t>load32(at) == count else INVALID
            at += 4
            for i in range(count):
                if fault == OK:
                    fault = INVALID if end - at < 4 else OK if load32(at) == oids[i] else OID
                if fault != OK:
                    break
                at += 4
                fault = take(&at, end, fields.base, out + i * rows + row)
            if fault == OK and at != end:
                fault = INVALID
            if fault != OK:
                outcome = Outcome(row, fault, 0)
                break
    return outcome.row, outcome.fault, outcome.number


def bounds(Fields fields, int column, uintptr_t flags, uintptr_t places):
    """Find the bounds of ranges, the lower ones first; a bound that is not there is NULL."""
    cdef const int32_t *positions = fields.positions(column)
    cdef uint8_t *flags_out = <uint8_t *>flags
    cdef int32_t *lower = <int32_t *>places
    cdef int32_t *upper
    cdef const uint8_t *at
    cdef const uint8_t *end
    cdef uint8_t flag
    cdef int fault
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        upper = lower + rows
        for row in range(rows):
            lower[row] = upper[row] = -1
            flags_out[row] = 0
            if positions[row] < 0:
                continue
            at = fields.base + positions[row]
            end = at + <int32_t>load32(at - 4)
            if at == end:
                outcome = Outcome(row, LENGTH, 0)
                break
            flag = at[0]
            flags_out[row] = flag
            at += 1
            fault = INVALID if flag & ~RANGE_FLAGS else OK
            if fault == OK and not flag & (EMPTY | LOWER_INFINITE):
                fault = take(&at, end, fields.base, lower + row)
                if lower[row] < 0:
                    fault = INVALID
            if fault == OK and not flag & (EMPTY | UPPER_INFINITE):
                fault = take(&at, end, fields.base, upper + row)
                if upper[row] < 0:
                    fault = INVALID
            if fault != OK or at != end:
                outcome = Outcome(row, INVALID, 0)
                break
    return outcome.row, outcome.fault, outcome.number


def count_parts(Fields fields, int column, int smallest, uintptr_t offsets):
    """Count what stands in values that begin with its number, of at least `smallest` bytes each."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int32_t *out = <int32_t *>offsets
    cdef const uint8_t *at
    cdef int32_t length, count, total = 0
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    if smallest < 4:
        raise ValueError("each part has a length of four bytes")
    with nogil:
        out[0] = 0
        for row in range(rows):
            if positions[row] >= 0:
                at = fields.base + positions[row]
                length = <int32_t>load32(at - 4)
                count = <int32_t>load32(at) if length >= 4 else -1
                if count < 0 or <int64_t>count * smallest > length - 4:
                    outcome = Outcome(row, INVALID, 0)
                    break
                total += count
            out[row + 1] = total
        if outcome.fault == OK:
            outcome.number = total
    return outcome.row, outcome.fault, outcome.number


def parts(Fields fields, int column, int width, uintptr_t offsets, uintptr_t places):
    """Find what `count_parts` has counted: `width` fields each, of which only the last may be NULL."""
    cdef const int32_t *positions = fields.positions(column)
    cdef const int32_t *offset = <const int32_t *>offsets
    cdef int32_t *out = <int32_t *>places
    cdef const uint8_t *at
    cdef const uint8_t *end
    cdef int32_t i, total
    cdef int part, fault = OK
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        total = offset[rows]
        for row in range(rows):
            if positions[row] < 0:
                continue
            at = fields.base + positions[row]
            end = at + <int32_t>load32(at - 4)
            at += 4
            for i in range(offset[row], offset[row + 1]):
                for part in range(width):
                    fault = take(&at, end, fields.base, out + part * <int64_t>total + i)
                    if fault == OK and part == 0 and out[i] < 0:
                        fault = INVALID
                    if fault != OK:
                        break
                if fault != OK:
                    break
            if fault != OK or at != end:
                outcome = Outcome(row, INVALID, 0)
                break
    return outcome.row, outcome.fault, outcome.number
