"""A crew of processes, for transforms that hold the GIL; or of a given executor, on whatever machines.

Each process makes the plan anew, within the run's snapshot, and works only if it is the same. It is told to
stop by the end of a pipe, which also comes when its parent dies, and then ends itself; into another it tells
how far its chunk is. An executor of the user's has neither: its sessions are ended by the servers, and its
chunks are heard of when they are done.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import uuid
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing.connection import Connection as PipeEnd
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from copypump.engine.chunks.crews import STOP_SECONDS
from copypump.engine.chunks.fingerprint import differences, fingerprint, loaded_split
from copypump.engine.chunks.jobs import Job, Moved, move_with_retries
from copypump.engine.chunks.ledger import Ledger
from copypump.engine.chunks.sessions import (
    PATIENCE,
    Interrupts,
    NoReader,
    Readers,
    SnapshotLost,
    Writers,
    opener,
)
from copypump.engine.options import Options, TransformSpec
from copypump.engine.planning.plan import make_plan
from copypump.engine.report import Counters
from copypump.engine.run import make_transform
from copypump.engine.splits import Chunk
from copypump.errors import CopypumpError, RefusedError, Side, SourceError
from copypump.postgres.catalog import find_table
from copypump.postgres.interrupt import Interrupt
from copypump.postgres.label import end_labelled
from copypump.postgres.pool import make_pool
from copypump.postgres.session import Session
from copypump.postgres.snapshot import NO_SNAPSHOT, importing
from copypump.transforms.finding import reference_of


class Spec(Struct, frozen=True):
    """A run as another process needs it: plain data alone. Its DSNs may hold passwords.

    `lent`: the process is not ours, and is left behind when the run is over.
    """

    src: str
    dst: str
    options: Options
    run: str
    epoch: int
    snapshot: int
    exported: str
    split: dict[str, Any]
    fingerprint: dict[str, Any]
    one_database: bool
    lent: bool = False


def portable(options: Options) -> Options:
    """The options with every function by its importable name.

    Raises:
        RefusedError: one has none.

    """
    names: list[TransformSpec] = []
    for function in (*options.transforms, *options.checks):
        name = function if isinstance(function, str) else reference_of(function)
        if name is None:
            raise RefusedError(
                "other processes can only import a function by its name, and one of these has none",
                hint="give module:function, or --workers threads",
            )
        names.append(name)
    count = len(options.transforms)
    return replace(options, transforms=tuple(names[:count]), checks=tuple(names[count:]))


class Processes:
    """A crew of processes; see `engine.chunks.crews.Crew`."""

    def __init__(
        self, spec: Spec, size: int, ends: tuple[Session, Session], executor: Executor | None = None
    ) -> None:
        self.size = size
        self._spec = spec
        self._ends = ends
        self._given = executor
        self._stopping: PipeEnd | None = None
        self._heard: PipeEnd | None = None
        self._moving: dict[int, Future[Moved]] = {}
        self._live: dict[int, Counters] = {}  # of each chunk, by its number, what was heard of it last
        if executor is None:
            context = multiprocessing.get_context("spawn")
            told, self._stopping = context.Pipe(duplex=False)
            self._heard, telling = context.Pipe(duplex=False)
            os.set_blocking(telling.fileno(), False)
            executor = ProcessPoolExecutor(
                size, mp_context=context, initializer=_begin, initargs=(told, telling)
            )
        self._executor = executor

    def start(self) -> None:
        """See `Crew`: each process opens its sessions with its first chunk."""

    def submit(self, chunk: Chunk) -> Future[Moved]:
        """See `Crew`."""
        self._live[chunk.number] = Counters()
        future = self._moving[chunk.number] = self._executor.submit(move_here, self._spec, chunk)
        return future

    def live(self) -> Counters:
        """See `Crew`."""
        while self._heard is not None and self._heard.poll():
            number, counters = self._heard.recv()
            self._live[number] = counters
        total = Counters()
        for number, future in self._moving.items():
            if not future.done():
                total.add(self._live[number])
        return total

    def stop(self) -> None:
        """See `Crew`."""
        if self._stopping is not None:
            self._stopping.close()
        else:
            self._end_sessions()

    def close(self) -> None:
        """See `Crew`; the processes of a given executor stay, without a session of ours."""
        if self._given is not None:
            self._end_sessions()
            return
        assert self._stopping is not None
        self._stopping.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _end_sessions(self) -> None:
        """End what serves this run on either server, by the keeper and the guard."""
        for session in self._ends:
            with contextlib.suppress(CopypumpError):
                end_labelled(session, self._spec.run)


# In the other process ---------------------------------------------------------------------------------------

_NAME = uuid.uuid4().hex
_stopped = threading.Event()
_busy = threading.Lock()
_here: dict[str, _Here] = {}
_live: dict[int, Counters] = {}  # of the chunk that is moved now, by its number

# Seconds between two words of how far a chunk is.
_TELL_SECONDS = 0.5


def _begin(told: PipeEnd, telling: PipeEnd) -> None:
    """Begin a process of ours: Ctrl-C is for the parent to tell, by the end of the pipe.

    All processes write into one pipe. What they write is shorter than what a pipe takes in one piece, and is
    left out while it is full: nobody waits for whoever does not read.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            while not told.poll(_TELL_SECONDS):
                for word in list(_live.items()):
                    with contextlib.suppress(BlockingIOError):
                        telling.send(word)
        _stopped.set()
        for here in list(_here.values()):
            here.interrupts.stop()
        _end()

    threading.Thread(target=watch, name="copypump stop", daemon=True).start()


