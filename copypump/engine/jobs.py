"""Carries out the chunks of a plan: workers under one snapshot, each chunk committed with its ledger row.

The coordinator (the caller's thread) only hands out chunks and waits, so that Ctrl-C reaches it. An attempt
at a chunk that fails in a way that time mends is made again, on whatever sessions are left.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace
from typing import TypeVar

from tenacity import RetryCallState, Retrying, stop_after_attempt, wait_exponential, wait_random

from copypump.engine.itself import watched
from copypump.engine.landing import hold
from copypump.engine.ledger import Committed, Ledger
from copypump.engine.moving import OnProgress, move_rows
from copypump.engine.plan import Plan
from copypump.engine.report import Counters, Progress, Watch
from copypump.engine.retries import Retry, classify
from copypump.engine.splits import Chunk, chunk_copy
from copypump.engine.workers import Interrupts, Readers, Writers
from copypump.postgres.catalog import Table, find_table, lock_to_insert
from copypump.postgres.commit import commit
from copypump.postgres.session import Session

log = logging.getLogger("copypump.jobs")

# The pauses between attempts, in seconds: doubled each time, with up to as much at random.
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0

# Seconds, after a first error or Ctrl-C, for the workers to end what they do.
STOP_SECONDS = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job:
    """A run under way, as its workers see it.

    `landed` is the target table as `prepare` left it, `snapshot` the number of the run's snapshot that its
    readers hold.
    """

    plan: Plan
    ledger: Ledger
    run: str
    epoch: int
    snapshot: int
    landed: Table
    readers: Readers
    writers: Writers
    interrupts: Interrupts


class Attempts:
    """Does a piece of work again, as the table of retries says; counts how often."""

    def __init__(self, retries: int, interrupts: Interrupts) -> None:
        self.retried = 0
        self._lock = threading.Lock()
        self._retries = retries
        self._interrupts = interrupts

    def __call__(self, work: Callable[[], T], what: str) -> T:
        """Return what `work` returns, or raise its last error."""

        def worth(state: RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            if error is None:
                return False
            match classify(error):
                case Retry.AGAIN:
                    return True
                case Retry.ONCE:
                    return state.attempt_number == 1
            return False

        def count(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            log.warning("%s, attempt %d failed, and is made again: %s", what, state.attempt_number, error)
            with self._lock:
                self.retried += 1

        retrying = Retrying(
            retry=worth,
            stop=stop_after_attempt(self._retries + 1),
            wait=wait_exponential(_FIRST_PAUSE, max=_LONGEST_PAUSE) + wait_random(0, _FIRST_PAUSE),
            sleep=self._interrupts.sleep,
            before_sleep=count,
            reraise=True,
        )
        return retrying(work)


def move_chunk(job: Job, chunk: Chunk, counters: Counters, warn: Callable[[str], object]) -> Committed:
    """Make one attempt at a chunk; give what is committed of it, by this attempt or an earlier one.

    Raises:
        CopypumpError: nothing of it is committed, or nobody knows yet (OutcomeUnknownError): the next attempt
            will.
        Superseded: another process has taken the run up.
        SnapshotLost: nobody can read it any more.
        Aborted: the run was told to stop.

    """
    began = time.perf_counter()
    plan = job.plan
    with (
        job.interrupts.one() as interrupt,
        job.readers.one(interrupt) as reader,
        job.writers.one(interrupt) as writer,
    ):
        writer.begin_target()
        job.ledger.enter(writer, job.run)
        if not job.ledger.claim_chunk(writer, job.run, job.epoch, chunk.number, job.snapshot):
            writer.rollback()
            writer.begin_target()
            done = job.ledger.chunks(writer, job.run)[chunk.number]
            writer.rollback()
            return done
        enter_chunk(writer, plan, job.landed)
        copy = chunk_copy(plan.origin, plan.options, chunk)
        with watched(reader, writer, plan, interrupt):
            warnings = move_rows(plan, copy, reader, writer, interrupt, counters)
        done = Committed(
            chunk.number, job.snapshot, counters.rows_read, counters.rows_written, counters.bytes_read,
            counters.bytes_written, time.perf_counter() - began,
        )  # fmt: skip
        job.ledger.count(writer, job.run, done)
        commit(writer, patience=0.0)
    for warning in warnings:
        warn(warning)
    return done


def enter_chunk(target: Session, plan: Plan, landed: Table) -> None:
    """Lock the target for one chunk's rows, and hold it against what the run began with."""
    if landed.kind in "rp":
        lock_to_insert(target, landed)
    hold(find_table(target, plan.destination.name), landed, plan.destination)


