"""Carries out one chunk: Source, Decoder, Transform, Encoder and Target at once.

Three threads (two where nothing is decoded), with queues bounded in bytes between them:

    feed: read and decode  --blocks-->  reshape: transform and encode  --wire bytes-->  write

The caller's thread only waits, so that Ctrl-C reaches it. The first error of any thread aborts the others:
queues wake their ends, native waits watch the interrupt's descriptor.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import pyarrow as pa

from copypump.codec.decoder import Decoder
from copypump.codec.framing import HEADER, TRAILER, Block, Framer
from copypump.codec.rewrite import Rewriter
from copypump.engine.queue import ByteQueue
from copypump.engine.report import Counters, Progress, Watch
from copypump.engine.reshape import Decoded, Reshaper
from copypump.errors import CopypumpError, SourceError, TargetError
from copypump.postgres.interrupt import Aborted, Interrupt
from copypump.postgres.source import Source

# Between two stages: enough that neither waits for a single late block, little enough to stay bounded.
QUEUE_BLOCKS = 4


class Feed(Protocol):
    """Where the decoded blocks come from: a server's stream, or any Arrow stream."""

    def __iter__(self) -> Iterator[tuple[Decoded, int]]:
        """Yield each block's batch beside its size in bytes; ends only when the stream ended on purpose.

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

    def __iter__(self) -> Iterator[tuple[Decoded, int]]:
        assert self._decoder is not None
        stage = self._counters.stages["decode"]
        for block in self.blocks():
            start = time.perf_counter()
            batch = self._decoder.decode(block)
            stage.busy += time.perf_counter() - start
            yield Decoded(block, batch, block.first_row), block.nbytes

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
        rewriter = self._rewriter
        while True:
            start, waited = time.perf_counter(), self._source.waited_ns
            data = self._source.read(self._batch_bytes, self._batch_rows)
            wait = (self._source.waited_ns - waited) / 1e9
            blocks = [] if data is None else self._framer.feed(data)
            if rewriter is not None:
                for block in blocks:
                    rewriter.rewrite(block)
            stage.waiting += wait
            counters.source_wait += wait
            stage.busy += time.perf_counter() - start - wait
            if data is None:
                break
            counters.bytes_read += len(data)
            for block in blocks:
                yield block
                counters.rows_read += block.rows
        self._framer.finish()
        if self._source.rows != self._framer.rows:
            raise SourceError(
                f"the source says that it sent {self._source.rows:,} rows, but {self._framer.rows:,} came"
            )


class ArrowFeed:
    """Batches of an Arrow stream of the user's."""

    def __init__(self, reader: pa.RecordBatchReader, counters: Counters) -> None:
        self._reader = reader
        self._counters = counters

    def __iter__(self) -> Iterator[tuple[Decoded, int]]:
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
            yield Decoded(None, batch, rows), batch.nbytes
            rows += batch.num_rows
            self._counters.rows_read = rows

    def warnings(self) -> list[str]:
        """None: nothing is decoded."""
        return []


class Pipeline:
    """One chunk on its way; see the module docstring. Used once."""

    def __init__(
        self,
        feed: Feed,
        reshaper: Reshaper | None,
        target: Receiver,
        interrupt: Interrupt,
        counters: Counters,
        batch_bytes: int,
    ) -> None:
        self._feed = feed
        self._reshaper = reshaper
        self._target = target
        self._interrupt = interrupt
        self._counters = counters
        limit = QUEUE_BLOCKS * batch_bytes
        self._decoded: ByteQueue[Decoded] = ByteQueue(limit)
        self._encoded: ByteQueue[bytearray | memoryview] = ByteQueue(limit)
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._sent = 0
        self._finished = threading.Semaphore(0)

    def run(self, on_progress: Callable[[Progress], None] | None = None, interval: float = 0.5) -> None:
        """Move every row, and end both COPYs; the target's transaction stays open.

        Raises:
            CopypumpError: the first error of any stage; all threads have ended then.
            KeyboardInterrupt: the caller's thread was interrupted; `abort` and `join` remain to be called.

        """
        if self._reshaper is None:
            work: list[Callable[[], None]] = [self._forward, self._write]
        else:
            work = [self._decode, self._reshape, self._write]
        start = time.perf_counter()
        for function in work:
            thread = threading.Thread(
                target=self._guarded, args=(function,), name=f"copypump-{function.__name__}", daemon=True
            )
            self._threads.append(thread)
            thread.start()
        watch = Watch(start)
        left = len(work)
        while left:
            if self._finished.acquire(timeout=interval):
                left -= 1
            elif on_progress is not None:
                on_progress(watch.progress(self._counters))
        self._count_waits()
        if on_progress is not None:
            on_progress(watch.progress(self._counters))
        if self._error is not None:
            raise self._error

    def abort(self) -> None:
        """Make every thread stop at its next step or wait."""
        self._interrupt.set()
        self._decoded.abort()
        self._encoded.abort()

    def join(self, timeout: float) -> list[str]:
        """Wait up to `timeout` seconds for the threads; the names of those that still run."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.ident is not None:  # it was started
                thread.join(max(0.0, deadline - time.monotonic()))
        return [thread.name.removeprefix("copypump-_") for thread in self._threads if thread.is_alive()]

    def _guarded(self, function: Callable[[], None]) -> None:
        """Run one stage; its error, if it is the first, becomes the pipeline's."""
        try:
            function()
        except Aborted:
            self.abort()  # the switch may have been set from outside, and the queues do not watch it
        except BaseException as error:
            with self._lock:
                if self._error is None:
                    self._error = error
            self.abort()
        finally:
            self._finished.release()

    def _decode(self) -> None:
        for decoded, size in self._feed:
            self._decoded.put(decoded, size)
        self._decoded.end()

    def _reshape(self) -> None:
        assert self._reshaper is not None
        while (decoded := self._decoded.get()) is not None:
            for rows in self._reshaper.reshape(decoded):
                self._encoded.put(rows, len(rows))
            self._sent = self._reshaper.rows
        self._encoded.end()

    def _forward(self) -> None:
        assert isinstance(self._feed, WireFeed)
        for block in self._feed.blocks():
            self._encoded.put(memoryview(block.data)[block.start : block.end], block.nbytes)
            self._sent += block.rows
        self._encoded.end()

    def _write(self) -> None:
        self._push(HEADER)
        while (rows := self._encoded.get()) is not None:
            self._push(rows)
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
        counters.rows_written = self._sent

    def _count_waits(self) -> None:
        """Put the queues' waits where they belong: to the stage that stood still."""
        stages = self._counters.stages
        stages["decode" if self._reshaper else "read"].waiting += (
            self._decoded.put_wait if self._reshaper else self._encoded.put_wait
        )
        stages["transform"].waiting += self._decoded.get_wait
        stages["encode"].waiting += self._encoded.put_wait if self._reshaper else 0.0
        stages["write"].waiting += self._encoded.get_wait
