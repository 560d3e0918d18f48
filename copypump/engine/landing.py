"""The target's transaction: how it begins and ends; for runs, and for streams of the user's.

Nothing is visible to anybody before the COMMIT of `finish_landing`.
"""

from __future__ import annotations

from collections.abc import Callable

from copypump.engine.loading import Loading
from copypump.engine.options import Options
from copypump.engine.planning.destination import Destination, check_landing
from copypump.engine.planning.mapping import Mapping
from copypump.engine.report import Report, Tally
from copypump.errors import RefusedError, Side
from copypump.postgres.catalog import Table, find_table, locking_to_insert
from copypump.postgres.commit import DURABLE, commit
from copypump.postgres.session import Query, Session, Statement

# The first key of the advisory lock under which a target is found empty; the second is the table's oid.
EMPTY_TARGET = 0x636F7079  # "copy"


def begin_landing(
    target: Session,
    destination: Destination,
    mapping: Mapping,
    options: Options,
    loading: Loading,
    tally: Tally,
    *,
    alone: bool = False,
) -> Table:
    """Make and lock the target table as the mode wants it, hold it against what the plan saw, and give it.

    With `alone`, other runs that look for an empty target are kept out already (see `waiting_for_others`).

    Raises:
        RefusedError: it changed since.
        CopypumpError: see `check_landing`.

    """
    planned = destination.table
    first: list[Query | Statement] = []
    if planned is None:
        if destination.create is not None:
            first.append(destination.create)
    else:
        # Locked before it is described again: whoever alters it meanwhile is waited for, and then seen. A
        # mode's own statements take what they need at once: two runs that both held less, and then wanted
        # more, would wait for each other.
        if planned.kind in "rp" and not loading.locks:
            first += locking_to_insert(planned)
        if options.mode is None and not alone:
            first.append(waiting_for_others(planned))
    if first and loading.prepare:
        target.together(first)
        first = []
    for step in loading.prepare:
        step.run(target, tally)
    table = find_table(target, destination.name, first)
    if table is None:
        raise RefusedError("the table is gone", side=Side.TARGET, table=destination.name)
    if planned is None:
        return table
    hold(table, planned, destination)
    check_landing(target, destination, mapping, options)
    return table


def hold(found: Table | None, planned: Table, destination: Destination) -> None:
    """RefusedError unless the target still is what the plan saw."""
    if found != planned:
        raise RefusedError(
            "the target changed after the plan was made",
            side=Side.TARGET,
            table=destination.name,
            hint="run again",
        )


def waiting_for_others(table: Table) -> Statement:
    """Give what waits until other runs of ours that found this table empty have committed or given up.

    And keeps others out until the transaction ends.
    """
    return Statement(
        "SELECT pg_catalog.pg_advisory_xact_lock($1::pg_catalog.int4, $2::pg_catalog.oid::pg_catalog.int4)",
        [EMPTY_TARGET, table.oid],
    )


def finish_landing(
    target: Session, loading: Loading, report: Report, show: Callable[[str], object] = lambda _phase: None
) -> None:
    """Do the mode's last steps, each phase of which `show` is told of, and commit.

    Ctrl-C that comes while the server commits is too late if the COMMIT held: the run is then done.
    """
    tally = Tally()
    for phase in loading.finish:
        show(phase.name)
        phase.run(target, tally)
    report.count(tally)
    try:
        commit(target, first=[DURABLE])
    except KeyboardInterrupt:
        if not target.committed:
            raise
        report.warnings.append("interrupted while committing, which was too late: everything is there")
    report.status = "done"
    report.chunks_done = report.chunks
