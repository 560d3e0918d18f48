"""What can be wrong with a field, and how a user is told of it."""

from __future__ import annotations

import enum

import pyarrow as pa

from copypump.codec import types
from copypump.codec.column import Column
from copypump.codec.spelling import spelling
from copypump.errors import CopypumpError, DecodeError, UnrepresentableError


class Fault(enum.IntEnum):
    """What can be wrong with a field; the numbers are those of _numeric.pxd."""

    OK = 0
    LENGTH = 1
    INVALID = 2
    VERSION = 3
    UTF8 = 4
    OUT_OF_RANGE = 5
    NOT_A_NUMBER = 6
    INFINITE = 7
    TOO_PRECISE = 8
    TOO_BIG = 9
    MIDNIGHT = 10
    TOO_LATE = 11
    TOO_MUCH = 12
    SHAPE = 13
    LABEL = 14
    OID = 15
    TOO_LONG = 16


# Faults of the stream: no PostgreSQL server sends such a field.
_IMPOSSIBLE = {
    Fault.LENGTH: "{pg} of length {number}",
    Fault.INVALID: "not a valid {pg}",
    Fault.VERSION: "{pg} of an unknown version",
    Fault.UTF8: "{pg} that is not UTF-8, or has a NUL byte in it",
    Fault.OUT_OF_RANGE: "{pg} outside the range of its type",
    Fault.OID: "{pg} that says it holds another type than the server's catalog does",
}

# Valid values that Arrow cannot hold, each with the type to choose instead.
UNREPRESENTABLE = {
    Fault.NOT_A_NUMBER: ("NaN does not fit {arrow}", "utf8"),
    Fault.INFINITE: ("an infinite {pg} does not fit {arrow}", "utf8"),
    Fault.TOO_PRECISE: ("{pg} with more than {scale} digits after the point", "utf8"),
    Fault.TOO_BIG: ("{pg} with more than {precision} digits at scale {scale}", "utf8"),
    Fault.MIDNIGHT: ("24:00:00 does not fit {arrow}", "opaque"),
    Fault.TOO_LATE: ("{pg} too late for {arrow}", "opaque"),
    Fault.SHAPE: ("{pg} that is no list: of more dimensions than one, or not beginning at 1", "struct"),
    Fault.LABEL: ("a label that {declared} did not have when the run began", "opaque"),
    Fault.TOO_LONG: ("{pg} with more digits than {arrow} holds", "opaque"),
}

# Those of them that `Policy.KEEP` lets through.
KEPT = frozenset({Fault.MIDNIGHT, Fault.INFINITE})


class Found(Exception):  # noqa: N818 - carries a fault from a native loop to where its row is known
    """A fault in a field: `row` is that of the fields it was found in, `within` leads there."""

    def __init__(
        self, fault: Fault, row: int, number: int, column: Column, type_: pa.DataType, width: int | None
    ) -> None:
        super().__init__()
        self.fault = fault
        self.row = row
        self.within: tuple[str, ...] = ()
        self._number = number
        self._column = column
        self._type = type_
        self._width = width

    def inside(self, place: str, row: int) -> Found:
        """The same fault, seen from the value that holds its field."""
        self.within = (place, *self.within)
        self.row = row
        return self

    def error(self, column: str, first_row: int) -> CopypumpError:
        """What to tell the user: `column` is a stream's, its fields being the rows from `first_row` on."""
        facts = {
            "pg": types.pg_type(self._column).name,
            "declared": self._column.declared,
            "arrow": spelling(self._type),
            "number": self._number,
            "precision": getattr(self._type, "precision", None),
            "scale": getattr(self._type, "scale", None),
        }
        where = "".join(f"in {place}: " for place in self.within)
        row = first_row + self.row + 1
        if self.fault is Fault.TOO_MUCH:
            return UnrepresentableError(
                f"{where}more than 2 GiB of text or vectors in one batch",
                column=column,
                row=row,
                hint="a smaller --batch-rows",
            )
        if self.fault in _IMPOSSIBLE:
            message = _IMPOSSIBLE[self.fault].format(**facts)
            if self.fault is Fault.LENGTH and self._width is not None:
                message += f", expected {self._width}"
            return DecodeError(where + message, column=column, row=row)
        text, choice = UNREPRESENTABLE[self.fault]
        if self.fault is Fault.INFINITE and types.pg_type(self._column).kernel is not types.Kernel.NUMERIC:
            choice = "text"  # no other Arrow type holds a date or a timestamp; the source's own text does
        ways = "null|keep" if self.fault in KEPT else "null"
        # Only a column as a whole can be read as another type.
        choice = "opaque" if self.within else choice
        return UnrepresentableError(
            where + text.format(**facts),
            column=column,
            row=row,
            hint=f"--type {column}={choice}, or --on-unrepresentable {column}={ways}",
        )
