"""Loops over a column of dates, times or intervals; what they take and return is told in _decode.pyi.

They begin at row `start`. With `keep`, the number counts the infinities (int32's or int64's largest and
smallest) and the 24:00:00 that were let through; without, they are faults.
"""

from copypump.codec._fields import Fields

def dates(fields: Fields, column: int, address: int, start: int, keep: bool) -> tuple[int, int, int]:
    """Days since 1970 into 4 * rows."""

def times(fields: Fields, column: int, address: int, start: int, keep: bool) -> tuple[int, int, int]:
    """Microseconds of the day into 8 * rows."""

def timestamps(fields: Fields, column: int, address: int, start: int, keep: bool) -> tuple[int, int, int]:
    """Microseconds since 1970 into 8 * rows."""

def zoned_times(
    fields: Fields, column: int, times: int, offsets: int, start: int, keep: bool
) -> tuple[int, int, int]:
    """Microseconds of the day into 8 * rows, seconds west of UTC into 4 * rows."""

def intervals(fields: Fields, column: int, months: int, days: int, microseconds: int) -> tuple[int, int, int]:
    """Intervals into 4 * rows, 4 * rows and 8 * rows."""

def nano_intervals(fields: Fields, column: int, address: int, start: int) -> tuple[int, int, int]:
    """Intervals as Arrow's month_day_nano into 16 * rows."""
