"""One numeric field: read and checked, then as a scaled integer or a double; its text is _numeric_text.pxd's.

The wire form (numeric_send of PostgreSQL's numeric.c) is a head of four 16-bit words - how many digits, the
weight of the first (its value is digit * 10000 ** weight), the sign, the display scale - and then the digits,
each 0 to 9999. A function gives OK or the fault that makes its field impossible or not representable.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from "_wire.h" nogil:
    uint16_t load16(const uint8_t *at)
    uint32_t load32(const uint8_t *at)
    uint64_t load64(const uint8_t *at)

cdef extern from *:
    """
    #include <math.h>
    typedef unsigned __int128 uint128;

    static const uint64_t copypump_tens[19] = {
        1ULL, 10ULL, 100ULL, 1000ULL, 10000ULL, 100000ULL, 1000000ULL, 10000000ULL, 100000000ULL,
        1000000000ULL, 10000000000ULL, 100000000000ULL, 1000000000000ULL, 10000000000000ULL,
        100000000000000ULL, 1000000000000000ULL, 10000000000000000ULL, 100000000000000000ULL,
        1000000000000000000ULL};
    #define copypump_nan ((double)NAN)
    #define copypump_infinity ((double)INFINITY)
    """
    ctypedef unsigned long long uint128
    const uint64_t *copypump_tens
    const double copypump_nan
    const double copypump_infinity


# What can be wrong with a field; `decoder.Fault` gives the same numbers their names and texts.
cdef enum Fault:
    OK
    LENGTH
    INVALID
    VERSION
    UTF8
    OUT_OF_RANGE
    NOT_A_NUMBER
    INFINITE
    TOO_PRECISE
    TOO_BIG
    MIDNIGHT
    TOO_LATE
    TOO_MUCH
    SHAPE
    LABEL
    OID
    TOO_LONG


cdef enum:
    # Sign words, and the largest display scale (NUMERIC_DSCALE_MASK), of PostgreSQL's numeric.c.
    POSITIVE = 0x0000
    NEGATIVE = 0x4000
    NAN_SIGN = 0xC000
    PLUS_INFINITY = 0xD000
    MINUS_INFINITY = 0xF000
    MAX_DSCALE = 0x3FFF


# A numeric that was found possible; its digits stand without leading and trailing zero groups.
cdef struct Numeric:
    const uint8_t *digits
    int count
    int weight
    int sign
    int dscale


cdef inline bint any_above_9999(uint64_t groups) noexcept nogil:
    """Whether one of four groups is too large: it has a high bit, or gets one when 0x8000 - 10000 is added.

    What the sum of a valid group carries into the next is nothing: none of them reaches 0x10000.
    """
    return ((groups | (groups + 0x58F058F058F058F0u)) & 0x8000800080008000u) != 0


cdef inline int examine(const uint8_t *at, int32_t length, Numeric *number) noexcept nogil:
    """Check a whole field, and give its parts; a zero has no digits and no sign."""
    cdef int count, i
    if length < 8:
        return LENGTH
    count = load16(at)
    if length != 8 + 2 * count:
        return INVALID
    number.weight = <int16_t>load16(at + 2)
    number.sign = load16(at + 4)
    number.dscale = load16(at + 6)
    number.digits = at + 8
    if number.dscale > MAX_DSCALE:
        return INVALID
    if number.sign == NAN_SIGN or number.sign == PLUS_INFINITY or number.sign == MINUS_INFINITY:
        number.count = 0
        return OK if count == 0 else INVALID
    if number.sign != POSITIVE and number.sign != NEGATIVE:
        return INVALID
    i = 0
    while i + 4 <= count:
        if any_above_9999(load64(number.digits + 2 * i)):
            return INVALID
        i += 4
    while i < count:
        if load16(number.digits + 2 * i) > 9999:
            return INVALID
        i += 1
    while count > 0 and load16(number.digits) == 0:
        number.digits += 2
        number.weight -= 1
        count -= 1
    while count > 0 and load16(number.digits + 2 * count - 2) == 0:
        count -= 1
    number.count = count
    if count == 0:
        number.weight = 0
        number.sign = POSITIVE
    return OK


cdef inline int width_of(int digit) noexcept nogil:
    """How many decimal digits a group has, 1 to 4."""
    return 4 if digit > 999 else 3 if digit > 99 else 2 if digit > 9 else 1


cdef inline int fit(const Numeric *number, int precision, int scale, int *last) noexcept nogil:
    """Whether a number is a decimal(precision, scale), exactly; `last` becomes its last group's exponent.

    The first group alone tells how many digits the whole has: it is not zero, and groups below it add none.
    """
    cdef int lowest
    if number.sign == NAN_SIGN:
        return NOT_A_NUMBER
    if number.sign > NEGATIVE:
        return INFINITE
    last[0] = 0
    if number.count == 0:
        return OK
    last[0] = 4 * (number.weight - number.count + 1) + scale
    lowest = load16(number.digits + 2 * number.count - 2)
    if last[0] < -3 or (last[0] < 0 and lowest % <int>copypump_tens[-last[0]] != 0):
        return TOO_PRECISE
    if 4 * number.weight + scale + width_of(load16(number.digits)) > precision:
        return TOO_BIG
    return OK


# Up to four digit groups as one number, and how many decimal digits those are.
cdef struct Chunk:
    uint64_t value
    int digits


cdef inline Chunk take_groups(const Numeric *number, int at) noexcept nogil:
    """Take four groups from `at` on, or as many as are left: one wide multiplication instead of four."""
    cdef const uint8_t *group = number.digits + 2 * at
    cdef int left = number.count - at
    cdef Chunk chunk
    if left >= 4:
        chunk.value = (
            (<uint64_t>load16(group) * 10000 + load16(group + 2)) * 100000000
            + (<uint64_t>load16(group + 4) * 10000 + load16(group + 6))
        )
        chunk.digits = 16
        return chunk
    chunk.value = load16(group)
    chunk.digits = 4 * left
    while left > 1:
        group += 2
        chunk.value = chunk.value * 10000 + load16(group)
        left -= 1
    return chunk


cdef inline int shift(Chunk *chunk, int last) noexcept nogil:
    """Multiply the last groups by 10 ** last, as far as that fits; give what is left of `last`.

    Below zero, it takes away zeros, of which `fit` has found that they are there.
    """
    if last < 0:
        chunk.value /= copypump_tens[-last]
        chunk.digits += last
        return 0
    if chunk.digits + last <= 18:
        chunk.value *= copypump_tens[last]
        chunk.digits += last
        return 0
    return last


cdef inline int decimal128(
    const uint8_t *at, int32_t length, int precision, int scale, uint64_t *out
) noexcept nogil:
    """Any field as a decimal128 (precision at most 38: no step below can overflow)."""
    cdef Numeric number
    cdef uint128 value = 0
    cdef Chunk chunk
    cdef int fault = examine(at, length, &number)
    cdef int last, i
    if fault == OK:
        fault = fit(&number, precision, scale, &last)
    if fault != OK:
        return fault
    for i in range(0, number.count, 4):
        chunk = take_groups(&number, i)
        if i + 4 >= number.count:
            last = shift(&chunk, last)
        value = value * copypump_tens[chunk.digits] + chunk.value
    while last > 18:
        value *= copypump_tens[18]
        last -= 18
    value *= copypump_tens[last]
    if number.sign == NEGATIVE:
        value = 0 - value
    out[0] = <uint64_t>value
    out[1] = <uint64_t>(value >> 64)
    return OK


cdef inline int float64(const uint8_t *at, int32_t length, double *out) noexcept nogil:
    """Any field as a double that gives its digits again: 15 at most, a factor of at most 10 ** 22 apart.

    Then digits and power of ten are doubles exactly, and one operation rounds correctly (Clinger 1990).
    """
    cdef Numeric number
    cdef uint64_t value = 0
    cdef int fault = examine(at, length, &number)
    cdef int exponent, i
    cdef double scale = 1
    if fault != OK:
        return fault
    if number.sign > NEGATIVE:
        out[0] = (
            copypump_nan if number.sign == NAN_SIGN
            else copypump_infinity if number.sign == PLUS_INFINITY else -copypump_infinity
        )
        return OK
    # Fifteen digits in five groups begin with two at most; more would not fit in 64 bits either.
    if number.count > 5 or (number.count == 5 and load16(number.digits) > 99):
        return TOO_LONG
    for i in range(number.count):
        value = value * 10000 + load16(number.digits + 2 * i)
    exponent = 4 * (number.weight - number.count + 1)
    while value and value % 10 == 0:
        value //= 10
        exponent += 1
    if value >= copypump_tens[15]:
        return TOO_LONG
    if value == 0:
        exponent = 0
    if not -22 <= exponent <= 22:
        return TOO_LONG
    for _ in range(exponent if exponent > 0 else -exponent):
        scale *= 10
    out[0] = <double>value * scale if exponent > 0 else <double>value / scale
    if number.sign == NEGATIVE:
        out[0] = -out[0]
    return OK


cdef inline int multiply_add(uint64_t *limbs, int used, uint64_t factor, uint64_t addend) noexcept nogil:
    """Let the `used` limbs (of 64 bits, the lowest first) be limbs * factor + addend; count them again."""
    cdef uint128 carry = addend
    cdef int i
    for i in range(used):
        carry += <uint128>limbs[i] * factor
        limbs[i] = <uint64_t>carry
        carry = carry >> 64
    if carry:
        limbs[used] = <uint64_t>carry
        used += 1
    return used


cdef inline int decimal256(
    const uint8_t *at, int32_t length, int precision, int scale, uint64_t *out
) noexcept nogil:
    """Any field as a decimal256 (precision at most 76: no step below can overflow)."""
    cdef Numeric number
    cdef int fault = examine(at, length, &number)
    cdef uint128 carry = 1
    cdef Chunk chunk
    cdef int used = 0, last, i
    if fault == OK:
        fault = fit(&number, precision, scale, &last)
    if fault != OK:
        return fault
    memset(out, 0, 32)
    for i in range(0, number.count, 4):
        chunk = take_groups(&number, i)
        if i + 4 >= number.count:
            last = shift(&chunk, last)
        used = multiply_add(out, used, copypump_tens[chunk.digits], chunk.value)
    while last > 0:
        used = multiply_add(out, used, copypump_tens[18 if last > 18 else last], 0)
        last -= 18
    if number.sign == NEGATIVE:
        for i in range(4):
            carry += <uint64_t>~out[i]
            out[i] = <uint64_t>carry
            carry = carry >> 64
    return OK


# What `small_decimal` multiplies with, for one scale: found once for a column.
cdef struct Scaling:
    int precision
    int scale
    int groups            # digit groups after the point, the last of which may hold `unit` times too much
    uint32_t unit         # 10 ** (0..3)
    uint64_t reciprocal   # 2 ** 32 / unit, rounded up: times a group, shifted down by 32, it is the quotient
    uint64_t factors[3]   # of the groups above the last, the lowest first
    uint64_t limit        # 10 ** precision, or what 64 bits hold of it


cdef inline Scaling scaling(int precision, int scale) noexcept nogil:
    """The factors of decimal(precision, scale)."""
    cdef Scaling result
    cdef int cut = -scale & 3  # from the scale up to the next whole digit group
    cdef int i
    result.precision = precision
    result.scale = scale
    result.groups = (scale + cut) // 4
    result.unit = <uint32_t>copypump_tens[cut]
    result.reciprocal = ((<uint64_t>1 << 32) + result.unit - 1) / result.unit
    for i in range(3):
        result.factors[i] = copypump_tens[4 * (i + 1) - cut]
    result.limit = copypump_tens[18 if precision > 18 else precision]
    return result


cdef inline bint small_decimal(
    const uint8_t *at, int32_t length, const Scaling *to, int64_t *out
) noexcept nogil:
    """The usual number: at most four digit groups, the lowest of them that of the scale's last digit.

    Gives False, and leaves the field to `decimal128`, where that does not hold or anything is odd. Eight
    bytes of digits are read whatever the length, so the caller knows that they are there.
    """
    cdef uint64_t head = load64(at)
    cdef uint64_t digits = load64(at + 8)
    cdef uint64_t whole, lowest, kept
    cdef int count = <int>(head >> 48)
    cdef int top = <int16_t>(head >> 32) + to.groups
    if (
        <uint32_t>top > 3 or count > top + 1 or length != 8 + 2 * count
        or head & 0xBFFFC000u  # a sign other than NEGATIVE, or a display scale beyond MAX_DSCALE
    ):
        return False
    # Only the digits that are the field's; shifted twice, because a shift by all 64 bits is not defined.
    digits &= ~((<uint64_t>-1 >> (8 * count)) >> (8 * count))
    if any_above_9999(digits):
        return False
    digits >>= 16 * (3 - top)  # now each group has one place, whatever the weight
    lowest = digits & 0xFFFF
    kept = lowest * to.reciprocal >> 32
    whole = (
        (digits >> 48) * to.factors[2]
        + (digits >> 32 & 0xFFFF) * to.factors[1]
        + (digits >> 16 & 0xFFFF) * to.factors[0]
        + kept
    )
    if kept * to.unit != lowest or whole >= to.limit:
        return False
    out[0] = -<int64_t>whole if head & <uint64_t>(NEGATIVE << 16) else <int64_t>whole
    return True
