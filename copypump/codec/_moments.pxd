"""Dates and timestamps: the server's limits, and the loops over those that are usual."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from copypump.codec._numeric cimport load32, load64

cdef extern from *:
    """
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
    #define ZONE_LIMIT 57600  /* TZDISP_LIMIT: an offset is nearer than 16 hours */
    """
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
    const int32_t ZONE_LIMIT


cdef inline bint usual_dates(
    const uint8_t *base, const int32_t *positions, Py_ssize_t rows, int32_t *out
) noexcept nogil:
    """Days since 2000, none NULL and of four bytes each, to days since 1970; whether all are finite days."""
    cdef int32_t day
    cdef int odd = 0
    cdef Py_ssize_t row
    for row in range(rows):
        day = <int32_t>load32(base + positions[row])
        odd |= (day < FIRST_DAY) | (day > LAST_DAY)
        out[row] = <int32_t>(<uint32_t>day + <uint32_t>EPOCH_DAYS)
    return not odd


cdef inline bint usual_timestamps(
    const uint8_t *base, const int32_t *positions, Py_ssize_t rows, int64_t *out
) noexcept nogil:
    """Microseconds since 2000, none NULL and of eight bytes each, to those since 1970; likewise."""
    cdef int64_t moment
    cdef int odd = 0
    cdef Py_ssize_t row
    for row in range(rows):
        moment = <int64_t>load64(base + positions[row])
        odd |= (moment < FIRST_MICROSECOND) | (moment >= INT64_MAX - EPOCH_MICROSECONDS)
        out[row] = <int64_t>(<uint64_t>moment + <uint64_t>EPOCH_MICROSECONDS)
    return not odd
