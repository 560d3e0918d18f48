"""From Python's arrays to lanes: where the memory is, and whether as much is there as the rows need.

Everything here runs once a call and column, with the GIL. A fault within a value tells its lane, as
`fault + Fault.PLACE * lane`.
"""

from libc.stdint cimport INT32_MAX, INT64_MAX, int32_t, int64_t, uint8_t, uint32_t, uintptr_t
from libc.stdlib cimport calloc

from copypump.codec._encode cimport Fault, Form, Lane, Origin, load32
from copypump.codec._encode_checks cimport first_null, first_unknown_row, is_rising, is_set
from copypump.codec._encode_nested cimport is_listed


cdef inline const uint8_t *memory(object buffer, int64_t *size) except? NULL:
    """Give a buffer's address and size; none, and one that is not in main memory, is empty."""
    cdef uintptr_t address
    if buffer is None or not buffer.is_cpu:
        size[0] = 0
        return NULL
    address = buffer.address
    size[0] = buffer.size
    return <const uint8_t *>address


cdef inline int bind_bitmap(object buffer, int64_t offset, int64_t rows, const uint8_t **valid) except -1:
    """Take a validity bitmap; no buffer: all values are there."""
    cdef int64_t size
    valid[0] = NULL
    if buffer is None:
        return Fault.NONE
    valid[0] = memory(buffer, &size)
    return Fault.NONE if offset + rows <= 8 * size else Fault.BUFFER


cdef inline int bind_part(Lane *lane, int i, object part, int64_t rows, int width) except -1:
    """Take a child that is no lane of its own: words of `width` bytes, or bytes behind offsets (0)."""
    cdef int64_t size, offset = part.offset
    cdef int fault
    if <int64_t>len(part) < rows:
        return Fault.LENGTH
    if offset < 0 or offset > INT64_MAX // 64:
        return Fault.BUFFER
    buffers = part.buffers()
    fault = bind_bitmap(buffers[0], offset, rows, &lane.part_valid[i])
    if fault:
        return fault
    lane.part_valid_at[i] = offset
    if width == 0:
        return bind_offsets(lane, buffers, offset, rows)
    lane.part[i] = memory(buffers[1], &size)
    if (offset + rows) * width > size:
        return Fault.BUFFER
    lane.part[i] += offset * width
    return Fault.NONE


cdef inline int bind_offsets(Lane *lane, list buffers, int64_t offset, int64_t rows) except -1:
    """Take int32 offsets and, where there is one, the data that they lead into."""
    cdef int64_t size
    lane.offsets = memory(buffers[1], &size)
    if (offset + rows + 1) * 4 > size:
        return Fault.BUFFER
    lane.offsets += 4 * offset
    if not is_listed(lane.form):
        lane.data = memory(buffers[2], &lane.size)
    return Fault.NONE


