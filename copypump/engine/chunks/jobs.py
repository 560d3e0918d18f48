"""One chunk of a run with a ledger: an attempt at it, and another where that failed in a way that time mends.

Nothing here knows who else is at work, or in which process.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct, field
from msgspec.structs import replace
from tenacity import RetryCallState, Retrying, stop_after_attempt, wait_exponential, wait_random

from copypump.engine.chunks.ledger import CLAIMED, Committed, Ledger, Superseded
from copypump.engine.chunks.retries import Retry, classify
from copypump.engine.chunks.sessions import Interrupts, Readers, Writers
from copypump.engine.landing import hold
from copypump.engine.pipeline.moving import Attempt, move_rows
from copypump.engine.pipeline.pipeline import Pace
from copypump.engine.planning.itself import watched
from copypump.engine.planning.plan import Plan
from copypump.engine.rejects.limit import Limit
from copypump.engine.report import Counters
from copypump.engine.splits import Chunk, chunk_copy
from copypump.errors import CopypumpError
from copypump.postgres.catalog import Table, locking_to_insert, looking, read_table
from copypump.postgres.commit import commit
from copypump.postgres.label import labelling
from copypump.postgres.session import Session

log = logging.getLogger("copypump.jobs")

# The pauses between attempts, in seconds: doubled each time, with up to as much at random.
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0

T = TypeVar("T")


class Job(Struct, frozen=True):
    """A run under way, as its workers see it.

    `landed` is the target table as `prepare` left it, `snapshot` the number of the run's snapshot that its
    readers hold. `limit` counts the rejects, where rows may be rejected; `pace` is of this process's chunks.
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
    limit: Limit | None = None
    pace: Pace = field(default_factory=Pace)


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
            wait=wait_exponential(multiplier=_FIRST_PAUSE, max=_LONGEST_PAUSE) + wait_random(0, _FIRST_PAUSE),
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
        if not enter_chunk(job, chunk, writer):
            writer.rollback()
            writer.begin_target()
            done = job.ledger.chunks(writer, job.run)[chunk.number]
            writer.rollback()
            return done
        copy = chunk_copy(plan.origin, plan.options, chunk)
        with watched(reader, writer, plan, interrupt):
            attempt = None if job.limit is None else Attempt(job.run, chunk.number, job.limit)
            warnings = move_rows(
                plan, copy, reader, writer, interrupt, counters, attempt=attempt, pace=job.pace
            )
        done = Committed(
            chunk.number, job.snapshot, counters.rows_read, counters.rows_written, counters.bytes_read,
            counters.bytes_written, time.perf_counter() - began,
        )  # fmt: skip
        commit(writer, patience=0.0, first=[job.ledger.counting(job.run, done)])
    for warning in warnings:
        warn(warning)
    return done


def enter_chunk(job: Job, chunk: Chunk, writer: Session) -> bool:
    """Begin a chunk's transaction; False where it has been committed before, and this one has failed.

    Its row in the ledger comes first, then the target's lock, then a look at it, which is held against what
    the run began with: all of it in one round trip.
    """
    landed, destination = job.landed, job.plan.destination
    claim = job.ledger.claiming_chunk(job.run, job.epoch, chunk.number, job.snapshot)
    lock = locking_to_insert(landed) if landed.kind in "rp" else ()
    try:
        _, claimed, *found = writer.begin_target(
            labelling(job.run), claim, *lock, *looking(writer, destination.name)
        )
    except CopypumpError as error:
        if error.sqlstate != CLAIMED:
            raise
        return False
    if not claimed:
        raise Superseded
    hold(read_table(writer, destination.name, found), landed, destination)
    return True


class Moved(Struct):
    """What came of one chunk: its row in the ledger, and what its attempts cost, all of them together."""

    committed: Committed
    spent: Counters = field(default_factory=Counters)
    retried: int = 0
    warnings: list[str] = field(default_factory=list)


def move_with_retries(job: Job, chunk: Chunk, retries: int, live: Callable[[Counters], object]) -> Moved:
    """Move a chunk, in as many attempts as it takes; `live` is told of the counters of each as it begins.

    Raises as `move_chunk` does, what its last attempt raised.
    """
    attempts = Attempts(retries, job.interrupts)
    spent, warnings = Counters(), list[str]()

    def attempt() -> Committed:
        counters = Counters()
        live(counters)
        try:
            return move_chunk(job, chunk, counters, warnings.append)
        except CopypumpError as error:
            error.chunk = f"{chunk.number} ({chunk.label})"
            raise
        finally:
            # Its rows are those that are committed.
            spent.add(replace(counters, rows_read=0, rows_written=0, bytes_read=0, bytes_written=0))

    try:
        committed = attempts(attempt, f"chunk {chunk.number} ({chunk.label})")
    except CopypumpError as error:
        error.retried = attempts.retried
        raise
    return Moved(committed, spent, attempts.retried, warnings)
