"""Loops over a column of numerics; what they take and return is told in _decode.pyi."""

from copypump.codec._fields import Fields

def decimals128(
    fields: Fields, column: int, precision: int, scale: int, address: int, start: int
) -> tuple[int, int, int]:
    """Numerics, scaled by 10 ** scale, into 16 * rows; precision 1 to 38."""

def decimals256(
    fields: Fields, column: int, precision: int, scale: int, address: int, start: int
) -> tuple[int, int, int]:
    """Numerics, scaled by 10 ** scale, into 32 * rows; precision 1 to 76."""

def doubles(fields: Fields, column: int, address: int, start: int) -> tuple[int, int, int]:
    """Numerics of at most 15 digits, NaN and infinities, into 8 * rows."""

def numeric_room(fields: Fields, column: int) -> tuple[int, int, int]:
    """Bound the size of numerics as text: the number, of which `numeric_texts` writes less."""

def numeric_texts(fields: Fields, column: int, offsets: int, address: int) -> tuple[int, int, int]:
    """Write numerics as text where `numeric_room` has said so: offsets into 4 * (rows + 1).

    The number is the size of all texts.
    """
