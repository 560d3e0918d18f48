"""Fields of a block into Arrow buffers: for each wire form one loop down a column, without the GIL.

The Framer has checked where every field lies; a loop here checks that each has the length and the values
that its type can have. Buffers are the caller's, at the addresses that it gives, of _decode.pyi's sizes.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

from copypump.codec._numeric cimport (
    INVALID,
    LENGTH,
    MIDNIGHT,
    OK,
    OUT_OF_RANGE,
    TOO_LATE,
    TOO_MUCH,
    UTF8,
    VERSION,
    Numeric,
    Scaling,
    decimal128,
    decimal256,
    load16,
    load32,
    load64,
    scaling,
    small_decimal,
    text_length,
    write_text,
)

cdef extern from *:
    """
    #define prefetch(address) __builtin_prefetch(address)
    #define COPYPUMP_INT32_MAX INT32_MAX
    #define COPYPUMP_INT32_MIN INT32_MIN
    #define COPYPUMP_INT64_MAX INT64_MAX
    #define COPYPUMP_INT64_MIN INT64_MIN
    /* PostgreSQL's utils/timestamp.h and date.h: days and microseconds from 1970-01-01 to 2000-01-01, then
       the first and the last day, the first microsecond and the one after the last, all since 2000-01-01. */
    #define EPOCH_DAYS 10957
    #define EPOCH_MICROSECONDS INT64_C(946684800000000)
    #define FIRST_DAY (-2451545)
    #define LAST_DAY 2145031948
    #define FIRST_MICROSECOND (-INT64_C(211813488000000000))
    #define END_MICROSECOND INT64_C(9223371331200000000)
    #define DAY_MICROSECONDS INT64_C(86400000000)
    """
    void prefetch(const void *address) nogil
    const int32_t INT32_MAX "COPYPUMP_INT32_MAX"
    const int32_t INT32_MIN "COPYPUMP_INT32_MIN"
    const int64_t INT64_MAX "COPYPUMP_INT64_MAX"
    const int64_t INT64_MIN "COPYPUMP_INT64_MIN"
    const int32_t EPOCH_DAYS
    const int64_t EPOCH_MICROSECONDS
    const int32_t FIRST_DAY
    const int32_t LAST_DAY
    const int64_t FIRST_MICROSECOND
    const int64_t END_MICROSECOND
    const int64_t DAY_MICROSECONDS


cdef enum:
    AHEAD = 16  # how many rows before its turn a field is called into the cache


# What a loop came to: the row of the first fault, its kind, and a number (see _decode.pyi).
cdef struct Outcome:
    Py_ssize_t row
    int fault
    int64_t number


cdef class Fields:
    """The fields of one block, held for reading."""

    cdef const uint8_t[::1] data
    cdef const uint8_t[::1] places
    cdef const uint8_t *base
    cdef const uint8_t *end
    cdef Py_ssize_t stride
    cdef int columns
    cdef readonly Py_ssize_t rows

    def __init__(self, block):
        cdef Py_ssize_t start = block.start, end = block.end
        self.data = block.data
        self.places = memoryview(block.positions).cast("B")
        self.rows = block.rows
        self.stride = block.stride
        self.columns = block.columns
        if not 0 <= start < end <= self.data.shape[0] or end - start > INT32_MAX:
            raise ValueError("the block lies outside its data")
        if not 1 <= self.rows <= self.stride or self.columns * self.stride * 4 > self.places.shape[0]:
            raise ValueError("the block's positions are fewer than its fields")
        self.base = &self.data[0] + start
        self.end = &self.data[0] + end

    cdef const int32_t *positions(self, int column) except NULL:
        if not 0 <= column < self.columns:
            raise IndexError("no such column in the block")
        return <const int32_t *>&self.places[0] + column * self.stride


def nulls(Fields fields, int column):
    """Count the NULLs of a column."""
    cdef const int32_t *positions = fields.positions(column)
    cdef Py_ssize_t row, rows = fields.rows
    cdef uint32_t count = 0
    with nogil:
        for row in range(rows):
            count += <uint32_t>positions[row] >> 31
    return count


def validity(Fields fields, int column, uintptr_t bits):
    """Fill a validity bitmap."""
    cdef const int32_t *positions = fields.positions(column)
    cdef uint8_t *out = <uint8_t *>bits
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        memset(out, 0, (rows + 7) // 8)
        for row in range(rows):
            out[row >> 3] |= <uint8_t>((positions[row] >= 0) << (row & 7))


def booleans(Fields fields, int column, uintptr_t bits):
    """Wire bool into a bitmap."""
    cdef const int32_t *positions = fields.positions(column)
    cdef uint8_t *out = <uint8_t *>bits
    cdef const uint8_t *at
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        memset(out, 0, (rows + 7) // 8)
        for row in range(rows):
            if positions[row] < 0:
                continue
            at = fields.base + positions[row]
            if load32(at - 4) != 1:
                outcome = Outcome(row, LENGTH, load32(at - 4))
                break
            if at[0] > 1:
                outcome = Outcome(row, INVALID, 0)
                break
            out[row >> 3] |= <uint8_t>(at[0] << (row & 7))
    return outcome.row, outcome.fault, outcome.number


def words16(Fields fields, int column, uintptr_t address):
    """Two bytes, turned to the machine's order."""
    cdef const int32_t *positions = fields.positions(column)
    cdef uint16_t *out = <uint16_t *>address
    cdef const uint8_t *at
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(rows):
            if positions[row] < 0:
                out[row] = 0
                continue
            at = fields.base + positions[row]
            if load32(at - 4) != 2:
                outcome = Outcome(row, LENGTH, load32(at - 4))
                break
            out[row] = load16(at)
    return outcome.row, outcome.fault, outcome.number


