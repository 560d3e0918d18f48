"""Carries out a plan of one chunk: begin, work, finish; one transaction on the target, all or nothing.

What the target holds changes only by the COMMIT at the very end. Every other ending rolls both sides back,
says so in the error's `state`, and leaves no COPY and no session of ours behind.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from copypump.codec.framing import Framer
from copypump.engine.landing import begin_landing, check_landing, finish_landing, move
from copypump.engine.options import Options
from copypump.engine.origin import begin_origin
from copypump.engine.pipeline import WireFeed
from copypump.engine.plan import Plan, make_plan
from copypump.engine.report import Counters, Progress, Report
from copypump.engine.reshape import Reshaper
from copypump.errors import CopypumpError, OutcomeUnknownError, RefusedError, Side
from copypump.postgres.catalog import holds_lock, same_database
from copypump.postgres.connect import Connection
from copypump.postgres.interrupt import Aborted, Interrupt
from copypump.postgres.session import Session
from copypump.postgres.source import Source
from copypump.postgres.watch import DeadlockWatch
from copypump.transforms import Transform

log = logging.getLogger("copypump.run")

UNTOUCHED = "nothing was committed: the target is as it was before"

OnProgress = Callable[[Progress], None]


@contextmanager
def planned(
    src: str | Connection,
    dst: str | Connection,
    options: Options,
    interrupt: Interrupt,
    warn: Callable[[str], object] = log.warning,
) -> Iterator[tuple[Plan, Session, Session]]:
    """Open both sessions and make the plan; afterwards the target's transaction is open, the source's is not.

    The transform is found before any connection is made. `warn` is told when a given connection is lost.
    """
    options.target_name  # noqa: B018 - UsageError now, if there is none
    transform = None
    if options.transforms:
        transform = Transform(options.transforms, reads=options.reads, pythonpath=options.pythonpath)
    with ExitStack() as stack:
        source = stack.enter_context(Session(src, Side.SOURCE, interrupt=interrupt, warn=warn))
        target = stack.enter_context(Session(dst, Side.TARGET, interrupt=interrupt, warn=warn))
        source.begin_source()
        target.begin_target()
        plan = make_plan(source, target, options, transform)
        _refuse_itself(source, target, plan)
        check_landing(target, plan.destination, plan.mapping, options)
        source.rollback()
        yield plan, source, target


def dry_run(src: str | Connection, dst: str | Connection, options: Options) -> Plan:
    """Make the plan, and do nothing else."""
    interrupt = Interrupt()
    try:
        with planned(src, dst, options, interrupt) as (plan, _source, _target):
            return plan
    finally:
        interrupt.close()


def run(
    src: str | Connection,
    dst: str | Connection,
    options: Options,
    on_progress: OnProgress | None = None,
    interval: float = 0.5,
) -> Report:
    """Do the whole job.

    Raises:
        CopypumpError: with `state` saying what is safe now, and the report so far as its `report`.
        KeyboardInterrupt: after both sides were rolled back.

    """
    counters = Counters()
    report = Report("failed", options.table or "query", options.target_name)
    interrupt = Interrupt()
    with reported(report, counters):
        try:
            with planned(src, dst, options, interrupt, report.warn) as (plan, source, target):
                report.source, report.target = plan.origin.name, plan.destination.name
                report.warnings += plan.warnings
                log.info("plan:\n%s", plan.describe())
                begin_origin(source, plan.origin, options, plan.transform, plan.destination.table)
                with _watched(source, target, plan, interrupt):
                    report.target = str(begin_landing(target, plan.destination, plan.mapping, options))
                    plan.sink.begin(target)
                    copy_out = Source(source)
                    copy_out.start(plan.origin.copy)
                    feed, reshaper = _middle(plan, copy_out, counters)
                    move(
                        feed, reshaper, target, plan.sink.copy, interrupt, counters,
                        options.batch_bytes, on_progress, interval,
                    )  # fmt: skip
                report.warnings += feed.warnings()
                source.rollback()
                plan.sink.finish(target, plan.destination.name, counters.rows_written)
                finish_landing(target, plan.destination, options, report)
        finally:
            interrupt.close()
    return report


@contextmanager
def reported(report: Report, counters: Counters) -> Iterator[None]:
    """Fill the report however the body ends; an error of ours takes it along."""
    start = time.perf_counter()
    try:
        yield
        report.status = "done"
    except CopypumpError as error:
        if error.state is None and not isinstance(error, OutcomeUnknownError):
            error.state = UNTOUCHED
        report.error = str(error)
        error.report = report
        raise
    except KeyboardInterrupt as interrupt:
        if report.status != "done":
            interrupt.args = interrupt.args or (UNTOUCHED,)
            raise
        report.warnings.append("interrupted after the commit, which was too late: everything is there")
    finally:
        report.seconds = time.perf_counter() - start
        report.rows_read, report.bytes_read = counters.rows_read, counters.bytes_read
        report.rows_written, report.bytes_written = counters.rows_written, counters.bytes_written
        report.stages, report.bottleneck = counters.stages, counters.bottleneck
        if report.status != "done":
            report.rows_written = 0  # sent, perhaps, but rolled back


def _refuse_itself(source: Session, target: Session, plan: Plan) -> bool:
    """Refuse to read what we write; return whether both sides are in one database.

    TRUNCATE would wait for ourselves for ever. (Rows would not come again: the source's one snapshot is older
    than all of them. So a function that reads the target does no harm in a mode that only appends.) The
    source's transaction holds a lock on every table that its statement names, views and queries included;
    what its functions will read is seen by `_watched`.
    """
    landing = plan.destination.table
    if landing is None or not same_database(source, target):
        return False
    table = plan.origin.table
    if (table is not None and table.oid == landing.oid) or holds_lock(target, source.backend_pid(), landing):
        raise _same_table(f"{plan.origin.name} reads {landing}", plan)
    return True


@contextmanager
def _watched(source: Session, target: Session, plan: Plan, interrupt: Interrupt) -> Iterator[None]:
    """Refuse to read what we write, from the first statement on and as long as the body runs."""
    if not _refuse_itself(source, target, plan):
        yield
        return
    pids = {session.side: session.backend_pid() for session in (source, target)}
    with DeadlockWatch(target.dsn, pids, interrupt) as watch:
        try:
            yield
        except Aborted:
            if watch.found is None:
                raise
    if watch.found is not None:
        raise _same_table(f"{watch.found}, and would for ever", plan)


def _same_table(why: str, plan: Plan) -> RefusedError:
    return RefusedError(
        f"source and target are the same table: {why}, in the same database",
        table=plan.destination.name,
        hint="land in another table with --into",
    )


def _middle(plan: Plan, source: Source, counters: Counters) -> tuple[WireFeed, Reshaper | None]:
    """What stands between the two COPYs: all of it, or for rows that go through whole, the framing alone."""
    options, decoding = plan.options, plan.decoding
    positions = decoding is not None or plan.rewriter is not None
    decoder = None if decoding is None else decoding.decoder()
    rows = options.batch_rows if decoder is None else decoder.most_rows(options.batch_rows)
    framer = Framer(len(plan.origin.columns), positions=positions, batch_rows=rows)
    feed = WireFeed(source, framer, decoder, plan.rewriter, options.batch_bytes, options.batch_rows, counters)
    if decoding is None:
        return feed, None
    stages = counters.stages
    reshaper = Reshaper(
        decoding, plan.transform, plan.mapping, options.batch_bytes, stages["transform"], stages["encode"]
    )
    return feed, reshaper
