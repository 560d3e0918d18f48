"""Values that stand within others and hold none themselves: what write_rows has in one switch, form by form.

The switch is not called from here: with a second caller the compiler does not inline it any more, and each
row of lineitem took 92 ns in place of 72.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from copypump.codec._encode cimport (
    Fault, Form, Lane, Put, is_plain, load16, load32, load64, put16, put32, put64
)
from copypump.codec._encode_checks cimport is_set, read_span, text_fault
from copypump.codec._encode_values cimport (
    put_date, put_piece, put_short_decimal128, put_time, put_timestamp
)


cdef inline uint8_t *put_bool(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    put32(out, 1)
    out[4] = is_set(lane.data, lane.size + row)
    return out + 5


cdef inline uint8_t *put_fixed8(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    put32(out, 1)
    out[4] = lane.data[row]
    return out + 5


cdef inline uint8_t *put_fixed16(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    put32(out, 2)
    put16(out + 4, load16(lane.data + 2 * row))
    return out + 6


cdef inline uint8_t *put_fixed32(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    put64(out, (<uint64_t>4 << 32) | load32(lane.data + 4 * row))
    return out + 8


cdef inline uint8_t *put_fixed64(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    put32(out, 8)
    put64(out + 4, load64(lane.data + 8 * row))
    return out + 12


cdef inline uint8_t *put_uuid(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    put32(out, 16)
    memcpy(out + 4, lane.data + 16 * row, 16)
    return out + 20


cdef inline uint8_t *put_row_date(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    return put_date(out, <int32_t>load32(lane.data + 4 * row), fault)


cdef inline uint8_t *put_row_time(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    return put_time(out, <int64_t>load64(lane.data + 8 * row), lane.unit, fault)


cdef inline uint8_t *put_row_timestamp(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    return put_timestamp(out, <int64_t>load64(lane.data + 8 * row), lane.unit, fault)


cdef inline uint8_t *put_row_decimal128(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    return put_short_decimal128(out, lane, lane.data, row, fault)


cdef inline uint8_t *put_sized(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    """Write what has a kernel for values of one size: intervals, other decimals, timetz."""
    return lane.kernel(out, lane, lane.data, row, fault)


cdef inline uint8_t *put_unsized(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    """Write what has a kernel for bytes: the text of a uuid or numeric, labels."""
    cdef int64_t start, length
    if not read_span(lane, row, &start, &length) or length > room:
        fault[0] = Fault.OFFSETS
        return NULL
    return lane.kernel(out, lane, lane.data + start, length, fault)


cdef inline uint8_t *put_bytes(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    cdef int64_t start, length
    if not read_span(lane, row, &start, &length) or length > room:
        fault[0] = Fault.OFFSETS
        return NULL
    put32(out, <uint32_t>length)
    return put_piece(out + 4, lane.data + start, length, lane.data + lane.size)


cdef inline uint8_t *put_text(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil:
    """Write and check a text or jsonb: it could not be checked before, for want of its parents' NULLs."""
    cdef int64_t start, length, characters
    cdef int head = 5 if lane.form == Form.JSONB else 4
    if not read_span(lane, row, &start, &length) or length > room:
        fault[0] = Fault.OFFSETS
        return NULL
    if not lane.plain:
        characters = length
        if not is_plain(lane.data + start, length):
            fault[0] = text_fault(lane.data + start, length, &characters)
            if fault[0]:
                return NULL
        if lane.limit >= 0 and (length if lane.in_bytes else characters) > lane.limit:
            fault[0] = Fault.TOO_LONG
            return NULL
    put32(out, <uint32_t>(length + head - 4))
    out[4] = 1
    return put_piece(out + head, lane.data + start, length, lane.data + lane.size)


cdef inline Put leaf_of(int form) noexcept nogil:
    """Give what writes values of a form that hold no others."""
    if form == Form.BOOL:
        return put_bool
    if form == Form.FIXED8:
        return put_fixed8
    if form == Form.FIXED16:
        return put_fixed16
    if form == Form.FIXED32:
        return put_fixed32
    if form == Form.FIXED64:
        return put_fixed64
    if form == Form.BYTES:
        return put_bytes
    if form == Form.TEXT or form == Form.JSONB:
        return put_text
    if form == Form.UUID:
        return put_uuid
    if form == Form.DATE:
        return put_row_date
    if form == Form.TIME:
        return put_row_time
    if form == Form.TIMESTAMP:
        return put_row_timestamp
    if form == Form.DECIMAL128:
        return put_row_decimal128
    if form == Form.UUID_TEXT or form == Form.NUMERIC_TEXT or form == Form.ENUM:
        return put_unsized
    return put_sized
