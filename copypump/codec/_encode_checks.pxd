"""Checks of a whole column, before anything of it is written.

Whoever made the buffers may still be writing to them, so even what was checked is compared with the memory's
bounds where it is read again.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from copypump.codec._encode cimport Fault, Lane, Origin, is_plain, load32


cdef inline bint is_set(const uint8_t *bitmap, int64_t at) noexcept nogil:
    return (bitmap[at >> 3] >> (at & 7)) & 1


cdef inline int32_t offset_at(const Lane *lane, int64_t row) noexcept nogil:
    return <int32_t>load32(lane.offsets + 4 * row)


cdef inline bint read_span(const Lane *lane, int64_t row, int64_t *first, int64_t *count) noexcept nogil:
    """Read where the bytes of a value, or the items of a list, are; whether they are all there."""
    cdef int64_t start = offset_at(lane, row), end = offset_at(lane, row + 1)
    first[0] = start - lane.base
    count[0] = end - start
    return first[0] >= 0 and count[0] >= 0 and first[0] + count[0] <= lane.size


cdef inline int64_t first_null(const uint8_t *bitmap, int64_t at, int64_t rows) noexcept nogil:
    """Find the first row whose bit is clear, or -1."""
    cdef int64_t row = 0
    while row < rows:
        if (at + row) & 7 == 0:
            while row + 8 <= rows and bitmap[(at + row) >> 3] == 0xFF:
                row += 8
            if row == rows:
                break
        if not is_set(bitmap, at + row):
            return row
        row += 1
    return -1


cdef inline int text_fault(const uint8_t *p, int64_t n, int64_t *characters) noexcept nogil:
    """Check UTF-8 (nothing overlong, no surrogates, nothing beyond U+10FFFF) and NUL; count characters."""
    cdef int64_t i = 0, count = 0
    cdef uint32_t lead
    cdef uint8_t low, high
    cdef int more
    while i < n:
        lead = p[i]
        count += 1
        i += 1
        if lead < 0x80:
            if lead == 0:
                return Fault.NUL
            continue
        low = 0x80
        high = 0xBF
        if 0xC2 <= lead <= 0xDF:
            more = 1
        elif 0xE0 <= lead <= 0xEF:
            more = 2
            if lead == 0xE0:
                low = 0xA0
            elif lead == 0xED:
                high = 0x9F
        elif 0xF0 <= lead <= 0xF4:
            more = 3
            if lead == 0xF0:
                low = 0x90
            elif lead == 0xF4:
                high = 0x8F
        else:
            return Fault.UTF8
        if n - i < more or not low <= p[i] <= high:
            return Fault.UTF8
        if more > 1 and p[i + 1] & 0xC0 != 0x80:
            return Fault.UTF8
        if more > 2 and p[i + 2] & 0xC0 != 0x80:
            return Fault.UTF8
        i += more
    characters[0] = count
    return Fault.NONE


cdef inline int64_t check_offsets(const Lane *lane, int64_t rows, int64_t *longest) noexcept nogil:
    """Give the bytes (or items) of all values, or -1 when the offsets leave the data or turn back."""
    cdef int32_t here, following, length
    cdef int32_t most = 0
    cdef bint sound = True
    cdef int64_t row
    if offset_at(lane, 0) < lane.base or offset_at(lane, rows) > lane.base + lane.size:
        return -1
    for row in range(rows):
        here = offset_at(lane, row)
        following = offset_at(lane, row + 1)
        sound &= here <= following
        length = <int32_t>(<uint32_t>following - <uint32_t>here)
        most = length if length > most else most
    longest[0] = most
    return <int64_t>offset_at(lane, rows) - offset_at(lane, 0) if sound else -1


cdef inline int check_texts(const Lane *lane, int64_t rows, int64_t longest, int64_t *bad) noexcept nogil:
    """Check every value that is not NULL: UTF-8, no NUL, no longer than the target's type."""
    cdef int64_t first = offset_at(lane, 0), last = offset_at(lane, rows)
    cdef bint bounded = lane.limit >= 0 and longest > lane.limit
    cdef int64_t row, start, length, characters = 0
    cdef int fault
    if first < 0 or last < first or last > lane.size:
        return Fault.OFFSETS
    if not bounded and is_plain(lane.data + first, last - first):
        return Fault.NONE
    for row in range(rows):
        if lane.valid != NULL and not is_set(lane.valid, lane.valid_at + row):
            continue
        start = offset_at(lane, row)
        length = <int64_t>offset_at(lane, row + 1) - start
        if start < 0 or length < 0 or start + length > lane.size:
            return Fault.OFFSETS
        if is_plain(lane.data + start, length):
            characters = length
        else:
            fault = text_fault(lane.data + start, length, &characters)
            if fault:
                bad[0] = row
                return fault
        if lane.limit >= 0 and (length if lane.in_bytes else characters) > lane.limit:
            bad[0] = row
            return Fault.TOO_LONG
    return Fault.NONE


cdef inline bint is_rising(const uint8_t *ids, int64_t rows) noexcept nogil:
    """Whether each row id is larger than the one before it."""
    cdef bint rising = True
    cdef int64_t row
    for row in range(1, rows):
        rising &= <int32_t>load32(ids + 4 * row) > <int32_t>load32(ids + 4 * row - 4)
    return rising


cdef inline int64_t source_row(const Origin *origin, int64_t row) noexcept nogil:
    """Give the block's row that an output row copies; -1 when there is none."""
    cdef int64_t source
    if origin.ids == NULL:
        return row
    source = load32(origin.ids + 4 * row)  # negative ones are large as unsigned
    return source if source < origin.rows else -1


cdef inline int64_t first_unknown_row(const Origin *origin, int64_t rows) noexcept nogil:
    """Find the first row id that names no row of the block, or -1."""
    cdef int64_t row
    for row in range(rows):
        if source_row(origin, row) < 0:
            return row
    return -1
