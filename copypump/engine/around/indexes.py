"""`indexes`: rebuild drops the target's indexes, unique constraints and foreign keys for the load.

They are made again once the rows are there: in the same transaction, or with a ledger in phases of their own,
several indexes at once. There the transaction of the drop also keeps, in the run's notes, how to make them
again; so whoever resumes the run, or forgets it, knows what is owed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from psycopg import sql

from copypump.engine.around.rebuilding import NOTE, Drop, rebuilding
from copypump.engine.loading import Execute, Landing, Loading, Phase
from copypump.engine.options import REJECT
from copypump.errors import RefusedError, Side
from copypump.postgres.catalog import KINDS, Table, find_table
from copypump.postgres.indexes import Dropped, dropping, kept_indexes, kept_keys, what_is_lacking
from copypump.postgres.keys import indexes_led_by, table_bytes, unique_indexes
from copypump.postgres.names import show_name
from copypump.postgres.session import Session
from copypump.postgres.translate import denied
from copypump.postgres.twin.definition import Definition, Row, read_definition

# Making indexes again sorts all rows, keeping them finds a place for each that comes. `bench indexes`,
# times as fast where 1,000,000 rows come: 2.7 to none, 2.0 to as many, 2.3 to 2,000,000, 1.8 to 4,000,000 and
# 1.0 to 8,000,000 that are there.
PAYS = 4
REJECTED = "rows that it refuses are rejected"
RULE = f"it pays where at most {PAYS} times as many rows are there as come"


class Rebuilding(Struct, frozen=True):
    """What a plan tells of the target's indexes: what is dropped, and what stays, by name, and why.

    `there` are the bytes of the rows that the target holds when the load begins.
    """

    dropped: Dropped | None
    kept: tuple[tuple[str, str], ...]
    there: int

    def as_dict(self, coming: int | None) -> dict[str, Any]:
        """For the plan as plain values; `coming` are the bytes of the source's rows, where they are known."""
        return {
            "rebuilt": list(self.dropped.names) if self.dropped else [],
            "kept": [{"name": name, "why": why} for name, why in self.kept],
            "there": self.there,
            "coming": coming,
            "pays": None if coming is None else coming * PAYS >= self.there,
            "rule": RULE,
        }


def add_indexes(landing: Landing, loading: Loading) -> Loading:
    """Drop before the rows come, and make again after the last of the mode's own phases.

    Mode replace makes its new table's indexes after the rows anyway, and a table that the run makes has none.

    Raises:
        RefusedError: the target is no ordinary table.
        TargetError: the role may not drop them, or not make them again.

    """
    options, table = landing.options, landing.destination.table
    new = options.load_mode is not None and options.load_mode.new_table
    if table is None or new:
        return loading
    _check_kind(table)
    if NOTE in landing.notes:
        dropped = Dropped.of(landing.notes[NOTE])
        told = Rebuilding(dropped, (), 0)
        return replace(loading, finish=(*loading.finish, *rebuild(landing, dropped)), indexes=told)
    definition = read_definition(landing.target, table.oid)
    if definition is None:
        raise RefusedError("the table is gone", side=Side.TARGET, table=str(table))
    return _decided(landing, loading, table, definition)


def _check_kind(table: Table) -> None:
    if table.kind == "p":
        raise RefusedError(
            "indexes rebuild does not go with a partitioned table: its indexes are made of those of its"
            " partitions, which could not be made again under their names",
            side=Side.TARGET,
            table=str(table),
            hint="leave --indexes out",
        )
    if table.kind != "r":
        raise RefusedError(
            f"indexes rebuild goes with an ordinary table, and this is a {KINDS[table.kind]}",
            side=Side.TARGET,
            table=str(table),
            hint="leave --indexes out",
        )


