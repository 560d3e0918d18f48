"""`copypump run`: one table or query into one table."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from copypump.cli import logs, options, output
from copypump.cli.configured import Configured, keys_of
from copypump.cli.progress import Display, display
from copypump.errors import ExitCode

if TYPE_CHECKING:
    from copypump.engine.report import Report


@click.command(cls=Configured, short_help="Copy a table, or what a query returns.")
@options.endpoints
@options.selection
@options.transforming
@options.landing
@options.chunking
@options.tuning
@click.option("--dry-run", is_flag=True, help="Check everything, print the plan, and move nothing.")
@options.previewing
@options.reporting
@options.profiling
@options.diagnostics
@click.pass_obj
def run(
    face: output.Face,
    /,
    src: str,
    dst: str,
    *,
    dry_run: bool,
    preview: int,
    progress: bool,
    report: str | None,
    profile: str | None,
    log_level: str,
    log_format: str,
    **job: Any,
) -> None:
    """Copy one table, or what a query returns, into one table of another server.

    All rows land in one transaction; with --jobs, --split or --run-id chunk by chunk, each committed with its
    row in a ledger on the target, so that `copypump resume` can go on after any death.

    \b
    copypump run --src "service=old" --dst "service=new" --table people --transform my_etl:clean
    copypump run nightly     with the options of [run.nightly] in copypump.toml

    Each option can stand in the environment, --batch-rows as COPYPUMP_BATCH_ROWS, and in the file. What is
    on the command line comes first, then the environment, then the file. A password is best left to a
    passfile or service file: a command line can be read by others.
    """  # noqa: D301 - click's own sign for lines that stay as they are
    check(job, dry_run, report, preview, profile)
    logs.start(log_level, log_format)

    with collecting_later():
        from copypump.engine import api  # not before: help must not wait for pyarrow and psycopg

    if dry_run:
        from copypump.cli.plan_text import planned

        output.result(planned(api.plan(src, dst, **job, preview=preview).as_dict()))
        return
    with reporting(report, face, progress) as said, profiled(profile, said):
        shown = said.shown
        said.report = api.pump(src, dst, **job, on_progress=shown, progress_interval=shown.interval)


# What a file may say.
KEYS = keys_of(run)


class Said(Struct):
    """What a command shows of its run, and has to tell at its end."""

    shown: Display
    report: Report | None = None


@contextlib.contextmanager
def reporting(path: str | None, face: output.Face, progress: bool) -> Iterator[Said]:
    """Show progress; save the report, however the run ends, and print its summary where it ends well."""
    shown = None
    try:
        with display(face, progress) as shown:  # its line is gone before anything else is said
            said = Said(shown)
            yield said
    except BaseException as error:
        if path is not None and isinstance(error, Exception | KeyboardInterrupt):
            output.save(path, output.failure_report(error, shown.last if shown else None))
        raise
    assert said.report is not None
    if path is not None:
        output.save(path, said.report.as_dict())
    if path != "-":
        output.result(output.summary(said.report))
    if said.report.tally.rejected:
        click.get_current_context().exit(ExitCode.REJECTS)


@contextlib.contextmanager
def profiled(path: str | None, said: Said) -> Iterator[None]:
    """Save a profile, however the run ends; without a path, do nothing."""
    if path is None:
        yield
        return
    from copypump.engine.profile import profiling

    try:
        with profiling() as profile:
            yield
    finally:
        output.save_profile(path, profile, said.report)


@contextlib.contextmanager
def collecting_later() -> Iterator[None]:
    """Let no garbage collection go over what imports build: it lives as long as the process anyway.

    Without this, a fifth of the CPU time of a start went into collections that found nothing.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(100_000)  # what a transform imports is as lasting, and batches go by their count
        gc.enable()


def check(
    job: dict[str, Any], dry_run: bool, report: str | None, preview: int = 0, profile: str | None = None
) -> None:
    """Refuse options that contradict each other, in the command line's words (the engine has its own)."""
    if (job["table"] is None) == (job["query"] is None):
        raise click.UsageError("give one of --table and --query")
    if job["query"] is not None:
        if job["into"] is None:
            raise click.UsageError("--query needs --into: the name of the target table")
        for name in ("columns", "where"):
            if job[name] is not None:
                raise click.UsageError(f"--{name} goes with --table; the query says it itself")
    if job["columns"] == ():
        raise click.UsageError("--columns names no column")
    if job["reads"] is not None and not job["transform"]:
        raise click.UsageError("--reads goes with --transform")
    _check_outputs(job, dry_run, report, preview, profile)


def _check_outputs(
    job: dict[str, Any], dry_run: bool, report: str | None, preview: int, profile: str | None
) -> None:
    if dry_run and report is not None:
        raise click.UsageError("--report is of a run; --dry-run has none")
    if preview and not dry_run:
        raise click.UsageError("--preview goes with --dry-run")
    if dry_run and profile is not None:
        raise click.UsageError("--profile is of a run; --dry-run has none")
    if profile is not None and job["workers"] == "processes":
        raise click.UsageError("--profile sees the work of threads, not that of --workers processes")