class Coordinator:
    """Hands out chunks to an executor, as many at once as there are workers, and counts what they did."""

    def __init__(
        self,
        job: Job,
        attempts: Attempts,
        executor: Executor,
        workers: int,
        done: Sequence[Committed],
        on_progress: OnProgress | None,
        interval: float,
        warn: Callable[[str], object],
    ) -> None:
        self.done = list(done)
        self._ended = Counters()  # stages alone: of rows, only those that are committed count
        self._lock = threading.Lock()
        self._job = job
        self._attempts = attempts
        self._executor = executor
        self._workers = workers
        self._on_progress = on_progress
        self._interval = interval
        self._warn = warn
        self._live: dict[int, Counters] = {}
        self._began = time.perf_counter()
        self._watch = Watch(self._began)

    def run(self, chunks: Sequence[Chunk]) -> None:
        """Move these chunks, in order.

        Raises:
            CopypumpError and what else `move_chunk` does: the first that was not worth another attempt; no
                worker is at work any more, unless it hangs in the user's function.

        """
        waiting = list(reversed(chunks))
        pending: dict[Future[Committed], Chunk] = {}
        try:
            while waiting or pending:
                while waiting and len(pending) < self._workers:
                    chunk = waiting.pop()
                    pending[self._executor.submit(self._move, chunk)] = chunk
                finished, _ = wait(pending, timeout=self._interval, return_when=FIRST_COMPLETED)
                for future in finished:
                    del pending[future]
                    self.done.append(future.result())
                self._show(len(pending))
        except BaseException:
            self._job.interrupts.stop()
            wait(pending, timeout=STOP_SECONDS)
            self.done += [f.result() for f in pending if f.done() and not f.cancelled() and not f.exception()]
            raise

    def _move(self, chunk: Chunk) -> Committed:
        def attempt() -> Committed:
            counters = self._live[chunk.number] = Counters()
            try:
                committed = move_chunk(self._job, chunk, counters, self._warn)
            finally:
                del self._live[chunk.number]
                with self._lock:
                    self._ended.add(
                        replace(counters, rows_read=0, rows_written=0, bytes_read=0, bytes_written=0)
                    )
            return committed

        return self._attempts(attempt, f"chunk {chunk.number} ({chunk.label})")

    def totals(self) -> Counters:
        """What is committed, and what is on its way."""
        total = Counters()
        total.add(self._ended)
        for committed in self.done:
            _count(total, committed)
        for counters in list(self._live.values()):
            total.add(counters)
        return total

    def progress(self, working: int, phase: str = "") -> Progress:
        """How the run stands."""
        return self._watch.progress(
            self.totals(),
            chunks=len(self._job.plan.split.chunks),
            chunks_done=len(self.done),
            workers=working,
            retries=self._attempts.retried,
            snapshot_age=time.perf_counter() - self._began,
            phase=phase,
        )

    def _show(self, working: int) -> None:
        if self._on_progress is not None:
            self._on_progress(self.progress(working))


def _count(counters: Counters, committed: Committed) -> None:
    counters.rows_read += committed.rows_read
    counters.rows_written += committed.rows_written
    counters.bytes_read += committed.bytes_read
    counters.bytes_written += committed.bytes_written
