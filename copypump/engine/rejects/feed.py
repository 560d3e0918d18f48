"""A feed that goes on without the rows that the decoder has no place for."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pyarrow as pa

from copypump.codec.decoder import Decoder
from copypump.codec.framing import Block, Framer
from copypump.codec.rewrite import Rewriter
from copypump.engine.pipeline.pipeline import WireFeed
from copypump.engine.pipeline.reshape import Decoded
from copypump.engine.rejects.record import DECODE, RejectedRows, records
from copypump.engine.rejects.sifting import InputRows, part_of, sift
from copypump.engine.report import Counters
from copypump.errors import CastError, UnrepresentableError
from copypump.postgres.source import Source


class SiftingFeed(WireFeed):
    """Like a `WireFeed`; where a value is unrepresentable, its row is put on record, and the others go on."""

    def __init__(
        self,
        source: Source,
        framer: Framer,
        decoder: Decoder,
        rewriter: Rewriter | None,
        batch_bytes: int,
        batch_rows: int,
        counters: Counters,
        shown: InputRows,
    ) -> None:
        super().__init__(source, framer, decoder, rewriter, batch_bytes, batch_rows, counters)
        self._sifter = decoder
        self._shown = shown

    def __iter__(self) -> Iterator[Decoded]:
        for block in self.blocks():
            yield from self._sift(block)

    def _sift(self, block: Block) -> Iterator[Decoded]:
        refused: list[RejectedRows] = []
        first = block.first_row

        def attempt(low: int, high: int) -> Decoded:
            nonlocal first
            part = block if (low, high) == (0, block.rows) else part_of(block, low, high)
            first = part.first_row
            start = time.perf_counter()
            try:
                batch = self._sifter.decode(part)
            finally:
                self._counters.stages["decode"].busy += time.perf_counter() - start
            return Decoded(part, batch, part.first_row)

        def refuse(row: int, error: CastError | UnrepresentableError) -> None:
            places: pa.Array[pa.Int64Scalar] = pa.array([row], pa.int64())
            rows = self._shown.show(block, pa.record_batch([], []), places)
            refused.append(records(DECODE, error.message, rows, error.column))

        for decoded in sift(
            block.rows, attempt, lambda error: None if error.row is None else error.row - first - 1, refuse
        ):
            decoded.refused, refused = tuple(refused), []
            yield decoded
        if refused:
            none = part_of(block, block.rows, block.rows)
            yield Decoded(none, self._sifter.decode(none), none.first_row, tuple(refused))
