"""Values that hold others (lists, composites, ranges, hstores, vectors), and what is written inside them.

A lane of such a column has lanes of its own, `kids`. Each value is written front to back; its length word is
filled in behind its last part. Nothing of a kid is looked at where its parent is NULL.

What a list holds is told by offsets that may change while they are read: each is compared with the kid's
values and, before each item, with what is left of the output.
"""

from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t, uint32_t

from copypump.codec._encode cimport (
    Fault, Form, Lane, Put, Trouble, is_plain, load32, load64, put32, put64
)
from copypump.codec._encode_checks cimport check_offsets, is_set, offset_at, read_span
from copypump.codec._encode_labels cimport keys_fault, put_indexed_label
from copypump.codec._encode_leaves cimport leaf_of, put_text
from copypump.codec._encode_values cimport put_piece


cdef enum:
    MAX_ITEMS = 134217727       # MaxArraySize of PostgreSQL's utils/array.h
    MAX_DIMENSIONS = 6          # MAXDIM there
    MAX_VALUE = 0x3FFFFFFE      # MaxAllocSize of its utils/memutils.h, without the NUL that it puts behind
    MAX_PAIRS = 26843545        # MaxAllocSize / sizeof(Pairs), as hstore_recv of contrib/hstore counts
    MAX_VECTOR = 16000          # VECTOR_MAX_DIM of pgvector's src/vector.h
    MAX_BITS = 2147483640       # VARBITMAXLEN of utils/varbit.h
    MOST_BYTES = 0x7FFFFFFF     # more than any call writes

    EMPTY = 0x01                # RANGE_* of utils/rangetypes.h
    LOWER_INCLUSIVE = 0x02
    UPPER_INCLUSIVE = 0x04
    LOWER_INFINITE = 0x08
    UPPER_INFINITE = 0x10

    EXPONENT = 0x7F800000       # of a float4; all of its bits are set in NaN and the infinities alone


cdef inline bint is_null(const Lane *lane, int64_t row) noexcept nogil:
    return lane.valid != NULL and not is_set(lane.valid, lane.valid_at + row)


cdef inline bint lacks_part(const Lane *lane, int part, int64_t row) noexcept nogil:
    return lane.part_valid[part] != NULL and not is_set(lane.part_valid[part], lane.part_valid_at[part] + row)


cdef inline uint8_t *fail(int *fault, int what) noexcept nogil:
    fault[0] = what
    return NULL


cdef inline uint8_t *finished(uint8_t *out, uint8_t *end, int *fault) noexcept nogil:
    """Fill in the length word of the value between `out` and `end`."""
    if end - out - 4 > MAX_VALUE:
        return fail(fault, Fault.VALUE_SIZE)
    put32(out, <uint32_t>(end - out - 4))
    return end


cdef inline uint8_t *blamed(uint8_t *out, const Lane *lane, int *fault) noexcept nogil:
    """Add the place to a fault, unless it has one."""
    if out == NULL and fault[0] < Fault.PLACE:
        fault[0] += Fault.PLACE * lane.index
    return out


cdef inline uint8_t *put_kid(
    uint8_t *out, const Lane *kid, int64_t row, int64_t room, int *fault
) noexcept nogil:
    """Write a part of a value, NULL or not; a fault then tells the innermost lane.

    The usual ones need no call.
    """
    if is_null(kid, row):
        put32(out, 0xFFFFFFFF)
        return out + 4
    if kid.form == Form.FIXED32:
        put64(out, (<unsigned long long>4 << 32) | load32(kid.data + 4 * row))
        return out + 8
    if kid.form == Form.FIXED64:
        put32(out, 8)
        put64(out + 4, load64(kid.data + 8 * row))
        return out + 12
    if kid.form == Form.TEXT:
        return blamed(put_text(out, kid, row, room, fault), kid, fault)
    return blamed(kid.put(out, kid, row, room, fault), kid, fault)


