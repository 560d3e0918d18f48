"""The workloads' transforms on one row, a Python tuple; each has its transform's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

CENT = Decimal("0.01")

Row = Sequence[Any]


def people(row: Row) -> tuple[Any, ...]:
    """W1: a year older, and what is left of the salary."""
    id_, name, age, salary = row
    return id_, name, age + 1, salary * 0.8


def lineitem(row: Row) -> tuple[Any, ...]:
    """W2: price * (1 - discount), to the cent."""
    price = (row[5] * (1 - row[6])).quantize(CENT, ROUND_HALF_UP)
    return *row[:5], price, *row[6:]


def rebuild(row: Row) -> tuple[Any, ...]:
    """W3 - W6: a row read into Python values is built anew already."""
    return tuple(row)


TRANSFORMS: dict[str, Callable[[Row], tuple[Any, ...]]] = {
    function.__name__: function for function in (people, lineitem, rebuild)
}