def _decided(landing: Landing, loading: Loading, table: Table, definition: Definition) -> Loading:
    """Drop what may go; all that stays is told with its reason."""
    target, options = landing.target, landing.options
    mode = options.load_mode
    there = 0 if mode is None or mode.single else table_bytes(target, table)
    keys = [row for row in definition.constraints if row["contype"] == "f"]
    kept_of_keys = kept_keys(target, definition)
    if options.on_error == REJECT:
        kept_of_keys = {row["conname"]: REJECTED for row in keys} | kept_of_keys
    keys = [row for row in keys if row["conname"] not in kept_of_keys]
    needed = dict(_needed(landing, table, definition))
    kept_of_indexes = needed | kept_indexes(target, definition, keys)
    indexes = [row for row in definition.indexes if row["name"] not in kept_of_indexes]
    kept = (*kept_of_indexes.items(), *kept_of_keys.items())
    if not indexes and not keys:
        return replace(loading, indexes=Rebuilding(None, kept, there))
    if lacking := what_is_lacking(target, definition, indexes):
        raise denied(
            f"the role lacks what dropping indexes and making them again needs: {'; '.join(lacking)}",
            str(table),
            hint="leave --indexes out, or run as the table's owner",
        )
    dropped = dropping(definition, indexes, keys)
    others = _referenced(target, table, keys)
    drop = Drop(landing.destination.only, dropped, definition, landing.options.ledger_schema, landing.run)
    waits = landing.many and mode is not None and mode.keyed  # rows wait elsewhere until they are merged
    first = (Phase("drop indexes", (drop,)),) if waits else ()
    return replace(
        loading,
        prepare=loading.prepare if waits else (drop, *loading.prepare),
        finish=(*first, *loading.finish, *rebuild(landing, dropped)),
        locks=loading.locks or not waits,
        locked=others,
        warnings=(*loading.warnings, *_warnings(landing, dropped, others)),
        indexes=Rebuilding(dropped, kept, there),
    )


def _needed(landing: Landing, table: Table, definition: Definition) -> Iterator[tuple[str, str]]:
    """The indexes that the load itself needs, and why."""
    options, target = landing.options, landing.target
    if options.on_error == REJECT:
        for row in definition.indexes:
            if row["indisunique"] or row["indisexclusion"] or row["_computed"]:
                yield row["name"], REJECTED
    if options.key and options.mode == "upsert":
        for index in unique_indexes(target, table):
            if sorted(index.columns) == sorted(options.key) and not index.fault:
                yield index.name, "the merge tells rows by it (ON CONFLICT)"
    elif options.key and options.mode == "update":
        for name in indexes_led_by(target, table, options.key):
            yield name, "the merge finds rows by it"


def _referenced(target: Session, table: Table, keys: Sequence[Row]) -> tuple[Table, ...]:
    """The other tables to which these foreign keys refer."""
    names = dict.fromkeys(row["referenced"] for row in keys if not row["to_itself"])
    found = [find_table(target, name) for name in names]
    return tuple(each for each in found if each is not None and each.oid != table.oid)


def _warnings(landing: Landing, dropped: Dropped, others: Sequence[Table]) -> Iterator[str]:
    names = ", ".join(map(show_name, dropped.names))
    if landing.many:
        yield (
            f"until all rows are there and it is made again, {dropped} is without {names}: for everybody's"
            " queries, and against everybody's rows"
        )
    if others:
        until = "while foreign keys are dropped" if landing.many else "before the COMMIT"
        yield (
            f"nobody reads or writes {', '.join(map(str, others))} {until}; and nobody writes there while"
            " foreign keys are checked"
        )


def rebuild(landing: Landing, dropped: Dropped) -> Iterator[Phase]:
    """The phases that make everything again."""
    if not landing.many:  # else what is deferred would forbid to alter the table
        yield Phase("deferred", (Execute(sql.SQL("SET CONSTRAINTS ALL IMMEDIATE")),))
    yield from rebuilding(dropped, landing.options.memory, landing.run)
