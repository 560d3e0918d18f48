"""How a run with a ledger begins on the target: prepared anew, or taken up where an earlier process ended."""

from __future__ import annotations

from msgspec import Struct
from psycopg import sql

from copypump.engine.chunks.fingerprint import check_same, fingerprint, saved_options, saved_split
from copypump.engine.chunks.history import TABLES
from copypump.engine.chunks.ledger import Committed, Record
from copypump.engine.chunks.means import Means
from copypump.engine.landing import begin_landing
from copypump.errors import RefusedError, Side
from copypump.postgres.catalog import Table, find_table
from copypump.postgres.commit import commit
from copypump.postgres.session import Session

PREPARE = "prepare"


class Begun(Struct, frozen=True):
    """The target as the run found or made it, the run's epoch, and what was committed of it before."""

    landed: Table
    epoch: int
    done: list[Committed]


def prepare(means: Means) -> Begun:
    """Make the ledger, put the run in, and do the first steps, all in one transaction."""
    plan, ledger = means.plan, means.ledger
    with means.writing() as (session, _):
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
        tally = means.report.tally
        landed = begin_landing(
            session, plan.destination, plan.mapping, plan.options, plan.loading, tally, alone=True
        )
        ledger.identify(session, plan.run, str(landed), fingerprint(plan, landed))
        if plan.loading.tables:
            ledger.note(session, plan.run, {TABLES: list(plan.loading.tables)})
        commit(session)
    means.report.target = str(landed)
    return Begun(landed, epoch, [])


def take_up(means: Means, record: Record, new_snapshot: bool) -> Begun:
    """Go on where an earlier process ended, or from the beginning, if what is left cannot be told."""
    plan, ledger = means.plan, means.ledger
    with means.writing() as (session, _):
        landed = find_table(session, plan.destination.name)
        if landed is None:
            raise RefusedError("the table is gone", side=Side.TARGET, table=plan.destination.name)
        now = ledger.read(session, plan.run)
        if now.status == "done":  # by whom we have waited for
            raise RefusedError(f"the run {plan.run} is done", side=Side.TARGET)
        if now.notes != record.notes:  # by which the plan was made
            raise RefusedError(
                f"another process has taken the run {plan.run} further meanwhile",
                side=Side.TARGET,
                hint=f"copypump resume {plan.run}, once more",
            )
        check_same(plan.run, record.fingerprint, fingerprint(plan, landed))
        epoch = ledger.take_up(session, plan.run)
        done = list(ledger.chunks(session, plan.run).values())
        if done and len(done) < len(plan.split.chunks):
            if not plan.split.stable:
                _start_over(means, session, done)
                done = []
            elif not new_snapshot:
                raise RefusedError(
                    f"{len(done):,} chunks are committed that were read under an earlier snapshot;"
                    " rows that moved from one chunk to another since would be lost or doubled",
                    side=Side.SOURCE,
                    hint="--new-snapshot reads the rest as the source is now",
                )
        commit(session)
    means.report.snapshots += record.snapshots
    return Begun(landed, epoch, done)


def _start_over(means: Means, session: Session, done: list[Committed]) -> None:
    """Take away what has landed: its chunks were parts of a snapshot that is gone."""
    plan, restart = means.plan, means.plan.loading.restart
    if restart is None:
        raise RefusedError(
            f"chunks of a {plan.split.name} split mean nothing under a new snapshot, and what has landed"
            f" of them cannot be told from the other rows of {plan.destination.name}",
            side=Side.TARGET,
            hint=f"clean the target up, copypump forget {plan.run}, and run anew with --split-by",
        )
    landed = sum(chunk.rows_written for chunk in done)
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
        step.run(session, means.report.tally)
    means.ledger.start_over(session, plan.run)
    if plan.rejecting is not None:
        plan.rejecting.table.forget(session, plan.run)
    means.report.warn(f"the load starts over: {landed:,} rows that had landed are taken away")


def _version() -> str:
    import copypump

    return copypump.__version__
