"""What the command line says: results on stdout, everything else on stderr, errors as one clear block.

Nothing here may break a run: a closed pipe or a full disk behind stdout or stderr is said where it still can
be, and changes neither what happened to the rows nor the exit code that tells it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
from msgspec import Struct

from copypump.cli import logs
from copypump.errors import CopypumpError, ExitCode, OutcomeUnknownError, interruption, printable

if TYPE_CHECKING:
    from copypump.engine.profile import Profile
    from copypump.engine.report import Progress, Report


PLAIN_WIDTH = 160


class Face(Struct):
    """How this process speaks, as its options say."""

    debug: bool = False
    json: bool = False


def result(text: str) -> None:
    """Print a result to stdout."""
    problem = _write(text, sys.stdout)
    if problem:
        note(f"the result could not be written to stdout: {problem}")


def note(text: str) -> None:
    """Print anything else to stderr."""
    _write(text, sys.stderr)


def _write(text: str, stream: IO[str] | None) -> str | None:
    """Print a line; return what went wrong, and see to it that Python's flush at exit does not fail too."""
    if stream is None:  # the process was started with it closed
        return "it is closed"
    try:
        click.echo(text, file=stream, color=None if _coloured(stream) else False)
        stream.flush()
    except (OSError, ValueError) as error:
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        except (OSError, ValueError):  # a stream of a test, without a file below it
            pass
        return "its reader has gone" if isinstance(error, BrokenPipeError) else printable(str(error))
    return None


def _coloured(stream: IO[str]) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay rows out under a head, as wide as the terminal is."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(*head, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        grid.add_row(*map(Text, row))  # not as markup: timestamp[us]
    # A terminal tells its width; elsewhere the lines are as long as they read well.
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    with console.capture() as captured:
        console.print(grid)
    return captured.get().rstrip()


# Errors ---------------------------------------------------------------------------------------------------


def failed(error: BaseException, face: Face) -> int:
    """Say what went wrong on stderr, and return the exit code."""
    code, lines = _explained(error)
    if face.json:
        logs.failed(error, code, lines | _told(error), face.debug)
        return code
    if face.debug:
        note(printable("".join(traceback.format_exception(error))))
    note(
        "\n".join(
            [*_block(lines), *(line for other in _others(error) for line in _block(_explained(other)[1]))]
        )
    )
    return code


def _block(lines: dict[str, str]) -> list[str]:
    """What is said about one error: a line for each label, the first in red."""
    first, *others = (f"{label + ':':<7}{_indented(text)}" for label, text in lines.items() if text)
    return [click.style(first, fg="red", bold=True), *others]


def _others(error: BaseException) -> tuple[CopypumpError, ...]:
    """What else stands against the same plan."""
    return error.others if isinstance(error, CopypumpError) else ()


def _explained(error: BaseException) -> tuple[int, dict[str, str]]:
    """Give an exception's exit code, and what is said about it: the error, the safe state, the way on."""
    if isinstance(error, KeyboardInterrupt):
        code = interruption(error)
        return code, {"error": code.meaning, "state": printable(str(error))}
    if isinstance(error, CopypumpError):
        return error.exit_code, {
            "error": str(error),
            "state": printable(error.state or ""),
            "hint": printable(error.hint or ""),
        }
    # Its text may hold a row's value, so that only the traceback of --debug shows it.
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return ExitCode.DEFECT, {
        "error": f"this is a defect of copypump: {type(error).__name__}{place}",
        "hint": "please report it, with the traceback that --debug shows (look it over: it may hold values)",
    }


def _told(error: BaseException) -> dict[str, Any]:
    """The other errors as plain values, where there are any."""
    others = [_explained(other)[1] for other in _others(error)]
    return (
        {"others": [{name: text for name, text in lines.items() if text} for lines in others]}
        if others
        else {}
    )


def _indented(text: str) -> str:
    return text.replace("\n", "\n" + " " * 7)


