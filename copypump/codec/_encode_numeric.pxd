"""Numerics: decimals and text to PostgreSQL's base-10000 digits.

The wire form is a head of four int16 (number of groups, weight of the first group, sign, display scale) and
then the groups, most significant first, without zero groups at either end (numeric_send of PostgreSQL's
numeric.c). A decimal is first shifted by 10 ** pad, so that its point falls between two groups; `base` is the
weight of its lowest group then.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from copypump.codec._encode cimport (
    Fault, Shape, divide_chunk, leading_zeros, multiply, put16, put32, put64, trailing_zeros
)


cdef enum:
    NEGATIVE = 0x4000
    NOT_A_NUMBER = 0xC000
    INFINITY = 0xD000
    MINUS_INFINITY = 0xF000
    INFINITY_DSCALE = 0x20  # what numeric_send says of infinities
    MAX_DSCALE = 0x3FFF     # NUMERIC_DSCALE_MAX
    MAX_WEIGHT = 0x7FFF     # an int16 on the wire
    MAX_EXPONENT = 200000   # beyond any weight
    MOST_DIGITS = 19        # that a uint64 holds, whatever they are


cdef inline uint8_t *put_head(uint8_t *out, int groups, int weight, int sign, int dscale) noexcept nogil:
    put64(out, (<uint64_t>(8 + 2 * groups) << 32) | (<uint64_t>groups << 16) | <uint16_t>weight)
    put32(out + 8, (<uint32_t>sign << 16) | <uint32_t>dscale)
    return out + 12


cdef inline uint64_t pack(uint64_t chunk) noexcept nogil:
    """Give the four base-10000 groups of a number below 10 ** 16 in one word, the highest on top."""
    cdef uint32_t high = <uint32_t>(chunk // 100000000), low = <uint32_t>(chunk % 100000000)
    return (
        (<uint64_t>(high // 10000) << 48)
        | (<uint64_t>(high % 10000) << 32)
        | ((low // 10000) << 16)
        | (low % 10000)
    )


cdef inline uint8_t *put_small(
    uint8_t *out, uint64_t value, bint negative, const Shape *shape
) noexcept nogil:
    """Write a shifted magnitude below 10 ** 16; stores 20 bytes, whatever it uses.

    Stripping the zero groups of a packed word is counting its zero bits: no branch to mispredict.
    """
    cdef uint64_t packed = pack(value)
    cdef int lead, groups
    if packed == 0:
        return put_head(out, 0, 0, 0, shape.dscale)
    lead = leading_zeros(packed) >> 4
    groups = 4 - lead - (trailing_zeros(packed) >> 4)
    out = put_head(out, groups, shape.base + 3 - lead, NEGATIVE if negative else 0, shape.dscale)
    put64(out, packed << (16 * lead))
    return out + 2 * groups


cdef inline int split(uint64_t *limbs, uint64_t pad, uint64_t *chunks) noexcept nogil:
    """Turn a magnitude of four limbs, times pad, into chunks of base 10 ** 16, lowest first; count them.

    What fits in 64 bits is divided by constants; only the rest needs divisions of 128 bits.
    """
    cdef uint64_t carry = 0, rest
    cdef int used = 5, count = 0, i
    if limbs[1] == 0 and limbs[2] == 0 and limbs[3] == 0:
        if pad == 1:
            chunks[0] = limbs[0] % 10000000000000000ULL
            chunks[1] = limbs[0] // 10000000000000000ULL
        elif pad == 10:
            chunks[0] = limbs[0] % 1000000000000000ULL * 10
            chunks[1] = limbs[0] // 1000000000000000ULL
        elif pad == 100:
            chunks[0] = limbs[0] % 100000000000000ULL * 100
            chunks[1] = limbs[0] // 100000000000000ULL
        else:
            chunks[0] = limbs[0] % 10000000000000ULL * 1000
            chunks[1] = limbs[0] // 10000000000000ULL
        return 2
    for i in range(4):
        limbs[i] = multiply(limbs[i], pad, &carry)
    limbs[4] = carry
    while True:
        while used and limbs[used - 1] == 0:
            used -= 1
        if used == 0:
            return count
        rest = 0
        for i in range(used - 1, -1, -1):
            limbs[i] = divide_chunk(&rest, limbs[i])
        chunks[count] = rest
        count += 1


cdef inline uint8_t *put_large(
    uint8_t *out, uint64_t *limbs, bint negative, const Shape *shape, int *fault
) noexcept nogil:
    """Write any magnitude of four 64-bit limbs, least significant first; a fifth is room for the shift."""
    cdef uint64_t chunks[6]  # 2 ** 256 * 1000 has 81 digits
    cdef int top = split(limbs, shape.pad, chunks) - 1, bottom = 0
    cdef int lead, tail, digits, i
    for i in range(top + 1):
        chunks[i] = pack(chunks[i])
    while top >= 0 and chunks[top] == 0:
        top -= 1
    if top < 0:
        return put_head(out, 0, 0, 0, shape.dscale)
    while chunks[bottom] == 0:
        bottom += 1
    lead = leading_zeros(chunks[top]) >> 4
    tail = trailing_zeros(chunks[bottom]) >> 4
    # Digits of the value before the shift, which put log10(pad) zeros at its end.
    digits = 16 * top + 4 * (3 - lead) + decimal_digits(<int>(chunks[top] << (16 * lead) >> 48))
    digits -= (shape.pad >= 10) + (shape.pad >= 100) + (shape.pad >= 1000)
    if digits > shape.precision:
        fault[0] = Fault.PRECISION
        return NULL
    i = 4 * (top - bottom + 1) - lead - tail
    out = put_head(out, i, shape.base + 4 * top + 3 - lead, NEGATIVE if negative else 0, shape.dscale)
    put64(out, chunks[top] << (16 * lead))
    out += 2 * (4 - lead)
    for i in range(top - 1, bottom - 1, -1):
        put64(out, chunks[i])
        out += 8
    return out - 2 * tail


cdef inline int decimal_digits(int group) noexcept nogil:
    """Count the decimal digits of a group that is not zero."""
    return 1 + (group >= 10) + (group >= 100) + (group >= 1000)


cdef inline bint is_word(const uint8_t *text, int64_t n, const char *word, int64_t length) noexcept nogil:
    """Compare without regard to case; `word` is in lower case."""
    cdef int64_t i
    if n != length:
        return False
    for i in range(n):
        if (text[i] | 0x20) != <uint8_t>word[i]:
            return False
    return True


cdef inline uint8_t *put_plain_numeric(
    uint8_t *out, const uint8_t *text, int64_t n, int *fault
) noexcept nogil:
    """Write [-] digits [. digits] of up to 19 digits, where there is no typmod; NULL: it is no such text."""
    cdef uint64_t limbs[5]
    cdef uint64_t value = 0, unit = 1
    cdef int64_t i = 0, digits, point = n
    cdef bint negative = n > 0 and text[0] == 45
    cdef uint8_t digit
    cdef Shape shape
    cdef int pad
    for i in range(negative, min(n, MOST_DIGITS + 2)):
        digit = <uint8_t>(text[i] - 48)
        if digit <= 9:
            value = 10 * value + digit
        elif text[i] == 46 and point == n:
            point = i
        else:
            return NULL
    digits = n - negative - (point < n)
    if not 1 <= digits <= MOST_DIGITS:
        return NULL
    shape.dscale = <int>(n - point - 1) if point < n else 0
    pad = -shape.dscale & 3
    if pad & 1:
        unit = 10
    if pad & 2:
        unit *= 100
    shape.base = -((shape.dscale + pad) >> 2)
    if digits + pad <= 16:
        return put_small(out, value * unit, negative, &shape)
    shape.pad = unit
    shape.precision = MOST_DIGITS
    limbs[0] = value
    limbs[1] = limbs[2] = limbs[3] = 0
    return put_large(out, limbs, negative, &shape, fault)


cdef inline uint8_t *put_text_numeric(
    uint8_t *out, const uint8_t *text, int64_t n, const Shape *shape, int *fault
) noexcept nogil:
    """Write [+-] digits [. digits] [e [+-] digits], NaN or [+-] (Infinity | inf), exactly or not at all.

    Needs at most 16 + n / 2 bytes of `out`, length word included.
    """
    cdef uint8_t *end = NULL
    if shape.precision == 0:
        end = put_plain_numeric(out, text, n, fault)
    return end if end != NULL else put_any_numeric(out, text, n, shape, fault)


cdef inline uint8_t *put_any_numeric(
    uint8_t *out, const uint8_t *text, int64_t n, const Shape *shape, int *fault
) noexcept nogil:
    """Do the same, for texts and targets of any kind."""
    cdef int64_t i = 0, start, point = -1, digits = 0, first = -1, last = -1, exponent = 0
    cdef int64_t before, top, bottom, weight, groups, dscale
    cdef bint negative = False, down = False
    cdef int group = 0
    if i < n and (text[i] == 43 or text[i] == 45):
        negative = text[i] == 45
        i += 1
    start = i
    if i < n and text[i] > 57:
        if start == 0 and is_word(text, n, b"nan", 3):
            return put_head(out, 0, 0, NOT_A_NUMBER, 0)
        if is_word(text + i, n - i, b"infinity", 8) or is_word(text + i, n - i, b"inf", 3):
            if shape.precision:
                fault[0] = Fault.INFINITE
                return NULL
            return put_head(out, 0, 0, MINUS_INFINITY if negative else INFINITY, INFINITY_DSCALE)
    while i < n:
        if 48 <= text[i] <= 57:
            if text[i] != 48:
                last = digits
                if first < 0:
                    first = digits
            digits += 1
        elif text[i] == 46 and point < 0:
            point = digits
        else:
            break
        i += 1
    if digits == 0:
        fault[0] = Fault.SYNTAX
        return NULL
    before = digits if point < 0 else point
    if i < n:
        if text[i] | 0x20 != 101:
            fault[0] = Fault.SYNTAX
            return NULL
        i += 1
        if i < n and (text[i] == 43 or text[i] == 45):
            down = text[i] == 45
            i += 1
        if i == n:
            fault[0] = Fault.SYNTAX
            return NULL
        while i < n:
            if not 48 <= text[i] <= 57:
                fault[0] = Fault.SYNTAX
                return NULL
            if exponent < MAX_EXPONENT:
                exponent = 10 * exponent + text[i] - 48
            i += 1
        if down:
            exponent = -exponent
    dscale = shape.dscale
    if dscale < 0:
        dscale = max(0, digits - before - exponent)
        if dscale > MAX_DSCALE:
            fault[0] = Fault.DIGITS
            return NULL
    if first < 0:
        return put_head(out, 0, 0, 0, <int>dscale)
    # Digit k of the text is worth 10 ** (before - 1 - k + exponent).
    top = before - 1 - first + exponent
    bottom = before - 1 - last + exponent
    if shape.precision:
        if bottom < -shape.scale:
            fault[0] = Fault.SCALE
            return NULL
        if top >= shape.precision - shape.scale:
            fault[0] = Fault.PRECISION
            return NULL
    weight = top >> 2
    groups = weight - (bottom >> 2) + 1
    if weight > MAX_WEIGHT or weight < -MAX_WEIGHT:
        fault[0] = Fault.DIGITS
        return NULL
    out = put_head(out, <int>groups, <int>weight, NEGATIVE if negative else 0, <int>dscale)
    i = start + first + (point >= 0 and point <= first)
    while True:
        if text[i] != 46:
            group = 10 * group + text[i] - 48
            if top & 3 == 0:
                put16(out, <uint16_t>group)
                out += 2
                group = 0
            if top == bottom:
                break
            top -= 1
        i += 1
    if bottom & 3:
        while bottom & 3:
            group *= 10
            bottom -= 1
        put16(out, <uint16_t>group)
        out += 2
    return out
