"""What a typmod says: the number that PostgreSQL keeps beside a type for the parentheses after its name.

Each function takes the typmod of one family of types and gives its meaning, or None for "no limit" (-1). The
layouts are those of PostgreSQL's numeric.c, varchar.c, varbit.c and timestamp.c, and of pgvector's vector.c.
No Arrow in here.
"""

from __future__ import annotations

from typing import NamedTuple

# VARHDRSZ of PostgreSQL: added to the typmods of numeric, varchar and bpchar.
HEADER = 4

# INTERVAL_FULL_RANGE and INTERVAL_FULL_PRECISION of PostgreSQL's utils/timestamp.h.
FULL_RANGE = 0x7FFF
FULL_PRECISION = 0xFFFF

# Digits of a second that PostgreSQL keeps where a typmod of these types sets no limit.
MAX_FRACTION = 6
_CLOCKS = frozenset({"time", "timetz", "timestamp", "timestamptz"})


class Numeric(NamedTuple):
    """numeric(precision, scale): at most `precision` digits, the last of them worth 10 ** -scale."""

    precision: int
    scale: int


class Interval(NamedTuple):
    """An interval's typmod: the mask of its fields (None: all) and digits of its seconds (None: six)."""

    fields: int | None
    precision: int | None


def numeric(typmod: int) -> Numeric | None:
    """Precision (1..1000) and scale (-1000..1000; never negative before PostgreSQL 15)."""
    if typmod < HEADER:
        return None
    packed = typmod - HEADER
    return Numeric((packed >> 16) & 0xFFFF, ((packed & 0x7FF) ^ 0x400) - 0x400)


def characters(typmod: int) -> int | None:
    """How many characters varchar(n) or bpchar(n) holds."""
    return None if typmod < HEADER else typmod - HEADER


def bits(typmod: int) -> int | None:
    """How many bits bit(n) has, and varbit(n) at most."""
    return None if typmod <= 0 else typmod


def dimensions(typmod: int) -> int | None:
    """How many dimensions each vector(n) has."""
    return None if typmod <= 0 else typmod


def fraction(typmod: int) -> int | None:
    """How many digits (0..6) the seconds of a time or timestamp keep."""
    return None if typmod < 0 else typmod


def interval(typmod: int) -> Interval | None:
    """Give the fields and digits that an interval is held to."""
    if typmod < 0:
        return None
    fields, precision = (typmod >> 16) & FULL_RANGE, typmod & FULL_PRECISION
    return Interval(
        None if fields == FULL_RANGE else fields, None if precision == FULL_PRECISION else precision
    )


def widens(type_name: str, source: int, target: int) -> bool:
    """Whether every value of a type under typmod `source` stands unchanged under typmod `target`.

    "Unchanged" is what a cast of the server's would leave: numeric(4,1) to numeric(8,2) adds a zero.
    """
    if target in (-1, source):
        return True
    if source < 0:
        return type_name in _CLOCKS and target == MAX_FRACTION
    match type_name:
        case "numeric":
            narrow, wide = numeric(source), numeric(target)
            return (
                narrow is not None
                and wide is not None
                and narrow.scale <= wide.scale
                and narrow.precision - narrow.scale <= wide.precision - wide.scale
            )
        case "varchar" | "bpchar" | "varbit":
            return source <= target
        case _ if type_name in _CLOCKS:
            return source <= target
        case _:
            return False
