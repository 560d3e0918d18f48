"""What the pieces of the native encoder share: forms of columns, faults, and the structures of one call."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from copypump.codec._texts cimport TextSet


cdef extern from "_encode.h":
    uint16_t load16 "cp_load16" (const uint8_t *p) noexcept nogil
    uint32_t load32 "cp_load32" (const uint8_t *p) noexcept nogil
    uint64_t load64 "cp_load64" (const uint8_t *p) noexcept nogil
    uint32_t get32 "cp_get32" (const uint8_t *p) noexcept nogil
    void copy_over "cp_copy_over" (uint8_t *to, const uint8_t *source, int64_t n) noexcept nogil
    void copy_short "cp_copy_short" (uint8_t *to, const uint8_t *source, int64_t n) noexcept nogil
    bint is_plain "cp_is_plain" (const uint8_t *p, int64_t n) noexcept nogil
    void put16 "cp_put16" (uint8_t *p, uint16_t v) noexcept nogil
    void put32 "cp_put32" (uint8_t *p, uint32_t v) noexcept nogil
    void put64 "cp_put64" (uint8_t *p, uint64_t v) noexcept nogil
    int leading_zeros "cp_leading_zeros" (uint64_t v) noexcept nogil
    int trailing_zeros "cp_trailing_zeros" (uint64_t v) noexcept nogil
    uint64_t divide_chunk "cp_divide_chunk" (uint64_t *rest, uint64_t limb) noexcept nogil
    uint64_t divide "cp_divide" (uint64_t *rest, uint64_t limb, uint64_t divisor) noexcept nogil
    uint64_t multiply "cp_multiply" (uint64_t limb, uint64_t factor, uint64_t *carry) noexcept nogil


cpdef enum Form:
    WIRE = 0       # a run of source columns, copied as their bytes are
    BOOL = 1       # bitmap to one byte
    FIXED8 = 2     # words of 1, 2, 4 or 8 bytes, bits kept as they are
    FIXED16 = 3
    FIXED32 = 4
    FIXED64 = 5
    BYTES = 6      # int32 offsets and data, anything
    TEXT = 7       # the same, UTF-8 without NUL
    JSONB = 8      # the same behind a version byte
    UUID = 9       # 16 bytes each
    UUID_TEXT = 10
    DATE = 11
    TIME = 12
    TIMESTAMP = 13
    INTERVAL = 14  # struct of months, days, microseconds
    NANO_INTERVAL = 15  # Arrow's month_day_nano
    DECIMAL128 = 16
    DECIMAL256 = 17
    DECIMAL128_CUT = 18  # of a larger scale than the target's: its last digits must be zeros
    TIMETZ = 19    # struct of time, offset
    NUMERIC_TEXT = 20
    ENUM = 21      # text, one of the target's labels
    BITS = 22      # struct of bits, data; from here on values are written by `Lane.put`
    HSTORE = 23    # list of structs of key, value
    LIST = 24
    ND_LIST = 25   # struct of dims, lower_bounds, values
    COMPOSITE = 26
    PG_RANGE = 27  # struct of lower, upper, flags
    MULTIRANGE = 28
    VECTOR = 29    # list of floats
    ENUM_INDEX = 30  # int32 indices into a dictionary of texts, those in use being the target's labels


cpdef enum Fault:
    NONE = 0
    LENGTH = 1     # the array's shape: rows, buffers, offsets
    BUFFER = 2
    OFFSETS = 3
    ROW_NULL = 4   # the row index
    ROW_RANGE = 5
    TOO_LARGE = 6
    NULL_VALUE = 7  # values, from here on
    UTF8 = 8
    NUL = 9
    TOO_LONG = 10
    RANGE = 11
    FRACTION = 12
    FIELDS = 13
    PART_NULL = 14
    PRECISION = 15
    SCALE = 16
    SYNTAX = 17
    INFINITE = 18
    DIGITS = 19
    LABEL = 20
    ZONE = 21
    BIT_DATA = 22
    BIT_COUNT = 23
    KEY_NULL = 24
    KEY_TWICE = 25
    FLAGS = 26
    BOUND = 27
    DIMENSIONS = 28
    ITEMS = 29
    RANGE_NULL = 30
    VALUE_SIZE = 31
    DIMENSION_COUNT = 32
    ELEMENT_NULL = 33
    NOT_FINITE = 34
    MEMORY = 35
    INDEX = 36

    PLACE = 256    # not a fault: one within lane i is `fault + PLACE * i`, where no Trouble is at hand


ctypedef struct Shape:
    int precision       # of the decimal, or of the target's typmod; 0: free (text only)
    int scale
    int dscale          # display scale; -1: as the text has it
    int base            # weight of the lowest group
    uint64_t pad        # 10 ** (0..3)
    uint64_t small      # magnitudes below take put_small
    uint64_t cut        # DECIMAL128_CUT: 10 ** (1..18), what the array's scale has over the target's


cdef struct Lane

# Writes a value that is long work: one of n bytes or, where its size is fixed, that of row n. Called through
# a pointer so that the loop over short values stays small; with all of them in it, each field took 1 ns more.
ctypedef uint8_t *(*Kernel)(
    uint8_t *out, const Lane *lane, const uint8_t *value, int64_t n, int *fault
) noexcept nogil


# The same for a value that stands within another, or that others stand in: that of `row`, which is not NULL.
# `lane.fixed` bytes may be written and, beyond them, `room`.
ctypedef uint8_t *(*Put)(
    uint8_t *out, const Lane *lane, int64_t row, int64_t room, int *fault
) noexcept nogil


# One output column, or a part of one: what its target wants (set once), and where its values lie (set in each
# call).
cdef struct Lane:
    int form
    Kernel kernel               # of the forms that have one
    bint required               # NOT NULL
    int64_t limit               # characters (TEXT) or bytes (`in_bytes`) at most; dimensions; -1: any
    bint in_bytes
    int64_t unit                # microseconds that a time must be a multiple of; 0: must be zero
    int32_t months              # the same of an interval's months
    bint days                   # whether an interval may have days
    Shape shape                 # NUMERIC
    int first, last             # WIRE: a run of source columns
    int column                  # its index among the output columns; of a run, that of `first`

    const uint8_t *valid        # bitmap, or NULL
    int64_t valid_at            # its first bit
    const uint8_t *data         # the first value; of TEXT and BYTES, the whole data buffer
    int64_t size                # bytes there
    const uint8_t *offsets      # the first int32 offset
    const uint8_t *part_valid[3]
    int64_t part_valid_at[3]
    const uint8_t *part[3]      # INTERVAL: months, days, microseconds; others: what is no lane; indices

    # What flat columns have no use for stands last.
    int index                   # its own among all lanes
    Put put
    int64_t fixed               # bytes that a value takes at most, without what offsets say
    uint32_t oid                # of the type of an element or attribute
    TextSet *labels             # ENUM, ENUM_INDEX
    int64_t entries             # ENUM_INDEX: of the dictionary; offsets, data and size are its text's,
    uint32_t *found             # and this is the slot + 1 of those that were found among the labels,
    uint8_t *bits               # and what `valid` points to where entries are NULL; of one call
    uint64_t seed               # HSTORE: of its keys' hashes
    bint exact                  # BITS: `limit` is also the least
    Lane *kids                  # the lanes within, side by side
    int first_kid, kid_count

    int64_t base                # what is taken off each offset: lists; `size` counts their items then
    bint plain                  # TEXT and JSONB within others: nothing is left to check


# The block whose fields wire columns copy, and the row of it for each output row (NULL: the same).
ctypedef struct Origin:
    const uint8_t *data
    int64_t size
    const int32_t *positions
    int64_t stride
    int64_t rows
    const uint8_t *ids
    bint once                   # no row of the block is copied twice


ctypedef struct Trouble:
    int fault
    int lane
    int64_t row
