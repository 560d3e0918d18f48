"""Takes a run up where an earlier process ended: everything but the servers is in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from copypump.engine.chunks.history import recorded
from copypump.engine.chunks.ledger import Record
from copypump.engine.options import DEFAULT_LEDGER, Options
from copypump.engine.pipeline.moving import OnProgress
from copypump.engine.report import Report
from copypump.engine.run import run as carry_out
from copypump.errors import RefusedError, Side
from copypump.postgres.session import Where


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
    return carry_out(
        src, dst, options, on_progress, progress_interval, resumed=record, new_snapshot=new_snapshot
    )


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
