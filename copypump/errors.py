"""The whole error tree, with the exit code of each class beside it.

Every error that a user can meet is a `CopypumpError`. It says what happened, where (side, table, column,
row), why (the server's own primary message and SQLSTATE), which state is safe now, and what to do next.
No row value and no password is ever put into one.
"""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """What the process returns; the meaning of each is its `meaning`, shown by help and README alike."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        """Keep the meaning beside the number."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "done, everything arrived"
    DEFECT = 1, "a defect of copypump's own"
    USAGE = 2, "usage or configuration: flags, a DSN that does not parse"
    REFUSED = 3, "refused before anything moved: transform, table, column, types or mode do not fit"
    SOURCE = 4, "the source failed: connect, login, permission, killed, bad stream"
    TARGET = 5, "the target failed: connect, login, permission, killed, or rows that it refuses"
    TRANSFORM = 6, "the transform failed while running, or a value does not fit its type"
    DIFFERS = 7, "verification found a difference"
    UNKNOWN = 8, "the outcome of the last commit is unknown; the message says how to find out"
    RESUMABLE = 9, "stopped, and can be resumed"
    REJECTS = 10, "done, with rejected rows"
    TOO_MANY_REJECTS = 11, "stopped: too many rejected rows"
    SIGINT = 130, "interrupted by Ctrl-C"
    SIGTERM = 143, "ended by SIGTERM"


class Side(enum.StrEnum):
    """Which of the two servers."""

    SOURCE = "source"
    TARGET = "target"


class CopypumpError(Exception):
    """The root of the tree; see the module docstring for what each field holds.

    `row` counts from 1: of the source's stream while decoding, of the rows sent to the target from then on.
    """

    exit_code = ExitCode.DEFECT

    def __init__(
        self,
        message: str,
        *,
        side: Side | None = None,
        table: str | None = None,
        column: str | None = None,
        row: int | None = None,
        sqlstate: str | None = None,
        state: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.side = side
        self.table = table
        self.column = column
        self.row = row
        self.sqlstate = sqlstate
        self.state = state
        self.hint = hint
        # Which of the connections that were given could not be brought back to idle, and are closed now.
        self.closed: tuple[Side, ...] = ()
        # Whether the session was lost, or could not be opened, without the server saying why.
        self.lost = False
        # Which chunk of a run with several: rows count from its first.
        self.chunk: str | None = None
        # How many times that had been tried again.
        self.retried = 0
        # What else stands against the same plan.
        self.others: tuple[CopypumpError, ...] = ()
        # What the run had done by then (an engine.report.Report), where there was a run.
        self.report: object | None = None

    def __str__(self) -> str:
        where = [
            f"chunk {self.chunk}" if self.chunk else "",
            str(self.side) if self.side else "",
            f"table {self.table}" if self.table else "",
            f'column "{self.column}"' if self.column is not None else "",
            f"row {self.row:,}" if self.row is not None else "",
        ]
        text = ", ".join(part for part in where if part)
        text = f"{text}: {self.message}" if text else self.message
        if self.sqlstate:
            text += f" (SQLSTATE {self.sqlstate})"
        return printable(text)


class UsageError(CopypumpError):
    """A flag, an option or a DSN that cannot be what was meant."""

    exit_code = ExitCode.USAGE


class RefusedError(CopypumpError):
    """The plan does not hold: nothing has moved."""

    exit_code = ExitCode.REFUSED


class SourceError(CopypumpError):
    """The source server, or the way to it, failed."""

    exit_code = ExitCode.SOURCE


class DecodeError(SourceError):
    """The source's stream breaks the COPY BINARY format: its framing, or a field that no value has."""


class TargetError(CopypumpError):
    """The target server, or the way to it, failed, or it refused a row."""

    exit_code = ExitCode.TARGET


class TransformError(CopypumpError):
    """The user's function raised, or returned what it must not, while running."""

    exit_code = ExitCode.TRANSFORM


class UnrepresentableError(CopypumpError):
    """A value of a column that is read has no place in its Arrow type."""

    exit_code = ExitCode.TRANSFORM


class CastError(CopypumpError):
    """A value on its way to the target does not fit the target's type exactly."""

    exit_code = ExitCode.TRANSFORM


class OutcomeUnknownError(CopypumpError):
    """The connection was lost after COMMIT was sent, and nobody can say yet whether it held."""

    exit_code = ExitCode.UNKNOWN


class StoppedError(CopypumpError):
    """A run with a ledger stopped for a reason that time or an administrator ends: it can be resumed."""

    exit_code = ExitCode.RESUMABLE


class TooManyRejectsError(CopypumpError):
    """More rows were rejected than may be."""

    exit_code = ExitCode.TOO_MANY_REJECTS


class Terminated(KeyboardInterrupt):
    """SIGTERM: travels wherever Ctrl-C does, and ends with its own exit code."""


def interruption(error: KeyboardInterrupt) -> ExitCode:
    """Which signal it was: its exit code, and what that means."""
    return ExitCode.SIGTERM if isinstance(error, Terminated) else ExitCode.SIGINT


def printable(text: str) -> str:
    """`text` with control characters (but not line breaks) escaped, fit for a terminal."""
    return "".join(c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)
