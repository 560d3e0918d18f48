"""Dates, times and intervals of a block into Arrow's, one loop down a column each.

As in _decode.pyx, buffers are the caller's. A loop begins at row `start`, so that one that stopped at a value
without a place in Arrow can go on behind it. `keep`: infinities stay the largest and smallest integers that
they are on the wire, 24:00:00 stays 86,400,000,000 microseconds, and the number counts them; else they are
faults.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t, uintptr_t

from copypump.codec._fields cimport Fields, Outcome
from copypump.codec._moments cimport (
    DAY_MICROSECONDS,
    END_MICROSECOND,
    EPOCH_DAYS,
    EPOCH_MICROSECONDS,
    FIRST_DAY,
    FIRST_MICROSECOND,
    INT32_MAX,
    INT32_MIN,
    INT64_MAX,
    INT64_MIN,
    LAST_DAY,
    ZONE_LIMIT,
    usual_dates,
    usual_timestamps,
)
from copypump.codec._numeric cimport (
    INFINITE,
    LENGTH,
    MIDNIGHT,
    OK,
    OUT_OF_RANGE,
    TOO_LATE,
    TOO_LONG,
    load32,
    load64,
)


def dates(Fields fields, int column, uintptr_t address, Py_ssize_t start, bint keep):
    """Days since 2000 to days since 1970; infinities as `keep` says."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int32_t *out = <int32_t *>address
    cdef const uint8_t *at
    cdef int32_t day
    cdef bint usual
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    if start == 0 and fields.common_length(column) == 4:
        with nogil:
            usual = usual_dates(fields.base, positions, rows, out)
        if usual:
            return -1, OK, 0
    with nogil:
        for row in range(start, rows):
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
            elif day != INT32_MAX and day != INT32_MIN:
                outcome = Outcome(row, OUT_OF_RANGE, 0)
                break
            elif keep:
                out[row] = day
                outcome.number += 1
            else:
                outcome = Outcome(row, INFINITE, 0)
                break
    return outcome.row, outcome.fault, outcome.number


def times(Fields fields, int column, uintptr_t address, Py_ssize_t start, bint keep):
    """Microseconds of the day; 24:00:00 as `keep` says."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int64_t *out = <int64_t *>address
    cdef const uint8_t *at
    cdef int64_t time
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(start, rows):
            if positions[row] < 0:
                out[row] = 0
                continue
            at = fields.base + positions[row]
            if load32(at - 4) != 8:
                outcome = Outcome(row, LENGTH, load32(at - 4))
                break
            time = <int64_t>load64(at)
            if not 0 <= time <= DAY_MICROSECONDS:
                outcome = Outcome(row, OUT_OF_RANGE, 0)
                break
            if time == DAY_MICROSECONDS:
                if not keep:
                    outcome = Outcome(row, MIDNIGHT, 0)
                    break
                outcome.number += 1
            out[row] = time
    return outcome.row, outcome.fault, outcome.number


def timestamps(Fields fields, int column, uintptr_t address, Py_ssize_t start, bint keep):
    """Microseconds since 2000 to those since 1970; infinities as `keep` says."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int64_t *out = <int64_t *>address
    cdef const uint8_t *at
    cdef int64_t moment
    cdef bint usual
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    if start == 0 and fields.common_length(column) == 8:
        with nogil:
            usual = usual_timestamps(fields.base, positions, rows, out)
        if usual:
            return -1, OK, 0
    with nogil:
        for row in range(start, rows):
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
            elif moment != INT64_MAX and moment != INT64_MIN:
                outcome = Outcome(
                    row, TOO_LATE if FIRST_MICROSECOND <= moment < END_MICROSECOND else OUT_OF_RANGE, 0
                )
                break
            elif keep:
                out[row] = moment
                outcome.number += 1
            else:
                outcome = Outcome(row, INFINITE, 0)
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


def zoned_times(
    Fields fields, int column, uintptr_t times, uintptr_t offsets, Py_ssize_t start, bint keep
):
    """A timetz's two parts, into a buffer each; 24:00:00 as `keep` says."""
    cdef const int32_t *positions = fields.positions(column)
    cdef int64_t *times_out = <int64_t *>times
    cdef int32_t *offsets_out = <int32_t *>offsets
    cdef const uint8_t *at
    cdef int64_t time
    cdef int32_t offset
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(start, rows):
            if positions[row] < 0:
                times_out[row] = 0
                offsets_out[row] = 0
                continue
            at = fields.base + positions[row]
            if load32(at - 4) != 12:
                outcome = Outcome(row, LENGTH, load32(at - 4))
                break
            time = <int64_t>load64(at)
            offset = <int32_t>load32(at + 8)
            if not (0 <= time <= DAY_MICROSECONDS and -ZONE_LIMIT < offset < ZONE_LIMIT):
                outcome = Outcome(row, OUT_OF_RANGE, 0)
                break
            if time == DAY_MICROSECONDS:
                if not keep:
                    outcome = Outcome(row, MIDNIGHT, 0)
                    break
                outcome.number += 1
            times_out[row] = time
            offsets_out[row] = offset
    return outcome.row, outcome.fault, outcome.number


def nano_intervals(Fields fields, int column, uintptr_t address, Py_ssize_t start):
    """Intervals as Arrow's month_day_nano: int32, int32, int64."""
    cdef const int32_t *positions = fields.positions(column)
    cdef uint32_t *out = <uint32_t *>address
    cdef int64_t *nanos = <int64_t *>address
    cdef const uint8_t *at
    cdef int64_t time
    cdef Outcome outcome = Outcome(-1, OK, 0)
    cdef Py_ssize_t row, rows = fields.rows
    with nogil:
        for row in range(start, rows):
            if positions[row] < 0:
                nanos[2 * row] = nanos[2 * row + 1] = 0
                continue
            at = fields.base + positions[row]
            if load32(at - 4) != 16:
                outcome = Outcome(row, LENGTH, load32(at - 4))
                break
            time = <int64_t>load64(at)
            if not INT64_MIN // 1000 <= time <= INT64_MAX // 1000:
                outcome = Outcome(row, TOO_LONG, 0)
                break
            out[4 * row] = load32(at + 12)
            out[4 * row + 1] = load32(at + 8)
            nanos[2 * row + 1] = time * 1000
    return outcome.row, outcome.fault, outcome.number
