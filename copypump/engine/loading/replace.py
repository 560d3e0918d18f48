"""Mode replace: load into a new table like the target, and let it take the target's place.

The twin (see `postgres.twin`) is made first and its rows land there; then it gets its indexes and
constraints, its foreign keys are checked in both directions, and a short transaction swaps it in. (Where bad
rows are rejected, all that may refuse a row is there before they come.) All that the target is was read for
the plan. The swap holds it against what it finds under its locks, and what it made against the same: a
property that nobody thought of undoes everything.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace as changed
from psycopg import sql

from copypump.engine.loading import direct
from copypump.engine.loading.loading import Execute, Landing, Loading, Phase, Step
from copypump.engine.options import REJECT
from copypump.engine.pipeline.sink import make_sink
from copypump.engine.report import Tally
from copypump.errors import RefusedError, Side, TargetError
from copypump.postgres.catalog import find_oid
from copypump.postgres.names import quote_name, show_name
from copypump.postgres.references import Pair, counting_orphans
from copypump.postgres.session import Session
from copypump.postgres.translate import denied
from copypump.postgres.twin.definition import CATALOG_PATH, Definition, Row, catalog_path, read_definition
from copypump.postgres.twin.making import (
    Names,
    choose_names,
    constraint_statements,
    exclusion_statements,
    index_statements,
    make_statements,
    reference_statements,
)
from copypump.postgres.twin.notes import notes
from copypump.postgres.twin.privileges import our_role, what_is_lacking
from copypump.postgres.twin.refusals import what_stands_against
from copypump.postgres.twin.swapping import locks, referrer_locks, referrer_statements, swap_statements
from copypump.postgres.twin.texts import quoted

# Whoever wants the table waits behind us while we wait for a lock on it. So we wait for so long, then let
# everyone through, and try again.
LOCK_TIMEOUT = "2s"
LOCK_ATTEMPTS = 15
LOCK_PAUSE = 1.0  # seconds

_LOCK_NOT_AVAILABLE = "55P03"
_DUPLICATE_TABLE = "42P07"
_FOREIGN_KEY_VIOLATION = "23503"


def replace(landing: Landing) -> Loading:
    """Decide how the target is replaced.

    Raises:
        RefusedError: it is, or has, or is used by, something for which there is no rule; or a run with a
            ledger would have to make it.
        TargetError: the role may not do it.

    """
    table, target = landing.destination.table, landing.target
    if table is None:
        if landing.many:  # who resumes it would find a table, and no twin
            raise RefusedError(
                "there is no table yet that many chunks could replace",
                side=Side.TARGET,
                table=landing.destination.name,
                hint="leave --mode out: the run makes the table, and nobody had rows in it",
            )
        return direct.append(landing)
    definition = read_definition(target, table.oid)
    if definition is None:
        raise RefusedError("the table is gone", side=Side.TARGET, table=landing.destination.name)
    _refuse(target, definition)
    names = choose_names(definition, token(landing.run, table.oid))
    twin = changed(landing.destination, table=None, identifier=sql.Identifier(*names.table))
    sink = make_sink(target, twin, landing.mapping, landing.cast, raw=landing.raw)
    rejecting = landing.options.on_error == REJECT
    prepare: list[Step] = [
        Statements(definition, names, make_statements(definition, names, target.server_version))
    ]
    if rejecting:
        prepare += _refusing(definition, names)
    return Loading(
        sink,
        prepare=tuple(prepare),
        finish=_finish(landing, definition, names, rejecting=rejecting),
        restart=(Execute(sql.SQL("TRUNCATE TABLE {}").format(sql.Identifier(*names.table))),),
        locks=True,  # by LIKE, against what would alter it
        tables=(quoted(names.table),),
        warnings=tuple(notes(target, definition, show_name(*names.table), early=rejecting)),
        into=twin.identifier,
        named=_named(definition, names),
        told=functools.partial(told, definition, names),
    )


def token(run: str, oid: int) -> str:
    """What tells the twins of runs apart: by the run's name, or where it has none, by the table."""
    return hashlib.blake2s(run.encode(), digest_size=5).hexdigest() if run else str(oid)


def _refuse(target: Session, definition: Definition) -> None:
    against = what_stands_against(target, definition)
    if against:
        raise RefusedError(
            f"replace has no rule for what it finds: {'; '.join(against)}",
            side=Side.TARGET,
            table=str(definition),
            hint="--mode truncate loads the table itself, in one transaction"
            if definition.relation["relkind"] in "rp"
            else "land in a table with --into",
        )
    if lacking := what_is_lacking(target, definition):
        raise denied(f"the role lacks {'; '.join(lacking)}", str(definition))


def told(definition: Definition, names: Names, error: TargetError) -> TargetError:
    """Tell an error by the names that things will have; one about those that they have now, as it is."""
    if error.sqlstate == _DUPLICATE_TABLE:
        return error
    error.table = str(definition)
    for made, name in _named(definition, names).items():
        error.message = error.message.replace(f'"{made}"', quote_name(name))
        error.hint = error.hint and error.hint.replace(f'"{made}"', quote_name(name))
    return error


def _named(definition: Definition, names: Names) -> dict[str, str]:
    """What everything will be called, by the name that it has until then."""
    will = {made: part for (_, part), made in names.parts.items()}
    will |= dict(zip(names.keys, (row["name"] for row in definition.referrers), strict=True))
    return will | {names.table[1]: definition.name[1]}


def _refusing(definition: Definition, names: Names) -> Iterator[Step]:
    """All that may refuse a row, where bad rows are rejected: it has to be there before they come."""
    for statements in index_statements(definition, names, refusing=True):
        yield Statements(definition, names, statements)
    if any(exclusion_statements(definition, names)):
        yield Statements(definition, names, exclusion_statements(definition, names))
    if any(reference_statements(definition, names)):
        yield Patient(definition, names, reference_statements(definition, names))