cdef inline uint8_t *put_items(
    uint8_t *out, const Lane *item, int64_t first, int64_t count, const uint8_t *end, bint *nulls, int *fault
) noexcept nogil:
    """Write so many items, NULL ones too; `end` is where they end, but for the last one's fixed bytes."""
    cdef int64_t row
    end -= item.fixed
    if item.valid == NULL and (item.form == Form.FIXED32 or item.form == Form.FIXED64):
        if count > 0 and out + (count - 1) * item.fixed > end:
            return fail(fault, Fault.OFFSETS)
        if item.form == Form.FIXED32:
            for row in range(first, first + count):
                put64(out, (<unsigned long long>4 << 32) | load32(item.data + 4 * row))
                out += 8
        else:
            for row in range(first, first + count):
                put32(out, 8)
                put64(out + 4, load64(item.data + 8 * row))
                out += 12
        return out
    for row in range(first, first + count):
        if out > end:
            return fail(fault, Fault.OFFSETS)
        nulls[0] |= is_null(item, row)
        out = put_kid(out, item, row, end - out, fault)
        if out == NULL:
            return NULL
    return out


cdef inline uint8_t *put_list(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    """Write an array of one dimension, the lower bound being 1, as array_recv of arrayfuncs.c reads it."""
    cdef int64_t first, count
    cdef bint nulls = False
    cdef uint8_t *at
    if not read_span(lane, row, &first, &count):
        return fail(fault, Fault.OFFSETS)
    if count > MAX_ITEMS:
        return fail(fault, Fault.ITEMS)
    put32(out + 4, count > 0)
    put32(out + 12, lane.kids.oid)
    if count == 0:
        put32(out + 8, 0)
        return finished(out, out + 16, fault)
    put32(out + 16, <uint32_t>count)
    put32(out + 20, 1)
    at = put_items(out + 24, lane.kids, first, count, out + room, &nulls, fault)
    if at == NULL:
        return NULL
    put32(out + 8, nulls)
    return finished(out, at, fault)


cdef inline uint8_t *put_nd_list(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    """Write an array of any dimensions; servers, too, send some of size zero (oidvector::oid[])."""
    cdef int64_t first[3]
    cdef int64_t count[3]
    cdef int64_t items = 1
    cdef int32_t size, bound
    cdef const Lane *sizes = lane.kids[0].kids
    cdef const Lane *bounds = lane.kids[1].kids
    cdef bint nulls = False
    cdef uint8_t *at = out + 16
    cdef int i
    for i in range(3):
        if is_null(&lane.kids[i], row):
            return fail(fault, Fault.PART_NULL)
        if not read_span(&lane.kids[i], row, &first[i], &count[i]):
            return fail(fault, Fault.OFFSETS)
    if count[0] > MAX_DIMENSIONS or count[1] != count[0]:
        return fail(fault, Fault.DIMENSIONS)
    for i in range(<int>count[0]):
        if is_null(sizes, first[0] + i) or is_null(bounds, first[1] + i):
            return fail(fault, Fault.PART_NULL)
        size = <int32_t>load32(sizes.data + 4 * (first[0] + i))
        bound = <int32_t>load32(bounds.data + 4 * (first[1] + i))
        if size < 0 or <int64_t>bound + size > INT32_MAX:
            return fail(fault, Fault.DIMENSIONS)
        items *= size
        if items > MAX_ITEMS:
            return fail(fault, Fault.ITEMS)
        put32(at, <uint32_t>size)
        put32(at + 4, <uint32_t>bound)
        at += 8
    if count[2] != (items if count[0] else 0):
        return fail(fault, Fault.DIMENSIONS)
    put32(out + 4, <uint32_t>count[0])
    put32(out + 12, lane.kids[2].kids.oid)
    at = put_items(at, lane.kids[2].kids, first[2], count[2], out + room, &nulls, fault)
    if at == NULL:
        return NULL
    put32(out + 8, nulls)
    return finished(out, at, fault)


cdef inline uint8_t *put_composite(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    cdef const uint8_t *end = out + room
    cdef uint8_t *at = out + 8
    cdef int i
    put32(out + 4, <uint32_t>lane.kid_count)
    for i in range(lane.kid_count):
        put32(at, lane.kids[i].oid)
        at = put_kid(at + 4, &lane.kids[i], row, end - at - 4, fault)
        if at == NULL:
            return NULL
    return finished(out, at, fault)


cdef inline uint8_t *put_range(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    """Write a range, as range_recv of rangetypes.c reads it; flags that it would change are refused."""
    cdef const uint8_t *end = out + room
    cdef uint8_t *at = out + 5
    cdef uint8_t flags
    cdef bint bounded
    cdef int i
    if lacks_part(lane, 0, row):
        return fail(fault, Fault.PART_NULL)
    flags = lane.part[0][row]
    if (
        flags > 0x1F
        or (flags & EMPTY and flags != EMPTY)
        or (flags & LOWER_INFINITE and flags & LOWER_INCLUSIVE)
        or (flags & UPPER_INFINITE and flags & UPPER_INCLUSIVE)
    ):
        return fail(fault, Fault.FLAGS)
    out[4] = flags
    for i in range(2):
        bounded = not flags & (EMPTY | (UPPER_INFINITE if i else LOWER_INFINITE))
        if bounded == is_null(&lane.kids[i], row):
            return fail(fault, Fault.BOUND)
        if bounded:
            at = put_kid(at, &lane.kids[i], row, end - at, fault)
            if at == NULL:
                return NULL
    return finished(out, at, fault)


cdef inline uint8_t *put_multirange(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    cdef int64_t first, count
    cdef bint nulls = False
    cdef uint8_t *at
    if not read_span(lane, row, &first, &count):
        return fail(fault, Fault.OFFSETS)
    put32(out + 4, <uint32_t>count)
    at = put_items(out + 8, lane.kids, first, count, out + room, &nulls, fault)
    if at == NULL:
        return NULL
    return fail(fault, Fault.RANGE_NULL) if nulls else finished(out, at, fault)


cdef inline uint8_t *put_hstore(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    """Write the pairs in their order: hstore_recv sorts them itself, and keeps one of each key."""
    cdef const Lane *key = &lane.kids[0]
    cdef const Lane *value = &lane.kids[1]
    cdef const uint8_t *end = out + room - key.fixed - value.fixed
    cdef uint8_t *at = out + 8
    cdef int64_t first, count, pair
    if not read_span(lane, row, &first, &count):
        return fail(fault, Fault.OFFSETS)
    if count > MAX_PAIRS:
        return fail(fault, Fault.ITEMS)
    put32(out + 4, <uint32_t>count)
    for pair in range(first, first + count):
        if at > end:
            return fail(fault, Fault.OFFSETS)
        if lacks_part(lane, 0, pair) or is_null(key, pair):
            return fail(fault, Fault.KEY_NULL)
        at = blamed(put_text(at, key, pair, end - at, fault), key, fault)
        if at == NULL:
            return NULL
        if is_null(value, pair):
            put32(at, 0xFFFFFFFF)
            at += 4
            continue
        at = blamed(put_text(at, value, pair, end - at, fault), value, fault)
        if at == NULL:
            return NULL
    fault[0] = keys_fault(out + 8, count, lane.seed)
    return NULL if fault[0] else finished(out, at, fault)


cdef inline uint8_t *put_vector(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    """Write a vector, as vector_recv of pgvector's src/vector.c reads it; it takes no NaN and no infinity."""
    cdef const Lane *item = lane.kids
    cdef const uint8_t *source
    cdef int64_t first, count, i
    cdef uint32_t word
    cdef bint finite = True
    if not read_span(lane, row, &first, &count) or 4 * count > room:
        return fail(fault, Fault.OFFSETS)
    if not 1 <= count <= MAX_VECTOR or (lane.limit >= 0 and count != lane.limit):
        return fail(fault, Fault.DIMENSION_COUNT)
    if item.valid != NULL:
        for i in range(first, first + count):
            if is_null(item, i):
                return fail(fault, Fault.ELEMENT_NULL)
    source = item.data + 4 * first
    put32(out + 4, <uint32_t>count << 16)
    for i in range(count):
        word = load32(source + 4 * i)
        finite &= word & EXPONENT != EXPONENT
        put32(out + 8 + 4 * i, word)
    return finished(out, out + 8 + 4 * count, fault) if finite else fail(fault, Fault.NOT_FINITE)


cdef inline uint8_t *put_bits(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    """Write a bit string; the unused bits of its last byte are zeros."""
    cdef int64_t start, length
    cdef int32_t bits
    if lacks_part(lane, 0, row) or lacks_part(lane, 1, row):
        return fail(fault, Fault.PART_NULL)
    bits = <int32_t>load32(lane.part[0] + 4 * row)
    if not read_span(lane, row, &start, &length) or length > room:
        return fail(fault, Fault.OFFSETS)
    if bits < 0 or bits > MAX_BITS or length != (<int64_t>bits + 7) // 8:
        return fail(fault, Fault.BIT_DATA)
    if lane.limit >= 0 and (bits > lane.limit or (lane.exact and bits < lane.limit)):
        return fail(fault, Fault.BIT_COUNT)
    put_piece(out + 8, lane.data + start, length, lane.data + lane.size)
    if bits & 7 and out[7 + length] & (0xFF >> (bits & 7)):
        return fail(fault, Fault.BIT_DATA)
    put32(out + 4, <uint32_t>bits)
    return finished(out, out + 8 + length, fault)


cdef inline Put put_of(int form) noexcept nogil:
    """Give what writes values of a form, as one function."""
    if form == Form.BITS:
        return put_bits
    if form == Form.HSTORE:
        return put_hstore
    if form == Form.LIST:
        return put_list
    if form == Form.ND_LIST:
        return put_nd_list
    if form == Form.COMPOSITE:
        return put_composite
    if form == Form.PG_RANGE:
        return put_range
    if form == Form.MULTIRANGE:
        return put_multirange
    if form == Form.VECTOR:
        return put_vector
    if form == Form.ENUM_INDEX:
        return put_indexed_label
    return leaf_of(form)


cdef inline bint is_listed(int form) noexcept nogil:
    """Whether offsets tell which values of its kids are one value's."""
    return form == Form.LIST or form == Form.MULTIRANGE or form == Form.HSTORE or form == Form.VECTOR


cdef inline int64_t fixed_bytes(const Lane *lane, int64_t own) noexcept nogil:
    """Bound the bytes of a value whose own are `own`, without what offsets say."""
    cdef int64_t total = own
    cdef int i
    if lane.form == Form.COMPOSITE or lane.form == Form.PG_RANGE:
        for i in range(lane.kid_count):
            total += 4 + lane.kids[i].fixed
    return total


cdef inline int64_t check_tree(Lane *lane, int64_t rows, Trouble *trouble) noexcept nogil:
    """Check the shapes of a lane and its kids; give the bytes that values take beside `fixed`, or -1.

    Values are checked as they are written, because only then it is known which are under no NULL.
    """
    cdef int64_t total = 0, more, first, longest = 0
    cdef int i
    trouble.lane = lane.index
    if rows == 0:
        return 0
    if lane.offsets != NULL and lane.form != Form.ENUM_INDEX:
        total = check_offsets(lane, rows, &longest)
        if total < 0:
            trouble.fault = Fault.OFFSETS
            return -1
        if (lane.form == Form.TEXT or lane.form == Form.JSONB) and (lane.limit < 0 or longest <= lane.limit):
            first = offset_at(lane, 0)
            lane.plain = 0 <= first <= lane.size - total and is_plain(lane.data + first, total)
    if is_listed(lane.form):
        rows = lane.size
        total = 0
        for i in range(lane.kid_count):  # a vector's floats stand without their lengths
            total += rows * (4 if lane.form == Form.VECTOR else lane.kids[i].fixed)
    for i in range(lane.kid_count):
        more = check_tree(&lane.kids[i], rows, trouble)
        if more < 0:
            return -1
        total += more
        if total > MOST_BYTES:
            trouble.fault = Fault.TOO_LARGE
            return -1
    return total
