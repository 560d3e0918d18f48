"""The middle of the pipeline: one block in, the wire bytes of the rows that it became out.

Owns the way from a decoded batch through the transform and the mapping to encoded rows. Called by one
thread; counts its own stages.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
from msgspec import Struct, field
from msgspec.structs import replace

from copypump.codec.casts import cast, encoded_type
from copypump.codec.column import Column
from copypump.codec.convert import less
from copypump.codec.decoder import ROW_INDEX, Decoder
from copypump.codec.encoder import EncodedColumn, Encoder
from copypump.codec.framing import Block
from copypump.codec.policy import Policy
from copypump.codec.registry import Converter
from copypump.codec.spelling import is_opaque
from copypump.codec.types import pg_type
from copypump.engine.pipeline.checking import checked
from copypump.engine.planning.mapping import Hidden, Mapped, Value, Wire, same_values
from copypump.engine.planning.mapping import Mapping as ColumnMapping
from copypump.engine.rejects.record import RejectedRows
from copypump.engine.report import Stage
from copypump.errors import TransformError
from copypump.transforms import OnRejected, Transform
from copypump.transforms.wording import batch_of


class Decoding(Struct, frozen=True):
    """What is decoded of each block: the columns that the transform sees, and those that only we need."""

    columns: tuple[Column, ...]
    seen: tuple[int, ...]
    hidden: tuple[int, ...]
    types: Mapping[str, pa.DataType]
    policies: Mapping[str, Policy]
    row_index: bool

    def decoder(self) -> Decoder:
        """A decoder of the seen columns first, then the hidden ones, then the row column if it is wanted."""
        return Decoder(
            self.columns,
            read=[*self.seen, *self.hidden],
            types=self.types,
            policies=self.policies,
            row_index=self.row_index,
        )


class Decoded(Struct):
    """One block beside the batch that was decoded from it (None of a stream that is Arrow already).

    `refused` are rows before it that could not be decoded, where such are rejected.
    """

    block: Block | None
    batch: pa.RecordBatch
    first_row: int
    refused: tuple[RejectedRows, ...] = ()


class Reshaper:
    """Transforms, maps and encodes; see the module docstring.

    `on_rejected` is given what the transform or a check rejects; without it, that is an error.
    """

    def __init__(
        self,
        decoding: Decoding | None,
        transform: Transform | None,
        mapping: ColumnMapping,
        batch_bytes: int,
        transform_stage: Stage,
        encode_stage: Stage,
        on_rejected: OnRejected | None = None,
    ) -> None:
        self.rows = 0
        self._on_rejected = on_rejected
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
        # The columns that the transform sees, by name: where they stand in the stream and in the batch.
        self._seen: dict[str, tuple[int, int]] = {}
        self._columns = decoding.columns if decoding else ()
        if decoding:
            self._seen = {decoding.columns[i].name: (i, place) for place, i in enumerate(decoding.seen)}
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
            limit, rows = 4 * self._batch_bytes, batch.num_rows
            # What whole buffers take is known at once; the exact size of slices of them took 100 us to find.
            if batch.get_total_buffer_size() <= limit or (size := batch.nbytes) <= limit:
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
        rows = self._batches, decoded.first_row + 1, decoded.first_row + batch.num_rows
        made = transform.stream(
            batch, batch_number=rows[0], first_row=rows[1], last_row=rows[2], on_rejected=self._on_rejected
        )
        while True:
            start = time.perf_counter()
            piece = next(made, None)
            if piece is not None and transform.checks:
                piece = checked(
                    piece, self._unread(piece, decoded), transform.checks,
                    batch, batch_of(*rows), self._on_rejected,
                )  # fmt: skip
            self._transform_stage.busy += time.perf_counter() - start
            if piece is None:
                return
            yield piece

    def _unread(self, piece: pa.RecordBatch, decoded: Decoded) -> dict[str, pa.Array[Any]]:
        """The columns that land with a piece's rows, decoded although the transform does not see them."""
        if not self._hidden:
            return {}
        ids = self._row_ids(piece, decoded)
        return {
            self._columns[index].name: self._picked(decoded.batch.column(place), ids)
            for index, place in self._hidden.items()
        }

    def _encode(
        self, batch: pa.RecordBatch, rows: int, decoded: Decoded, row_ids: pa.Array[Any] | None = None
    ) -> bytearray:
        """Encode a batch; or the rows `row_ids` of the block, where no transform made the batch."""
        way = self._way
        if way is None or not batch.schema.equals(way.schema):
            way = self._way = self._find_way(batch.schema, decoded.batch.schema)
        if row_ids is None:
            row_ids = self._row_ids(batch, decoded)
        arrays: list[pa.Array[Any] | None] = []
        for step in way.steps:
            array = None
            if step.hidden:
                array = self._picked(decoded.batch.column(step.index), row_ids)
            elif step.type is not None:
                array = batch.column(step.index)
                if step.place is not None and row_ids is None:
                    # Handed on as it was decoded: its bytes stand in the block, no need to make them anew.
                    array = None if _same_memory(array, decoded.batch.column(step.place)) else array
            if array is not None and step.converter is not None:
                natural = step.converter.arrow(step.column.wire_typmod)
                array = step.converter.to_wire(array, natural, step.column.name)
            if array is not None and step.to is not None:
                array = cast(array, step.to, step.column.name, self.rows)
            arrays.append(array)
        encoder = way.encoder(tuple(array is None for array in arrays))
        encoded = encoder.encode(arrays, rows, block=decoded.block, row_ids=row_ids, first_row=self.rows)
        self.rows += rows
        return encoded

    def _find_way(self, schema: pa.Schema, decoded: pa.Schema) -> _Way:
        """The way of batches of `schema`: its types may differ from the probe's where nothing is lost."""
        steps: list[_Step] = []
        for mapped in self._mapped:
            column, origin = mapped.column, mapped.origin
            if isinstance(origin, Wire):
                steps.append(_Step(column, None, wire=origin.index))
                continue
            if isinstance(origin, Hidden):
                assert mapped.type is not None
                index, offered, to = self._hidden[origin.index], origin.offered, mapped.type
                steps.append(_step(column, to, index, offered, hidden=True))
                continue
            index = schema.get_field_index(origin.name)
            offered = schema.field(index).type
            to = self._type_of(mapped, origin, offered)
            wire, place = self._seen.get(origin.name, (None, None))
            if place is None or not self._stays(decoded.field(place).type, offered, wire, column):
                wire = place = None
            steps.append(replace(_step(column, to, index, offered), wire=wire, place=place))
        return _Way(schema, tuple(steps))

    def _stays(self, decoded: pa.DataType, offered: pa.DataType, wire: int | None, target: Column) -> bool:
        """Whether an array that was handed on as it is may go as the bytes of source column `wire`.

        Not where its type was changed and its memory was not (a view), nor with children, whose own offsets
        their buffers do not tell; and only from the column's own type, which makes the same bytes again: a
        numeric read as decimal128(18,4) by choice is written with four places.
        """
        if wire is None or offered != decoded or offered.num_fields or pa.types.is_dictionary(offered):
            return False
        source = self._columns[wire]
        return decoded == pg_type(source).arrow(source) and same_values(source, target)

    def _row_ids(self, batch: pa.RecordBatch, decoded: Decoded) -> pa.Array[Any] | None:
        """The block's rows that the transform names, from 0, as int32; None where all stand as they did.

        Rows that it kept from another block have no number of this one's, and are the encoder's to refuse.
        """
        if self._transform is None or self._transform.reads is None:
            return None
        ids = batch.column(ROW_INDEX)
        given = decoded.batch.column(ROW_INDEX)
        # A dictionary's buffers are those of its indices, whatever words these stand for.
        if ids.type == given.type and _same_memory(ids, given):
            return None
        ids = cast(ids, pa.int32(), ROW_INDEX, self.rows)
        return less(ids, given[0]) if len(given) else ids

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