cdef inline int bind_dictionary(Lane *lane, object array, int64_t rows) except -1:
    """Take indices, and the texts that they lead to; what leads to a NULL is NULL."""
    cdef const uint8_t *valid
    cdef int64_t size, row, offset = array.offset
    cdef uint32_t entry
    cdef int fault
    lane.part[0] = memory(array.buffers()[1], &size)
    if (offset + rows) * 4 > size:
        return Fault.BUFFER
    lane.part[0] += 4 * offset
    texts = array.dictionary
    lane.entries = min(<int64_t>len(texts), INT32_MAX)
    if lane.entries == 0:
        return Fault.NONE
    offset = texts.offset
    if offset < 0 or offset > INT64_MAX // 64:
        return Fault.BUFFER
    buffers = texts.buffers()
    fault = bind_offsets(lane, buffers, offset, lane.entries)
    if fault == Fault.NONE:
        fault = bind_bitmap(buffers[0], offset, lane.entries, &valid)
    if fault:
        return fault
    lane.found = <uint32_t *>calloc(lane.entries, sizeof(uint32_t))
    if lane.found == NULL:
        raise MemoryError
    if valid == NULL or first_null(valid, offset, lane.entries) < 0:
        return Fault.NONE
    lane.bits = <uint8_t *>calloc((rows + 7) // 8, 1)
    if lane.bits == NULL:
        raise MemoryError
    for row in range(rows):
        entry = load32(lane.part[0] + 4 * row)
        if (lane.valid == NULL or is_set(lane.valid, lane.valid_at + row)) and (
            entry >= lane.entries or is_set(valid, offset + entry)
        ):
            lane.bits[row >> 3] |= <uint8_t>(1 << (row & 7))
    lane.valid = lane.bits
    lane.valid_at = 0
    return Fault.NONE


cdef inline int bind_items(Lane *lane, object array, int64_t rows) except -1:
    """Take the values that the offsets of a list lead to, and no others."""
    cdef int64_t first = <int32_t>load32(lane.offsets), last = <int32_t>load32(lane.offsets + 4 * rows)
    cdef int fault
    values = array.values
    if first < 0 or last < first or last > <int64_t>len(values):
        return Fault.OFFSETS
    lane.base = first
    lane.size = last - first
    if last == first:
        return Fault.NONE
    values = values.slice(first, last - first)
    if lane.form != Form.HSTORE:
        return bind(lane.kids, values, lane.size)
    if <int64_t>len(values) < lane.size:
        return Fault.LENGTH
    if values.offset < 0 or values.offset > INT64_MAX // 64:
        return Fault.BUFFER
    lane.part_valid_at[0] = values.offset
    fault = bind_bitmap(values.buffers()[0], values.offset, lane.size, &lane.part_valid[0])
    return fault if fault else bind_fields(lane, values, lane.size)


cdef inline int bind_fields(Lane *lane, object array, int64_t rows) except -1:
    """Take the first children of a struct as the lane's kids."""
    cdef int i, fault
    for i in range(lane.kid_count):
        fault = bind(&lane.kids[i], array.field(i), rows)
        if fault:
            return fault
    return Fault.NONE


cdef inline int bind(Lane *lane, object array, int64_t rows) except -1:
    """Point a lane and its kids at the memory of an array, as far as that is there."""
    cdef int fault = bind_whole(lane, array, rows)
    return fault if fault == Fault.NONE or fault >= Fault.PLACE else fault + Fault.PLACE * lane.index


cdef inline int bind_whole(Lane *lane, object array, int64_t rows) except -1:
    cdef int64_t offset, size
    cdef int i, fault, width
    cdef int form = lane.form
    if <int64_t>len(array) != rows:
        return Fault.LENGTH
    if rows == 0:
        return Fault.NONE
    offset = array.offset
    if offset < 0 or offset > INT64_MAX // 64:
        return Fault.BUFFER
    buffers = array.buffers()
    fault = bind_bitmap(buffers[0], offset, rows, &lane.valid)
    if fault:
        return fault
    lane.valid_at = offset
    if form == Form.COMPOSITE or form == Form.ND_LIST or form == Form.PG_RANGE:
        fault = bind_fields(lane, array, rows)
        return fault if fault or form != Form.PG_RANGE else bind_part(lane, 0, array.field(2), rows, 1)
    if form == Form.INTERVAL or form == Form.TIMETZ or form == Form.BITS:
        for i in range(3 if form == Form.INTERVAL else 2):
            fault = bind_part(lane, i, array.field(i), rows, part_width(form, i))
            if fault:
                return fault
        return Fault.NONE
    if form == Form.ENUM_INDEX:
        return bind_dictionary(lane, array, rows)
    width = value_width(form)
    if width == 0 and form != Form.BOOL:
        fault = bind_offsets(lane, buffers, offset, rows)
        return fault if fault or not is_listed(form) else bind_items(lane, array, rows)
    lane.data = memory(buffers[1], &size)
    if form == Form.BOOL:
        lane.size = offset  # of the bits
        return Fault.NONE if offset + rows <= 8 * size else Fault.BUFFER
    if (offset + rows) * width > size:
        return Fault.BUFFER
    lane.data += offset * width
    return Fault.NONE


cdef inline int part_width(int form, int i) noexcept nogil:
    """Bytes of a value of one part of a struct; 0 when offsets tell."""
    if form == Form.TIMETZ:
        return 4 if i else 8
    if form == Form.BITS:
        return 0 if i else 4
    return 8 if i == 2 else 4


cdef inline int value_width(int form) noexcept nogil:
    """Bytes of a value in an Arrow buffer; 0 when offsets tell."""
    if form == Form.FIXED8:
        return 1
    if form == Form.FIXED16:
        return 2
    if form == Form.FIXED32 or form == Form.DATE:
        return 4
    if form == Form.FIXED64 or form == Form.TIME or form == Form.TIMESTAMP:
        return 8
    if (
        form == Form.UUID
        or form == Form.NANO_INTERVAL
        or form == Form.DECIMAL128
        or form == Form.DECIMAL128_CUT
    ):
        return 16
    if form == Form.DECIMAL256:
        return 32
    return 0


cdef inline int bind_ids(Origin *origin, object ids, int64_t rows, bint disjoint, int64_t *bad) except -1:
    """Take the row index: rows of the block, one for each output row, none of them NULL."""
    cdef const uint8_t *valid
    cdef int64_t size, offset = ids.offset
    cdef int fault
    if <int64_t>len(ids) != rows:
        return Fault.LENGTH
    if rows == 0:
        return Fault.NONE
    if offset < 0 or offset > INT64_MAX // 64:
        return Fault.BUFFER
    bitmap, data = ids.buffers()
    fault = bind_bitmap(bitmap, offset, rows, &valid)
    if fault:
        return fault
    if valid != NULL:
        bad[0] = first_null(valid, offset, rows)
        if bad[0] >= 0:
            return Fault.ROW_NULL
    origin.ids = memory(data, &size)
    if (offset + rows) * 4 > size:
        return Fault.BUFFER
    origin.ids += 4 * offset
    with nogil:
        bad[0] = first_unknown_row(origin, rows)
        origin.once = disjoint and is_rising(origin.ids, rows)
    return Fault.NONE if bad[0] < 0 else Fault.ROW_RANGE