# Reports --------------------------------------------------------------------------------------------------


def save(path: str, report: dict[str, Any]) -> None:
    """Write a report as JSON, to a file or (`-`) to stdout."""
    text = json.dumps(report, indent=2, default=str)
    if path == "-":
        result(text)
        return
    _save(path, "report", text)


def save_profile(path: str, profile: Profile, report: Report | None) -> None:
    """Write a profile, as JSON where the file's name says so."""
    plain = path.lower().endswith(".json")
    _save(
        path, "profile", json.dumps(profile.as_dict(report), indent=2) if plain else profile.describe(report)
    )


def _save(path: str, what: str, text: str) -> None:
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        note(f"the {what} could not be written to {printable(path)}: {error.strerror}; here it is:\n{text}")


def failure_report(error: BaseException, last: Progress | None) -> dict[str, Any]:
    """Make the report of a run that raised: the keys of one that did not, and what the error says."""
    from copypump.engine.report import Report

    code, lines = _explained(error)
    report = getattr(error, "report", None) or Report("failed", "", "", error=lines["error"])
    if last is not None and not report.rows_read:
        report.rows_read, report.bytes_read, report.seconds = last.rows_read, last.bytes_read, last.seconds
    values = report.as_dict()
    if isinstance(error, OutcomeUnknownError):
        values["status"] = "unknown"
    where = {name: getattr(error, name, None) for name in ("side", "table", "column", "row", "sqlstate")}
    return values | {
        "exit_code": int(code),
        "error_class": type(error).__name__,
        **where,
        "state": lines.get("state") or None,
        "hint": lines.get("hint") or None,
        "others": [],
        **_told(error),
    }


def summary(report: Report) -> str:
    """Write a report for people."""
    rows = f"{report.rows_written:,} rows"
    if report.rows_read != report.rows_written:
        rows = f"{report.rows_read:,} rows read, {report.rows_written:,} written"
    seconds = max(report.seconds, 1e-3)
    lines = [
        f"{report.status}: {report.source} -> {report.target}, {rows} in {report.seconds:.1f} s"
        f" ({report.rows_read / seconds:,.0f} rows/s)",
        f"      {megabytes(report.bytes_read)} read, {megabytes(report.bytes_written)} written"
        f" ({megabytes(report.bytes_read / seconds)}/s); bottleneck: {report.bottleneck}",
        *_chunk_lines(report),
        *([f"      {report.tally.rejected:,} rows rejected, to {report.rejects}"] if report.rejects else ()),
        f"      {'stage':<10}{'busy':>9}{'waiting':>11}",
    ]
    lines += [f"      {name:<10}{s.busy:>7.2f} s{s.waiting:>9.2f} s" for name, s in report.stages.items()]
    landed = {name: count for name, count in report.tally.counts.items() if count}
    if landed:
        lines.insert(1, "      " + ", ".join(f"{count:,} {name}" for name, count in landed.items()))
    lines += [f"warning: {warning}" for warning in report.warnings]
    return printable("\n".join(lines))


def _chunk_lines(report: Report) -> list[str]:
    """What there is to say of a run with a ledger."""
    if report.run is None:
        return []
    done = f"{report.chunks_done:,} of {report.chunks:,} chunks"
    retries = f", {counted(report.retries, 'retry', 'retries')}" if report.retries else ""
    snapshots = ", ".join(name or "none" for name in report.snapshots)
    workers = counted(report.jobs, "worker", "workers")
    return [f"      run {report.run}: {done} ({report.split}) by {workers}{retries}; snapshot {snapshots}"]


def counted(count: int, one: str, many: str) -> str:
    """Write a number of things, which is `one` thing or `many`."""
    return f"{count:,} {one if count == 1 else many}"


def megabytes(size: float) -> str:
    """Write bytes as decimal megabytes, the unit of network and disk speeds."""
    return f"{size / 1e6:,.1f} MB"
