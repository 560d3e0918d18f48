"""One value each: every function writes a field with its length word and gives the place behind it.

A value that does not fit sets the fault and gives NULL. Stores may reach up to 63 bytes beyond the field.
"""

from libc.stdint cimport INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from copypump.codec._encode cimport (
    Fault, Form, Kernel, Lane, copy_short, divide, load32, load64, put32, put64
)
from copypump.codec._encode_checks cimport is_set
from copypump.codec._encode_numeric cimport put_large, put_small, put_text_numeric
from copypump.codec._texts cimport PADDING, find_text


cdef extern from "_encode.h":
    const int64_t EPOCH_MICROSECONDS "CP_EPOCH_MICROSECONDS"
    const int64_t FIRST_MICROSECOND "CP_FIRST_MICROSECOND"
    const int64_t DAY_MICROSECONDS "CP_DAY_MICROSECONDS"


cdef enum:
    # Days from 1970-01-01 (Arrow) to 2000-01-01 (PostgreSQL), and the server's limits as Arrow counts them:
    # DATETIME_MIN_JULIAN and DATE_END_JULIAN of its datatype/timestamp.h.
    EPOCH_DAYS = 10957
    FIRST_DAY = -2451545 + 10957
    END_DAY = 2145031949 + 10957
    # A time zone is closer to UTC than this: TZDISP_LIMIT of the same file, in seconds.
    ZONE_LIMIT = 16 * 3600
    MAX_LABEL = 63  # NAMEDATALEN - 1 of its pg_config_manual.h


cdef inline uint8_t *put_piece(
    uint8_t *out, const uint8_t *source, int64_t n, const uint8_t *end
) noexcept nogil:
    """Copy n bytes; the source's memory goes on until `end`. Most values are short: no call for them."""
    if n == 0:
        return out  # there may be no memory at all
    if n <= 64 and end - source >= 80:
        copy_short(out, source, n)
    else:
        memcpy(out, source, n)
    return out + n


cdef inline uint8_t *put_date(uint8_t *out, int32_t day, int *fault) noexcept nogil:
    cdef int32_t wire
    if FIRST_DAY <= day < END_DAY:
        wire = day - EPOCH_DAYS
    elif day == INT32_MAX:
        wire = INT32_MAX
    elif day <= INT32_MIN + 1:  # -infinity as PostgreSQL has it, and as duckdb
        wire = INT32_MIN
    else:
        fault[0] = Fault.RANGE
        return NULL
    put64(out, (<uint64_t>4 << 32) | <uint32_t>wire)
    return out + 8


cdef inline uint8_t *put_time(uint8_t *out, int64_t time, int64_t unit, int *fault) noexcept nogil:
    if <uint64_t>time > <uint64_t>DAY_MICROSECONDS:
        fault[0] = Fault.RANGE
        return NULL
    if unit != 1 and time % unit != 0:
        fault[0] = Fault.FRACTION
        return NULL
    put32(out, 8)
    put64(out + 4, <uint64_t>time)
    return out + 12


cdef inline uint8_t *put_timetz(
    uint8_t *out, const Lane *lane, const uint8_t *_, int64_t row, int *fault
) noexcept nogil:
    cdef int32_t zone
    cdef int i
    for i in range(2):
        if lane.part_valid[i] != NULL and not is_set(lane.part_valid[i], lane.part_valid_at[i] + row):
            fault[0] = Fault.PART_NULL
            return NULL
    zone = <int32_t>load32(lane.part[1] + 4 * row)
    if not -ZONE_LIMIT < zone < ZONE_LIMIT:
        fault[0] = Fault.ZONE
        return NULL
    if put_time(out, <int64_t>load64(lane.part[0] + 8 * row), lane.unit, fault) == NULL:
        return NULL
    put32(out, 12)
    put32(out + 12, <uint32_t>zone)
    return out + 16


