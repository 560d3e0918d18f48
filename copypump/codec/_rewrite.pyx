"""Walks the fields of a block along the trees of their types, and replaces the source's oids.

Every length is checked to lie within the one around it before anything behind it is read; nothing is ever
written but the four bytes of an oid that was found to be the expected one. See _rewrite.pyi for the nodes.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "_wire.h" nogil:
    uint32_t load32(const uint8_t *at)
    uint64_t load64(const uint8_t *at)

cdef extern from *:
    """
    static inline void store32(uint8_t *at, uint32_t word) {
        word = __builtin_bswap32(word);
        memcpy(at, &word, 4);
    }
    #define COPYPUMP_INT32_MAX INT32_MAX
    #define COPYPUMP_INT32_MIN INT32_MIN
    #define COPYPUMP_INT64_MAX INT64_MAX
    #define COPYPUMP_INT64_MIN INT64_MIN
    """
    void store32(uint8_t *at, uint32_t word) nogil
    const int32_t INT32_MAX "COPYPUMP_INT32_MAX"
    const int32_t INT32_MIN "COPYPUMP_INT32_MIN"
    const int64_t INT64_MAX "COPYPUMP_INT64_MAX"
    const int64_t INT64_MIN "COPYPUMP_INT64_MIN"

cdef enum:
    WORDS = 5  # uint32 of a node
    MAX_DEPTH = 100

    MAX_DIMENSIONS = 6  # MAXDIM of PostgreSQL's utils/array.h

    # RANGE_* of PostgreSQL's utils/rangetypes.h
    RANGE_EMPTY = 0x01
    RANGE_LOWER_INFINITE = 0x08
    RANGE_UPPER_INFINITE = 0x10
    RANGE_FLAGS = 0x1F

# The same numbers as rewrite.Step and rewrite.Fault.
cdef enum Step:
    PASS
    ARRAY
    COMPOSITE
    RANGE
    MULTIRANGE
    FINITE

cdef enum Fault:
    OK
    LENGTH
    TAIL
    OID
    ATTRIBUTES
    HEAD
    INFINITE


# A type within another: how its values are walked, where its parts stand, and the oid in front of its values.
cdef struct Node:
    uint32_t step
    uint32_t first
    uint32_t count
    uint32_t found
    uint32_t wanted


cdef struct Cursor:
    const Node *nodes
    uint8_t *at
    uint32_t number  # an oid that is not the expected one, or a count


cdef Fault put_oid(Cursor *cursor, const Node *node, const uint8_t *end) noexcept nogil:
    """Replace the oid of `node`."""
    cdef uint32_t oid
    if end - cursor.at < 4:
        return LENGTH
    oid = load32(cursor.at)
    if oid != node.found:
        cursor.number = oid
        return OID
    if node.wanted != oid:
        store32(cursor.at, node.wanted)
    cursor.at += 4
    return OK


cdef Fault walk_part(Cursor *cursor, const Node *node, const uint8_t *end, bint nullable) noexcept nogil:
    """Take a length and the value behind it."""
    cdef int32_t length
    if end - cursor.at < 4:
        return LENGTH
    length = <int32_t>load32(cursor.at)
    cursor.at += 4
    if length == -1 and nullable:
        return OK
    if length < 0 or length > end - cursor.at:
        return LENGTH
    return walk(cursor, node, cursor.at + length)


cdef Fault walk_array(Cursor *cursor, const Node *element, const uint8_t *end) noexcept nogil:
    """array_send of PostgreSQL's arrayfuncs.c: head, sizes and lower bounds of the dimensions, elements."""
    cdef uint32_t dimensions, flags, size, _dimension
    cdef int64_t items, most
    cdef Fault fault
    if end - cursor.at < 12:
        return LENGTH
    dimensions = load32(cursor.at)
    flags = load32(cursor.at + 4)
    if dimensions > MAX_DIMENSIONS or flags > 1:
        return HEAD
    cursor.at += 8
    fault = put_oid(cursor, element, end)
    if fault != OK:
        return fault
    if end - cursor.at < 8 * <Py_ssize_t>dimensions:
        return LENGTH
    # An item takes four bytes at least; so bounded, the product cannot overflow.
    most = (end - cursor.at) // 4
    items = dimensions != 0
    for _dimension in range(dimensions):
        size = load32(cursor.at)
        if size > <uint32_t>INT32_MAX:
            return HEAD
        items *= size
        if items > most:
            return LENGTH
        cursor.at += 8
    while items > 0:
        fault = walk_part(cursor, element, end, True)
        if fault != OK:
            return fault
        items -= 1
    return OK


cdef Fault walk_composite(Cursor *cursor, const Node *node, const uint8_t *end) noexcept nogil:
    """record_send of PostgreSQL's rowtypes.c: the number of attributes, then oid and value of each."""
    cdef const Node *attribute = cursor.nodes + node.first
    cdef uint32_t left = node.count
    cdef Fault fault
    if end - cursor.at < 4:
        return LENGTH
    cursor.number = load32(cursor.at)
    if cursor.number != left:
        return ATTRIBUTES
    cursor.at += 4
    while left:
        fault = put_oid(cursor, attribute, end)
        if fault == OK:
            fault = walk_part(cursor, attribute, end, True)
        if fault != OK:
            return fault
        attribute += 1
        left -= 1
    return OK


