"""Fields of a block, or of the values in them; counts and bitmaps of their NULLs."""

import pyarrow as pa

from copypump.codec.framing import Block

class Fields:
    """The fields of a block that has positions. ValueError where the block does not fit its own numbers."""

    rows: int
    def __init__(self, block: Block) -> None: ...
    def inside(self, positions: pa.Buffer, columns: int, rows: int) -> Fields:
        """Give what stands within these fields, as fields; `positions` has 4 * columns * rows bytes."""

    def forget(self, column: int, row: int) -> None:
        """Make a field NULL for all who read it from now on."""

def nulls(fields: Fields, column: int) -> int:
    """Count the NULLs of a column."""

def validity(fields: Fields, column: int, bits: int) -> None:
    """Fill a validity bitmap of (rows + 7) // 8."""
