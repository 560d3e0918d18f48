"""The middle of the pipeline: one block in, the wire bytes of the rows that it became out.

Owns the way from a decoded batch through the transform and the mapping to encoded rows. Called by one
thread; counts its own stages.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from copypump.codec.casts import cast, encoded_type
from copypump.codec.column import Column
from copypump.codec.decoder import ROW_INDEX, Decoder
from copypump.codec.encoder import EncodedColumn, Encoder
from copypump.codec.framing import Block
from copypump.codec.spelling import is_opaque
from copypump.engine.mapping import Hidden, Mapped, Value, Wire
from copypump.engine.mapping import Mapping as ColumnMapping
from copypump.engine.report import Stage
from copypump.errors import TransformError
from copypump.transforms import Transform


@dataclass(frozen=True, slots=True)
class Decoding:
    """What is decoded of each block: the columns that the transform sees, and those that only we need."""

    columns: tuple[Column, ...]
    seen: tuple[int, ...]
    hidden: tuple[int, ...]
    types: Mapping[str, pa.DataType]
    row_index: bool

    def decoder(self) -> Decoder:
        """A decoder of the seen columns first, then the hidden ones, then the row column if it is wanted."""
        return Decoder(
            self.columns, read=[*self.seen, *self.hidden], types=self.types, row_index=self.row_index
        )


@dataclass(slots=True)
class Decoded:
    """One block beside the batch that was decoded from it (None of a stream that is Arrow already)."""

    block: Block | None
    batch: pa.RecordBatch
    first_row: int


class Reshaper:
    """Transforms, maps and encodes; see the module docstring."""

    def __init__(
        self,
        decoding: Decoding | None,
        transform: Transform | None,
        mapping: ColumnMapping,
        batch_bytes: int,
        transform_stage: Stage,
        encode_stage: Stage,
    ) -> None:
        self.rows = 0
        self._transform = transform
        self._mapped = mapping.mapped
        self._batch_bytes = batch_bytes
        self._transform_stage = transform_stage
        self._encode_stage = encode_stage
        self._batches = 0
        # Where the decoded batch holds each hidden column: after those that the transform sees.
        self._seen_width = len(decoding.seen) if decoding else 0
        self._hidden = {
            index: self._seen_width + i for i, index in enumerate(decoding.hidden if decoding else ())
        }
        self._way: _Way | None = None

    def reshape(self, decoded: Decoded) -> Iterator[bytearray]:
        """Yield the encoded rows of one block, in pieces of about the batch size."""
        for batch, rows in self._pieces(decoded):
            start = time.perf_counter()
            encoded = self._encode(batch, rows, decoded)
            self._encode_stage.busy += time.perf_counter() - start
            yield encoded

    def _pieces(self, decoded: Decoded) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Batches with their row counts, so small that no transform can make one encoding huge."""
        if self._transform is None and decoded.block is not None:
            # The block is bounded already; and a batch that decodes no column would not know its rows.
            yield decoded.batch, decoded.block.rows
            return
        for batch in self._transformed(decoded):
            size, rows = batch.nbytes, batch.num_rows
            if size <= 4 * self._batch_bytes:
                yield batch, rows
                continue
            step = max(1, rows * self._batch_bytes // size)
            for offset in range(0, rows, step):
                piece = batch.slice(offset, step)
                yield piece, piece.num_rows

    def _transformed(self, decoded: Decoded) -> Iterator[pa.RecordBatch]:
        """What the transform makes of the batch, one piece at a time."""
        self._batches += 1
        batch, transform = decoded.batch, self._transform
        if transform is None:
            yield batch
            return
        if self._hidden:
            seen = range(self._seen_width)
            batch = batch.select([*seen, *range(self._seen_width + len(self._hidden), batch.num_columns)])
        made = transform.stream(
            batch,
            batch_number=self._batches,
            first_row=decoded.first_row + 1,
            last_row=decoded.first_row + batch.num_rows,
        )
        while True:
            start = time.perf_counter()
            piece = next(made, None)
            self._transform_stage.busy += time.perf_counter() - start
            if piece is None:
                return
            yield piece

    def _encode(self, batch: pa.RecordBatch, rows: int, decoded: Decoded) -> bytearray:
        way = self._way
        if way is None or not batch.schema.equals(way.schema):
            way = self._way = self._find_way(batch.schema)
        row_ids = self._row_ids(batch)
        arrays: list[pa.Array[Any] | None] = []
        for step in way.steps:
            if step is None:
                arrays.append(None)
                continue
            if step.hidden:
                array = self._picked(decoded.batch.column(step.index), row_ids)
            else:
                array = batch.column(step.index)
            arrays.append(array if step.to is None else cast(array, step.to, step.name, self.rows))
        encoded = way.encoder.encode(arrays, rows, block=decoded.block, row_ids=row_ids, first_row=self.rows)
        self.rows += rows
        return encoded

    def _find_way(self, schema: pa.Schema) -> _Way:
        """The way of batches of `schema`: its types may differ from the probe's where nothing is lost."""
        steps: list[_Step | None] = []
        columns: list[EncodedColumn] = []
        for mapped in self._mapped:
            column, origin = mapped.column, mapped.origin
            if isinstance(origin, Wire):
                steps.append(None)
                columns.append(EncodedColumn(column, None, origin.index))
                continue
            hidden = isinstance(origin, Hidden)
            if isinstance(origin, Hidden):
                index, offered, to = self._hidden[origin.index], origin.offered, mapped.type
                assert to is not None
            else:
                index = schema.get_field_index(origin.name)
                offered = schema.field(index).type
                to = self._type_of(mapped, origin, offered)
            steps.append(_Step(index, hidden, None if offered == to else to, column.name))
            columns.append(EncodedColumn(column, to))
        return _Way(schema, Encoder(columns), tuple(steps))

    def _row_ids(self, batch: pa.RecordBatch) -> pa.Array[Any] | None:
        """The transform's row column, as int32; None where every row stands where it stood."""
        if self._transform is None or self._transform.reads is None:
            return None
        return cast(batch.column(ROW_INDEX), pa.int32(), ROW_INDEX, self.rows)

    @staticmethod
    def _picked(array: pa.Array[Any], row_ids: pa.Array[Any] | None) -> pa.Array[Any]:
        if row_ids is None:
            return array
        try:
            return array.take(row_ids)
        except pa.ArrowIndexError:
            raise TransformError(
                "names a row that the batch does not have",
                column=ROW_INDEX,
                hint="hand the column on as it came",
            ) from None

    def _type_of(self, mapped: Mapped, origin: Value, offered: pa.DataType) -> pa.DataType:
        """What the encoder takes for `offered`; TransformError where nothing lossless is."""
        if offered == origin.offered and mapped.type is not None:
            return mapped.type
        type_ = encoded_type(mapped.column, offered)
        # The plan decided from the probe whose bytes may come here, and so whose oids are the target's.
        other_kind = is_opaque(offered) != is_opaque(origin.offered) and mapped.column.wire_type.parts
        surprise = type_ == pa.binary() and (mapped.type != type_ or other_kind)
        if type_ is None or surprise:
            raise TransformError(
                f"batch {self._batches} has type {offered} here, which has no lossless way to"
                f" {mapped.column.declared}; the probe on an empty batch gave {origin.offered}",
                column=mapped.column.name,
                hint="let the transform return the same type for every batch",
            )
        return type_


@dataclass(frozen=True, slots=True)
class _Step:
    """Where one output column is found, and what it is cast to on the way to the encoder (None: nothing)."""

    index: int
    hidden: bool
    to: pa.DataType | None
    name: str


@dataclass(frozen=True, slots=True)
class _Way:
    """All steps of batches of one schema (None: wire bytes), found once and followed for each batch.

    Looking types up per batch would cost more than encoding it: pyarrow hashes a type by spelling it.
    """

    schema: pa.Schema
    encoder: Encoder
    steps: tuple[_Step | None, ...]
