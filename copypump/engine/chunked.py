"""A run with a ledger, from its first row there to its last: prepare, chunks, finish phases.

Each of them commits in a transaction of its own, with its ledger row first; so a run that dies anywhere can
be taken up again, and nothing is done twice. Two sessions last as long as the run: the keeper on the source,
which holds the snapshot, and the guard on the target, whose lock says that the run is ours.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict

import psycopg
from psycopg import sql

from copypump.engine.crews import Coordinator, Crew, Threads
from copypump.engine.fingerprint import check_same, fingerprint, saved_options, saved_split
from copypump.engine.history import TABLES
from copypump.engine.itself import refuse_itself
from copypump.engine.jobs import Attempts, Job
from copypump.engine.landing import begin_landing, wait_for_others
from copypump.engine.ledger import Committed, Ledger, Record, Superseded
from copypump.engine.loading import Phase, Step
from copypump.engine.moving import OnProgress
from copypump.engine.origin import begin_origin
from copypump.engine.plan import Plan
from copypump.engine.rejects.limit import Limit
from copypump.engine.report import Counters, Report, Tally
from copypump.engine.retries import Retry, classify
from copypump.engine.sessions import Interrupts, Readers, SnapshotLost, Writers, opener
from copypump.engine.splits import Chunk, check_split
from copypump.errors import CopypumpError, RefusedError, Side, StoppedError
from copypump.postgres.catalog import Table, find_table
from copypump.postgres.commit import commit, make_durable
from copypump.postgres.interrupt import Aborted, Interrupt
from copypump.postgres.label import end_labelled, label
from copypump.postgres.pool import Pool, check_pool, make_pool
from copypump.postgres.session import Session, Where
from copypump.postgres.snapshot import export_snapshot

log = logging.getLogger("copypump.chunked")

PREPARE = "prepare"

# Seconds for the ledger to be told how a run ended that was interrupted.
_LAST_WORDS = 2.0


def run_chunked(
    plan: Plan,
    keeper: Session,
    guard: Session,
    src: Where,
    dst: Where,
    report: Report,
    counters: Counters,
    on_progress: OnProgress | None,
    interval: float,
    outer: Interrupt,
    *,
    executor: Executor | None = None,
    resumed: Record | None = None,
    new_snapshot: bool = False,
) -> None:
    """Carry the plan out, or what is left of a run that is `resumed`; `keeper` and `guard` made the plan.

    `outer` ends the run from outside, `executor` takes the place of the run's own threads or processes.

    Raises:
        CopypumpError: with `state` saying what is committed; StoppedError for what time mends.
        KeyboardInterrupt: likewise.

    """
    report.run, report.jobs = plan.run, plan.options.job_count
    report.split, report.chunks = plan.split.name, len(plan.split.chunks)
    with ExitStack() as stack:
        own = isinstance(src, str) and isinstance(dst, str)
        pools = [
            stack.enter_context(_pool(where, side, plan.options.job_count * (2 if src is dst else 1)))
            for where, side in ((src, Side.SOURCE), (dst, Side.TARGET))
        ]
        run = _Run(plan, keeper, guard, pools[0], pools[1], report, stack, executor, own)
        outer.then(run.interrupts.stop)
        try:
            run.begin(resumed, new_snapshot)
            run.move(on_progress, interval)
            run.finish(on_progress)
        except BaseException as error:
            run.interrupts.stop()
            raise run.stopped(error) from error
        finally:
            counters.add(run.totals())


class Gone(Exception):  # noqa: N818 - mended by the run itself
    """Chunks that had been committed are not there any more."""

    def __init__(self, chunks: list[Chunk]) -> None:
        super().__init__(f"{len(chunks):,} chunks are gone")
        self.chunks = chunks


@contextlib.contextmanager
def _pool(where: Where, side: Side, workers: int) -> Iterator[Pool]:
    """The pool of one side, for as many sessions as there are workers, beside the one that is open."""
    if isinstance(where, psycopg.Connection):
        raise RefusedError(
            "a run with a ledger needs several sessions, and was given one connection",
            side=side,
            hint="give a DSN, or a psycopg_pool.ConnectionPool",
        )
    if not isinstance(where, str):
        check_pool(where, side, workers + 1)
        yield where
        return
    pool = make_pool(where, side, workers)
    try:
        yield pool
    finally:
        pool.close()


class _Run:
    """One process's part of a run."""

    def __init__(
        self,
        plan: Plan,
        keeper: Session,
        guard: Session,
        src: Pool,
        dst: Pool,
        report: Report,
        stack: ExitStack,
        executor: Executor | None,
        own_pools: bool,
    ) -> None:
        self.interrupts = Interrupts()
        self._plan = plan
        self._keeper = keeper
        self._guard = guard
        self._src = src
        self._dst = dst
        self._report = report
        self._stack = stack
        self._executor = executor
        self._own_pools = own_pools
        self._ledger = Ledger(plan.options.ledger_schema)
        self._attempts = Attempts(plan.options.retries, self.interrupts)
        self._coordinator: Coordinator | None = None
        self._job: Job | None = None
        self._done: list[Committed] = []
        self._resumed = False
        self._begun = False  # whether the ledger has the run as this process goes on with it
        self._writers = Writers(opener(dst, Side.TARGET, report.warn))
        stack.callback(self._writers.close)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Session]:
        """A transaction on the target; it is for the body to commit it."""
        with self.interrupts.one() as interrupt, self._writers.one(interrupt) as session:
            session.begin_target()
            label(session, self._plan.run)
            make_durable(session)  # what follows builds on it
            yield session

    # Begin

    def begin(self, resumed: Record | None, new_snapshot: bool) -> None:
        """Hold the run, take the snapshot, and prepare the target, unless that was done before."""
        plan, self._resumed = self._plan, resumed is not None
        self._guard.rollback()
        self._guard.begin_target()
        self._ledger.guard(self._guard, plan.run)
        if plan.options.mode is None and plan.destination.table is not None:
            wait_for_others(self._guard, plan.destination.table)
        if resumed is not None:  # its earlier readers may still hold the table
            self._keeper.begin_source()
            end_labelled(self._keeper, plan.run)
            self._keeper.rollback()
        begin_origin(self._keeper, plan.origin, plan.options, plan.transform, plan.destination.table)
        check_split(self._keeper, plan.origin, plan.split)
        refuse_itself(self._keeper, self._guard, plan)
        exported = export_snapshot(self._keeper) if plan.options.snapshot else ""
        open_reader = opener(self._src, Side.SOURCE, self._report.warn)
        readers = Readers(open_reader, plan.origin, plan.options, plan.run, exported, self._keeper)
        self._stack.callback(readers.close)
        landed, epoch = self._prepare() if resumed is None else self._take_up(resumed, new_snapshot)
        self._begun = True
        with self._writing() as session:
            snapshot = self._ledger.add_snapshot(session, plan.run, readers.snapshot)
            commit(session)
        self._report.snapshots.append(readers.snapshot)
        self._job = Job(
            plan, self._ledger, plan.run, epoch, snapshot, landed, readers, self._writers, self.interrupts,
            self._limit(),
        )  # fmt: skip

    def _limit(self) -> Limit | None:
        """What counts the run's rejects; those of its committed chunks are in the table already."""
        rejecting = self._plan.rejecting
        if rejecting is None:
            return None
        with self._writing() as session:
            rejecting.table.make(session)
            rejected = rejecting.table.count(session, self._plan.run)
            session.rollback()
        return rejecting.limit(sum(done.rows_written for done in self._done) + rejected, rejected)

    def _prepare(self) -> tuple[Table, int]:
        """Make the ledger, put the run in, and do the first steps, all in one transaction."""
        plan, ledger = self._plan, self._ledger
        with self._writing() as session:
            ledger.make(session)
            epoch = ledger.start(
                session,
                plan.run,
                source=plan.origin.name,
                target=plan.destination.name,
                options=saved_options(plan.options),
                split=saved_split(plan.split),
                version=_version(),
            )
            ledger.claim_step(session, plan.run, epoch, PREPARE)
            tally = self._report.tally
            landed = begin_landing(
                session, plan.destination, plan.mapping, plan.options, plan.loading, tally, alone=True
            )
            ledger.identify(session, plan.run, str(landed), fingerprint(plan, landed))
            if plan.loading.tables:
                ledger.note(session, plan.run, {TABLES: list(plan.loading.tables)})
            commit(session)
        self._report.target = str(landed)
        return landed, epoch

    def _take_up(self, record: Record, new_snapshot: bool) -> tuple[Table, int]:
        """Go on where an earlier process ended, or from the beginning, if what is left cannot be told."""
        plan, ledger = self._plan, self._ledger
        with self._writing() as session:
            landed = find_table(session, plan.destination.name)
            if landed is None:
                raise RefusedError("the table is gone", side=Side.TARGET, table=plan.destination.name)
            if ledger.read(session, plan.run).status == "done":  # by whom we have waited for
                raise RefusedError(f"the run {plan.run} is done", side=Side.TARGET)
            check_same(plan.run, record.fingerprint, fingerprint(plan, landed))
            epoch = ledger.take_up(session, plan.run)
            self._done = list(ledger.chunks(session, plan.run).values())
            if self._done and len(self._done) < len(plan.split.chunks):
                if not plan.split.stable:
                    self._start_over(session)
                elif not new_snapshot:
                    raise RefusedError(
                        f"{len(self._done):,} chunks are committed that were read under an earlier snapshot;"
                        " rows that moved from one chunk to another since would be lost or doubled",
                        side=Side.SOURCE,
                        hint="--new-snapshot reads the rest as the source is now",
                    )
            commit(session)
        self._report.snapshots += record.snapshots
        return landed, epoch

    def _start_over(self, session: Session) -> None:
        """Take away what has landed: its chunks were parts of a snapshot that is gone."""
        plan, restart = self._plan, self._plan.loading.restart
        if restart is None:
            raise RefusedError(
                f"chunks of a {plan.split.name} split mean nothing under a new snapshot, and what has landed"
                f" of them cannot be told from the other rows of {plan.destination.name}",
                side=Side.TARGET,
                hint=f"clean the target up, copypump forget {plan.run}, and run anew with --split-by",
            )
        landed = sum(done.rows_written for done in self._done)
        if plan.options.mode is None:
            [(rows,)] = session.execute(
                sql.SQL("SELECT pg_catalog.count(*) FROM {}{}").format(
                    plan.destination.only, plan.destination.identifier
                )
            )
            if rows != landed:
                raise RefusedError(
                    f"the load has to start over, but the target holds {rows:,} rows, of which"
                    f" this run landed {landed:,}",
                    side=Side.TARGET,
                    table=plan.destination.name,
                    hint="take the others out first; the load empties the target",
                )
        for step in restart:
            step.run(session, self._report.tally)
        self._ledger.start_over(session, plan.run)
        if plan.rejecting is not None:
            plan.rejecting.table.forget(session, plan.run)
        self._report.warn(f"the load starts over: {landed:,} rows that had landed are taken away")
        self._done = []

    # Work

    def move(self, on_progress: OnProgress | None, interval: float) -> None:
        """Move the chunks that are not committed yet."""
        job, report = self._job, self._report
        assert job is not None
        committed = {done.chunk for done in self._done}
        left = [chunk for chunk in self._plan.split.chunks if chunk.number not in committed]
        crew = self._crew(job, max(1, min(self._plan.options.job_count, len(left))))
        self._stack.callback(crew.close)
        self._coordinator = Coordinator(
            crew, len(self._plan.split.chunks), self._done, on_progress, interval, report.warn
        )
        if left:
            crew.start()
            self._coordinator.run(left)

    def _hold_all(self, session: Session) -> None:
        """Raise `Gone` unless every chunk is in the ledger, as a step on all of them is about to commit.

        A server that commits with synchronous_commit off forgets its last commits in a crash, and does so in
        one piece: the chunk and its row.
        """
        chunks = self._plan.split.chunks
        there = self._ledger.chunks(session, self._plan.run)
        gone = [chunk for chunk in chunks if chunk.number not in there]
        if gone:
            raise Gone(gone)

    def _crew(self, job: Job, size: int) -> Crew:
        """Those who move the chunks, as the options want them."""
        options, retries = self._plan.options, self._plan.options.retries
        if options.workers == "threads":
            return Threads(job, size, retries, self._executor)
        from copypump.engine.processes import Processes, Spec, portable

        if not self._own_pools:
            raise RefusedError(
                "other processes have pools of their own, and cannot use one that was given",
                hint="give DSNs, or workers='threads'",
            )
        spec = Spec(
            src=str(self._src.conninfo),
            dst=str(self._dst.conninfo),
            options=portable(options),
            run=job.run,
            epoch=job.epoch,
            snapshot=job.snapshot,
            exported=job.readers.snapshot,
            split=saved_split(self._plan.split),
            fingerprint=fingerprint(self._plan, job.landed),
            lent=self._executor is not None,
        )
        return Processes(spec, size, (self._keeper, self._guard), self._executor)

    # Finish

    def finish(self, on_progress: OnProgress | None) -> None:
        """Do the phases after the last chunk, and say in the ledger that the run is done."""
        coordinator = self._coordinator
        assert coordinator is not None
        while True:
            try:
                return self._finish(coordinator, on_progress)
            except Gone as gone:
                count = len(gone.chunks)
                self._report.warn(
                    f"the target crashed, and took {count:,} chunks along that it had committed;"
                    " they are moved again"
                )
                numbers = {chunk.number for chunk in gone.chunks}
                coordinator.done = [done for done in coordinator.done if done.chunk not in numbers]
                coordinator.run(gone.chunks)

    def _finish(self, coordinator: Coordinator, on_progress: OnProgress | None) -> None:
        self._judge_rejects()
        for phase in self._plan.loading.finish:
            if on_progress is not None:
                on_progress(coordinator.progress(0, phase.name))
            self._do(phase)
        self._attempts(self._end, "the end")
        if on_progress is not None:
            on_progress(coordinator.progress(0))

    def _end(self) -> None:
        with self._writing() as session:
            self._hold_all(session)
            self._ledger.end(session, self._plan.run, "done")
            commit(session, patience=0.0)

    def _judge_rejects(self) -> None:
        """Count the rows that all chunks rejected, and hold them to the limit once more."""
        rejecting, coordinator = self._plan.rejecting, self._coordinator
        if rejecting is None or coordinator is None:
            return
        with self._writing() as session:
            rejected = rejecting.table.count(session, self._plan.run)
            session.rollback()
        self._report.tally.rejected = rejected
        rejecting.limit(sum(done.rows_written for done in coordinator.done) + rejected, rejected).end()

    def _do(self, phase: Phase) -> None:
        if not phase.apart:
            self._attempts(lambda: self._step(phase.name, phase.steps), phase.name)
            return
        workers = max(1, min(self._plan.options.job_count, len(phase.steps)))
        executor = ThreadPoolExecutor(workers, thread_name_prefix="copypump-worker")
        try:
            named = [(f"{phase.name} {number}", step) for number, step in enumerate(phase.steps, 1)]
            list(
                executor.map(
                    lambda each: self._attempts(lambda: self._step(each[0], (each[1],)), each[0]), named
                )
            )
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def _step(self, name: str, steps: tuple[Step, ...]) -> None:
        """Do steps in one transaction, with their row in the ledger; nothing where it is there already."""
        job = self._job
        assert job is not None
        tally = Tally()
        with self._writing() as session:
            if not self._ledger.claim_step(session, job.run, job.epoch, name):
                session.rollback()
                session.begin_target()
                tally = Tally(**self._ledger.steps(session, job.run)[name])
                session.rollback()
            else:
                self._hold_all(session)
                for step in steps:
                    step.run(session, tally)
                self._ledger.count_step(session, job.run, name, asdict(tally))
                commit(session, patience=0.0)
        self._report.tally.add(tally)

    # End

    def totals(self) -> Counters:
        """What is committed."""
        report = self._report
        if self._coordinator is None:
            return Counters()
        report.chunks_done = len(self._coordinator.done)
        report.retries = self._coordinator.retried + self._attempts.retried
        return self._coordinator.totals()

    def stopped(self, error: BaseException) -> BaseException:
        """Say in the ledger, and in the error, how far the run came; give what is to be raised."""
        run = self._plan.run
        if not self._begun:
            if isinstance(error, CopypumpError) and self._resumed:
                error.state = error.state or "the run is as it was before"
            return error
        done = len(self._coordinator.done if self._coordinator else self._done)
        self._report.chunks_done = done
        state = (
            f"{done:,} of {len(self._plan.split.chunks):,} chunks are committed;"
            f" copypump resume {run} goes on with the rest"
        )
        told = _told(error)
        failed = isinstance(told, Exception) and not isinstance(told, StoppedError)
        status = "failed" if failed else "stopped"
        if not isinstance(error, Superseded):
            self._last_words(status, str(told) if isinstance(told, CopypumpError) else type(told).__name__)
        if isinstance(told, CopypumpError):
            told.state = state
        else:
            told.args = (state,)
        return told

    def _last_words(self, status: str, error: str) -> None:
        """Best effort: a run that cannot say how it ended is listed as stopped all the same."""
        guard = self._guard
        guard.interrupt = None
        try:
            deadline = time.monotonic() + _LAST_WORDS
            self._ledger.end(guard, self._plan.run, status, error, deadline=deadline)
            commit(guard, patience=0.0)
        except (CopypumpError, TimeoutError) as failure:
            log.warning("the ledger could not be told that the run has %s: %s", status, failure)


def _told(error: BaseException) -> BaseException:
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
            hint=error.hint,
        )
        stopped.lost, stopped.chunk = error.lost, error.chunk
        return stopped
    return error


def _version() -> str:
    import copypump

    return copypump.__version__
