"""The steps that drop a table's indexes and make them again, and what a run owes in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from psycopg import sql

from copypump.engine.chunks.ledger import Ledger
from copypump.engine.loading import Phase, Step
from copypump.engine.report import Tally
from copypump.errors import RefusedError, Side, TargetError
from copypump.postgres.catalog import find_oid
from copypump.postgres.indexes import PARTS, Dropped, Making, is_there
from copypump.postgres.names import show_name
from copypump.postgres.session import Session
from copypump.postgres.twin.definition import Definition, differences_of, read_parts

# Under this name a run keeps, in its notes, how to make again what it has dropped: `Dropped.as_dict`.
NOTE = "indexes"

# Rows that break what is made again: unique, foreign key, exclusion.
_VIOLATIONS = ("23505", "23503", "23P01")


class Drop(Struct, frozen=True):
    """The step that drops; with a ledger (`run` is not "") it notes how to make again what it drops.

    It locks the table first: two runs that both held less, and then wanted more, would wait for each other.
    What it finds then is held against what the plan read (`before`).
    """

    only: sql.SQL
    dropped: Dropped
    before: Definition
    ledger_schema: str
    run_id: str

    @property
    def statements(self) -> tuple[str, ...]:
        """See `Step`."""
        table = sql.Identifier(*self.dropped.table)
        lock = sql.SQL("LOCK TABLE {}{} IN ACCESS EXCLUSIVE MODE").format(self.only, table)
        return (lock.as_string(), *self.dropped.drop)

    def run(self, target: Session, tally: Tally) -> None:  # noqa: ARG002 - the protocol's
        """See `Step`."""
        lock, *drop = self.statements
        target.execute(lock)
        found = read_parts(target, self.before.oid, PARTS)
        differences = [
            difference
            for part in PARTS
            for difference in differences_of(part, getattr(self.before, part), found[part])
        ]
        if differences:
            raise RefusedError(
                f"the target changed after the plan was made: {'; '.join(differences)}",
                side=Side.TARGET,
                table=str(self.dropped),
                hint="run again",
            )
        if self.run_id:
            Ledger(self.ledger_schema).note(target, self.run_id, {NOTE: self.dropped.as_dict()})
        for statement in drop:
            target.execute(statement)


def rebuilding(dropped: Dropped, settings: tuple[str, ...], run: str) -> Iterator[Phase]:
    """The phases that make again what was dropped, each transaction with these settings, and look at it.

    What is there already is left as it is, so that they can be done again.
    """

    def made(makings: Sequence[Making]) -> tuple[Step, ...]:
        return tuple(Make(dropped, making, settings, run) for making in makings)

    phases = (
        Phase("indexes", made(dropped.indexes), apart=True),
        Phase("constraints", made(dropped.constraints)),
        Phase("add foreign keys", made(dropped.keys), apart=True),
    )
    yield from (phase for phase in phases if phase.steps)
    yield Phase("check indexes", (Compare(dropped),))


class Make(Struct, frozen=True):
    """The step that makes one index or constraint again."""

    dropped: Dropped
    making: Making
    settings: tuple[str, ...]
    run_id: str

    @property
    def statements(self) -> tuple[str, ...]:
        """See `Step`."""
        return (*self.settings, *self.making.statements)

    def run(self, target: Session, tally: Tally) -> None:  # noqa: ARG002 - the protocol's
        """See `Step`."""
        making = self.making
        done = _done(target, self.dropped, making)
        for statement in (*self.settings, *(() if done else making.make), *making.finish):
            try:
                target.execute(statement)
            except TargetError as error:
                raise self._told(error) from None

    def _told(self, error: TargetError) -> TargetError:
        """Say the way out, where rows are what is wrong."""
        error.table = str(self.dropped)
        if error.sqlstate in _VIOLATIONS:
            what = show_name(self.making.name)
            if self.run_id:
                run = self.run_id
                error.hint = (
                    f"{what} cannot be made again over these rows: mend them, then copypump resume {run};"
                    f" or copypump forget {run} --indexes leave gives up what is not made yet"
                )
            else:
                error.hint = (
                    f"{what} cannot be made again over the rows that were there and those that came;"
                    " with --indexes keep the server tells which row it refuses"
                )
        return error


def _done(target: Session, dropped: Dropped, making: Making) -> bool:
    return bool(making.make) and is_there(target, dropped.table, making)


class Compare(Struct, frozen=True):
    """The step that holds what was made again against what was dropped, property by property."""

    dropped: Dropped

    @property
    def statements(self) -> tuple[str, ...]:
        """See `Step`: it only looks."""
        return ()

    def run(self, target: Session, tally: Tally) -> None:  # noqa: ARG002 - the protocol's
        """See `Step`."""
        if find_oid(target, self.dropped.table) is None:
            raise RefusedError("the table is gone", side=Side.TARGET, table=str(self.dropped))
        if missing := self.dropped.missing(target):
            raise RefusedError(
                f"what was made again is not what was dropped: {'; '.join(missing)}",
                side=Side.TARGET,
                table=str(self.dropped),
                hint="if nobody has changed it meanwhile, please report what has no rule here",
            )


# A run that is forgotten -----------------------------------------------------------------------------------


class Owed(Struct, frozen=True):
    """What a run that is not done owes its target.

    `missing` is what is not as it was, by name; `statements` make it again.
    """

    run: str
    dropped: Dropped
    missing: tuple[str, ...]
    statements: tuple[str, ...]

    def refusal(self) -> RefusedError:
        """Why the run cannot just be forgotten, and the ways out."""
        run = self.run
        return RefusedError(
            f"the run {run} has dropped what it has not made again: {'; '.join(self.missing)}",
            side=Side.TARGET,
            table=str(self.dropped),
            hint=f"copypump resume {run} goes on with it; copypump forget {run} --indexes rebuild makes them"
            " again over the rows that are there, and --indexes leave prints how, and leaves them out",
        )

    def rebuild(self, target: Session) -> None:
        """Make everything again, in the session's transaction.

        Raises:
            TargetError: the rows that are there do not let it.

        """
        for phase in rebuilding(self.dropped, (), self.run):
            phase.run(target, Tally())


def owed(target: Session, run: str, notes: Mapping[str, Any]) -> Owed | None:
    """What a run that is not done owes, by its notes; None where everything is there, or the table gone."""
    if NOTE not in notes:
        return None
    dropped = Dropped.of(notes[NOTE])
    missing = dropped.missing(target)
    if not missing:
        return None
    statements = [
        statement
        for making in (*dropped.indexes, *dropped.constraints, *dropped.keys)
        for statement in (*(() if _done(target, dropped, making) else making.make), *making.finish)
    ]
    return Owed(run, dropped, tuple(missing), tuple(statements))
