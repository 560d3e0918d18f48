"""A reshaper that goes on without the rows that a transform, a check or the encoder rejects."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from copypump.codec.decoder import ROW_INDEX
from copypump.engine.pipeline.reshape import Decoded, Decoding, Reshaper
from copypump.engine.planning.mapping import Mapping
from copypump.engine.rejects.record import CHECK, ENCODE, TRANSFORM, RejectedRows, records, rows_of
from copypump.engine.rejects.sifting import InputRows, sift
from copypump.engine.report import Stage
from copypump.errors import CastError, UnrepresentableError
from copypump.transforms import Transform
from copypump.transforms.rejecting import Rejection


class SiftingReshaper(Reshaper):
    """Like a `Reshaper`; between the encoded rows stand records of those that were rejected.

    A rejected row is shown as it came from the source, where it can be told which one that was; a row that
    a transform made is shown itself, unless it hands `__copypump_row` on.
    """

    def __init__(
        self,
        decoding: Decoding,
        transform: Transform | None,
        mapping: Mapping,
        batch_bytes: int,
        transform_stage: Stage,
        encode_stage: Stage,
        shown: InputRows,
    ) -> None:
        super().__init__(
            decoding, transform, mapping, batch_bytes, transform_stage, encode_stage, self._reject
        )
        self._shown = shown
        self._decoded: Decoded | None = None
        self._refused: list[RejectedRows] = []

    def reshape(self, decoded: Decoded) -> Iterator[bytearray]:
        """Yield the encoded rows of one block, and records of rejected ones, which are not counted."""
        yield from decoded.refused
        self._decoded = decoded
        for batch, rows in self._pieces(decoded):
            yield from self._taken()
            for encoded in self._sifted(batch, rows, decoded):
                yield from self._taken()
                yield encoded
        yield from self._taken()
        self._decoded = None

    def _taken(self) -> list[RejectedRows]:
        taken, self._refused = self._refused, []
        return taken

    def _reject(self, rejection: Rejection) -> None:
        """What a transform or a check rejects."""
        decoded, stage = self._decoded, CHECK if rejection.by == CHECK else TRANSFORM
        assert decoded is not None
        if rejection.places is None:
            rows = _as_they_are(rejection.rows)
        else:
            rows = self._shown.show(decoded.block, decoded.batch, rejection.places)
        self._refused.append(records(stage, rejection.reason, rows))

    def _sifted(self, batch: pa.RecordBatch, rows: int, decoded: Decoded) -> Iterator[bytearray]:
        """The encoded rows of a piece, without the bad ones."""
        first = self.rows
        # Rows of the block as they stand in it, where a transform did not make them.
        untouched = self._transform is None and decoded.block is not None

        def attempt(low: int, high: int) -> bytearray:
            nonlocal first
            first = self.rows
            start = time.perf_counter()
            try:
                if (low, high) == (0, rows):
                    return self._encode(batch, rows, decoded)
                if untouched:
                    row_ids = pa.array(range(low, high), pa.int32())
                    return self._encode(batch, high - low, decoded, row_ids)
                return self._encode(batch.slice(low, high - low), high - low, decoded)
            finally:
                self._encode_stage.busy += time.perf_counter() - start

        def refuse(row: int, error: CastError | UnrepresentableError) -> None:
            places: pa.Array[Any] | None = pa.array([row], pa.int64())
            if not untouched:
                ids = self._row_ids(batch.slice(row, 1), decoded)
                known = self._transform is not None and self._transform.reads is not None
                places = ids if known else None
            if places is None:
                shown = _as_they_are(batch.slice(row, 1))
            else:
                shown = self._shown.show(decoded.block, decoded.batch, places)
            self._refused.append(records(ENCODE, error.message, shown, error.column))

        return sift(rows, attempt, lambda error: None if error.row is None else error.row - first - 1, refuse)


def _as_they_are(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    return rows_of(batch.select([name for name in batch.schema.names if name != ROW_INDEX]))
