"""Rejected rows on their way to the table of rejects: what is kept of each, as JSON.

Rows that the server refuses are kept by the server itself, from its staging table. All others pass through
here: those that a transform, a check, the encoder or the decoder rejects.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pyarrow as pa

# Who rejected a row: the `stage` of a record.
DECODE, TRANSFORM, CHECK, ENCODE, TARGET = "decode", "transform", "check", "encode", "target"


class RejectedRows(bytearray):
    """Records as the text of a JSON array. It travels between encoded rows to the one who writes them."""

    def __init__(self, records: list[dict[str, Any]]) -> None:
        super().__init__(json.dumps(records, ensure_ascii=False, separators=(",", ":")).encode())
        self.rows = len(records)


def record(stage: str, reason: str, row: dict[str, Any], column: str | None = None) -> dict[str, Any]:
    """One rejected row; the keys are columns of the table of rejects."""
    return {"stage": stage, "reason": reason, "column_name": column, "row": row}


def rows_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    r"""The rows of a small batch, each as JSON takes it.

    Numbers and truth values stay what they are, decimals and moments become their text, bytes hexadecimal
    digits behind \\x. What JSON has no place for is written out: NaN, infinities, a NUL in a text as \\u0000.
    """
    columns = {name: _values(batch.column(i)) for i, name in enumerate(batch.schema.names)}
    return [{name: values[row] for name, values in columns.items()} for row in range(batch.num_rows)]


def _values(array: pa.Array[Any]) -> list[Any]:
    try:
        return [_plain(value) for value in array.to_pylist()]
    except (UnicodeDecodeError, ValueError, OverflowError, pa.ArrowException):
        return [_single(array, row) for row in range(len(array))]


def _single(array: pa.Array[Any], row: int) -> Any:
    """One value; where Python has none of its kind, its text, or else its bytes."""
    try:
        return _plain(array[row].as_py())
    except (UnicodeDecodeError, ValueError, OverflowError, pa.ArrowException):
        pass
    one: Any = array.slice(row, 1)
    for kind in (pa.string(), pa.int64()):
        try:
            return _plain(one.cast(kind)[0].as_py())
        except (UnicodeDecodeError, ValueError, OverflowError, pa.ArrowException):
            continue
    try:
        return _plain(one.view(pa.binary())[0].as_py())
    except (ValueError, pa.ArrowException):
        return None


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return value.replace("\0", "\\u0000")
        case Decimal():
            return str(value)
        case bytes():
            return "\\x" + value.hex()
        case dict():
            return {str(name): _plain(part) for name, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
        case _:
            return value.isoformat() if hasattr(value, "isoformat") else str(value)


# What stands behind a backslash in JSON of ASCII alone.
_ESCAPED = re.compile(r"\\(u[0-9a-f]{4}|.)")


def spelled_out(text: str) -> str:
    r"""JSON for a server that lacks some of its characters: those beyond ASCII written out, as \\u20ac."""
    return _ESCAPED.sub(  # letters and signs of other escapes come before u0080
        lambda found: "\\" + found[0] if found[1] >= "u0080" else found[0],
        json.dumps(json.loads(text), separators=(",", ":")),
    )


def records(
    stage: str, reason: str, rows: Iterable[dict[str, Any]], column: str | None = None
) -> RejectedRows:
    """Rows that were rejected together."""
    return RejectedRows([record(stage, reason, row, column) for row in rows])
