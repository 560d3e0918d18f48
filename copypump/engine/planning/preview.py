"""A few rows before and after the transform, for who asked to see values; nothing is written.

The one place that shows what rows hold. They come the way that a run's come (COPY, decoder, transform,
checks), with LIMIT, in a read-only transaction, and in whatever order the server reads them.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from msgspec import Struct

from copypump.codec.decoder import ROW_INDEX, Decoder
from copypump.codec.framing import Framer
from copypump.codec.types import Kernel, pg_type
from copypump.engine.pipeline.checking import checked
from copypump.engine.pipeline.pipeline import WireFeed
from copypump.engine.pipeline.reshape import Decoded
from copypump.engine.planning.mapping import Value
from copypump.engine.planning.origin import begin_origin
from copypump.engine.planning.plan import Plan, reading_types
from copypump.engine.report import Counters
from copypump.engine.splits.reading import first_rows
from copypump.postgres.session import Session
from copypump.postgres.source import Source
from copypump.transforms import Rejection
from copypump.transforms.rejecting import places_of
from copypump.transforms.wording import batch_of

Row = dict[str, Any]

_MIDNIGHT = 24 * 60 * 60 * 1_000_000
_INFINITE = {
    (bits, sign * (1 << (bits - 1)) - (sign > 0)): "infinity" if sign > 0 else "-infinity"
    for bits in (32, 64)
    for sign in (1, -1)
}


class Preview(Struct, frozen=True):
    """Rows as plain values by column: as the source has them, as they would land, and what was rejected.

    Of those, `by`, `reason` and `row` say who rejected it, why, and what it was then.
    """

    before: tuple[Row, ...]
    after: tuple[Row, ...]
    rejected: tuple[Row, ...]


def preview(plan: Plan, source: Session, rows: int) -> Preview:
    """Read up to `rows` rows, and see what becomes of them.

    Raises:
        CopypumpError: as a run would on these rows.

    """
    options, columns = plan.options, plan.origin.columns
    begin_origin(source, plan.origin, options, plan.transform, plan.destination.shape)
    whole = _whole(plan)
    decoder = whole if plan.decoding is None else plan.decoding.decoder()
    copy = Source(source)
    copy.start(first_rows(plan.origin, options, rows))
    framer = Framer(len(columns), positions=True, batch_rows=decoder.most_rows(options.batch_rows))
    feed = WireFeed(copy, framer, decoder, None, options.batch_bytes, options.batch_rows, Counters())
    before: list[Row] = []
    after: list[Row] = []
    rejections: list[Rejection] = []
    for number, decoded in enumerate(feed, 1):
        assert decoded.block is not None
        full = whole.decode(decoded.block)
        before += _rows(full)
        after += _landing(plan, decoded, full, number, rejections)
    source.rollback()
    return Preview(tuple(before), tuple(after), tuple(_told(rejections)))


def _whole(plan: Plan) -> Decoder:
    """A decoder of every column, for people: of those that a run leaves as bytes nothing shall be refused."""
    columns = plan.origin.columns
    seen = set(plan.input.names)
    unread = [i for i, column in enumerate(columns) if column.name not in seen]
    types, policies = reading_types(plan.options, columns, unread)
    for column in (columns[i] for i in unread):
        if pg_type(column).kernel is Kernel.NUMERIC:
            types.setdefault(column.name, pa.utf8())
    return Decoder(columns, types=types, policies=policies)


def _landing(
    plan: Plan, decoded: Decoded, full: pa.RecordBatch, number: int, rejections: list[Rejection]
) -> list[Row]:
    """What one batch becomes, column by column of the target."""
    transform, batch = plan.transform, decoded.batch
    names = [column.name for column in plan.origin.columns]
    sources = {
        mapped.column.name: names[mapped.origin.index]
        for mapped in plan.mapping.mapped
        if not isinstance(mapped.origin, Value)
    }
    if transform is None:
        return [{name: row[source] for name, source in sources.items()} for row in _rows(full)]
    position = decoded.first_row + 1, decoded.first_row + batch.num_rows
    given = batch.select([*plan.input.names, *([ROW_INDEX] if transform.reads is not None else [])])
    pieces = transform.stream(
        given, batch_number=number, first_row=position[0], last_row=position[1], on_rejected=rejections.append
    )
    made: list[Row] = []
    for piece in pieces:
        if transform.checks:
            needed = [name for name in names if name in set(batch.schema.names) - set(given.schema.names)]
            where = _places(batch, piece)
            unread = {name: batch.column(name).take(where) for name in needed}
            piece = checked(
                piece, unread, transform.checks, given, batch_of(number, *position), rejections.append
            )
        where = _places(batch, piece)
        passing = {name: full.column(source).take(where) for name, source in sources.items()}
        returned = {
            mapped.column.name: piece.column(mapped.origin.name)
            for mapped in plan.mapping.mapped
            if isinstance(mapped.origin, Value)
        }
        landing = {
            mapped.column.name: (passing | returned)[mapped.column.name] for mapped in plan.mapping.mapped
        }
        made += _rows(pa.RecordBatch.from_pydict(landing))
    return made


def _places(decoded: pa.RecordBatch, piece: pa.RecordBatch) -> pa.Array[Any]:
    """Which rows of the batch those of a piece are; where no column passes unread, it does not matter."""
    every = pa.array(range(piece.num_rows), pa.int64())
    places = places_of(decoded, piece, every) if ROW_INDEX in piece.schema.names else None
    return every.slice(0, 0) if places is None else places


def _told(rejections: list[Rejection]) -> list[Row]:
    return [
        {"by": rejection.by, "reason": rejection.reason, "row": row}
        for rejection in rejections
        for row in _rows(rejection.rows)
    ]


def _rows(batch: pa.RecordBatch) -> list[Row]:
    """The rows of a batch as plain values, without the row column."""
    columns = {
        name: [_plain(value) for value in column]
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
        if name != ROW_INDEX
    }
    return [{name: values[i] for name, values in columns.items()} for i in range(batch.num_rows)]


def _plain(scalar: pa.Scalar[Any]) -> Any:
    """A value that JSON has a word for; text for all others."""
    number: Any = getattr(scalar, "value", None)
    if pa.types.is_time64(scalar.type) and number == _MIDNIGHT:
        return "24:00:00"  # which Python takes for 00:00
    try:
        value = scalar.as_py()
    except (ValueError, OverflowError):  # infinite dates, years that Python does not know
        return _INFINITE.get((scalar.type.bit_width, number), f"{number} as {scalar.type}")
    return _worded(value)


def _worded(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # JSON knows neither infinity nor NaN
    if isinstance(value, dict):
        return {name: _worded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_worded(each) for each in value]
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    return value if value is None or isinstance(value, bool | int | str) else str(value)
