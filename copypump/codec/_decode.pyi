"""Each loop reads column `column` (from 0) of a block and fills buffers at the addresses that it is given.

A loop returns (row, fault, number): (-1, 0, number) when all is well, else the row in the block (from 0) of
the first field at fault, and a `decoder.Fault`; the number is then that field's length where the fault is
its length. Without a fault it is a count as told below. Every byte of a buffer is written, NULLs as zeros.
Sizes are in bytes, for `rows` rows; Arrow's buffers are aligned as the loops need.
"""

from copypump.codec.framing import Block

class Fields:
    """The fields of a block that has positions. ValueError where the block does not fit its own numbers."""

    rows: int
    def __init__(self, block: Block) -> None: ...

def nulls(fields: Fields, column: int) -> int:
    """Count the NULLs of a column."""

def validity(fields: Fields, column: int, bits: int) -> None:
    """Fill a validity bitmap of (rows + 7) // 8."""

def booleans(fields: Fields, column: int, bits: int) -> tuple[int, int, int]:
    """Wire bool into a bitmap of (rows + 7) // 8."""

def words16(fields: Fields, column: int, address: int) -> tuple[int, int, int]:
    """Two-byte words into 2 * rows."""

def words32(fields: Fields, column: int, address: int) -> tuple[int, int, int]:
    """Four-byte words into 4 * rows."""

def words64(fields: Fields, column: int, address: int) -> tuple[int, int, int]:
    """Eight-byte words into 8 * rows."""

def uuids(fields: Fields, column: int, address: int) -> tuple[int, int, int]:
    """Sixteen bytes each into 16 * rows."""

def dates(fields: Fields, column: int, address: int) -> tuple[int, int, int]:
    """Days since 1970 into 4 * rows; the number counts infinities: int32's largest and smallest."""

def times(fields: Fields, column: int, address: int) -> tuple[int, int, int]:
    """Microseconds of the day into 8 * rows."""

def timestamps(fields: Fields, column: int, address: int) -> tuple[int, int, int]:
    """Microseconds since 1970 into 8 * rows; the number counts infinities: int64's largest and smallest."""

def intervals(fields: Fields, column: int, months: int, days: int, microseconds: int) -> tuple[int, int, int]:
    """Intervals into 4 * rows, 4 * rows and 8 * rows."""

def decimals128(
    fields: Fields, column: int, precision: int, scale: int, address: int
) -> tuple[int, int, int]:
    """Numerics, scaled by 10 ** scale, into 16 * rows; precision 1 to 38."""

def decimals256(
    fields: Fields, column: int, precision: int, scale: int, address: int
) -> tuple[int, int, int]:
    """Numerics, scaled by 10 ** scale, into 32 * rows; precision 1 to 76."""

def numeric_offsets(fields: Fields, column: int, offsets: int) -> tuple[int, int, int]:
    """Measure numerics as text: offsets into 4 * (rows + 1); the number is the size of all texts."""

def numeric_texts(fields: Fields, column: int, offsets: int, address: int) -> None:
    """Write numerics as text where `numeric_offsets` has measured them."""

def offsets(fields: Fields, column: int, version: int, address: int) -> tuple[int, int, int]:
    """Measure fields of any length, less the `version` byte that each must start with (-1: none).

    Offsets go into 4 * (rows + 1); the number is the size of all fields.
    """

def gather(fields: Fields, column: int, version: int, offsets: int, address: int) -> None:
    """Copy fields, less their version bytes, to where `offsets` has measured them."""

def check_texts(offsets: int, rows: int, address: int) -> tuple[int, int, int]:
    """Hold texts that were gathered to UTF-8 without NUL."""

def count_up(rows: int, address: int) -> None:
    """Fill 4 * rows with int32 0, 1, 2 and so on."""
