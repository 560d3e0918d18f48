"""`sequences`: those of the columns that rows landed in go on behind the highest value that is there.

Last of all, once nothing else can fail: whoever wants a next value waits from then to the COMMIT. A sequence
is looked at first, and left alone where it is far enough. Else ALTER SEQUENCE gives it the CACHE that it has,
which changes nothing and does three things: its lock waits for all who took values and keeps others from
taking more, so that the sequence can only go forward; it makes what is set after it a part of the
transaction, which a rollback undoes; and values that other sessions hold in store are void.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace
from psycopg import sql

from copypump.engine.loading import Landing, Loading, Phase
from copypump.engine.report import Tally
from copypump.postgres.catalog import Table
from copypump.postgres.names import quote_name
from copypump.postgres.sequences import Sequence, sequences_of
from copypump.postgres.session import Session

_INTEGERS = {20, 21, 23}  # oids of int8, int2 and int4


def add_sequences(landing: Landing, loading: Loading) -> Loading:
    """End by advancing the sequences; one that the role may not advance is a warning."""
    table, mode = landing.destination.shape, landing.options.load_mode
    if table is None or (mode is not None and not mode.inserts):
        return loading
    written = {mapped.column.name: mapped.column for mapped in landing.mapping.mapped}
    steps, warnings = [], []
    tried = landing.likeness.sequences if landing.likeness else None  # of a table that is yet to be made
    for sequence in sequences_of(landing.target, table) if tried is None else tried:
        column = written.get(sequence.column)
        if column is None or column.type.base.oid not in _INTEGERS:
            continue
        if sequence.owned and sequence.readable:
            steps.append(Advance(table, sequence))
        else:
            lacking = "own it" if sequence.readable else f"read {quote_name(sequence.column)}"
            warnings.append(
                f"the sequence {sequence} is not advanced, as the role does not {lacking}: see to it that its"
                " next value is not there already"
            )
    if not steps and not warnings:
        return loading
    finish = (*loading.finish, Phase("sequences", tuple(steps))) if steps else loading.finish
    return replace(loading, finish=finish, warnings=(*loading.warnings, *warnings))


class Advance(Struct, frozen=True):
    """The step that advances one sequence, if it has to be."""

    table: Table
    sequence: Sequence

    @property
    def _last(self) -> sql.Composable:
        """The value that is there and farthest on the sequence's way, beside where the sequence stands."""
        return sql.SQL("(SELECT pg_catalog.{}({})::pg_catalog.int8 AS value FROM {}) AS l, {} AS s").format(
            sql.SQL("max" if self.sequence.increment > 0 else "min"),
            sql.Identifier(self.sequence.column),
            self.table.qualified,
            self.sequence.identifier,
        )

    @property
    def _behind(self) -> sql.Composable:
        beyond = ">" if self.sequence.increment > 0 else "<"
        return sql.SQL(
            "(l.value OPERATOR(pg_catalog.{}) s.last_value"
            " OR l.value OPERATOR(pg_catalog.=) s.last_value AND NOT s.is_called)"
        ).format(sql.SQL(beyond))

    @property
    def _look(self) -> sql.Composable:
        return sql.SQL("SELECT l.value FROM {} WHERE {}").format(self._last, self._behind)

    @property
    def _hold(self) -> sql.Composable:
        return sql.SQL("ALTER SEQUENCE {} CACHE {}").format(
            self.sequence.identifier, sql.Literal(self.sequence.cache)
        )

    @property
    def _set(self) -> sql.Composable:
        name = sql.Literal(self.sequence.identifier.as_string())
        return sql.SQL("SELECT pg_catalog.setval({}::pg_catalog.regclass, l.value) FROM {} WHERE {}").format(
            name, self._last, self._behind
        )

    @property
    def statements(self) -> tuple[str, ...]:
        """See `Step`; the last two only where the first finds a row."""
        return (self._look.as_string(), self._hold.as_string(), self._set.as_string())

    def run(self, target: Session, tally: Tally) -> None:
        """See `Step`. A value out of the sequence's bounds is a warning."""
        found = target.execute(self._look)
        if not found:
            return
        sequence, [(value,)] = self.sequence, found
        if not sequence.minimum <= value <= sequence.maximum:
            bound = "MAXVALUE" if value > sequence.maximum else "MINVALUE"
            tally.warnings.append(
                f"the sequence {sequence} is not advanced: {quote_name(sequence.column)} has values beyond"
                f" its {bound}"
            )
            return
        target.execute(self._hold)
        target.execute(self._set)
