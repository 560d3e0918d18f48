"""The sessions of a run's workers: readers that hold the run's snapshot, and writers.

A session is taken for one attempt at a chunk, and comes back when it can be used again. One that cannot is
closed, and the next attempt opens another.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from psycopg import sql

from copypump.engine.options import Options
from copypump.engine.planning.origin import Origin, joining_origin
from copypump.errors import CopypumpError, Side, SourceError
from copypump.postgres.interrupt import Aborted, Interrupt
from copypump.postgres.label import labelling
from copypump.postgres.pool import Pool as SessionPool
from copypump.postgres.session import Session
from copypump.postgres.snapshot import (
    NO_SNAPSHOT,
    SAVEPOINT,
    export_again,
    export_snapshot,
    importing,
    recover,
)

log = logging.getLogger("copypump.sessions")

# Seconds between two looks for a session or a lock that somebody else gives back.
PATIENCE = 0.2

# How often the snapshot is exported anew for one reader: who does so may be gone by the time it is imported.
_EXPORTS = 3

Open = Callable[[Interrupt], Session]


def opener(
    pool: SessionPool, side: Side, options: Options, warn: Callable[[str], object] = log.warning
) -> Open:
    """What opens a session of a pool's, which its interrupt ends."""

    def opened(interrupt: Interrupt) -> Session:
        session = Session(pool, side, interrupt=interrupt, warn=warn, lock_timeout=options.lock_milliseconds)
        return session.__enter__()

    return opened


class SnapshotLost(Exception):  # noqa: N818 - told to the user as a StoppedError by the run
    """No session holds the run's snapshot any more."""


class NoReader(Exception):  # noqa: N818 - the run lets others read, or raises what it says
    """The process of this name has no reader, and gets none now, though others may still have theirs.

    Somebody waits to lock the table for himself, or the keeper is gone, and with it the name of the snapshot.
    """

    def __init__(self, process: str, why: SourceError | SnapshotLost) -> None:
        super().__init__(process, why)
        self.process = process
        self.why = why


class Interrupts:
    """The switches of attempts that are under way: each its own, and all of them at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: set[Interrupt] = set()
        self._stopped = threading.Event()

    @contextlib.contextmanager
    def one(self) -> Iterator[Interrupt]:
        """A switch for one attempt; Aborted where all have been told to end."""
        interrupt = Interrupt()
        with self._lock:
            self._live.add(interrupt)
        try:
            if self._stopped.is_set():
                raise Aborted
            yield interrupt
        finally:
            with self._lock:
                self._live.discard(interrupt)
            interrupt.close()

    def stop(self) -> None:
        """End all that is under way, and all that would begin."""
        self._stopped.set()
        with self._lock:
            live = list(self._live)
        for interrupt in live:
            interrupt.set()

    def sleep(self, seconds: float) -> None:
        """Wait, or raise Aborted as soon as all are told to end."""
        if self._stopped.wait(seconds):
            raise Aborted


class Pool:
    """Sessions of one side that are open and idle; `open_one` makes another."""

    def __init__(self, open_one: Open) -> None:
        self._open_one = open_one
        self._idle: list[Session] = []
        self._all: set[Session] = set()
        self._lock = threading.Lock()

    def fill(self, count: int, interrupt: Interrupt) -> None:
        """Open so many, one after the other; each is idle, and can serve the next, as soon as it is open."""
        while self.count() < count:
            session = self._open_one(interrupt)
            with self._lock:
                self._all.add(session)
            self.give(session)

    def take_idle(self) -> Session | None:
        """Give one that is open, if nobody uses it."""
        with self._lock:
            return self._idle.pop() if self._idle else None

    def take(self, interrupt: Interrupt) -> Session:
        """Give an idle one, or a new one, for one attempt."""
        session = self.take_idle()
        if session is None:
            session = self._open_one(interrupt)
            with self._lock:
                self._all.add(session)
        session.interrupt = interrupt
        return session

    def give(self, session: Session) -> None:
        """Take one back that can be used again."""
        session.interrupt = None
        with self._lock:
            self._idle.append(session)

    def drop(self, session: Session) -> None:
        """Close one that is of no use any more."""
        with self._lock:
            self._all.discard(session)
        session.__exit__(None, None, None)

    @contextlib.contextmanager
    def one(self, interrupt: Interrupt) -> Iterator[Session]:
        """A session for one attempt; after an error it is dropped, unless it can be used again."""
        session = self.take(interrupt)
        try:
            yield session
        except BaseException:
            session.interrupt = None
            if self.recover(session):
                self.give(session)
            else:
                self.drop(session)
            raise
        self.give(session)

    def recover(self, session: Session) -> bool:
        """End what an error left open; whether the session can be used again."""
        return session.rollback()

    def count(self) -> int:
        """How many are open."""
        with self._lock:
            return len(self._all)

    def close(self) -> None:
        """Roll back and close all of them; those in use by others are hung up."""
        with self._lock:
            idle, busy = list(self._idle), self._all.difference(self._idle)
            self._idle.clear()
            self._all.clear()
        for session in idle:
            session.__exit__(None, None, None)
        for session in busy:
            session.hang_up()


class Writers(Pool):
    """The target's sessions, idle and outside of any transaction between two attempts."""