def _same_memory(one: pa.Array[Any], other: pa.Array[Any]) -> bool:
    """Whether two living arrays of one type, without children, are one and the same values."""
    if len(one) != len(other) or one.offset != other.offset:
        return False
    mine, theirs = one.buffers(), other.buffers()
    return len(mine) == len(theirs) and all(
        a is b is None or (a is not None and b is not None and a.address == b.address)
        for a, b in zip(mine, theirs, strict=True)
    )


class _Step(Struct, frozen=True):
    """How one target column gets its values.

    Either `type` is what the encoder takes and `index` tells where the array is found, `to` what it is cast
    to first, after `converter` (None: nothing); or they are the bytes of source column `wire`. Both, where it
    depends on the batch: the bytes, if the array is the very one at `place` of the decoded batch.
    """

    column: Column
    type: pa.DataType | None
    index: int = 0
    to: pa.DataType | None = None
    hidden: bool = False
    wire: int | None = None
    place: int | None = None
    converter: Converter | None = None


def _step(
    column: Column, to: pa.DataType, index: int, offered: pa.DataType, *, hidden: bool = False
) -> _Step:
    """How values of `offered` are brought to what the encoder takes."""
    converter = None if is_opaque(offered) else pg_type(column).converter
    as_it_is = offered == to and converter is None
    return _Step(column, to, index, None if as_it_is else to, hidden, converter=converter)


class _Way(Struct, frozen=True):
    """All steps of batches of one schema, found once and followed for each batch.

    Looking types up per batch would cost more than encoding it: pyarrow hashes a type by spelling it.
    """

    schema: pa.Schema
    steps: tuple[_Step, ...]
    encoders: dict[tuple[bool, ...], Encoder] = field(default_factory=dict)

    def encoder(self, wired: tuple[bool, ...]) -> Encoder:
        """The encoder of batches of which these columns are taken as wire bytes."""
        encoder = self.encoders.get(wired)
        if encoder is None:
            encoder = self.encoders[wired] = Encoder(
                [
                    EncodedColumn(step.column, None, step.wire)
                    if wire
                    else EncodedColumn(step.column, step.type)
                    for step, wire in zip(self.steps, wired, strict=True)
                ]
            )
        return encoder