def words32(Fields fields, int column, uintptr_t address):
    """Four bytes, turned to the machine's order."""
    cdef const int32_t *positions = fields.positions(column)
    cdef uint32_t *out = <uint32_t *>address
    cdef const uint8_t *at
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(rows):
            if positions[row] < 0:
                out[row] = 0
                continue
            at = fields.base + positions[row]
            if load32(at - 4) != 4:
                outcome = Outcome(row, LENGTH, load32(at - 4))
                break
            out[row] = load32(at)
    return outcome.row, outcome.fault, outcome.number


def words64(Fields fields, int column, uintptr_t address):
    """Eight bytes, turned to the machine's order."""
    cdef const int32_t *positions = fields.positions(column)
    cdef uint64_t *out = <uint64_t *>address
    cdef const uint8_t *at
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(rows):
            if positions[row] < 0:
                out[row] = 0
                continue
            at = fields.base + positions[row]
            if load32(at - 4) != 8:
                outcome = Outcome(row, LENGTH, load32(at - 4))
                break
            out[row] = load64(at)
    return outcome.row, outcome.fault, outcome.number


def uuids(Fields fields, int column, uintptr_t address):
    """Sixteen bytes as they are."""
    cdef const int32_t *positions = fields.positions(column)
    cdef uint8_t *out = <uint8_t *>address
    cdef const uint8_t *at
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(rows):
            if positions[row] < 0:
                memset(out + 16 * row, 0, 16)
                continue
            at = fields.base + positions[row]
            if load32(at - 4) != 16:
                outcome = Outcome(row, LENGTH, load32(at - 4))
                break
            memcpy(out + 16 * row, at, 16)
    return outcome.row, outcome.fault, outcome.number


