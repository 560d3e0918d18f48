"""The forms in which the native encoder takes a column, and what can be wrong with one."""

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
    NUMERIC_TEXT = 18

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
