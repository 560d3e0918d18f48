"""How a run with a ledger tells that it ended before its end: to the user, and to the ledger."""

from __future__ import annotations

import logging
import time
from concurrent.futures import BrokenExecutor

from copypump.engine.chunks.ledger import Ledger, Superseded
from copypump.engine.chunks.retries import STOPPING, Retry, classify
from copypump.engine.chunks.sessions import SnapshotLost
from copypump.errors import CopypumpError, Side, StoppedError, interruption
from copypump.postgres.commit import commit
from copypump.postgres.interrupt import Aborted
from copypump.postgres.session import Session

log = logging.getLogger("copypump.stopping")

# Seconds for the ledger to be told how a run ended that was interrupted.
_LAST_WORDS = 2.0


def told(error: BaseException) -> BaseException:
    """The error as the user meets it: what time mends stops the run, all else fails it."""
    if isinstance(error, Superseded):
        return StoppedError("another process has taken the run up", side=Side.TARGET)
    if isinstance(error, SnapshotLost):
        return StoppedError(
            "no session holds the run's snapshot any more: the source has ended all of them",
            side=Side.SOURCE,
            hint="resume reads what is left under a new snapshot",
        )
    if isinstance(error, BrokenExecutor):
        return StoppedError("a worker process has died", hint="its chunk is rolled back; resume moves it")
    if isinstance(error, Aborted):
        return StoppedError("the run was told to stop")
    if isinstance(error, CopypumpError) and classify(error) is not Retry.FATAL:
        stopped = StoppedError(
            error.message,
            side=error.side,
            table=error.table,
            column=error.column,
            row=error.row,
            sqlstate=error.sqlstate,
            hint=error.hint or STOPPING.get(error.sqlstate or ""),
        )
        stopped.lost, stopped.chunk = error.lost, error.chunk
        return stopped
    return error


def tell(guard: Session, ledger: Ledger, run: str, error: BaseException) -> None:
    """Write into the ledger how the run ended, given what `told` gave.

    Best effort: a run that cannot say how it ended is listed as stopped all the same.
    """
    failed = isinstance(error, Exception) and not isinstance(error, StoppedError)
    status = "failed" if failed else "stopped"
    guard.interrupt = None
    try:
        deadline = time.monotonic() + _LAST_WORDS
        ledger.end(guard, run, status, _words(error), deadline=deadline)
        commit(guard, patience=0.0)
    except (CopypumpError, TimeoutError) as failure:
        log.warning("the ledger could not be told that the run has %s: %s", status, failure)


def _words(error: BaseException) -> str:
    """What the ledger may hold of an error: the text of one that is not ours could have a row's value."""
    if isinstance(error, KeyboardInterrupt):
        return interruption(error).meaning
    return str(error) if isinstance(error, CopypumpError) else type(error).__name__