def dates(Fields fields, int column, uintptr_t address):
    """Days since 2000 to days since 1970; infinities stay what they are on the wire, and are counted."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int32_t *out = <int32_t *>address
    cdef const uint8_t *at
    cdef int32_t day
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(rows):
            if positions[row] < 0:
                out[row] = 0
                continue
            at = fields.base + positions[row]
            if load32(at - 4) != 4:
                outcome = Outcome(row, LENGTH, load32(at - 4))
                break
            day = <int32_t>load32(at)
            if FIRST_DAY <= day <= LAST_DAY:
                out[row] = day + EPOCH_DAYS
            elif day == INT32_MAX or day == INT32_MIN:
                out[row] = day
                outcome.number += 1
            else:
                outcome = Outcome(row, OUT_OF_RANGE, 0)
                break
    return outcome.row, outcome.fault, outcome.number


def times(Fields fields, int column, uintptr_t address):
    """Microseconds of the day; 24:00:00 has no place in Arrow."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int64_t *out = <int64_t *>address
    cdef const uint8_t *at
    cdef int64_t time
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(rows):
            if positions[row] < 0:
                out[row] = 0
                continue
            at = fields.base + positions[row]
            if load32(at - 4) != 8:
                outcome = Outcome(row, LENGTH, load32(at - 4))
                break
            time = <int64_t>load64(at)
            if not 0 <= time < DAY_MICROSECONDS:
                outcome = Outcome(row, MIDNIGHT if time == DAY_MICROSECONDS else OUT_OF_RANGE, 0)
                break
            out[row] = time
    return outcome.row, outcome.fault, outcome.number


def timestamps(Fields fields, int column, uintptr_t address):
    """Microseconds since 2000 to those since 1970; infinities stay what they are, and are counted."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int64_t *out = <int64_t *>address
    cdef const uint8_t *at
    cdef int64_t moment
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(rows):
            if positions[row] < 0:
                out[row] = 0
                continue
            at = fields.base + positions[row]
            if load32(at - 4) != 8:
                outcome = Outcome(row, LENGTH, load32(at - 4))
                break
            moment = <int64_t>load64(at)
            # Below the largest integer after the shift, too: that one is infinity.
            if FIRST_MICROSECOND <= moment < INT64_MAX - EPOCH_MICROSECONDS:
                out[row] = moment + EPOCH_MICROSECONDS
            elif moment == INT64_MAX or moment == INT64_MIN:
                out[row] = moment
                outcome.number += 1
            else:
                outcome = Outcome(
                    row, TOO_LATE if FIRST_MICROSECOND <= moment < END_MICROSECOND else OUT_OF_RANGE, 0
                )
                break
    return outcome.row, outcome.fault, outcome.number


def intervals(Fields fields, int column, uintptr_t months, uintptr_t days, uintptr_t microseconds):
    """An interval's three parts, into a buffer each."""
    cdef const int32_t *positions = fields.positions(column)
    cdef uint32_t *months_out = <uint32_t *>months
    cdef uint32_t *days_out = <uint32_t *>days
    cdef uint64_t *microseconds_out = <uint64_t *>microseconds
    cdef const uint8_t *at
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(rows):
            if positions[row] < 0:
                months_out[row] = 0
                days_out[row] = 0
                microseconds_out[row] = 0
                continue
            at = fields.base + positions[row]
            if load32(at - 4) != 16:
                outcome = Outcome(row, LENGTH, load32(at - 4))
                break
            microseconds_out[row] = load64(at)
            days_out[row] = load32(at + 8)
            months_out[row] = load32(at + 12)
    return outcome.row, outcome.fault, outcome.number


cdef Outcome decimal_rows(
    const uint8_t *base, const uint8_t *end, const int32_t *positions, Py_ssize_t rows, int precision,
    int scale, uint64_t *out,
) noexcept nogil:
    """Numerics as decimal128."""
    cdef const uint8_t *at
    cdef Scaling to = scaling(precision, scale)
    cdef int64_t small = 0
    cdef int fault
    cdef Py_ssize_t row
    for row in range(rows):
        prefetch(base + positions[row + AHEAD if row + AHEAD < rows else row])
        if positions[row] < 0:
            out[2 * row] = out[2 * row + 1] = 0
            continue
        at = base + positions[row]
        if end - at >= 16 and small_decimal(at, <int32_t>load32(at - 4), &to, &small):
            out[2 * row] = <uint64_t>small
            out[2 * row + 1] = <uint64_t>(small >> 63)
            continue
        fault = decimal128(at, <int32_t>load32(at - 4), precision, scale, out + 2 * row)
        if fault != OK:
            return Outcome(row, fault, load32(at - 4))
    return Outcome(-1, OK, 0)


