"""Takes a run up where an earlier process ended: everything but the servers is in the ledger."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from copypump.engine.chunked import run_chunked
from copypump.engine.history import recorded
from copypump.engine.ledger import Record
from copypump.engine.moving import OnProgress
from copypump.engine.options import DEFAULT_LEDGER, Options
from copypump.engine.report import Counters, Report
from copypump.engine.run import planned, reported, write_rejects
from copypump.errors import RefusedError, Side
from copypump.postgres.interrupt import Interrupt
from copypump.postgres.session import Where

log = logging.getLogger("copypump.resume")


def resume(
    run: str,
    src: Where,
    dst: Where,
    *,
    new_snapshot: bool = False,
    jobs: int | str | None = None,
    retries: int | None = None,
    ledger_schema: str = DEFAULT_LEDGER,
    on_progress: OnProgress | None = None,
    progress_interval: float = 0.5,
) -> Report:
    """Do what is left of a run: its committed chunks are skipped, all others moved, and its end done.

    Args:
        run: its name in the ledger.
        src: the source, as for `pump`.
        dst: the target, likewise, with the ledger.
        new_snapshot: read the rest under a new snapshot, when chunks read under an earlier one are committed.
            Each chunk is exact under its own; rows that moved from one to another meanwhile are lost or
            doubled. A run whose load can start over does so instead, and needs no such word.
        jobs: how many workers; as before by default.
        retries: how many times a chunk is tried again; as before by default.
        ledger_schema: the ledger's schema.
        on_progress: as for `pump`.
        progress_interval: as for `pump`.

    Raises:
        CopypumpError: as for `pump`; RefusedError where the run cannot be taken up, with the difference.

    """
    record = recorded(run, dst, ledger_schema)
    free = {"jobs": jobs, "retries": retries}
    options = _options(record, {name: value for name, value in free.items() if value is not None})
    counters, report = Counters(), Report("failed", options.table or "query", options.target_name)
    interrupt = Interrupt()
    with reported(report, counters):
        try:
            with planned(src, dst, options, interrupt, report.warn, record) as (plan, source, target):
                report.source, report.target = plan.origin.name, plan.destination.name
                report.warnings += plan.warnings
                run_chunked(
                    plan, source, target, src, dst, report, counters, on_progress, progress_interval,
                    interrupt, resumed=record, new_snapshot=new_snapshot,
                )  # fmt: skip
                write_rejects(plan, target, report)
        finally:
            interrupt.close()
    return report


def _options(record: Record, free: Mapping[str, Any]) -> Options:
    """The run's options, as they were but for those that are `free`."""
    if record.status == "done":
        raise RefusedError(
            f"the run {record.run} is done",
            hint=f"nothing is left of it but its row: copypump forget {record.run}",
        )
    saved = dict(record.options)
    transforms, checks = saved.pop("transforms"), saved.pop("checks", [])
    if None in (*transforms, *checks) or record.fingerprint["transform"] is None:
        raise RefusedError(
            f"the run {record.run} cannot be resumed: a function of it cannot be imported",
            side=Side.TARGET,
            hint=f"copypump forget {record.run}, and run anew with a module:function",
        )
    try:
        options = Options.of(transform=transforms, check=checks, **saved)
    except Exception as error:
        raise RefusedError(
            f"the run {record.run} was made by another version of copypump: {error}",
            hint=f"resume it with that version, or begin anew: copypump forget {record.run}",
        ) from error
    return replace(options, run_id=record.run, **free)
