"""Carries out one chunk: Source, Decoder, Transform, Encoder and Target at once.

Each block has one thread for all of its way, and so stays in the cache of one core:

    feed: read and decode  ->  reshape: transform and encode  ->  write

One thread is enough while one of the servers is what limits, and the sockets' buffers keep both at work;
others join in where that does not hold. They take turns: in each stage there is one block at a time, and
blocks pass it in their order. As many are under way as there are threads, and no more.

The caller's thread only waits, so that Ctrl-C reaches it. The first error of any thread aborts the others:
who waits for a turn is woken, native waits watch the interrupt's descriptor.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pyarrow as pa
from msgspec import Struct

from copypump.codec.decoder import Decoder
from copypump.codec.framing import HEADER, TRAILER, Block, Framer
from copypump.codec.rewrite import Rewriter
from copypump.engine.pipeline.reshape import Decoded, Reshaper
from copypump.engine.pipeline.turns import Turns
from copypump.engine.report import Counters, Progress, Watch
from copypump.errors import CopypumpError, SourceError, TargetError
from copypump.postgres.interrupt import Aborted, Interrupt
from copypump.postgres.source import Source

# At most a block in each stage.
THREADS = 3

# When another thread joins in: where we wait for both servers by turns, so that one stands still while we
# wait for the other (over Unix sockets, say, which hold little); and where we hardly wait for any. These are
# shares of the time; one look comes so many seconds after the other, which is after each block or two. With a
# look a second, the first seconds had fewer threads than they needed: whole runs of 2,500,000 people over
# Unix sockets took 1.43 times a raw pipe's wall in place of 1.11 with a transform, 1.32 in place of 1.04
# without one.
_BOTH = 0.15
_HARDLY = 0.25
_LOOK_SECONDS = 0.05

# The stages, by their numbers in Turns.
_FEED, _RESHAPE, _WRITE = range(3)


class Pace(Struct):
    """How many threads a run's pipelines have needed so far: the next begins with as many."""

    threads: int = 1


class Feed(Protocol):
    """Where the decoded blocks come from: a server's stream, or any Arrow stream."""

    def __iter__(self) -> Iterator[Decoded]:
        """Yield each block's batch; ends only when the stream ended on purpose.

        Raises:
            CopypumpError: the stream broke off, or holds what it must not.

        """
        ...

    def warnings(self) -> list[str]:
        """What the user should know of the values that came, once they all have."""
        ...


class Receiver(Protocol):
    """What takes rows on the target: a COPY that has begun, or INSERTs. `waited_ns` went to its server."""

    waited_ns: int

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the header, whole rows, or the trailer (CopypumpError: the server refused them; Aborted)."""
        ...

    def finish(self) -> int:
        """End on purpose; give the server's count of rows."""
        ...


class WireFeed:
    """Blocks of a server's COPY OUT, checked, changed by `rewriter`, and decoded by `decoder`."""

    def __init__(
        self,
        source: Source,
        framer: Framer,
        decoder: Decoder | None,
        rewriter: Rewriter | None,
        batch_bytes: int,
        batch_rows: int,
        counters: Counters,
    ) -> None:
        self._source = source
        self._framer = framer
        self._decoder = decoder
        self._rewriter = rewriter
        self._batch_bytes = batch_bytes
        self._batch_rows = batch_rows
        self._counters = counters

    def __iter__(self) -> Iterator[Decoded]:
        return map(self._decode, self.blocks())  # which holds on to none of them

    def _decode(self, block: Block) -> Decoded:
        assert self._decoder is not None
        start = time.perf_counter()
        batch = self._decoder.decode(block)
        self._counters.stages["decode"].busy += time.perf_counter() - start
        return Decoded(block, batch, block.first_row)

    def warnings(self) -> list[str]:
        """The decoder's, with their counts."""
        if self._decoder is None:
            return []
        return [f"{text} ({count:,} values)" for text, count in self._decoder.warnings.items()]

    def blocks(self) -> Iterator[Block]:
        """Yield checked blocks to the end of the stream.

        Raises:
            DecodeError: the stream breaks the format or ends early, or a value is not of its type.
            CastError: the rewriter's: a value that the target would read as another.
            SourceError: the server's own error, or a command tag that counts other rows than came.

        """
        counters, stage = self._counters, self._counters.stages["read"]
        while True:
            start, waited = time.perf_counter(), self._source.waited_ns
            data = self._source.read(self._batch_bytes, self._batch_rows)
            wait = (self._source.waited_ns - waited) / 1e9
            blocks = [] if data is None else self._framed(data)
            stage.waiting += wait
            counters.source_wait += wait
            stage.busy += time.perf_counter() - start - wait
            if data is None:
                break
            counters.bytes_read += len(data)
            del data
            while blocks:
                rows = blocks[-1].rows
                yield blocks.pop()  # nothing here holds on to it: its memory is used again when it has passed
                counters.rows_read += rows
        self._framer.finish()
        if self._source.rows != self._framer.rows:
            raise SourceError(
                f"the source says that it sent {self._source.rows:,} rows, but {self._framer.rows:,} came"
            )

    def _framed(self, data: bytearray) -> list[Block]:
        """Cut into blocks, the last one first."""
        blocks = self._framer.feed(data)
        if self._rewriter is not None:
            for block in blocks:
                self._rewriter.rewrite(block)
        blocks.reverse()
        return blocks


