"""`copypump resume`: go on with a run where an earlier process ended."""

from __future__ import annotations

from typing import Any

import click

from copypump.cli import logs, options, output
from copypump.cli.configured import OnRun
from copypump.cli.run import KEYS, collecting_later, reporting


@click.command(cls=OnRun, short_help="Go on with a run that ended early.", file_keys=KEYS)
@options.endpoints
@options.resuming
@options.reporting
@options.diagnostics
@click.pass_obj
def resume(
    face: output.Face,
    /,
    run: str,
    src: str,
    dst: str,
    *,
    progress: bool,
    report: str | None,
    log_level: str,
    log_format: str,
    **how: Any,
) -> None:
    """Do what is left of RUN: everything but the servers is in the ledger.

    What is committed stays, and is not done again. A source, target, transform or option that is not as it
    was is refused, with the difference.
    """
    logs.start(log_level, log_format)
    with collecting_later():
        from copypump.engine.chunks.resume import (
            resume as go_on,  # not before: help must not wait for pyarrow
        )

    with reporting(report, face, progress) as said:
        shown = said.shown
        said.report = go_on(run, src, dst, **how, on_progress=shown, progress_interval=shown.interval)
