import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

class Form(enum.IntEnum):
    WIRE = 0
    BOOL = 1
    FIXED8 = 2
    FIXED16 = 3
    FIXED32 = 4
    FIXED64 = 5
    BYTES = 6
    TEXT = 7
    JSONB = 8
    UUID = 9
    UUID_TEXT = 10
    DATE = 11
    TIME = 12
    TIMESTAMP = 13
    INTERVAL = 14
    NANO_INTERVAL = 15
    DECIMAL128 = 16
    DECIMAL256 = 17
    DECIMAL128_CUT = 18
    TIMETZ = 19
    NUMERIC_TEXT = 20
    ENUM = 21
    BITS = 22
    HSTORE = 23
    LIST = 24
    ND_LIST = 25
    COMPOSITE = 26
    PG_RANGE = 27
    MULTIRANGE = 28
    VECTOR = 29
    ENUM_INDEX = 30

class Fault(enum.IntEnum):
    NONE = 0
    LENGTH = 1
    BUFFER = 2
    OFFSETS = 3
    ROW_NULL = 4
    ROW_RANGE = 5
    TOO_LARGE = 6
    NULL_VALUE = 7
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
    PLACE = 256

class RowWriter:
    def __init__(
        self,
        fields: int,
        top: int,
        lanes: Sequence[Mapping[str, Any]],
        required: Iterable[tuple[int, int]],
        seed: int,
    ) -> None: ...
    def write(
        self,
        arrays: Sequence[pa.Array[Any] | None],
        rows: int,
        data: memoryview | None,
        positions: pa.Buffer | None,
        stride: int,
        block_rows: int,
        ids: pa.Array[Any] | None,
    ) -> bytearray | tuple[int, int, int, int]: ...
