"""One numeric field as the server's own text of it (get_str_from_var of PostgreSQL's numeric.c).

A text is measured first, and then written where there is room for it. The usual number, of at most four digit
groups, goes a way without loops: its sixteen digits are made at once, and copied before and behind the point.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from copypump.codec._numeric cimport (
    INVALID,
    MINUS_INFINITY,
    NAN_SIGN,
    NEGATIVE,
    OK,
    PLUS_INFINITY,
    Numeric,
    any_above_9999,
    copypump_tens,
    examine,
    load16,
    load64,
    width_of,
)


cdef enum:
    TEXT_SLACK = 40  # bytes that `write_short` may write behind a text


# A number of at most four groups, the first of which is worth 10000 ** -1 to 10000 ** 3.
cdef struct Short:
    uint64_t digits   # the groups, the first on top; those that are not there are zero
    int width         # digits of the first group
    int whole         # digits before the point
    int dscale
    bint negative


cdef inline bint examine_short(const uint8_t *at, int32_t length, Short *number) noexcept nogil:
    """Whether a field is such a number; all else is left to `text_length`.

    Eight bytes of digits are read whatever the length, so the caller knows that they are there.
    """
    cdef uint64_t head = load64(at)
    cdef uint64_t digits = load64(at + 8)
    cdef int count = <int>(head >> 48)
    cdef int weight = <int16_t>(head >> 32)
    cdef int first, beyond
    number.dscale = <int>(head & 0x3FFF)
    if (
        count > 4 or not -1 <= weight <= 3 or length != 8 + 2 * count
        or head & 0xBFFFC000u or number.dscale > 16
    ):
        return False
    digits &= ~((<uint64_t>-1 >> (8 * count)) >> (8 * count))
    if any_above_9999(digits):
        return False
    if weight < 0 and count:  # room for the zero before the point
        if count == 4 or digits >> 48 == 0:
            return False
        digits >>= 16
        count += 1
    elif count and digits >> 48 == 0:
        return False
    weight = max(weight, 0)
    first = <int>(digits >> 48)
    # How many digits of the last group stand beyond the display scale; a server keeps none but zeros there.
    beyond = 4 * (count - 1 - weight) - number.dscale
    if beyond > 3:
        return False
    if beyond > 0 and (digits >> (16 * (4 - count)) & 0xFFFF) % <uint32_t>copypump_tens[beyond]:
        return False
    number.digits = digits
    number.width = 1 + (first > 9) + (first > 99) + (first > 999)
    number.whole = 4 * weight + number.width
    number.negative = count and head & <uint64_t>(NEGATIVE << 16)
    return True


cdef inline int64_t short_size(const Short *number) noexcept nogil:
    """Count the bytes of a short number's text."""
    return number.negative + number.whole + (number.dscale != 0) + number.dscale


cdef inline void write_short(const Short *number, uint8_t *out) noexcept nogil:
    """Write a short number's text, and up to TEXT_SLACK bytes of no meaning behind it."""
    cdef uint8_t text[64]
    cdef uint32_t four
    cdef int i, start = 4 - number.width
    for i in range(4):
        four = four_digits(<uint32_t>(number.digits >> (48 - 16 * i)) & 0xFFFF)
        memcpy(text + 4 * i, &four, 4)
    for i in range(16, 48):
        text[i] = c"0"
    out[0] = c"-"
    out += number.negative
    memcpy(out, text + start, 16)
    out += number.whole
    out[0] = c"."
    memcpy(out + 1, text + start + number.whole, 16)


cdef inline int text_length(const uint8_t *at, int32_t length, Numeric *number, int64_t *size) noexcept nogil:
    """Check any field, and count the bytes of the server's text for it (as get_str_from_var of numeric.c)."""
    cdef int fault = examine(at, length, number)
    cdef int decimals
    if fault != OK:
        return fault
    if number.sign == NAN_SIGN:
        size[0] = 3
        return OK
    if number.sign > NEGATIVE:
        size[0] = 8 if number.sign == PLUS_INFINITY else 9
        return OK
    if number.count and number.weight - number.count + 1 < 0:
        # A server keeps no digits beyond the display scale; they would be lost in the text.
        decimals = 4 * (number.count - 1 - number.weight) - number.dscale
        if decimals > 3 or (
            decimals > 0
            and load16(number.digits + 2 * number.count - 2) % <int>copypump_tens[decimals] != 0
        ):
            return INVALID
    size[0] = 1 if number.weight < 0 or not number.count else (
        4 * number.weight + width_of(load16(number.digits))
    )
    size[0] += (number.sign == NEGATIVE) + (1 + number.dscale if number.dscale else 0)
    return OK


cdef inline int group_at(const Numeric *number, int index) noexcept nogil:
    """The digit group `index` places after the first; zero where none is kept."""
    return load16(number.digits + 2 * index) if 0 <= index < number.count else 0


cdef inline uint32_t four_digits(uint32_t group) noexcept nogil:
    """Give a group's four digits as text, the first in the lowest byte.

    Two digits in each half of a word, then one in each byte; 5243 >> 19 divides by 100, 103 >> 10 by 10.
    """
    cdef uint32_t high = group * 5243 >> 19
    cdef uint32_t pairs = high | (group - high * 100) << 16
    cdef uint32_t tens = (pairs * 103 >> 10) & 0x000F000F
    return 0x30303030 | tens | ((pairs - tens * 10) << 8)


cdef inline int put_digits(uint8_t *out, int group, int skip, int keep) noexcept nogil:
    """Write the digits skip..keep-1 of a group's four, and give how many those are."""
    cdef uint32_t digits = four_digits(<uint32_t>group) >> (8 * skip)
    cdef int i
    if keep - skip == 4:
        memcpy(out, &digits, 4)
        return 4
    for i in range(keep - skip):
        out[i] = <uint8_t>(digits >> (8 * i))
    return keep - skip


cdef inline void write_text(const Numeric *number, uint8_t *out) noexcept nogil:
    """Write the text whose size `text_length` gave."""
    cdef int index, left = number.dscale
    if number.sign == NAN_SIGN:
        memcpy(out, b"NaN", 3)
        return
    if number.sign == PLUS_INFINITY:
        memcpy(out, b"Infinity", 8)
        return
    if number.sign == MINUS_INFINITY:
        memcpy(out, b"-Infinity", 9)
        return
    if number.sign == NEGATIVE:
        out[0] = c"-"
        out += 1
    if number.weight < 0 or not number.count:
        out[0] = c"0"
        out += 1
    else:
        out += put_digits(out, group_at(number, 0), 4 - width_of(group_at(number, 0)), 4)
        for index in range(1, number.weight + 1):
            out += put_digits(out, group_at(number, index), 0, 4)
    if left:
        out[0] = c"."
        out += 1
    index = number.weight + 1
    while left > 0:
        out += put_digits(out, group_at(number, index), 0, 4 if left > 4 else left)
        left -= 4
        index += 1
