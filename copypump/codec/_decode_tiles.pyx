"""The columns of a block together, tile by tile: a tile's rows stay in the first-level cache meanwhile.

Down one column after the other, each field of a block of 2 MiB comes from the second-level cache or from
beyond it. Held against framing, which stayed the same: TPC-H lineitem (16 columns) took 2.0 times its time to
decode, and takes 1.8 times in tiles; four narrow columns took 1.2 times, and take 0.9 times.

A column that holds what its loop here does not take is left, and `read` says so: its own loop in _decode.pyx
and the others then does all of it, and says what is wrong.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc

from copypump.codec._decode_loops cimport (
    decimal_rows,
    gather_alike,
    gather_rows,
    prefetch,
    word32_rows,
    word64_rows,
)
from copypump.codec._fields cimport Fields
from copypump.codec._moments cimport usual_dates, usual_timestamps
from copypump.codec._numeric cimport OK, Scaling, scaling

# Forms of columns, as Python sees them; see _decode_tiles.pyi.
WORD32 = 0
WORD64 = 1
DATE = 2
TIMESTAMP = 3
DECIMAL128 = 4
PIECE = 5

cdef enum:
    _WORD32 = 0
    _WORD64 = 1
    _DATE = 2
    _TIMESTAMP = 3
    _DECIMAL128 = 4
    _PIECE = 5

    TILE_BYTES = 8192
    LEAST_ROWS = 16   # of a tile: less would not pay for the calls
    MOST_ROWS = 512


cdef struct Lane:
    int form
    bint left            # it holds something that is not taken here
    int32_t length       # that all fields have; below zero where they vary, or one may be NULL
    const int32_t *positions
    uint8_t *out
    const int32_t *offsets
    Scaling scaling


cdef bint read_tile(
    const Lane *lane, const uint8_t *base, const uint8_t *end, Py_ssize_t first, Py_ssize_t rows,
    Py_ssize_t all_rows,
) noexcept nogil:
    """Read some rows of one column; whether all of them were taken."""
    cdef const int32_t *positions = lane.positions + first
    cdef const uint8_t *out_end
    cdef int fault = OK
    if lane.form == _WORD32:
        return word32_rows(base, positions, rows, lane.length, <uint32_t *>lane.out + first) < 0
    elif lane.form == _WORD64:
        return word64_rows(base, positions, rows, lane.length, <uint64_t *>lane.out + first) < 0
    elif lane.form == _DATE:
        return lane.length == 4 and usual_dates(base, positions, rows, <int32_t *>lane.out + first)
    elif lane.form == _TIMESTAMP:
        return lane.length == 8 and usual_timestamps(base, positions, rows, <int64_t *>lane.out + first)
    elif lane.form == _DECIMAL128:
        return decimal_rows(
            base, end, positions, rows, &lane.scaling, False, &fault, <uint64_t *>lane.out + 2 * first
        ) < 0
    out_end = lane.out + lane.offsets[all_rows]
    if lane.length >= 0:
        gather_alike(base, end, positions, rows, lane.length, lane.out + first * lane.length, out_end)
    else:
        gather_rows(base, end, positions, rows, 0, lane.offsets + first, lane.out, out_end)
    return True


cdef void read_tiles(
    Lane *lanes, int count, const uint8_t *base, const uint8_t *end, Py_ssize_t rows
) noexcept nogil:
    cdef Py_ssize_t tile = rows * TILE_BYTES // (end - base)
    cdef Py_ssize_t first = 0, row_bytes = (end - base) // rows
    cdef const uint8_t *ahead
    cdef const uint8_t *ahead_end
    cdef int i
    tile = max(LEAST_ROWS, min(tile, MOST_ROWS))
    while first < rows:
        # The next tile is called into the cache meanwhile: where it will be, more or less.
        ahead = base + (first + tile) * row_bytes
        ahead_end = min(ahead + tile * row_bytes, end)
        while ahead < ahead_end:
            prefetch(ahead)
            ahead += 64
        tile = min(tile, rows - first)
        for i in range(count):
            if not lanes[i].left:
                lanes[i].left = not read_tile(&lanes[i], base, end, first, tile, rows)
        first += tile


def read(Fields fields, list columns):
    """Read columns of a block; see _decode_tiles.pyi."""
    cdef int count = <int>len(columns), i, column, precision, scale
    cdef uintptr_t out, offsets
    cdef Lane *lanes = <Lane *>malloc(max(1, count) * sizeof(Lane))
    if lanes == NULL:
        raise MemoryError
    try:
        for i in range(count):
            lanes[i].form, column, out, offsets, precision, scale = columns[i]
            if not (_WORD32 <= lanes[i].form <= _PIECE and 0 <= precision <= 38):
                raise ValueError("there is no such form")
            lanes[i].left = False
            lanes[i].length = fields.common_length(column)
            lanes[i].positions = fields.positions(column)
            lanes[i].out = <uint8_t *>out
            lanes[i].offsets = <const int32_t *>offsets
            lanes[i].scaling = scaling(precision, scale)
        with nogil:
            read_tiles(lanes, count, fields.base, fields.end, fields.rows)
        return [not lanes[i].left for i in range(count)]
    finally:
        free(lanes)
