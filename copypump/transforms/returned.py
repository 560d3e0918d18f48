"""What a function returned, in any of the shapes that it may have, as record batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import pyarrow as pa

from copypump.transforms.wording import kind_of


class WrongReturn(Exception):  # noqa: N818 - what was returned, not an error that leaves this module
    """What a function returned that no transform may."""

    hint = (
        "a transform returns a pyarrow RecordBatch or Table, an iterable of these,"
        " or an object with __arrow_c_stream__ or __arrow_c_array__ (polars, pandas, duckdb)"
    )

    def __init__(self, value: object, within: object = None) -> None:
        super().__init__(kind_of(value) if within is None else f"{kind_of(within)} of {kind_of(value)}")
        if value is None and within is None:
            self.hint = "return an empty batch (batch.slice(0, 0)) to drop all rows"


def pieces_of(value: object) -> Iterator[pa.RecordBatch]:
    """The batches in what a function returned: at least one, except for an iterable that is empty."""
    if _is_tabular(value):
        yield from _batches(value)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        for item in value:
            if not _is_tabular(item):
                raise WrongReturn(item, within=value)
            yield from _batches(item)
    else:
        raise WrongReturn(value)


def _is_tabular(value: object) -> bool:
    return isinstance(value, pa.RecordBatch | pa.Table) or (
        hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__")
    )


def _batches(value: Any) -> Iterator[pa.RecordBatch]:
    if isinstance(value, pa.RecordBatch):
        yield value
        return
    if type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "index"):
        value = _without_index(value)
    if hasattr(value, "__arrow_c_stream__"):
        reader = pa.RecordBatchReader.from_stream(value)
        schema, batches = reader.schema, cast("Iterator[pa.RecordBatch]", reader)
    else:
        batch = pa.record_batch(value)
        schema, batches = batch.schema, iter([batch])
    first = next(batches, None)
    yield empty(schema) if first is None else first
    yield from batches


def _without_index(frame: Any) -> pa.Table:
    """Turn a pandas frame into a table: an index with a name is a column, one without is nothing.

    Left to pandas, it depends on the values whether an index becomes a column.
    """
    named = [name for name in frame.index.names if name is not None]
    return pa.Table.from_pandas(frame.reset_index(level=named) if named else frame, preserve_index=False)


def empty(schema: pa.Schema) -> pa.RecordBatch:
    """A batch of this schema without rows."""
    # From lists, Arrow makes no array in which an extension type stands (a list of uuids).
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
