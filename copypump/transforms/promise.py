"""What a function promises of itself: the columns that it reads, that it keeps the rows, what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import pyarrow as pa
from msgspec import Struct

F = TypeVar("F", bound=Callable[..., Any])

_PROMISE = "__copypump_promise__"


class Promise(Struct, frozen=True):
    """What `reads` wrote on a function. `columns` is None for one that reads every column."""

    columns: frozenset[str] | None = None
    rows_same: bool = False
    schema: pa.Schema | None = None
    version: str | None = None


def reads(
    *columns: str,
    rows: Literal["any", "same"] = "any",
    schema: pa.Schema | None = None,
    version: str | None = None,
) -> Callable[[F], F]:
    """Say which columns a transform reads; all others pass by it as wire bytes, exact and undecoded.

    Args:
        columns: their names; none for a transform that reads no column; `"*"` for one that reads them all
            (and makes another promise).
        rows: `"same"` promises as many rows in the same order; then `__copypump_row` need not be handed on.
        schema: what it returns, for a generator that yields nothing when it is given an empty batch.
        version: names what the function does. A run may be resumed as long as it stays the same; without it,
            as long as the source of the function's module does.

    """
    if not all(isinstance(column, str) for column in columns):
        raise TypeError('copypump.reads takes column names: @copypump.reads("age", "salary")')
    if rows not in ("any", "same"):
        raise ValueError(f'rows is "any" or "same", not {rows!r}')
    promise = Promise(None if "*" in columns else frozenset(columns), rows == "same", schema, version)

    def mark(function: F) -> F:
        setattr(function, _PROMISE, promise)
        return function

    return mark


def promise_of(function: Callable[..., Any]) -> Promise:
    """What `reads` wrote on the function; without it, that it reads every column."""
    return getattr(function, _PROMISE, None) or Promise()