def decimals128(Fields fields, int column, int precision, int scale, uintptr_t address):
    """Numerics as decimal128(precision, scale)."""
    cdef const int32_t *positions = fields.positions(column)
    cdef uint64_t *out = <uint64_t *>address
    cdef Outcome outcome
    cdef Py_ssize_t rows = fields.rows
    if not 1 <= precision <= 38:
        raise ValueError("a decimal128 has 1 to 38 digits")
    with nogil:
        outcome = decimal_rows(fields.base, fields.end, positions, rows, precision, scale, out)
    return outcome.row, outcome.fault, outcome.number


def decimals256(Fields fields, int column, int precision, int scale, uintptr_t address):
    """Numerics as decimal256(precision, scale)."""
    cdef const int32_t *positions = fields.positions(column)
    cdef uint64_t *out = <uint64_t *>address
    cdef const uint8_t *at
    cdef int fault
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    if not 1 <= precision <= 76:
        raise ValueError("a decimal256 has 1 to 76 digits")
    with nogil:
        for row in range(rows):
            if positions[row] < 0:
                memset(out + 4 * row, 0, 32)
                continue
            at = fields.base + positions[row]
            fault = decimal256(at, <int32_t>load32(at - 4), precision, scale, out + 4 * row)
            if fault != OK:
                outcome = Outcome(row, fault, load32(at - 4))
                break
    return outcome.row, outcome.fault, outcome.number


def numeric_offsets(Fields fields, int column, uintptr_t offsets):
    """Measure numerics as the server's text; the number is the size of all."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int32_t *out = <int32_t *>offsets
    cdef const uint8_t *at
    cdef Numeric number
    cdef int64_t size = 0, total = 0
    cdef int fault
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        out[0] = 0
        for row in range(rows):
            if positions[row] >= 0:
                at = fields.base + positions[row]
                fault = text_length(at, <int32_t>load32(at - 4), &number, &size)
                if fault == OK and total + size > INT32_MAX:
                    fault = TOO_MUCH
                if fault != OK:
                    outcome = Outcome(row, fault, load32(at - 4))
                    break
                total += size
            out[row + 1] = <int32_t>total
        if outcome.fault == OK:
            outcome.number = total
    return outcome.row, outcome.fault, outcome.number


def numeric_texts(Fields fields, int column, uintptr_t offsets, uintptr_t address):
    """Write numerics as text, where `numeric_offsets` found room for them."""
    cdef const int32_t *positions = fields.positions(column)
    cdef const int32_t *offset = <const int32_t *>offsets
    cdef uint8_t *out = <uint8_t *>address
    cdef const uint8_t *at
    cdef Numeric number
    cdef int64_t size
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(rows):
            if positions[row] >= 0:
                at = fields.base + positions[row]
                if text_length(at, <int32_t>load32(at - 4), &number, &size) == OK:
                    write_text(&number, out + offset[row])


def offsets(Fields fields, int column, int version, uintptr_t address):
    """Measure fields of any length, less the version byte that each must start with (none: -1)."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int32_t *out = <int32_t *>address
    cdef const uint8_t *at
    cdef int32_t length, total = 0
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        out[0] = 0
        for row in range(rows):
            if positions[row] >= 0:
                at = fields.base + positions[row]
                length = <int32_t>load32(at - 4)
                if version >= 0:
                    if length < 1 or at[0] != version:
                        outcome = Outcome(row, VERSION if length else LENGTH, length)
                        break
                    length -= 1
                # All of them lie within the block, so that the sum fits, too.
                total += length
            out[row + 1] = total
        if outcome.fault == OK:
            outcome.number = total
    return outcome.row, outcome.fault, outcome.number