cdef inline uint8_t *put_timestamp(uint8_t *out, int64_t time, int64_t unit, int *fault) noexcept nogil:
    cdef int64_t wire
    if time >= FIRST_MICROSECOND and time != INT64_MAX:
        if unit != 1 and time % unit != 0:
            fault[0] = Fault.FRACTION
            return NULL
        wire = time - EPOCH_MICROSECONDS
    elif time == INT64_MAX:
        wire = INT64_MAX
    elif time <= INT64_MIN + 1:
        wire = INT64_MIN
    else:
        fault[0] = Fault.RANGE
        return NULL
    put32(out, 8)
    put64(out + 4, <uint64_t>wire)
    return out + 12


cdef inline uint8_t *put_interval(
    uint8_t *out, const Lane *lane, int32_t months, int32_t days, int64_t time, int *fault
) noexcept nogil:
    if (months % lane.months) != 0 or (days != 0 and not lane.days) or (lane.unit == 0 and time != 0):
        fault[0] = Fault.FIELDS
        return NULL
    if lane.unit > 1 and time % lane.unit != 0:
        fault[0] = Fault.FRACTION
        return NULL
    put32(out, 16)
    put64(out + 4, <uint64_t>time)
    put32(out + 12, <uint32_t>days)
    put32(out + 16, <uint32_t>months)
    return out + 20


cdef inline uint8_t *put_struct_interval(
    uint8_t *out, const Lane *lane, const uint8_t *_, int64_t row, int *fault
) noexcept nogil:
    cdef int i
    for i in range(3):
        if lane.part_valid[i] != NULL and not is_set(lane.part_valid[i], lane.part_valid_at[i] + row):
            fault[0] = Fault.PART_NULL
            return NULL
    return put_interval(
        out,
        lane,
        <int32_t>load32(lane.part[0] + 4 * row),
        <int32_t>load32(lane.part[1] + 4 * row),
        <int64_t>load64(lane.part[2] + 8 * row),
        fault,
    )


cdef inline uint8_t *put_nano_interval(
    uint8_t *out, const Lane *lane, const uint8_t *value, int64_t row, int *fault
) noexcept nogil:
    cdef int64_t nanoseconds
    value += 16 * row
    nanoseconds = <int64_t>load64(value + 8)
    if nanoseconds % 1000 != 0:
        fault[0] = Fault.FRACTION
        return NULL
    return put_interval(
        out, lane, <int32_t>load32(value), <int32_t>load32(value + 4), nanoseconds // 1000, fault
    )


cdef inline int hex_digit(uint8_t c) noexcept nogil:
    if 48 <= c <= 57:
        return c - 48
    c |= 0x20
    return c - 87 if 97 <= c <= 102 else -1


cdef inline uint8_t *put_text_uuid(
    uint8_t *out, const Lane *_, const uint8_t *text, int64_t n, int *fault
) noexcept nogil:
    """Read a uuid as the server's uuid_in does: braces and a hyphen after every four digits may be."""
    cdef int64_t i = 0
    cdef int byte, high, low
    if n and text[0] == 123:
        if text[n - 1] != 125:
            n = 0
        i = 1
        n -= 1
    put32(out, 16)
    for byte in range(16):
        high = hex_digit(text[i]) if i < n else -1
        low = hex_digit(text[i + 1]) if i + 1 < n else -1
        if high < 0 or low < 0:
            fault[0] = Fault.SYNTAX
            return NULL
        out[4 + byte] = <uint8_t>(16 * high + low)
        i += 2
        if byte & 1 and byte < 15 and i < n and text[i] == 45:
            i += 1
    if i != n:
        fault[0] = Fault.SYNTAX
        return NULL
    return out + 20


cdef inline uint8_t *put_decimal128(
    uint8_t *out, const Lane *lane, const uint8_t *value, int64_t row, int *fault
) noexcept nogil:
    cdef uint64_t low = load64(value + 16 * row), high = load64(value + 16 * row + 8)
    cdef bint negative = <int64_t>high < 0
    cdef uint64_t limbs[5]
    if negative:
        low = <uint64_t>0 - low
        high = ~high + (low == 0)
    limbs[0] = low
    limbs[1] = high
    limbs[2] = limbs[3] = 0
    return put_large(out, limbs, negative, &lane.shape, fault)


