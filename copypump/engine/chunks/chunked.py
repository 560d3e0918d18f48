"""A run with a ledger, from its first row there to its last: prepare, chunks, finish phases.

Each of them commits in a transaction of its own, with its ledger row first; so a run that dies anywhere can
be taken up again, and nothing is done twice. Two sessions last as long as the run: the keeper on the source,
which holds the snapshot, and the guard on the target, whose lock says that the run is ours.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack

import psycopg

from copypump.engine.chunks.beginning import prepare, take_up
from copypump.engine.chunks.crews import Coordinator, Crew, Threads
from copypump.engine.chunks.fingerprint import fingerprint, saved_split
from copypump.engine.chunks.finishing import Finish, Gone
from copypump.engine.chunks.jobs import Attempts, Job
from copypump.engine.chunks.ledger import Committed, Ledger, Record, Superseded, hold_run
from copypump.engine.chunks.means import Means
from copypump.engine.chunks.sessions import Interrupts, Readers, Writers, opener
from copypump.engine.chunks.stopping import tell, told
from copypump.engine.landing import waiting_for_others
from copypump.engine.options import Options
from copypump.engine.pipeline.moving import OnProgress
from copypump.engine.planning.itself import refuse_itself
from copypump.engine.planning.origin import begin_origin
from copypump.engine.planning.plan import Plan
from copypump.engine.rejects.limit import Limit
from copypump.engine.report import Counters, Report
from copypump.engine.splits import check_split
from copypump.errors import CopypumpError, RefusedError, Side
from copypump.postgres.commit import commit
from copypump.postgres.interrupt import Interrupt
from copypump.postgres.label import ending_labelled
from copypump.postgres.pool import Pool, check_pool, make_pool
from copypump.postgres.session import Session, Where
from copypump.postgres.snapshot import export_snapshot


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
        if plan.options.workers == "processes":
            _check_processes(plan.options, src, dst)
        needed = (plan.options.job_count + 1) * (2 if src is dst else 1)  # with the keeper, and the guard
        pools = [
            stack.enter_context(_pool(where, side, needed))
            for where, side in ((src, Side.SOURCE), (dst, Side.TARGET))
        ]
        run = _Run(plan, keeper, guard, pools[0], pools[1], report, stack, executor)
        outer.then(run.interrupts.stop)
        try:
            run.begin(resumed, new_snapshot)
            run.move(on_progress, interval)
            run.finish(on_progress)
        except BaseException as error:
            run.interrupts.stop()
            shown = run.stopped(error)
            if shown is error:  # which is not its own cause
                raise
            raise shown from error
        finally:
            counters.add(run.totals())


def _check_processes(options: Options, src: Where, dst: Where) -> None:
    """RefusedError, before anything is written, where other processes cannot do the work."""
    from copypump.engine.chunks.processes import portable

    portable(options)
    if not (isinstance(src, str) and isinstance(dst, str)):
        raise RefusedError(
            "other processes have pools of their own, and cannot use one that was given",
            hint="give DSNs, or workers='threads'",
        )


@contextlib.contextmanager
def _pool(where: Where, side: Side, needed: int) -> Iterator[Pool]:
    """The pool of one side, from which a run may need so many sessions."""
    if isinstance(where, psycopg.Connection):
        raise RefusedError(
            "a run with a ledger needs several sessions, and was given one connection",
            side=side,
            hint="give a DSN, or a psycopg_pool.ConnectionPool",
        )
    if not isinstance(where, str):
        check_pool(where, side, needed)
        yield where
        return
    pool = make_pool(where, side, needed)
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
        self._attempts = Attempts(plan.options.retries, self.interrupts)
        self._coordinator: Coordinator | None = None
        self._job: Job | None = None
        self._done: list[Committed] = []
        self._resumed = False
        self._begun = False  # whether the ledger has the run as this process goes on with it
        self._snapshot_taken: float | None = None
        writers = Writers(opener(dst, Side.TARGET, plan.options, report.warn))
        stack.callback(writers.close)
        ledger = Ledger(plan.options.ledger_schema)
        self._means = Means(plan, ledger, writers, self.interrupts, report)

    # Begin

    def begin(self, resumed: Record | None, new_snapshot: bool) -> None:
        """Hold the run, take the snapshot, and prepare the target, unless that was done before."""
        plan, self._resumed = self._plan, resumed is not None
        self._guard.rollback()
        self._guard.begin_target()
        hold_run(self._guard, plan.run)
        if plan.options.mode is None and plan.destination.table is not None:
            self._guard.together([waiting_for_others(plan.destination.table)])
        if resumed is not None:  # its earlier readers may still hold the table
            self._keeper.begin_source(ending_labelled(plan.run))
            self._keeper.rollback()
        begin_origin(self._keeper, plan.origin, plan.options, plan.transform, plan.destination.shape)
        check_split(self._keeper, plan.origin, plan.split)
        refuse_itself(self._keeper, self._guard, plan)
        exported = ""
        if plan.options.snapshot:
            exported, self._snapshot_taken = export_snapshot(self._keeper), time.perf_counter()
        open_reader = opener(self._src, Side.SOURCE, plan.options, self._report.warn)
        readers = Readers(open_reader, plan.origin, plan.options, plan.run, exported, self._keeper)
        self._stack.callback(readers.close)
        means = self._means
        begun = prepare(means) if resumed is None else take_up(means, resumed, new_snapshot)
        self._begun, self._done = True, begun.done
        noting = means.ledger.adding_snapshot(plan.run, readers.snapshot)
        with means.writing(noting) as (session, [[(snapshot,)]]):
            commit(session)
        self._report.snapshots.append(readers.snapshot)
        self._job = Job(
            plan, means.ledger, plan.run, begun.epoch, snapshot, begun.landed, readers, means.writers,
            self.interrupts, self._limit(begun.done),
        )  # fmt: skip

    def _limit(self, done: Sequence[Committed]) -> Limit | None:
        """What counts the run's rejects; those of its committed chunks are in the table already."""
        if self._plan.rejecting is None:
            return None
        rejected = self._means.count_rejects()
        return self._plan.rejecting.limit(sum(chunk.rows_written for chunk in done) + rejected, rejected)

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
            crew, len(self._plan.split.chunks), self._done, on_progress, interval, report.warn,
            self._snapshot_taken, job.run if self._plan.options.run_id is None else "",
        )  # fmt: skip
        self._coordinator.begin()
        if left:
            crew.start()
            self._coordinator.run(left)

    def _crew(self, job: Job, size: int) -> Crew:
        """Those who move the chunks, as the options want them."""
        options, retries = self._plan.options, self._plan.options.retries
        if options.workers == "threads":
            return Threads(job, size, retries, self._executor)
        from copypump.engine.chunks.processes import Processes, Spec, portable

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
            one_database=self._plan.one_database,
            lent=self._executor is not None,
        )
        return Processes(spec, size, (self._keeper, self._guard), self._executor)

    # Finish

    def finish(self, on_progress: OnProgress | None) -> None:
        """Do the phases after the last chunk, and say in the ledger that the run is done."""
        job, coordinator = self._job, self._coordinator
        assert job is not None
        assert coordinator is not None

        def show(phase: str) -> None:
            if on_progress is not None:
                on_progress(coordinator.progress(0, phase))

        finish = Finish(self._means, job.epoch, self._attempts)
        while True:
            self._judge_rejects(coordinator.done)
            try:
                finish.run(show)
                return show("")
            except Gone as gone:
                count = len(gone.chunks)
                self._report.warn(
                    f"the target crashed, and took {count:,} chunks along that it had committed;"
                    " they are moved again"
                )
                numbers = {chunk.number for chunk in gone.chunks}
                coordinator.done = [done for done in coordinator.done if done.chunk not in numbers]
                coordinator.run(gone.chunks)

    def _judge_rejects(self, done: Sequence[Committed]) -> None:
        """Count the rows that all chunks rejected, and hold them to the limit once more."""
        limit = self._limit(done)
        if limit is not None:
            self._report.tally.rejected = limit.rejected
            limit.end()

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
            return told(error) if self._resumed and isinstance(error, CopypumpError) else error
        done = len(self._coordinator.done if self._coordinator else self._done)
        self._report.chunks_done = done
        state = (
            f"{done:,} of {len(self._plan.split.chunks):,} chunks are committed;"
            f" copypump resume {run} goes on with the rest"
        )
        shown = told(error)
        if not isinstance(error, Superseded):
            tell(self._guard, self._means.ledger, run, shown)
        if isinstance(shown, CopypumpError):
            shown.state = state
        elif isinstance(shown, KeyboardInterrupt):
            shown.args = (state,)
        else:  # a defect, whose own words are needed
            shown.add_note(state)
        return shown
