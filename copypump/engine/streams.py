"""Half a pump each: `read` gives a server's rows as Arrow, `write` lands an Arrow stream in a table."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, TypedDict

import pyarrow as pa

from copypump.codec.decoder import Decoder
from copypump.codec.framing import Framer
from copypump.engine.landing import begin_landing, finish_landing
from copypump.engine.loading import Landing, make_loading
from copypump.engine.options import CONFLICTS, DEFAULT_BATCH_BYTES, DEFAULT_BATCH_ROWS, Options
from copypump.engine.pipeline.moving import OnProgress, move, open_sink
from copypump.engine.pipeline.pipeline import ArrowFeed, WireFeed
from copypump.engine.pipeline.reshape import Reshaper
from copypump.engine.planning.destination import find_landing, plan_destination
from copypump.engine.planning.mapping import make_mapping
from copypump.engine.planning.origin import begin_origin, plan_origin
from copypump.engine.planning.plan import check_binary, chosen_policies, chosen_types
from copypump.engine.report import Counters, Report
from copypump.engine.run import reported
from copypump.errors import Side, SourceError, UsageError
from copypump.postgres.interrupt import Aborted, Interrupt
from copypump.postgres.session import Session, Where
from copypump.postgres.source import Source

log = logging.getLogger("copypump.streams")


class ReadOptions(TypedDict, total=False):
    """The keyword arguments of `read`, which says what they are."""

    query: str | None
    table: str | None
    columns: Sequence[str] | None
    where: str | None
    types: Mapping[str, str] | None
    on_unrepresentable: str | Mapping[str, str] | None
    batch_rows: int
    batch_bytes: int


class read:  # noqa: N801 - used like a function: with copypump.read(...) as batches
    """A table's or a query's rows as a `pa.RecordBatchReader`, streamed.

        with copypump.read(src, query="select * from orders") as batches:
            for batch in batches: ...

    The session is opened by entering, and nothing is open before. Leaving, early or not, cancels what still
    runs, drains it, and closes the session (or gives the connection back idle), within seconds; batches that
    were taken stay valid. The columns' PostgreSQL types stand in the fields' metadata.

    What the user should know of the values that came (infinite dates, say) is logged as a warning when the
    block is left, and kept in `warnings`:

        reading = copypump.read(src, table="people")
        with reading as batches: ...
        print(reading.warnings)

    Args:
        src: a DSN as libpq takes it, or an open, idle psycopg connection.
        query: a SELECT; or else
        table: `[SCHEMA.]NAME`, quoted as in SQL where it needs it, with
        columns: the columns to read, and
        where: an SQL condition.
        types: Arrow types to decode columns as, by name.
        on_unrepresentable: what becomes of values without a place in Arrow, as for `pump`.
        batch_rows: the most rows of one batch.
        batch_bytes: about how many wire bytes make one batch.

    Attributes:
        warnings: those of the last time that the block was entered, complete once it was left.

    Raises:
        CopypumpError: on entering, or from the reader, and again each time that it is read on: DecodeError,
            SourceError, UnrepresentableError.

    """

    def __init__(
        self,
        src: Where,
        *,
        query: str | None = None,
        table: str | None = None,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        types: Mapping[str, str] | None = None,
        on_unrepresentable: str | Mapping[str, str] | None = None,
        batch_rows: int = DEFAULT_BATCH_ROWS,
        batch_bytes: int = DEFAULT_BATCH_BYTES,
    ) -> None:
        self._src = src
        self._options = Options.of(
            query=query,
            table=table,
            columns=columns,
            where=where,
            types=types or {},
            on_unrepresentable=on_unrepresentable or {},
            batch_rows=batch_rows,
            batch_bytes=batch_bytes,
        )
        self._stack: ExitStack | None = None
        self._feed: WireFeed | None = None
        self._interrupt: Interrupt | None = None
        self.warnings: list[str] = []

    def stop(self) -> None:
        """End a read that is under way on another thread, for good; harmless when there is none."""
        interrupt = self._interrupt
        if interrupt is not None:
            interrupt.set()

    def _warn(self, text: str) -> None:
        log.warning("%s", text)
        self.warnings.append(text)

    def __enter__(self) -> pa.RecordBatchReader:
        if self._stack is not None:
            raise UsageError("this copypump.read is open already", hint="make another one")
        options, self.warnings = self._options, []
        with ExitStack() as stack:
            interrupt = self._interrupt = Interrupt()
            stack.callback(interrupt.close)
            session = stack.enter_context(
                Session(self._src, Side.SOURCE, interrupt=interrupt, warn=self._warn)
            )
            stack.callback(interrupt.set)  # leaving ends a read that is under way on another thread
            session.begin_source()
            origin = plan_origin(session, options, None, None)
            check_binary(origin)
            decoder = Decoder(
                origin.columns,
                types=chosen_types(options.types, origin.columns),
                policies=chosen_policies(options.on_unrepresentable, origin.columns),
            )
            session.rollback()
            begin_origin(session, origin, options, None, None)
            source = Source(session)
            source.start(origin.copy)
            framer = Framer(
                len(origin.columns), positions=True, batch_rows=decoder.most_rows(options.batch_rows)
            )
            feed = WireFeed(
                source, framer, decoder, None, options.batch_bytes, options.batch_rows, Counters()
            )
            self._stack, self._feed = stack.pop_all(), feed
        return pa.RecordBatchReader.from_batches(decoder.schema, _Batches(feed))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stack, feed = self._stack, self._feed
        self._stack = self._feed = None
        if stack is None or feed is None:
            return
        try:
            stack.__exit__(kind, error, traceback)
        finally:
            for text in feed.warnings():
                self._warn(text)


class _Batches:
    """The feed's batches; what ended it early is raised again when it is read on, and no end is made up."""

    def __init__(self, feed: WireFeed) -> None:
        self._feed = iter(feed)
        self._error: BaseException | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._error is not None:
            raise self._error
        try:
            return next(self._feed).batch
        except StopIteration:
            raise
        except Aborted:
            self._error = UsageError(
                "the reader is of no use after its with block",
                hint="keep what you need within the block: batches.read_all() gives a table",
            )
            raise self._error from None
        except Exception as error:
            self._error = error
            raise
        except BaseException:  # Ctrl-C, in the middle of a batch
            self._error = SourceError("reading was interrupted, and cannot go on", side=Side.SOURCE)
            raise


