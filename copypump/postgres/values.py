"""How parameters and results of our own statements travel: as text, in the server's terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psycopg import pq

from copypump.postgres import exchange

Param = str | int | bool | None
Value = Any  # str, int, float, bool or None, by the column's type

# How a value of a result is read, by type oid; all else is text.
_LOADERS: dict[int, Callable[[str], Value]] = {
    16: "t".__eq__,  # bool
    20: int,  # int8
    21: int,  # int2
    23: int,  # int4
    26: int,  # oid
    700: float,  # float4
    701: float,  # float8
}


def rows_of(pgconn: pq.abc.PGconn, result: pq.abc.PGresult) -> list[tuple[Value, ...]]:
    """Return a result's rows; see `Session.execute`."""
    encoding = exchange.encoding(pgconn)
    loaders = [_LOADERS.get(result.ftype(column), str) for column in range(result.nfields)]
    return [
        tuple(
            None if (value := result.get_value(row, column)) is None else load(value.decode(encoding))
            for column, load in enumerate(loaders)
        )
        for row in range(result.ntuples)
    ]


def dump(value: Param) -> bytes | None:
    """Return a parameter in text form."""
    return None if value is None else str(value).encode()
