"""Mode upsert: rows whose key is new are inserted, and where it is there already, what changed is updated.

By INSERT ... ON CONFLICT, so that others may write to the table at the same time. It does not tell what it
did with each row, and RETURNING cannot ask on a partitioned table (of which a new row has no xmax yet); so
the condition under which a row is updated counts itself: in two sequences, which are gone with the table in
which rows wait.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace
from psycopg import sql

from copypump.engine.loading.loading import Landing, Loading
from copypump.engine.loading.merge import (
    Merge,
    check_updatable,
    identity_warnings,
    merging,
    plan_merge,
)
from copypump.engine.report import Tally
from copypump.errors import RefusedError, Side, TargetError
from copypump.postgres.keys import Index, drops_rows, unique_indexes
from copypump.postgres.names import quote_name, show_name
from copypump.postgres.session import Session
from copypump.postgres.translate import told


def upsert(landing: Landing) -> Loading:
    """Decide how rows are inserted or updated.

    Raises:
        RefusedError: no unique index of the target stands for the key; or as for `plan_merge`.
        TargetError: the role lacks a privilege.

    """
    merge = plan_merge(landing)
    target, table = landing.target, merge.table
    usable = _usable(unique_indexes(target, table), landing)
    nulls_equal = any(index.nulls_equal for index in usable)
    merge = replace(merge, nulls_equal=nulls_equal)
    updating = landing.options.on_conflict == "update" and bool(merge.settable)
    counting = not updating and drops_rows(target, table)
    check_updatable(landing, table, merge.settable if updating else merge.key[:1] if counting else ())
    step = Upsert(
        merge, _counters(landing, merge), _merge(landing, merge, updating=updating, counting=counting),
        counted=updating or counting,
    )  # fmt: skip
    return merging(landing, merge, step, _warnings(landing, merge))


def _usable(indexes: Sequence[Index], landing: Landing) -> list[Index]:
    """The indexes by which ON CONFLICT can tell the key (RefusedError: there are none)."""
    key = landing.options.key or ()
    those = [index for index in indexes if sorted(index.columns) == sorted(key)]
    usable = [index for index in those if not index.fault]
    if usable:
        return usable
    columns = ", ".join(map(quote_name, key))
    message = f"no unique index or primary key stands for the key ({columns})"
    if those:
        message += "; " + "; ".join(f"{show_name(index.name)} {index.fault}" for index in those)
    others = ["(" + ", ".join(index.columns) + ")" for index in indexes if not index.fault]
    table = landing.destination.table
    raise RefusedError(
        message,
        side=Side.TARGET,
        table=landing.destination.name,
        hint=f"CREATE UNIQUE INDEX ON {table} ({columns})"
        + (f"; it has a key of {' and one of '.join(others)}" if others else ""),
    )


def _warnings(landing: Landing, merge: Merge) -> list[str]:
    warnings = identity_warnings(merge)
    nullable = [quote_name(column.name) for column in merge.key if not column.not_null]
    if nullable and not merge.nulls_equal:
        warnings.append(
            f"a key with NULL in it ({', '.join(nullable)} may be) meets no other: each run inserts such rows"
            " anew"
        )
    if landing.options.on_conflict == "update" and not merge.settable:
        warnings.append("every column that arrives is of the key: nothing is updated")
    return warnings


class Counters(Struct, frozen=True):
    """Two sequences, of the rows that are updated and of those that stay as they are."""

    changed: sql.Identifier
    kept: sql.Identifier
    create: tuple[sql.Composable, ...]

    def next(self, which: sql.Identifier) -> sql.Composable:
        """The next number of one."""
        return sql.SQL("pg_catalog.nextval({}::pg_catalog.regclass)").format(sql.Literal(which.as_string()))

    @property
    def read(self) -> sql.Composable:
        """How far both have come."""
        return sql.SQL("SELECT {} OPERATOR(pg_catalog.-) 1, {} OPERATOR(pg_catalog.-) 1").format(
            self.next(self.changed), self.next(self.kept)
        )


def _counters(landing: Landing, merge: Merge) -> Counters:
    """Beside the table in which rows wait, and owned by it. A session takes its numbers by the thousand."""
    schema = landing.options.ledger_schema
    names = [f"{name}_{landing.run if landing.many else 'copypump'}" for name in ("changed", "kept")]
    made = [sql.Identifier(schema if landing.many else "pg_temp", name) for name in names]
    owner = merge.rows + sql.SQL(".") + sql.Identifier(merge.columns[0].name)
    create = tuple(
        sql.SQL("CREATE {}SEQUENCE {} CACHE 1000 OWNED BY {}").format(
            sql.SQL("" if landing.many else "TEMPORARY "), name, owner
        )
        for name in made
    )
    return Counters(made[0], made[1], create)


def _merge(landing: Landing, merge: Merge, *, updating: bool, counting: bool) -> sql.Composable:
    """The INSERT. In the order of the key: pages of an index are then met once (three times as fast)."""
    counters = _counters(landing, merge)
    if updating:
        setting = sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column.name)) for column in merge.settable
        )
        action: sql.Composable = sql.SQL(
            "DO UPDATE SET {} WHERE CASE WHEN {} THEN {} OPERATOR(pg_catalog.>) 0"
            " ELSE {} OPERATOR(pg_catalog.<) 0 END"
        ).format(
            setting,
            merge.differs("t", "excluded"),
            counters.next(counters.changed),
            counters.next(counters.kept),
        )
    elif counting:
        # Never true: it only counts, so that rows which a trigger drops are not taken for those.
        action = sql.SQL("DO UPDATE SET {} = DEFAULT WHERE {} OPERATOR(pg_catalog.<) 0").format(
            sql.Identifier(merge.key[0].name), counters.next(counters.kept)
        )
    else:
        action = sql.SQL("DO NOTHING")
    overriding = "OVERRIDING SYSTEM VALUE " if any(column.identity for column in merge.columns) else ""
    statement = (
        "INSERT INTO {target} AS t ({names}) {overriding}SELECT {names} FROM {rows} ORDER BY {key}"
        " ON CONFLICT ({key}) {action}"
    )
    return sql.SQL(statement).format(
        target=merge.table.qualified,
        names=merge.names(merge.columns),
        overriding=sql.SQL(overriding),
        rows=merge.rows,
        key=merge.names(merge.key),
        action=action,
    )


class Upsert(Struct, frozen=True):
    """The step that brings the rows in. `counted`: the counters tell how many are there already."""

    merge: Merge
    counters: Counters
    statement: sql.Composable
    counted: bool

    @property
    def _staged(self) -> sql.Composable:
        merge = self.merge
        query = "SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE NOT ({})) FROM {} AS s"
        return sql.SQL(query).format(merge.whole("s"), merge.rows)

    @property
    def statements(self) -> tuple[str, ...]:
        """See `Step`."""
        counters = self.counters if self.counted else None
        statements = [
            self._staged,
            *(counters.create if counters else ()),
            self.statement,
            *((counters.read,) if counters else ()),
        ]
        return tuple(statement.as_string() for statement in statements)

    def run(self, target: Session, tally: Tally) -> None:
        """See `Step`."""
        [(staged, keyless)] = target.execute(self._staged)
        if self.counted:
            for create in self.counters.create:
                target.execute(create)
        with told(Side.TARGET, table=self.merge.name):
            landed = target.results(self.statement)[-1].command_tuples or 0
        changed, kept = 0, staged - landed
        if self.counted:
            [(changed, kept)] = target.execute(self.counters.read)
        if landed + kept != staged:
            raise TargetError(
                f"{staged:,} rows came, but {landed:,} landed and {kept:,} are there already",
                side=Side.TARGET,
                table=self.merge.name,
                hint="a trigger that returns NULL drops rows",
            )
        tally.inserted += landed - changed
        tally.updated += changed
        tally.unchanged += kept
        tally.keyless += keyless