def _finish(landing: Landing, definition: Definition, names: Names, *, rejecting: bool) -> tuple[Phase, ...]:
    target, memory = landing.target, landing.options.memory

    def statements(given: Iterable[str]) -> Statements:
        return Statements(definition, names, given)

    check: list[Step] = []
    if not rejecting and any(reference_statements(definition, names)):
        check.append(Patient(definition, names, reference_statements(definition, names)))
    check += [Referred(definition, names, row) for row in checked(definition)]
    left = index_statements(definition, names, refusing=False if rejecting else None)
    indexes = tuple(statements((*memory, *each)) for each in left)
    swap: list[Step] = []
    if any(referrer_locks(definition)):
        swap += [
            Patient(definition, names, referrer_locks(definition)),
            statements(referrer_statements(definition, names)),
        ]
    role = our_role(target, definition)
    swap += [
        Patient(definition, names, locks(definition)),
        Swap(definition, names, swap_statements(definition, names, role)),
    ]
    phases = (
        Phase("indexes", indexes, apart=True),
        Phase(
            "constraints",
            (statements((*memory, *constraint_statements(definition, names, exclusions=not rejecting))),),
        ),
        Phase("check", tuple(check)),
        Phase("swap", tuple(swap)),
    )
    return tuple(phase for phase in phases if phase.statements)


class Statements:
    """A step of plain statements. Whatever fails in it is told by the names that the target has."""

    def __init__(self, definition: Definition, names: Names, statements: Iterable[str]) -> None:
        self.definition = definition
        self.names = names
        self._statements = tuple(statements)

    @property
    def statements(self) -> tuple[str, ...]:
        """See `Step`."""
        return self._statements

    def run(self, target: Session, tally: Tally) -> None:  # noqa: ARG002 - the protocol's
        """See `Step`."""
        self._execute(target)

    def _execute(self, target: Session) -> None:
        try:
            for statement in self._statements:
                target.execute(statement)
        except TargetError as error:
            raise told(self.definition, self.names, error) from None


class Patient(Statements):
    """Statements that take locks: all of them, or else wait without any and try again."""

    @property
    def statements(self) -> tuple[str, ...]:
        """See `Step`."""
        return f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'", *self._statements

    def run(self, target: Session, tally: Tally) -> None:  # noqa: ARG002 - the protocol's
        """See `Step`."""
        target.execute(self.statements[0])
        for attempt in range(1, LOCK_ATTEMPTS + 1):
            target.execute("SAVEPOINT copypump_locks")
            try:
                self._execute(target)
            except TargetError as error:
                if error.sqlstate != _LOCK_NOT_AVAILABLE or attempt == LOCK_ATTEMPTS:
                    raise
                target.execute("ROLLBACK TO SAVEPOINT copypump_locks")
            else:
                break
            if target.interrupt is not None and target.interrupt.wait(LOCK_PAUSE):
                target.interrupt.check()
        target.execute("RELEASE SAVEPOINT copypump_locks")


class Referred(Struct, frozen=True):
    """Whether all rows of another table that refer to the target find their keys in the twin."""

    definition: Definition
    names: Names
    key: Row

    @property
    def statements(self) -> tuple[str, ...]:
        """See `Step`."""
        key = self.key
        only = sql.SQL("" if key["kind"] == "p" else "ONLY ")
        orphans = counting_orphans(
            only + sql.Identifier(key["schema"], key["table"]),
            sql.Identifier(*self.names.table),
            [
                Pair(column, referenced, operator)
                for column, referenced, operator in zip(
                    key["columns"], key["referenced"], key["operators"], strict=True
                )
            ],
            full=key["match"] == "f",
        )
        return (orphans.as_string(),)

    def run(self, target: Session, tally: Tally) -> None:  # noqa: ARG002 - the protocol's
        """See `Step`."""
        [(count,)] = target.execute(self.statements[0])
        if count:
            referring = show_name(self.key["schema"], self.key["table"])
            raise TargetError(
                f"{count:,} rows of {referring} refer to rows that the new table does not have"
                f" (foreign key {show_name(self.key['name'])})",
                side=Side.TARGET,
                table=str(self.definition),
                sqlstate=_FOREIGN_KEY_VIOLATION,
                hint=f"load the rows that {referring} refers to, or take away those that refer to them",
            )


def checked(definition: Definition) -> list[Row]:
    """The foreign keys to the target that hold for what is there; those over periods the swap checks."""
    return [row for row in definition.referrers if row["validated"] and not row["period"]]


class Swap(Statements):
    """Swap the twin in, if the target still is what it was, and the twin is the same in the end."""

    @property
    def statements(self) -> tuple[str, ...]:
        """See `Step`."""
        return f"SET LOCAL search_path = {CATALOG_PATH}", *self._statements

    def run(self, target: Session, tally: Tally) -> None:  # noqa: ARG002 - the protocol's
        """See `Step`."""
        self._compare(target, "the target changed after the plan was made", "run again")
        with catalog_path(target):
            target.execute(self.statements[0])
            self._execute(target)
        self._compare(
            target,
            "the new table cannot be made what the old one is",
            "--mode truncate loads the table itself; please report what has no rule here",
        )

    def _compare(self, target: Session, what: str, hint: str) -> None:
        """Hold what has the target's name now against what the plan read."""
        oid = find_oid(target, self.definition.name)
        found = None if oid is None else read_definition(target, oid)
        differences = ["it is gone"] if found is None else self.definition.differences(found)
        if differences:
            raise RefusedError(
                f"{what}: {'; '.join(differences)}", side=Side.TARGET, table=str(self.definition), hint=hint
            )