class Readers(Pool):
    """The source's sessions, each within a transaction that holds the run's snapshot, and its locks.

    `snapshot` is the name under which it was exported; "" lets each reader take one of its own. `keeper` is
    the session that did so. When that is gone, any reader that is left exports the snapshot anew.
    """

    def __init__(
        self,
        open_session: Open,
        origin: Origin,
        options: Options,
        run: str,
        snapshot: str,
        keeper: Session | None = None,
    ) -> None:
        super().__init__(self._open_reader)
        self._open_session = open_session
        self._keeper = keeper
        self._origin = origin
        self._options = options
        self._exporting = threading.Lock()
        self._wanted = False  # a session, to export the snapshot: each is idle for a moment only
        self._run = run
        self.snapshot = snapshot

    def fill(self, count: int, interrupt: Interrupt) -> None:
        """Open so many; or fewer, as long as somebody waits to lock the table for himself."""
        try:
            super().fill(count, interrupt)
        except SourceError as error:
            if error.sqlstate != "55P03" or not self.count():
                raise

    def take(self, interrupt: Interrupt) -> Session:
        """Give an idle one, or a new one.

        Somebody who waits to lock the table for himself lets no new reader in: then the others go on, and an
        idle one of theirs is waited for. Who has to export the snapshot anew goes first.
        """
        while True:
            if not self._wanted:
                try:
                    return super().take(interrupt)
                except SourceError as error:
                    if error.sqlstate != "55P03" or not self.count():
                        raise
            if interrupt.wait(PATIENCE):
                raise Aborted

    def _open_reader(self, interrupt: Interrupt) -> Session:
        session = self._open_session(interrupt)
        try:
            if self.snapshot:
                self._import(session, interrupt)
            else:
                self._begin(session)
        except BaseException:
            session.interrupt = None
            session.__exit__(None, None, None)
            raise
        return session

    def _begin(self, session: Session, *first: sql.Composable) -> None:
        """Begin with these statements, then the locks; all of it is one round trip."""
        join = joining_origin(self._origin, self._options, session.server_version)
        session.begin_source(*first, labelling(self._run), *join, SAVEPOINT)

    def _import(self, session: Session, interrupt: Interrupt) -> None:
        with self._exporting:
            for left in reversed(range(_EXPORTS + 1)):
                try:
                    self._begin(session, importing(self.snapshot))
                    break
                except SourceError as error:
                    if error.sqlstate not in NO_SNAPSHOT or not left:
                        raise
                session.rollback()
                self.snapshot = self._export_again(interrupt)

    def _export_again(self, interrupt: Interrupt) -> str:
        """From whoever still holds it; one that is at work is waited for."""
        if self._keeper is not None:
            with contextlib.suppress(CopypumpError):
                return export_snapshot(self._keeper)
            self._keeper = None
        self._wanted = True
        try:
            while self.count():
                session = self.take_idle()
                if session is None:
                    if interrupt.wait(PATIENCE):
                        raise Aborted
                    continue
                try:
                    name = export_again(session)
                except CopypumpError:
                    self.drop(session)
                else:
                    self.give(session)
                    return name
        finally:
            self._wanted = False
        raise SnapshotLost

    def recover(self, session: Session) -> bool:
        """End what an error left open; whether the session still holds the snapshot."""
        return recover(session)
