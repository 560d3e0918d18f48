"""`create_like_source`: the target table is made as the source's is, by what pg_dump tells of it.

The statements of pg_dump's own archive (see `postgres.dump`) are carried out in the run's sessions, and not
by pg_restore in one of its own: so a run of one transaction is atomic with them, a run with a ledger has a
row for each step, and the plan shows every statement. The table comes before the rows. Its indexes,
constraints, triggers, rules and policies come after them: building an index once is faster than keeping it,
and a trigger is not to fire for rows that the source has seen already.

The plan tries all of it on the target, in a transaction that it rolls back. So whatever is missing there (a
schema, a type, a function, a table that a foreign key names) is told by the server itself before any row
moves, and the columns that rows are mapped to are those that the table will have.

Owners, grants and tablespaces are left out, as they name what belongs to the source's server; the table is
the role's that runs. So are extended statistics, which pg_dump does not count to a table. Names stay as they
are: nothing in a definition is rewritten, so that a target of another name is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from msgspec import Struct
from msgspec.structs import replace

from copypump.engine.chunks.ledger import Ledger
from copypump.engine.loading import Landing, Loading, Phase, Step
from copypump.engine.options import Options
from copypump.engine.planning.origin import no_such_table
from copypump.engine.report import Tally
from copypump.errors import RefusedError, Side
from copypump.postgres.catalog import KINDS, Table, find_table
from copypump.postgres.dump import Dump, Section, beside, carry_out, dump_table
from copypump.postgres.extensions import extensions_of
from copypump.postgres.names import parse_name, show_name
from copypump.postgres.sequences import Sequence, sequences_of
from copypump.postgres.session import Session
from copypump.postgres.tools import find_tools
from copypump.postgres.translate import DENIED, message_of, told

# Under this name a run keeps, in its notes, what is to be done after its rows.
NOTE = "like_source"

# The classes of errors that say that a definition does not fit the target; DENIED is apart.
_UNFIT = ("42", "3F", "0A", "22", "23", "55")

_HINTS = {
    "3F000": "CREATE SCHEMA there first",
    "42601": "the target may be of an older version, which does not know what the source's definition says",
    "42P07": "an index, a sequence or a table there has that name; drop it, or rename it",
}
_MISSING = (
    "make it there first: a table's dump has neither types, functions, extensions and roles, nor sequences"
    " that no column owns, nor the tables that its foreign keys name"
)


class Likeness(Struct, frozen=True):
    """How the target is made like the source.

    `made` is the table as the target described it when the plan tried the statements, with its `sequences`;
    None where a run under way has made it. `warnings`: what it will not have.
    """

    dump: Dump
    made: Table | None = None
    sequences: tuple[Sequence, ...] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def tried(self) -> tuple[str, ...]:
        """The statements that the plan has tried."""
        return (*self.dump.before.all, *self.dump.after.all) if self.made is not None else ()


def plan_likeness(
    source: Session,
    target: Session,
    options: Options,
    table: Table | None,
    notes: Mapping[str, Any],
    *,
    begun: bool,
) -> Likeness:
    """Decide how the target is made, and try it.

    `table` is the target where it is there, `begun` says that a run under way has made it; `notes` are that
    run's. Afterwards the target's transaction is a new one.

    Raises:
        RefusedError: the source is no ordinary table, the target is there already, or would have another
            name; there is no pg_dump that is new enough; the definition does not fit the target.
        SourceError: pg_dump fails.
        TargetError: the role lacks a right.

    """
    if begun:
        return Likeness(_noted(notes))
    if table is not None:
        raise RefusedError(
            "the table is there already",
            side=Side.TARGET,
            table=str(table),
            hint="leave --create-like-source out to load it, or drop it first",
        )
    origin = _origin(source, options)
    lacks = beside(source, origin)
    if lacks.is_partition:
        raise _not_a_table(origin, "a partition: its definition belongs to its parent's")
    _check_name(origin, options)
    dump = dump_table(source, origin, find_tools(source.server_version))
    made, sequences = _try(source, target, options, origin, dump)
    warnings = []
    if lacks.statistics:
        warnings.append(f"extended statistics are not made, as pg_dump leaves them out: {lacks.statistics}")
    if lacks.has_grants:
        warnings.append(f"what is granted on {origin} at the source is not granted on the target")
    return Likeness(dump, made, sequences, tuple(warnings))


def _origin(source: Session, options: Options) -> Table:
    assert options.table is not None  # said by Options
    found = find_table(source, options.table)
    if found is None:
        raise no_such_table(source, options.table, "name it as SQL would: [SCHEMA.]NAME")
    if found.kind == "p":
        raise _not_a_table(found, "a partitioned table: without its partitions no row would have a place")
    if found.kind != "r" or found.persistence == "t":
        raise _not_a_table(found, f"a {'temporary table' if found.kind == 'r' else KINDS[found.kind]}")
    return found


def _not_a_table(table: Table, what: str) -> RefusedError:
    return RefusedError(
        f"--create-like-source goes with an ordinary table, and the source is {what}",
        side=Side.SOURCE,
        table=str(table),
        hint="let --create make the table from what arrives, or make it yourself",
    )


def _check_name(origin: Table, options: Options) -> None:
    schema, name = parse_name(options.target_name)
    if name != origin.name or schema not in (None, origin.schema):
        raise _other_name(origin, options)


def _other_name(origin: Table, options: Options) -> RefusedError:
    return RefusedError(
        f"--create-like-source makes {origin}, as the table is called on the source, and the target is called"
        f" {options.target_name}",
        side=Side.TARGET,
        table=options.target_name,
        hint=f"--into {origin}, and ALTER TABLE ... RENAME or SET SCHEMA afterwards",
    )


def _try(
    source: Session, target: Session, options: Options, origin: Table, dump: Dump
) -> tuple[Table, tuple[Sequence, ...]]:
    """Carry everything out, in the transaction that is open, and roll it back; describe the table."""
    with told(target.side, table=str(origin)):
        try:
            carry_out(target, dump.before)
            made = find_table(target, options.target_name)
            sequences = () if made is None else tuple(sequences_of(target, made))
            carry_out(target, dump.after)
        except psycopg.Error as error:
            if (unfit := _unfit(source, origin, error)) is None:
                raise
            raise unfit from None
    target.rollback()
    target.begin_target()
    if made is None or (made.schema, made.name) != (origin.schema, origin.name):
        raise _other_name(origin, options)  # by the search_path there
    return made, sequences


def _unfit(source: Session, origin: Table, error: psycopg.Error) -> RefusedError | None:
    """The server's error as one of the definition's; None where it is of something else.

    There was no row to quote, so that its words are shown whole, unless they are a function's.
    """
    state = error.sqlstate or ""
    if state == DENIED or not state.startswith(_UNFIT):
        return None
    hint = _HINTS.get(state, _MISSING)
    made = extensions_of(source, [column.type for column in origin.columns])
    if hint == _MISSING and made:
        names = ", ".join(sorted({show_name(extension.name) for extension in made.values()}))
        hint += f"; types of its columns are of the extension {names}"
    words = message_of(error) if error.diag.context else error.diag.message_primary
    return RefusedError(
        f"the definition does not fit the target: {words}",
        side=Side.TARGET,
        table=str(origin),
        sqlstate=state,
        hint=hint,
    )


class Carried(Struct, frozen=True):
    """The step of some statements of a dump; what they set holds for them alone."""

    section: Section

    @property
    def statements(self) -> tuple[str, ...]:
        """See `Step`."""
        return self.section.all

    def run(self, target: Session, tally: Tally) -> None:  # noqa: ARG002 - the protocol's
        """See `Step`."""
        with told(target.side):
            carry_out(target, self.section)


class Noted(Struct, frozen=True):
    """The step that keeps in the ledger what is to be done after the rows, as the table is made."""

    schema: str
    run_name: str
    section: Section
    statements: tuple[str, ...] = ()

    def run(self, target: Session, tally: Tally) -> None:  # noqa: ARG002 - the protocol's
        """See `Step`."""
        note = {"settings": self.section.settings, "statements": self.section.statements}
        Ledger(self.schema).note(target, self.run_name, {NOTE: note})


def _noted(notes: Mapping[str, Any]) -> Dump:
    note = notes.get(NOTE, {"settings": (), "statements": ()})
    return Dump(Section((), ()), Section(tuple(note["settings"]), tuple(note["statements"])))


def add_like_source(landing: Landing, loading: Loading) -> Loading:
    """Begin the load by making the table, and end it by its indexes, each apart, and then all else."""
    likeness = landing.likeness
    assert likeness is not None  # which the plan decides before the rest
    before, noted = likeness.dump.before, likeness.dump.after
    after = Section((*landing.options.memory, *noted.settings), noted.statements)
    indexes = [statement for statement in after.statements if _makes_index(statement)]
    others = [statement for statement in after.statements if not _makes_index(statement)]
    phases = (
        Phase("make indexes", tuple(Carried(after.of([each])) for each in indexes), apart=True),
        Phase("make constraints and triggers", (Carried(after.of(others)),)),
    )
    making: list[Step] = [Carried(before)]
    if landing.many:
        making.append(Noted(landing.options.ledger_schema, landing.run, noted))
    return replace(
        loading,
        prepare=(*making, *loading.prepare),
        finish=(*(phase for phase in phases if phase.statements), *loading.finish),
        tried=likeness.tried,
        warnings=(*loading.warnings, *likeness.warnings),
    )


def _makes_index(statement: str) -> bool:
    return statement.startswith(("CREATE INDEX ", "CREATE UNIQUE INDEX "))