def _end() -> None:
    """End this process, whose sessions go with it, unless its parent does so before.

    The executor's own way out waits for what is under way, however long a server does not answer; and it
    never comes, where the parent was killed.
    """
    parent = multiprocessing.parent_process()
    if parent is not None and parent.is_alive():
        time.sleep(STOP_SECONDS)
    else:
        _busy.acquire(timeout=STOP_SECONDS)
    os._exit(1)


def move_here(spec: Spec, chunk: Chunk) -> Moved:
    """Move a chunk in this process, whose sessions are kept for the next one of the run.

    Raises as `move_with_retries` does, and NoReader where other processes may still read.
    """
    with _busy:
        try:
            return _move(spec, chunk)
        except (NoReader, SnapshotLost) as error:
            _stopped.wait(PATIENCE)  # others are quicker
            raise error if isinstance(error, NoReader) else NoReader(_NAME, error) from None


def _move(spec: Spec, chunk: Chunk) -> Moved:
    key = f"{spec.run} {spec.epoch}"
    here = _here.get(key)
    if here is None:
        for other in list(_here):
            _here.pop(other).close()
        here = _here[key] = _Here(spec)
    if _stopped.is_set():
        here.interrupts.stop()

    def live(counters: Counters) -> None:
        _live[chunk.number] = counters

    try:
        return move_with_retries(here.job, chunk, spec.options.retries, live)
    finally:
        _live.clear()
        if spec.lent:  # nobody tells when the run is over; its reader is ended by its name
            here.job.writers.close()


class _Readers(Readers):
    """Those of one process, whose chunks another may move while this one gets no lock."""

    def take(self, interrupt: Interrupt) -> Session:
        """See `Readers` (NoReader)."""
        try:
            return super().take(interrupt)
        except SourceError as error:
            if error.sqlstate != "55P03":
                raise
            raise NoReader(_NAME, error) from None


class _Here:
    """What this process has of a run."""

    def __init__(self, spec: Spec) -> None:
        self.interrupts = Interrupts()
        with ExitStack() as stack:
            pools = [
                make_pool(dsn, side, 1) for dsn, side in ((spec.src, Side.SOURCE), (spec.dst, Side.TARGET))
            ]
            for pool in pools:
                stack.callback(pool.close)
            options = replace(spec.options, run_id=spec.run)  # by which a mode may name its own tables
            transform = make_transform(options)
            with (
                self.interrupts.one() as interrupt,
                Session(
                    pools[0], Side.SOURCE, interrupt=interrupt, lock_timeout=options.lock_milliseconds
                ) as source,
                Session(
                    pools[1], Side.TARGET, interrupt=interrupt, lock_timeout=options.lock_milliseconds
                ) as target,
            ):
                try:
                    source.begin_source(*([importing(spec.exported)] if spec.exported else []))
                except SourceError as error:
                    raise (SnapshotLost if error.sqlstate in NO_SNAPSHOT else error) from None
                target.begin_target()
                plan = make_plan(
                    source, target, options, transform, loaded_split(spec.split),
                    one_database=spec.one_database,
                )  # fmt: skip
                landed = find_table(target, plan.destination.name)
                now = fingerprint(plan, landed) if landed else {}
                found = list(differences(spec.fingerprint, now))
            if found or landed is None:
                raise RefusedError(
                    "a worker process sees another run than the one that began: " + "; ".join(found)
                )
            readers = _Readers(
                opener(pools[0], Side.SOURCE, options), plan.origin, options, spec.run, spec.exported
            )
            stack.callback(readers.close)
            writers = Writers(opener(pools[1], Side.TARGET, options))
            stack.callback(writers.close)
            self.job = Job(
                plan, Ledger(options.ledger_schema), spec.run, spec.epoch, spec.snapshot, landed, readers,
                writers, self.interrupts, plan.rejecting.limit() if plan.rejecting else None,
            )  # fmt: skip
            self.close = stack.pop_all().close