def write(
    dst: Where,
    table: str,
    obj: Any,
    *,
    mode: str | None = None,
    key: Sequence[str] | None = None,
    on_conflict: str = CONFLICTS[0],
    dedupe: str | None = None,
    create: bool = False,
    batch_bytes: int = DEFAULT_BATCH_BYTES,
    on_progress: OnProgress | None = None,
    progress_interval: float = 0.5,
) -> Report:
    """Land an Arrow stream in a table, in one transaction: all of it or nothing.

    Args:
        dst: a DSN as libpq takes it, or an open, idle psycopg connection.
        table: `[SCHEMA.]NAME`, quoted as in SQL where it needs it.
        obj: anything with `__arrow_c_stream__` or `__arrow_c_array__` (pyarrow, polars, pandas, duckdb, ...);
            its columns match the table's by name.
        mode: as for `pump`.
        key: likewise.
        on_conflict: likewise.
        dedupe: likewise.
        create: make the table from the stream's schema if it is missing.
        batch_bytes: about how many bytes are encoded at once.
        on_progress: as for `pump`.
        progress_interval: as for `pump`.

    Raises:
        CopypumpError: as for `pump`.

    """
    options = Options.of(
        table=table,
        mode=mode,
        key=key,
        on_conflict=on_conflict,
        dedupe=dedupe,
        create=create,
        batch_bytes=batch_bytes,
    )
    reader = _reader(obj)
    counters, report = Counters(), Report("failed", "an Arrow stream", table)
    with reported(report, counters), ExitStack() as stack:
        interrupt = Interrupt()
        stack.callback(interrupt.close)
        target = stack.enter_context(Session(dst, Side.TARGET, interrupt=interrupt, warn=report.warn))
        target.begin_target()
        fields = list(reader.schema)
        destination = plan_destination(target, options, find_landing(target, options), (), (), fields, {})
        mapping = make_mapping((), (), (), fields, destination.columns, destination.name)
        report.target = destination.name
        loading = make_loading(Landing(target, destination, mapping, options))
        report.warnings += loading.warnings
        report.target = str(begin_landing(target, destination, mapping, options, loading, report.tally))
        stages = counters.stages
        reshaper = Reshaper(None, None, mapping, batch_bytes, stages["transform"], stages["encode"])
        feed = ArrowFeed(reader, counters)
        loading.sink.begin(target)
        receiver = open_sink(target, loading.sink)
        move(feed, reshaper, receiver, interrupt, counters, on_progress, progress_interval)
        loading.sink.finish(target, destination.name, counters.rows_written)
        finish_landing(target, loading, report)
    return report


def _reader(obj: Any) -> pa.RecordBatchReader:
    if isinstance(obj, pa.RecordBatchReader):  # as it is: its errors, ours among them, then keep their class
        return obj
    try:
        if hasattr(obj, "__arrow_c_stream__"):
            return pa.RecordBatchReader.from_stream(obj)
        if hasattr(obj, "__arrow_c_array__"):
            batch = pa.record_batch(obj)
            return pa.RecordBatchReader.from_batches(batch.schema, [batch])
    except pa.ArrowInvalid as error:
        raise UsageError(
            f"write takes tables, record batches and streams of them; this {type(obj).__name__} is none",
            hint='name its columns, say with pyarrow.table({"name": values})',
        ) from error
    raise UsageError(
        f"write takes an object with __arrow_c_stream__ or __arrow_c_array__, not a {type(obj).__name__}"
    )
