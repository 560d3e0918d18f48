"""Rows that shall not land: `copypump.reject` within a transform, and how the chain hears of it.

While a function of the user's is called, a `Collector` stands in a context variable, and `reject` puts what
it is given there. Nothing is known here of where such rows go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import pyarrow as pa
from msgspec import Struct

from copypump.codec.convert import less, picked
from copypump.codec.decoder import ROW_INDEX
from copypump.errors import TransformError, UsageError
from copypump.transforms.wording import kind_of

# pyarrow.compute is imported once there is something to reject.


class Rejection(Struct, frozen=True):
    """Rows that were rejected together.

    Attributes:
        by: who rejected them: `transform MODULE:FUNCTION`, or `check`.
        reason: the words given to `copypump.reject`, or the check.
        rows: the rows as they were then, with the columns of the batch that they were found in.
        places: int64, their places (from 0) in the batch that was decoded; None where nobody can tell,
            because the function rejected rows of a batch that it had made itself.

    """

    by: str
    reason: str
    rows: pa.RecordBatch
    places: pa.Array[Any] | None

    def __str__(self) -> str:
        count = f"{self.rows.num_rows:,} row{'' if self.rows.num_rows == 1 else 's'}"
        if self.by == "check":
            return f'check "{self.reason}" fails for {count}'
        return f"{self.by} rejected {count} ({self.reason})"


def rejected(rejections: Sequence[Rejection], where: str) -> TransformError:
    """Make the error of a run that rejects nothing: it says who, why and how many, and no values."""
    return TransformError(
        f"{'; '.join(map(str, rejections))}, in {where}",
        hint="--on-error reject keeps such rows apart, and lets the others land",
    )


def places_of(decoded: pa.RecordBatch, batch: pa.RecordBatch, rows: pa.Array[Any]) -> pa.Array[Any] | None:
    """Give the places in the decoded batch of some rows (by their indices) of another; None if unknown."""
    if ROW_INDEX in batch.schema.names:
        ids = batch.column(ROW_INDEX).take(rows).cast(pa.int32())
        return less(ids, decoded.column(ROW_INDEX)[0]).cast(pa.int64())
    return rows.cast(pa.int64()) if batch is decoded else None


def without(decoded: pa.RecordBatch, ids: pa.Array[Any], gone: Sequence[pa.Array[Any]]) -> pa.Array[Any]:
    """Give a row column without the rows at some places of the decoded batch."""
    import pyarrow.compute as pc

    places = less(ids, decoded.column(ROW_INDEX)[0]).cast(pa.int64())
    left: pa.Array[Any] = ids.filter(opposite(pc.is_in(places, value_set=pa.concat_arrays(gone))))
    return left


class Collector:
    """What one function rejects, called for one batch of those that came from a `decoded` one."""

    def __init__(self, by: str, decoded: pa.RecordBatch) -> None:
        self.rows = 0
        self._by = by
        self._decoded = decoded
        self._new: list[Rejection] = []
        # What was left of batches, by identity, and its places: rejecting twice in a row is common.
        self._left: list[tuple[pa.RecordBatch, pa.Array[Any]]] = []

    def add(self, batch: pa.RecordBatch, mask: pa.BooleanArray, reason: str) -> pa.RecordBatch:
        """Take the rows of a batch for which the mask is true; give the others."""
        import pyarrow.compute as pc

        bad = pc.indices_nonzero(mask)
        good = pc.indices_nonzero(opposite(mask.fill_null(False)))
        rows, left = picked(batch, bad), picked(batch, good)
        self._new.append(Rejection(self._by, reason, rows, self._places(batch, bad)))
        self.rows += rows.num_rows
        if (places := self._places(batch, good)) is not None:
            self._left.append((left, places))
        return left

    def _places(self, batch: pa.RecordBatch, rows: pa.Array[Any]) -> pa.Array[Any] | None:
        for left, places in self._left:
            if left is batch:
                return places.take(rows)
        return places_of(self._decoded, batch, rows)

    def taken(self) -> list[Rejection]:
        """Give what came since the last call."""
        new, self._new = self._new, []
        return new


_collector: ContextVar[Collector | None] = ContextVar("copypump_rejects", default=None)


@contextlib.contextmanager
def collecting(collector: Collector) -> Iterator[None]:
    """Let `reject` find this collector, on this thread."""
    token = _collector.set(collector)
    try:
        yield
    finally:
        _collector.reset(token)


def reject(batch: pa.RecordBatch, mask: Any, reason: str) -> pa.RecordBatch:
    """Keep rows of a batch from landing: called within a transform, which goes on with those that are left.

    By default they abort the run, with exit code 6, and nothing lands.

    Args:
        batch: the batch that the transform was given, or one that it made.
        mask: one boolean a row (an Arrow array, or of numpy, polars or pandas, or a list): true rejects it.
            False and null keep it.
        reason: a few constant words. They stand in messages and reports, so put no value of a row in them.

    Returns:
        The rows that are left, in their order; the very `batch` where none was rejected.

    Raises:
        UsageError: no transform is being called, or it is, but on another thread.

    """
    collector = _collector.get()
    if collector is None:
        raise UsageError(
            "copypump.reject was called outside of a run",
            hint="call it within a transform, on the thread that the transform is called on",
        )
    if not isinstance(batch, pa.RecordBatch):
        raise TypeError(f"copypump.reject takes a pyarrow RecordBatch, not {kind_of(batch)}")
    if not isinstance(reason, str) or not reason.strip():
        raise TypeError("copypump.reject takes a reason: a few words")
    found = mask_of(mask, batch.num_rows)
    return collector.add(batch, found, reason) if found.true_count else batch


def opposite(mask: Any) -> Any:
    """Give true for false, and false for true."""
    import pyarrow.compute as pc

    return pc.invert(mask)


def mask_of(mask: Any, rows: int) -> pa.BooleanArray:
    """Read one boolean a row, in any of the shapes that a mask may have (TypeError, ValueError)."""
    if isinstance(mask, pa.Array):
        array: Any = mask
    elif isinstance(mask, pa.Scalar):
        array = pa.array([mask.as_py()] * rows, mask.type)
    elif hasattr(mask, "__arrow_c_stream__"):
        array = pa.chunked_array(mask).combine_chunks()
    else:
        array = pa.array(mask)
    if pa.types.is_null(array.type):
        array = array.cast(pa.bool_())
    if array.type != pa.bool_():
        raise TypeError(f"a mask is one boolean a row, not {array.type}")
    if len(array) != rows:
        raise ValueError(f"a mask of {len(array):,} values for {rows:,} rows")
    result: pa.BooleanArray = array
    return result
