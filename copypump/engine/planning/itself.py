"""Refuses to read what is written: source and target that are one table, in whatever disguise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from copypump.engine.planning.plan import Plan
from copypump.errors import RefusedError, Side
from copypump.postgres.catalog import holds_lock
from copypump.postgres.interrupt import Aborted, Interrupt
from copypump.postgres.session import Session
from copypump.postgres.watch import DeadlockWatch


def refuse_itself(source: Session, target: Session, plan: Plan) -> None:
    """Refuse to read what we write, where both sides are in one database.

    TRUNCATE would wait for ourselves for ever. (Rows would not come again: the source's one snapshot is older
    than all of them. So a function that reads the target does no harm in a mode that only appends.) The
    source's transaction holds a lock on every table that its statement names, views and queries included;
    what its functions will read is seen by `watched`.
    """
    landing = plan.destination.table
    if landing is None or not plan.one_database:
        return
    table = plan.origin.table
    if (table is not None and table.oid == landing.oid) or holds_lock(target, source.backend_pid(), landing):
        raise _same_table(f"{plan.origin.name} reads {landing}", plan)
    for other in plan.loading.locked:
        if (table is not None and table.oid == other.oid) or holds_lock(target, source.backend_pid(), other):
            raise RefusedError(
                f"{plan.origin.name} reads {other}, which dropping a foreign key of the target locks against"
                " all readers: the run would wait for itself",
                side=Side.TARGET,
                table=plan.destination.name,
                hint="--indexes keep leaves it as it is",
            )


@contextmanager
def watched(source: Session, target: Session, plan: Plan, interrupt: Interrupt) -> Iterator[None]:
    """Refuse to read what we write, from the first statement on and as long as the body runs."""
    refuse_itself(source, target, plan)
    if plan.destination.table is None or not plan.one_database:
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