def gather(Fields fields, int column, int version, uintptr_t offsets, uintptr_t address):
    """Copy fields together, where `offsets` measured them."""
    cdef const int32_t *positions = fields.positions(column)
    cdef const int32_t *offset = <const int32_t *>offsets
    cdef uint8_t *out = <uint8_t *>address
    cdef uint8_t *to
    cdef uint8_t *to_end
    cdef const uint8_t *at
    cdef int32_t skip = 1 if version >= 0 else 0
    cdef int32_t length
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        to_end = out + offset[rows]
        for row in range(rows):
            length = offset[row + 1] - offset[row]
            if length == 0:
                continue
            at = fields.base + positions[row] + skip
            to = out + offset[row]
            # Short values are copied with what follows them, which costs no branch for each length; the
            # values after them then overwrite that.
            if length <= 64 and to_end - to >= 64 and fields.end - at >= 64:
                memcpy(to, at, 16)
                if length > 16:
                    memcpy(to + 16, at + 16, 48)
            else:
                memcpy(to, at, length)


cdef inline bint is_text(const uint8_t *at, const uint8_t *end) noexcept nogil:
    """Whether bytes are UTF-8 as Unicode's table 3-7 has it, and none of them is NUL."""
    cdef uint8_t lead
    cdef uint64_t eight
    while at < end:
        if end - at >= 8:
            memcpy(&eight, at, 8)
            if ((eight | (eight - 0x0101010101010101u)) & 0x8080808080808080u) == 0:
                at += 8
                continue
        lead = at[0]
        if lead < 0x80:
            if lead == 0:
                return False
            at += 1
        elif lead < 0xE0:
            if lead < 0xC2 or end - at < 2 or (at[1] & 0xC0) != 0x80:
                return False
            at += 2
        elif lead < 0xF0:
            if end - at < 3 or (at[1] & 0xC0) != 0x80 or (at[2] & 0xC0) != 0x80:
                return False
            if (lead == 0xE0 and at[1] < 0xA0) or (lead == 0xED and at[1] > 0x9F):
                return False
            at += 3
        else:
            if lead > 0xF4 or end - at < 4 or (at[1] & 0xC0) != 0x80:
                return False
            if (at[2] & 0xC0) != 0x80 or (at[3] & 0xC0) != 0x80:
                return False
            if (lead == 0xF0 and at[1] < 0x90) or (lead == 0xF4 and at[1] > 0x8F):
                return False
            at += 4
    return True


def check_texts(uintptr_t offsets, Py_ssize_t rows, uintptr_t address):
    """Hold gathered texts to UTF-8 without NUL; pure ASCII, all of it at once, is the usual case."""
    cdef const int32_t *offset = <const int32_t *>offsets
    cdef const uint8_t *data = <const uint8_t *>address
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef uint8_t odd = 0
    cdef Py_ssize_t i, row
    with nogil:
        for i in range(offset[rows]):
            odd |= data[i] | <uint8_t>(data[i] - 1)  # its high bit: not ASCII, or a NUL
        if odd & 0x80:
            for row in range(rows):
                if not is_text(data + offset[row], data + offset[row + 1]):
                    outcome = Outcome(row, UTF8, 0)
                    break
    return outcome.row, outcome.fault, outcome.number


def count_up(Py_ssize_t rows, uintptr_t address):
    """Fill int32 0, 1, 2 ..."""
    cdef int32_t *out = <int32_t *>address
    cdef Py_ssize_t row
    if not 0 <= rows <= INT32_MAX:
        raise ValueError("more rows than int32 can count")
    with nogil:
        for row in range(rows):
            out[row] = <int32_t>row
