"""Carries out a plan: in one transaction here, chunk by chunk with a ledger in `engine.chunks.chunked`.

In one transaction, what the target holds changes only by the COMMIT at the very end. Every other ending rolls
both sides back, says so in the error's `state`, and leaves no COPY and no session of ours behind.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from copypump.engine.chunks.fingerprint import check_source, loaded_split
from copypump.engine.landing import begin_landing, finish_landing
from copypump.engine.options import Options
from copypump.engine.pipeline.moving import Attempt, OnProgress, move_rows
from copypump.engine.planning.destination import check_landing
from copypump.engine.planning.itself import refuse_itself, watched
from copypump.engine.planning.origin import begin_origin
from copypump.engine.planning.plan import Around, Plan, make_plan
from copypump.engine.planning.refusals import Refusals
from copypump.engine.report import Counters, Report, Watch
from copypump.errors import CopypumpError, OutcomeUnknownError, Side
from copypump.postgres.catalog import begin_both
from copypump.postgres.interrupt import Interrupt
from copypump.postgres.session import Session, Where
from copypump.postgres.sizes import bytes_of
from copypump.postgres.surroundings import indexes_of, triggers_of
from copypump.transforms import Transform

if TYPE_CHECKING:
    from copypump.engine.chunks.ledger import Record

log = logging.getLogger("copypump.run")

# The states in which triggers fire; see `postgres.triggers`.
_FIRING = {"keep": "OA", "disable-user": "", "replica": "RA"}

UNTOUCHED = "nothing was committed: the target is as it was before"
_UNRESUMED = "the run is as it was before"


@contextmanager
def planned(
    src: Where,
    dst: Where,
    options: Options,
    interrupt: Interrupt,
    warn: Callable[[str], object] = log.warning,
    resumed: Record | None = None,
) -> Iterator[tuple[Plan, Session, Session]]:
    """Open both sessions and make the plan; afterwards the target's transaction is open, the source's is not.

    The transform is found before any connection is made. `warn` is told when a given connection is lost.
    """
    options.target_name  # noqa: B018 - UsageError now, if there is none
    transform = make_transform(options)
    with ExitStack() as stack:
        source, target = (
            stack.enter_context(
                Session(where, side, interrupt=interrupt, warn=warn, lock_timeout=options.lock_milliseconds)
            )
            for where, side in ((src, Side.SOURCE), (dst, Side.TARGET))
        )
        one_database = begin_both(source, target)
        decided = None if resumed is None else loaded_split(resumed.split)
        notes = None if resumed is None else resumed.notes
        check = None if resumed is None else partial(check_source, resumed.run, resumed.fingerprint)
        plan = make_plan(
            source, target, options, transform, decided, notes, check=check, one_database=one_database
        )
        with Refusals() as refusals:
            with refusals.collecting():
                refuse_itself(source, target, plan)
            check_landing(target, plan.destination, plan.mapping, options, begun=resumed is not None)
        source.rollback()
        yield plan, source, target


def make_transform(options: Options) -> Transform | None:
    """Find the functions that the options name; None where there are none."""
    if not options.transforms and not options.checks:
        return None
    return Transform(
        options.transforms, reads=options.reads, pythonpath=options.pythonpath, checks=options.checks
    )


def dry_run(src: Where, dst: Where, options: Options, rows: int = 0) -> Plan:
    """Make the plan, look around for what only a printed one tells, and do nothing else.

    With `rows`, so many go through the transform, to be seen.
    """
    interrupt = Interrupt()
    try:
        with planned(src, dst, options, interrupt) as (plan, source, target):
            plan = replace(plan, around=_look_around(plan, source, target))
            if rows:
                from copypump.engine.planning.preview import preview

                plan = replace(plan, preview=preview(plan, source, rows))
            return plan
    finally:
        interrupt.close()


def run(
    src: Where,
    dst: Where,
    options: Options,
    on_progress: OnProgress | None = None,
    interval: float = 0.5,
    *,
    interrupt: Interrupt | None = None,
    executor: Executor | None = None,
    resumed: Record | None = None,
    new_snapshot: bool = False,
) -> Report:
    """Do the whole job, or what is left of a run that is `resumed`; `interrupt` ends it from outside.

    Raises:
        CopypumpError: with `state` saying what is safe now, and the report so far as its `report`.
        KeyboardInterrupt: after both sides were rolled back.
        Aborted: the interrupt was set; likewise.

    """
    counters = Counters()
    report = Report("failed", options.table or "query", options.target_name)
    interrupt = interrupt or Interrupt()
    with reported(report, counters, UNTOUCHED if resumed is None else _UNRESUMED):
        try:
            with planned(src, dst, options, interrupt, report.warn, resumed) as (plan, source, target):
                report.source, report.target = plan.origin.name, plan.destination.name
                report.warnings += plan.warnings
                if log.isEnabledFor(logging.INFO):
                    log.info("plan:\n%s", plan.describe())
                if plan.many:
                    from copypump.engine.chunks.chunked import run_chunked

                    run_chunked(
                        plan, source, target, src, dst, report, counters, on_progress, interval, interrupt,
                        executor=executor, resumed=resumed, new_snapshot=new_snapshot,
                    )  # fmt: skip
                else:
                    _run_whole(plan, source, target, interrupt, report, counters, on_progress, interval)
                write_rejects(plan, target, report)
        finally:
            interrupt.close()
    return report


def write_rejects(plan: Plan, target: Session, report: Report) -> None:
    """Say where a run's rejected rows are, and write the file of them that the user wants.

    The run is done by then, so that a file which cannot be written is a warning.
    """
    rejecting = plan.rejecting
    if rejecting is None:
        return
    run = plan.run or rejecting.run
    report.rejects = f"{rejecting.table}, run {run}"
    if rejecting.file is None:
        return
    from copypump.engine.rejects.files import write_file

    target.rollback()
    try:
        write_file(target, rejecting.table, run, rejecting.file)
    except CopypumpError as error:
        report.warn(f"the file of rejected rows was not written; they are in {rejecting.table}: {error}")


def _run_whole(
    plan: Plan,
    source: Session,
    target: Session,
    interrupt: Interrupt,
    report: Report,
    counters: Counters,
    on_progress: OnProgress | None,
    interval: float,
) -> None:
    """Everything in one transaction, through one COPY."""
    options, watch = plan.options, Watch(time.perf_counter())
    attempt = None
    if plan.rejecting is not None:
        plan.rejecting.table.make(target)
        attempt = Attempt(plan.rejecting.run, 1, plan.rejecting.limit())
    begin_origin(source, plan.origin, options, plan.transform, plan.destination.shape)
    with watched(source, target, plan, interrupt):
        landed = begin_landing(target, plan.destination, plan.mapping, options, plan.loading, report.tally)
        report.target = str(landed)
        report.warnings += move_rows(
            plan, plan.origin.copy, source, target, interrupt, counters, on_progress, interval, attempt
        )
        if attempt is not None:
            attempt.limit.end()
            report.tally.rejected = attempt.limit.rejected
    source.rollback()

    def show(phase: str) -> None:
        if on_progress is not None:
            on_progress(watch.progress(counters, phase=phase))

    finish_landing(target, plan.loading, report, show)


def _look_around(plan: Plan, source: Session, target: Session) -> Around:
    source.begin_source()
    landing = plan.destination.table
    around = Around(
        source_bytes=None if plan.origin.table is None else bytes_of(source, plan.origin.table),
        source_encoding=source.server_encoding,
        target_encoding=target.server_encoding,
        indexes=() if landing is None else indexes_of(target, landing.oid),
        triggers=() if landing is None else triggers_of(target, landing.oid, _FIRING[plan.options.triggers]),
    )
    source.rollback()
    return around


@contextmanager
def reported(report: Report, counters: Counters, untouched: str = UNTOUCHED) -> Iterator[None]:
    """Fill the report however the body ends; an error of ours takes it along.

    `untouched` is the state of one that tells of none: nothing was changed.
    """
    start = time.perf_counter()
    try:
        yield
        report.status = "done"
    except CopypumpError as error:
        if error.state is None and not isinstance(error, OutcomeUnknownError):
            error.state = untouched
        report.error = str(error)
        error.report = report
        raise
    except KeyboardInterrupt as interrupt:
        if report.status != "done":
            interrupt.args = interrupt.args or (untouched,)
            raise
        report.warnings.append("interrupted after the commit, which was too late: everything is there")
    finally:
        report.seconds = time.perf_counter() - start
        report.rows_read, report.bytes_read = counters.rows_read, counters.bytes_read
        report.rows_written, report.bytes_written = counters.rows_written, counters.bytes_written
        report.stages, report.bottleneck = counters.stages, counters.bottleneck
        if report.status != "done" and report.run is None:
            report.rows_written = 0  # sent, perhaps, but rolled back