class ArrowFeed:
    """Batches of an Arrow stream of the user's."""

    def __init__(self, reader: pa.RecordBatchReader, counters: Counters) -> None:
        self._reader = reader
        self._counters = counters

    def __iter__(self) -> Iterator[Decoded]:
        stage, rows = self._counters.stages["read"], 0
        while True:
            start = time.perf_counter()
            try:
                batch = self._reader.read_next_batch()
            except StopIteration:
                break
            except CopypumpError:
                raise
            except Exception as error:
                # The error's own text may hold a row's value.
                raise SourceError(
                    f"the Arrow stream broke off after {rows:,} rows: {type(error).__name__}"
                ) from error
            stage.busy += time.perf_counter() - start
            self._counters.bytes_read += batch.nbytes
            yield Decoded(None, batch, rows)
            rows += batch.num_rows
            self._counters.rows_read = rows

    def warnings(self) -> list[str]:
        """None: nothing is decoded."""
        return []


class Forwarder:
    """The middle of a pipeline that changes nothing."""

    def __init__(self) -> None:
        self.rows = 0

    def reshape(self, block: Block) -> Iterator[memoryview]:
        """Yield the block's bytes as they came."""
        yield memoryview(block.data)[block.start : block.end]
        self.rows += block.rows


class Pipeline:
    """One chunk on its way; see the module docstring. Used once."""

    def __init__(
        self,
        feed: Feed,
        reshaper: Reshaper | None,
        target: Receiver,
        interrupt: Interrupt,
        counters: Counters,
        pace: Pace | None = None,
    ) -> None:
        self._reshapes = reshaper is not None
        self._middle: Reshaper | Forwarder = reshaper or Forwarder()
        self._blocks: Iterator[Any]
        if reshaper is None:
            assert isinstance(feed, WireFeed)
            self._blocks = feed.blocks()
        else:
            self._blocks = iter(feed)
        self._target = target
        self._interrupt = interrupt
        self._counters = counters
        self._pace = pace or Pace()
        self._turns = Turns(3)
        self._ended = False
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._looked = (0.0, 0.0, 0.0)  # when, and the seconds waited for source and target until then
        self._sent = 0
        self._finished = threading.Semaphore(0)

    def run(self, on_progress: Callable[[Progress], None] | None = None, interval: float = 0.5) -> None:
        """Move every row, and end both COPYs; the target's transaction stays open.

        Raises:
            CopypumpError: the first error of any stage; all threads have ended then.
            KeyboardInterrupt: the caller's thread was interrupted; `abort` and `join` remain to be called.

        """
        start = time.perf_counter()
        self._looked = (start, 0.0, 0.0)
        for _ in range(self._pace.threads):
            self._start_thread()
        watch = Watch(start)
        ended = 0
        while ended < len(self._threads):
            if self._finished.acquire(timeout=interval):
                ended += 1
            elif on_progress is not None:
                on_progress(watch.progress(self._counters))
        self._count_waits()
        if on_progress is not None:
            on_progress(watch.progress(self._counters))
        if self._error is not None:
            raise self._error

    def _start_thread(self) -> None:
        thread = threading.Thread(
            target=self._guarded, name=f"copypump-{len(self._threads) + 1}", daemon=True
        )
        self._threads.append(thread)
        try:
            thread.start()
        except RuntimeError:  # the system lets no more be started; nobody shall wait for this one
            self._threads.remove(thread)
            raise

    def _share_work(self) -> None:
        """Start another thread, if it is time to look, and one more would keep the servers busier."""
        counters = self._counters
        before, now = self._looked, (time.perf_counter(), counters.source_wait, counters.target_wait)
        seconds, source, target = (b - a for a, b in zip(before, now, strict=True))
        if len(self._threads) == THREADS or seconds < _LOOK_SECONDS:
            return
        self._looked = now
        if min(source, target) > _BOTH * seconds or source + target < _HARDLY * seconds:
            self._start_thread()
            self._pace.threads = max(self._pace.threads, len(self._threads))

    def abort(self) -> None:
        """Make every thread stop at its next step or wait."""
        self._interrupt.set()
        self._turns.abort()

    def join(self, timeout: float) -> list[str]:
        """Wait up to `timeout` seconds for the threads; the names of those that still run."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.ident is not None:  # it was started
                thread.join(max(0.0, deadline - time.monotonic()))
        return [thread.name for thread in self._threads if thread.is_alive()]

    def _guarded(self) -> None:
        """Carry blocks; an error, if it is the first, becomes the pipeline's."""
        try:
            self._carry()
        except Aborted:
            self.abort()  # the switch may have been set from outside, and Turns does not watch it
        except BaseException as error:
            with self._lock:
                if self._error is None:
                    self._error = error
            self.abort()
        finally:
            self._finished.release()

    def _carry(self) -> None:
        """Take one block after the other through all stages, until there are no more."""
        turns = self._turns
        while True:
            number = turns.draw()
            turns.enter(_FEED, number)
            block = next(self._blocks, None)
            if block is None:
                first, self._ended = not self._ended, True
                turns.leave(_FEED)
                if first:
                    self._enter_write(number)
                    self._finish()
                return
            pieces = self._middle.reshape(block)
            del block  # so that its memory can be used again once it has been encoded
            turns.leave(_FEED)
            turns.enter(_RESHAPE, number)
            self._land(number, pieces)

    def _land(self, number: int, pieces: Iterator[bytearray | memoryview]) -> None:
        """Make the pieces of a block and write them; the last one while the next block is reshaped."""
        turns = self._turns
        piece = next(pieces, None)
        following = next(pieces, None)
        many = following is not None
        if many:
            self._enter_write(number)
        while following is not None:
            assert piece is not None
            self._push(piece)
            piece, following = following, next(pieces, None)
        sent = self._middle.rows
        turns.leave(_RESHAPE)
        if not many:
            self._enter_write(number)
        if piece is not None:
            self._push(piece)
        self._sent = self._counters.rows_written = sent
        self._share_work()
        turns.leave(_WRITE)

    def _enter_write(self, number: int) -> None:
        self._turns.enter(_WRITE, number)
        if number == 0:
            self._push(HEADER)

    def _finish(self) -> None:
        """End the target's COPY, and hold its count of rows to ours."""
        self._push(TRAILER)
        start = time.perf_counter()
        written = self._target.finish()
        waited = time.perf_counter() - start
        self._counters.stages["write"].waiting += waited
        self._counters.target_wait += waited
        self._counters.rows_written = written
        if written != self._sent:
            raise TargetError(
                f"{self._sent:,} rows were sent, but the target says that it took {written:,}",
                hint="a trigger on the target that returns NULL drops rows; so does a rule or a policy",
            )

    def _push(self, data: bytes | bytearray | memoryview) -> None:
        counters, stage = self._counters, self._counters.stages["write"]
        start, waited = time.perf_counter(), self._target.waited_ns
        self._target.write(data)
        wait = (self._target.waited_ns - waited) / 1e9
        stage.waiting += wait
        counters.target_wait += wait
        stage.busy += time.perf_counter() - start - wait
        counters.bytes_written += len(data)

    def _count_waits(self) -> None:
        """Tell for each stage how long no block was in it."""
        stages = self._counters.stages
        fed, reshaped, written = self._turns.idle
        stages["decode" if self._reshapes else "read"].waiting += fed
        stages["transform"].waiting += reshaped if self._reshapes else 0.0
        stages["write"].waiting += written
