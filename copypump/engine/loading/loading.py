"""What a load mode decides: phases of steps around the COPY, and where the COPY goes.

A run of one chunk does all of it in one transaction. A run with a ledger commits each phase and each chunk
in a transaction of its own, together with its ledger row. Every statement is decided in the plan, which
prints it.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct, field
from psycopg import sql

from copypump.codec.column import Column
from copypump.engine.options import Options
from copypump.engine.pipeline.sink import Sink
from copypump.engine.planning.destination import Destination
from copypump.engine.planning.mapping import Mapping
from copypump.engine.report import Tally
from copypump.errors import TargetError
from copypump.postgres.catalog import Table
from copypump.postgres.session import Session

if TYPE_CHECKING:
    from copypump.engine.around.indexes import Rebuilding
    from copypump.engine.around.like_source import Likeness


class Step(Protocol):
    """One thing that is done on the target, within a transaction."""

    @property
    def statements(self) -> tuple[str, ...]:
        """The very statements, in order, as the plan prints them."""
        ...

    def run(self, target: Session, tally: Tally) -> None:
        """Do it, and count in `tally` what became of rows.

        Raises:
            CopypumpError: it cannot be done, or what it checks does not hold; the transaction is to end.

        """
        ...


class Execute(Struct, frozen=True):
    """The step of one statement whose result tells nothing."""

    statement: sql.Composable

    @property
    def statements(self) -> tuple[str, ...]:
        """See `Step`."""
        return (self.statement.as_string(),)

    def run(self, target: Session, tally: Tally) -> None:  # noqa: ARG002 - the protocol's
        """See `Step`."""
        target.execute(self.statement)


class Phase(Struct, frozen=True):
    """Steps that commit together; `name` is their row in the ledger, and what progress shows.

    Those of an `apart` phase depend on none of each other: where there is a ledger, each commits by itself,
    with a row of its own, and as many run at once as there are workers.
    """

    name: str
    steps: tuple[Step, ...]
    apart: bool = False

    @property
    def statements(self) -> tuple[str, ...]:
        """Those of its steps, in order."""
        return tuple(statement for step in self.steps for statement in step.statements)

    def run(self, target: Session, tally: Tally) -> None:
        """Do its steps in order."""
        for step in self.steps:
            step.run(target, tally)


def _as_it_is(error: TargetError) -> TargetError:
    return error


class Loading(Struct, frozen=True):
    """How the rows of one run land.

    Attributes:
        sink: where each chunk's COPY goes.
        prepare: what is done before the first chunk, in one transaction. With `locks`, the first statement
            locks the target as the mode needs it; else it is locked as for an INSERT.
        finish: phases after the last chunk, in order.
        restart: the steps that take away what chunks have landed so far; None where that cannot be done.
        tables: quoted names of tables that `prepare` makes for the run alone: who forgets the run drops them.
        warnings: what the user may not expect.
        into: the table in which rows land, where it is another than the target, and stands for it.
        named: what the user knows the parts of that table as, by the names that they have there.
        locked: other tables than the target, which the load locks against all others.
        indexes: what becomes of the target's indexes, where the run drops and makes them again.
        tried: statements that the plan has tried on the target, and rolled back.
        told: an error of the target's by the names that the user knows, where rows land in another table.

    """

    sink: Sink
    prepare: tuple[Step, ...] = ()
    finish: tuple[Phase, ...] = ()
    locks: bool = False
    restart: tuple[Step, ...] | None = None
    tables: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    into: sql.Composable | None = None
    named: collections.abc.Mapping[str, str] = field(default_factory=dict)
    locked: tuple[Table, ...] = ()
    indexes: Rebuilding | None = None
    tried: tuple[str, ...] = ()
    told: Callable[[TargetError], TargetError] = _as_it_is

    @property
    def before(self) -> tuple[str, ...]:
        """The statements of `prepare`, in order."""
        return tuple(statement for step in self.prepare for statement in step.statements)

    @property
    def after(self) -> tuple[str, ...]:
        """The statements of `finish`, in order."""
        return tuple(statement for phase in self.finish for statement in phase.statements)


class Landing(Struct, frozen=True):
    """What a mode decides its Loading by.

    Attributes:
        target: a session in a transaction; nothing is written by it.
        destination: the target table, or the one that the run will make.
        mapping: which column lands where.
        options: the user's.
        cast: the target's columns, by name, that its server casts text to (see `engine.pipeline.sink`).
        raw: text may be any bytes.
        many: chunks commit one by one, in transactions and sessions of their own.
        run: the run's name; "" where there is no ledger.
        notes: what a run that is resumed has kept in the ledger.
        likeness: how the target is made like the source, where it is.

    """

    target: Session
    destination: Destination
    mapping: Mapping
    options: Options
    cast: collections.abc.Mapping[str, Column] = field(default_factory=dict)
    raw: bool = False
    many: bool = False
    run: str = ""
    notes: collections.abc.Mapping[str, Any] = field(default_factory=dict)
    likeness: Likeness | None = None


MakeLoading = Callable[[Landing], Loading]
