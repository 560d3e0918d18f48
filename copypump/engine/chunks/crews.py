"""Who moves the chunks: a crew of threads of this process, or (`engine.chunks.processes`) of other processes.

The coordinator (the caller's thread) only hands out chunks and waits, so that Ctrl-C reaches it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from typing import Protocol

from copypump.engine.chunks.jobs import Job, Moved, move_with_retries
from copypump.engine.chunks.ledger import Committed
from copypump.engine.chunks.sessions import NoReader
from copypump.engine.pipeline.moving import OnProgress
from copypump.engine.report import Counters, Progress, Watch
from copypump.engine.splits import Chunk
from copypump.errors import CopypumpError

# Seconds, after a first error or Ctrl-C, for the workers to end what they do.
STOP_SECONDS = 5.0


class Crew(Protocol):
    """Workers that move chunks at once."""

    size: int

    def start(self) -> None:
        """Make ready before the first chunk."""
        ...

    def submit(self, chunk: Chunk) -> Future[Moved]:
        """Hand a chunk out."""
        ...

    def live(self) -> Counters:
        """What is on its way now, as far as is known here."""
        ...

    def stop(self) -> None:
        """Tell every worker to end what it does, at once."""
        ...

    def close(self) -> None:
        """Let the workers go."""
        ...


class Threads:
    """A crew of threads, in which numpy, pyarrow and the servers work at once; or a given executor's."""

    def __init__(self, job: Job, size: int, retries: int, executor: Executor | None = None) -> None:
        self.size = size
        self._job = job
        self._retries = retries
        self._given = executor
        self._executor = executor or ThreadPoolExecutor(size, thread_name_prefix="copypump-worker")
        self._live: dict[int, Counters] = {}

    def start(self) -> None:
        """Open every session before work starts: those that come later may have to wait for a lock."""
        with self._job.interrupts.one() as interrupt:
            self._job.readers.fill(self.size, interrupt)
            self._job.writers.fill(self.size, interrupt)

    def submit(self, chunk: Chunk) -> Future[Moved]:
        """See `Crew`."""
        return self._executor.submit(self._move, chunk)

    def _move(self, chunk: Chunk) -> Moved:
        def live(counters: Counters) -> None:
            self._live[chunk.number] = counters

        try:
            return move_with_retries(self._job, chunk, self._retries, live)
        finally:
            self._live.pop(chunk.number, None)

    def live(self) -> Counters:
        """See `Crew`."""
        total = Counters()
        for counters in list(self._live.values()):
            total.add(counters)
        return total

    def stop(self) -> None:
        """See `Crew`."""
        self._job.interrupts.stop()

    def close(self) -> None:
        """See `Crew`; a given executor stays open."""
        if self._given is None:
            self._executor.shutdown(wait=False, cancel_futures=True)


class Coordinator:
    """Hands out chunks to a crew, as many at once as it has workers, and counts what they did."""

    def __init__(
        self,
        crew: Crew,
        chunks: int,
        done: Sequence[Committed],
        on_progress: OnProgress | None,
        interval: float,
        warn: Callable[[str], object],
        snapshot_taken: float | None = None,
        made_up: str = "",
    ) -> None:
        self.done = list(done)
        self.retried = 0
        self._crew = crew
        self._chunks = chunks
        self._on_progress = on_progress
        self._interval = interval
        self._warn = warn
        self._snapshot_taken = snapshot_taken
        self._made_up = made_up
        self._spent = Counters()
        self._shown = time.perf_counter()
        self._watch = Watch(self._shown)

    def begin(self) -> None:
        """Tell a name that was made up at once: whoever kills the run wants to know it."""
        if self._made_up and self._on_progress is not None:
            self._on_progress(self.progress(0))

    def run(self, chunks: Sequence[Chunk]) -> None:
        """Move these chunks, in order.

        Raises:
            CopypumpError and what else `move_chunk` does: the first that was not worth another attempt; no
                worker is at work any more, unless it hangs in the user's function.
            Aborted: the crew was told to stop; likewise.

        """
        waiting = list(reversed(chunks))
        pending: dict[Future[Moved], Chunk] = {}
        without = set[str]()  # the processes that cannot read
        try:
            while waiting or pending:
                while waiting and len(pending) < self._crew.size:
                    chunk = waiting.pop()
                    pending[self._crew.submit(chunk)] = chunk
                finished, _ = wait(pending, timeout=self._interval, return_when=FIRST_COMPLETED)
                for future in finished:
                    chunk = pending.pop(future)
                    try:
                        self._take(future.result())
                        without.clear()
                    except NoReader as error:
                        without.add(error.process)
                        if len(without) == self._crew.size:
                            raise error.why from None
                        waiting.insert(0, chunk)  # it comes last, by when another may take it
                self._show(len(pending))
        except BaseException as error:
            self._crew.stop()
            self._blame(error)
            ended, _ = wait(pending, timeout=STOP_SECONDS)
            for future in ended:
                if not future.cancelled() and (failed := future.exception()) is None:
                    self._take(future.result())
                elif not future.cancelled():
                    self._blame(failed)
            raise

    def _blame(self, error: BaseException | None) -> None:
        """Count what was tried in vain."""
        if isinstance(error, CopypumpError):
            self.retried += error.retried

    def _take(self, moved: Moved) -> None:
        self.done.append(moved.committed)
        self.retried += moved.retried
        self._spent.add(moved.spent)
        for warning in moved.warnings:
            self._warn(warning)

    def totals(self) -> Counters:
        """What is committed."""
        total = Counters()
        total.add(self._spent)
        for committed in self.done:
            total.rows_read += committed.rows_read
            total.rows_written += committed.rows_written
            total.bytes_read += committed.bytes_read
            total.bytes_written += committed.bytes_written
        return total

    def progress(self, working: int, phase: str = "") -> Progress:
        """How the run stands, with what is on its way."""
        total = self.totals()
        total.add(self._crew.live())
        return self._watch.progress(
            total,
            chunks=self._chunks,
            chunks_done=len(self.done),
            workers=working,
            retries=self.retried,
            snapshot_age=time.perf_counter() - self._snapshot_taken if self._snapshot_taken else 0.0,
            phase=phase,
            run=self._made_up,
        )

    def _show(self, working: int) -> None:
        now = time.perf_counter()
        if self._on_progress is not None and now - self._shown >= self._interval:
            self._shown = now
            self._on_progress(self.progress(working))