cdef inline uint8_t *put_cut_decimal128(
    uint8_t *out, const Lane *lane, const uint8_t *value, int64_t row, int *fault
) noexcept nogil:
    """Write one of a larger scale than the target's, whose last digits must be zeros."""
    cdef uint64_t low = load64(value + 16 * row), high = load64(value + 16 * row + 8), rest = 0
    cdef uint64_t cut = lane.shape.cut
    cdef bint negative = <int64_t>high < 0
    cdef uint64_t limbs[5]
    if negative:
        low = <uint64_t>0 - low
        high = ~high + (low == 0)
    if high == 0:
        limbs[0] = low // cut
        rest = low - limbs[0] * cut
        limbs[1] = 0
    else:
        limbs[1] = divide(&rest, high, cut)
        limbs[0] = divide(&rest, low, cut)
    if rest:
        fault[0] = Fault.SCALE
        return NULL
    if limbs[1] == 0 and limbs[0] < lane.shape.small:
        return put_small(out, limbs[0] * lane.shape.pad, negative, &lane.shape)
    limbs[2] = limbs[3] = 0
    return put_large(out, limbs, negative, &lane.shape, fault)


cdef inline uint8_t *put_short_decimal128(
    uint8_t *out, const Lane *lane, const uint8_t *value, int64_t row, int *fault
) noexcept nogil:
    """Write those of up to 16 digits, point and padding counted, and leave the others to the kernel."""
    cdef int64_t low = <int64_t>load64(value + 16 * row), high = <int64_t>load64(value + 16 * row + 8)
    cdef uint64_t magnitude = <uint64_t>0 - <uint64_t>low if low < 0 else <uint64_t>low
    if high == low >> 63 and magnitude < lane.shape.small:
        return put_small(out, magnitude * lane.shape.pad, low < 0, &lane.shape)
    return lane.kernel(out, lane, value, row, fault)


cdef inline uint8_t *put_decimal256(
    uint8_t *out, const Lane *lane, const uint8_t *value, int64_t row, int *fault
) noexcept nogil:
    cdef uint64_t limbs[5]
    cdef bint negative = <int64_t>load64(value + 32 * row + 24) < 0
    cdef bint carry = negative
    cdef int i
    for i in range(4):
        limbs[i] = load64(value + 32 * row + 8 * i)
        if negative:
            limbs[i] = ~limbs[i] + carry
            carry = carry and limbs[i] == 0
    if limbs[1] == 0 and limbs[2] == 0 and limbs[3] == 0 and limbs[0] < lane.shape.small:
        return put_small(out, limbs[0] * lane.shape.pad, negative, &lane.shape)
    return put_large(out, limbs, negative, &lane.shape, fault)


cdef inline uint8_t *put_numeric_text(
    uint8_t *out, const Lane *lane, const uint8_t *text, int64_t n, int *fault
) noexcept nogil:
    return put_text_numeric(out, text, n, &lane.shape, fault)


cdef inline uint8_t *put_label(
    uint8_t *out, const Lane *lane, const uint8_t *text, int64_t n, int *fault
) noexcept nogil:
    """Write a text that is one of the lane's labels. What was written is what is compared."""
    if n <= MAX_LABEL:
        put32(out, <uint32_t>n)
        put_piece(out + 4, text, n, lane.data + lane.size)
        if find_text(lane.labels, out + 4, n, out + 4 + n + PADDING) != NULL:
            return out + 4 + n
    fault[0] = Fault.LABEL
    return NULL


cdef inline Kernel kernel_of(int form) noexcept nogil:
    """Give the kernel of a form that has one, else NULL."""
    if form == Form.UUID_TEXT:
        return put_text_uuid
    if form == Form.INTERVAL:
        return put_struct_interval
    if form == Form.NANO_INTERVAL:
        return put_nano_interval
    if form == Form.DECIMAL128:
        return put_decimal128
    if form == Form.DECIMAL128_CUT:
        return put_cut_decimal128
    if form == Form.DECIMAL256:
        return put_decimal256
    if form == Form.NUMERIC_TEXT:
        return put_numeric_text
    if form == Form.TIMETZ:
        return put_timetz
    if form == Form.ENUM:
        return put_label
    return NULL