cdef Fault walk_range(Cursor *cursor, const Node *bound, const uint8_t *end) noexcept nogil:
    """range_send of PostgreSQL's rangetypes.c: flags, then those bounds that there are."""
    cdef uint8_t flags
    cdef Fault fault = OK
    if end - cursor.at < 1:
        return LENGTH
    flags = cursor.at[0]
    if flags & ~<uint8_t>RANGE_FLAGS:
        return HEAD
    cursor.at += 1
    if not flags & (RANGE_EMPTY | RANGE_LOWER_INFINITE):
        fault = walk_part(cursor, bound, end, False)
    if fault == OK and not flags & (RANGE_EMPTY | RANGE_UPPER_INFINITE):
        fault = walk_part(cursor, bound, end, False)
    return fault


cdef Fault walk_multirange(Cursor *cursor, const Node *part, const uint8_t *end) noexcept nogil:
    """multirange_send of PostgreSQL's multirangetypes.c: the number of ranges, then each."""
    cdef uint32_t left
    cdef Fault fault
    if end - cursor.at < 4:
        return LENGTH
    left = load32(cursor.at)
    cursor.at += 4
    while left:
        fault = walk_part(cursor, part, end, False)
        if fault != OK:
            return fault
        left -= 1
    return OK


cdef Fault check_finite(Cursor *cursor, const uint8_t *end) noexcept nogil:
    """INTERVAL_NOBEGIN and INTERVAL_NOEND of PostgreSQL 17's datatype/timestamp.h: all parts extreme."""
    cdef int64_t microseconds
    cdef int32_t days, months
    if end - cursor.at != 16:
        return LENGTH
    microseconds = <int64_t>load64(cursor.at)
    days = <int32_t>load32(cursor.at + 8)
    months = <int32_t>load32(cursor.at + 12)
    if microseconds == INT64_MAX and days == INT32_MAX and months == INT32_MAX:
        return INFINITE
    if microseconds == INT64_MIN and days == INT32_MIN and months == INT32_MIN:
        return INFINITE
    cursor.at += 16
    return OK


cdef Fault walk(Cursor *cursor, const Node *node, const uint8_t *end) noexcept nogil:
    """Take a whole value, which must end at `end`. As deep as the tree is, MAX_DEPTH at most."""
    cdef Fault fault = OK
    if node.step == PASS:
        cursor.at = <uint8_t *>end
    elif node.step == ARRAY:
        fault = walk_array(cursor, cursor.nodes + node.first, end)
    elif node.step == COMPOSITE:
        fault = walk_composite(cursor, node, end)
    elif node.step == RANGE:
        fault = walk_range(cursor, cursor.nodes + node.first, end)
    elif node.step == MULTIRANGE:
        fault = walk_multirange(cursor, cursor.nodes + node.first, end)
    else:
        fault = check_finite(cursor, end)
    if fault == OK and cursor.at != end:
        return TAIL
    return fault


def check_nodes(const uint32_t[::1] nodes):
    """Hold nodes to what _rewrite.pyi says of them."""
    cdef Py_ssize_t at, part
    depths = []
    if nodes.shape[0] % WORDS:
        raise ValueError("a node is cut off")
    for at in range(nodes.shape[0] // WORDS):
        step, first, count = nodes[WORDS * at], nodes[WORDS * at + 1], nodes[WORDS * at + 2]
        if step > FINITE or (step in (ARRAY, RANGE, MULTIRANGE) and count != 1):
            raise ValueError("a node has a step that there is not, or parts that its step has not")
        if first + count > at:
            raise ValueError("a node's parts do not come before it")
        depths.append(1 + max((depths[part] for part in range(first, first + count)), default=0))
    if max(depths, default=0) > MAX_DEPTH:
        raise ValueError("the nodes are nested too deeply")


def rewrite(
    const uint32_t[::1] nodes, Py_ssize_t root, uint8_t[::1] data, Py_ssize_t start, Py_ssize_t end,
    const uint8_t[::1] positions, Py_ssize_t column, Py_ssize_t stride, Py_ssize_t rows,
):
    """Walk one column's fields; see _rewrite.pyi."""
    cdef const int32_t *places
    cdef const Node *node
    cdef Cursor cursor
    cdef uint8_t *base
    cdef Py_ssize_t row
    cdef Fault fault = OK
    if not 0 <= root < nodes.shape[0] // WORDS:
        raise ValueError("there is no such node")
    if not 0 <= start < end <= data.shape[0] or end - start > INT32_MAX:
        raise ValueError("the block lies outside its data")
    if not 1 <= rows <= stride or column < 0 or (column + 1) * stride * 4 > positions.shape[0]:
        raise ValueError("the block's positions are fewer than its fields")
    places = <const int32_t *>&positions[0] + column * stride
    base = &data[0] + start
    cursor.nodes = <const Node *>&nodes[0]
    cursor.number = 0
    node = cursor.nodes + root
    with nogil:
        for row in range(rows):
            if places[row] < 0:
                continue
            cursor.at = base + places[row]
            fault = walk(&cursor, node, cursor.at + load32(cursor.at - 4))
            if fault != OK:
                break
    if fault == OK:
        return -1, OK, 0
    return row, fault, cursor.number
