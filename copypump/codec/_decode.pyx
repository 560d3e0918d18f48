"""Fields of a block into Arrow buffers: for each wire form one loop down a column, without the GIL.

The Framer has checked where every field lies; a loop here checks that each has the length and the values
that its type can have. Buffers are the caller's, at the addresses that it gives, of _decode.pyi's sizes.
"""

from libc.stdint cimport INT32_MAX, int32_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from copypump.codec._decode_loops cimport gather_alike, gather_rows, word32_rows, word64_rows
from copypump.codec._fields cimport Fields, Outcome
from copypump.codec._numeric cimport INVALID, LABEL, LENGTH, OK, UTF8, VERSION, load16, load32
from copypump.codec._texts cimport Slot, TextSet, find_text, make_texts


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


def words8(Fields fields, int column, uintptr_t address):
    """One byte each."""
    cdef const int32_t *positions = fields.positions(column)
    cdef uint8_t *out = <uint8_t *>address
    cdef const uint8_t *at
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(rows):
            if positions[row] < 0:
                out[row] = 0
                continue
            at = fields.base + positions[row]
            if load32(at - 4) != 1:
                outcome = Outcome(row, LENGTH, load32(at - 4))
                break
            out[row] = at[0]
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
    cdef int32_t length = fields.common_length(column)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        row = word32_rows(fields.base, positions, rows, length, <uint32_t *>address)
    if row >= 0:
        return row, LENGTH, load32(fields.base + positions[row] - 4)
    return -1, OK, 0


def words64(Fields fields, int column, uintptr_t address):
    """Eight bytes, turned to the machine's order."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int32_t length = fields.common_length(column)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        row = word64_rows(fields.base, positions, rows, length, <uint64_t *>address)
    if row >= 0:
        return row, LENGTH, load32(fields.base + positions[row] - 4)
    return -1, OK, 0


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


def offsets(Fields fields, int column, int version, uintptr_t address):
    """Measure fields of any length, less the version byte that each must start with (none: -1)."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int32_t *out = <int32_t *>address
    cdef const uint8_t *at
    cdef int32_t length, total = 0
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    length = fields.common_length(column)
    if length >= 0 and version < 0:
        with nogil:
            for row in range(rows + 1):
                out[row] = <int32_t>row * length
        return -1, OK, rows * length
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


def bit_strings(Fields fields, int column, uintptr_t bits, uintptr_t offsets):
    """Measure bit strings: a count of bits, and as many bytes as hold them."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int32_t *bits_out = <int32_t *>bits
    cdef int32_t *out = <int32_t *>offsets
    cdef const uint8_t *at
    cdef int32_t length, count, total = 0
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        out[0] = 0
        for row in range(rows):
            count = 0
            if positions[row] >= 0:
                at = fields.base + positions[row]
                length = <int32_t>load32(at - 4) - 4
                if length < 0:
                    outcome = Outcome(row, LENGTH, length + 4)
                    break
                count = <int32_t>load32(at)
                if count < 0 or length != count // 8 + (count % 8 != 0):
                    outcome = Outcome(row, INVALID, 0)
                    break
                total += length
            bits_out[row] = count
            out[row + 1] = total
        if outcome.fault == OK:
            outcome.number = total
    return outcome.row, outcome.fault, outcome.number


def clear_unused_bits(Py_ssize_t rows, uintptr_t bits, uintptr_t offsets, uintptr_t address):
    """Zero the bits behind the last one of each bit string that was gathered, as bit_recv of varbit.c does.

    Servers could store others there until their releases of February 2020.
    """
    cdef const int32_t *count = <const int32_t *>bits
    cdef const int32_t *offset = <const int32_t *>offsets
    cdef uint8_t *data = <uint8_t *>address
    cdef Py_ssize_t row
    with nogil:
        for row in range(rows):
            if count[row] % 8:
                data[offset[row + 1] - 1] &= <uint8_t>(0xFF00 >> (count[row] % 8))


def gather(Fields fields, int column, int skip, uintptr_t offsets, uintptr_t address):
    """Copy fields together, without their first `skip` bytes, where they were measured."""
    cdef const int32_t *positions = fields.positions(column)
    cdef const int32_t *offset = <const int32_t *>offsets
    cdef uint8_t *out = <uint8_t *>address
    cdef int32_t length = fields.common_length(column) - skip
    cdef Py_ssize_t rows = fields.rows
    with nogil:
        if length >= 0:
            gather_alike(fields.base + skip, fields.end, positions, rows, length, out, out + offset[rows])
        else:
            gather_rows(fields.base, fields.end, positions, rows, skip, offset, out, out + offset[rows])


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


cdef class Labels:
    """The labels of an enum, to find the places of what stands on the wire."""

    cdef TextSet *texts

    def __cinit__(self, labels):
        self.texts = make_texts([label.encode() for label in labels])

    def __dealloc__(self):
        free(self.texts)


def labels(Fields fields, int column, Labels table, uintptr_t address, Py_ssize_t start):
    """Labels into their places in the table's list."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int32_t *out = <int32_t *>address
    cdef const uint8_t *at
    cdef const Slot *slot
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(start, rows):
            if positions[row] < 0:
                out[row] = 0
                continue
            at = fields.base + positions[row]
            slot = find_text(table.texts, at, <int32_t>load32(at - 4), fields.end)
            if slot == NULL:
                outcome = Outcome(row, LABEL, 0)
                break
            out[row] = slot.place
    return outcome.row, outcome.fault, outcome.number


def count_up(Py_ssize_t first, Py_ssize_t rows, uintptr_t address):
    """Fill int32 numbers from `first` on."""
    cdef int32_t *out = <int32_t *>address
    cdef Py_ssize_t row
    if first < 0 or not 0 <= rows <= INT32_MAX - first:
        raise ValueError("more rows than int32 can count")
    with nogil:
        for row in range(rows):
            out[row] = <int32_t>(first + row)
