"""What every way to cut is given, and how it says that it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct
from psycopg import sql

from copypump.codec.column import Column
from copypump.engine.options import Options
from copypump.engine.planning.origin import Origin
from copypump.engine.splits.reading import own_conditions, relation_of
from copypump.errors import SourceError
from copypump.postgres.session import Session

# Seconds that one statement may take which only makes a split more even.
PATIENCE = 10.0

_CANCELLED = "57014"


class Unfit(Exception):  # noqa: N818 - it is an error only where the user asked for this very way
    """A way to cut cannot be had; `reason` is a sentence for the plan, or the message of an error."""

    def __init__(self, reason: str, *, hint: str | None = None, column: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.column = column


class TooLong(Exception):  # noqa: N818 - the split is then made without what was asked
    """What was asked of the source took longer than PATIENCE, or somebody cancelled it."""


class Request(Struct, frozen=True):
    """A source that is to be cut for `jobs` workers.

    `startable_over`: the load can begin again from nothing, so that its chunks need not mean the same rows
    under another snapshot.
    """

    source: Session
    origin: Origin
    options: Options
    jobs: int
    startable_over: bool

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that are read, with the types that they have on the source."""
        return tuple(self.origin.texts.get(column.name, column) for column in self.origin.columns)

    @property
    def conditions(self) -> list[str]:
        """The user's condition, if there is one."""
        return own_conditions(self.options)

    @property
    def relation(self) -> sql.Composable:
        """The table or the query, as it stands after FROM."""
        return relation_of(self.origin, self.options)

    @contextmanager
    def asking(self, *, bounded: bool) -> Iterator[None]:
        """Ask for values and sizes: texts are exact, and no setting of it is left behind.

        Raises:
            TooLong: `bounded`, and a statement took longer than PATIENCE.

        """
        patience = int(PATIENCE * 1000) if bounded else 0
        self.source.together(
            [
                "SAVEPOINT copypump_split",
                # Dates are read back as they are written whatever the order of day and month; floats are
                # exact.
                "SET LOCAL DateStyle = ISO",
                "SET LOCAL extra_float_digits = 3",
                # Of blocks that are looked at one by one, each would else be a reason to read all of them.
                "SET LOCAL enable_tidscan = on",
                f"SET LOCAL statement_timeout = {patience}",
            ]
        )
        late = False
        try:
            yield
        except SourceError as error:
            if not bounded or error.sqlstate != _CANCELLED:
                raise
            late = True
        self.source.together(["ROLLBACK TO SAVEPOINT copypump_split", "RELEASE SAVEPOINT copypump_split"])
        if late:
            raise TooLong


def megabytes(size: float) -> str:
    """Write a size for people."""
    return f"{size / (1 << 20):,.1f} MB"
