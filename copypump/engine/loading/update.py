"""Mode update: rows of the target get the values of those with their key; nothing is inserted.

One UPDATE of all rows. The same statement counts, under the same snapshot, what it finds: rows that come and
match none, and rows of the target that match and differ, or do not. Where the key is not unique on the
target, all rows that have it are updated.
"""

from __future__ import annotations

from msgspec import Struct
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
from copypump.postgres.keys import equality, indexes_led_by, table_bytes, unique_indexes
from copypump.postgres.names import quote_name
from copypump.postgres.session import Session
from copypump.postgres.translate import told

# Bytes from which reading a table whole is worth a word.
_LARGE = 64 << 20


def update(landing: Landing) -> Loading:
    """Decide how rows are updated.

    Raises:
        RefusedError: nothing but the key arrives; or as for `plan_merge`.
        TargetError: the role lacks a privilege.

    """
    merge = plan_merge(landing)
    if not merge.settable:
        raise RefusedError(
            "nothing is there to update: every column that arrives is of the key, or always generated",
            side=Side.TARGET,
            table=merge.name,
        )
    check_updatable(landing, merge.table, merge.settable)
    return merging(landing, merge, Update(merge, _statement(landing, merge)), _warnings(landing, merge))


def _warnings(landing: Landing, merge: Merge) -> list[str]:
    warnings = identity_warnings(merge)
    target, table = landing.target, merge.table
    names = [column.name for column in merge.key]
    columns = ", ".join(map(quote_name, names))
    unique = unique_indexes(target, table)
    if not any(set(index.columns) <= set(names) and not index.fault for index in unique):
        warnings.append(
            f"the key ({columns}) is not unique on the target: each row updates all that have its key"
        )
    size = table_bytes(target, table)
    if size >= _LARGE and not indexes_led_by(target, table, names):
        warnings.append(
            f"no index begins with a column of the key ({columns}): the merge reads {table} whole,"
            f" {size:,} bytes"
        )
    return warnings


def _statement(landing: Landing, merge: Merge) -> sql.Composable:
    same = sql.SQL(" AND ").join(
        sql.SQL("t.{name} {equal} s.{name}").format(
            name=sql.Identifier(column.name), equal=equality(landing.target, column)
        )
        for column in merge.key
    )
    setting = sql.SQL(", ").join(
        sql.SQL("{0} = s.{0}").format(sql.Identifier(column.name)) for column in merge.settable
    )
    statement = (
        "WITH changed AS (UPDATE {only}{target} AS t SET {setting} FROM {rows} AS s"
        " WHERE {same} AND {differs} RETURNING 1)"
        " SELECT (SELECT pg_catalog.count(*) FROM changed),"
        " pg_catalog.count(*) FILTER (WHERE t.tableoid IS NULL),"
        " pg_catalog.count(*) FILTER (WHERE t.tableoid IS NOT NULL AND {differs}),"
        " pg_catalog.count(*) FILTER (WHERE t.tableoid IS NOT NULL AND NOT ({differs}))"
        " FROM {rows} AS s LEFT JOIN {only}{target} AS t ON {same}"
    )
    return sql.SQL(statement).format(
        only=merge.only,
        target=merge.table.qualified,
        setting=setting,
        rows=merge.rows,
        same=same,
        differs=merge.differs("t", "s"),
    )


class Update(Struct, frozen=True):
    """The step that updates."""

    merge: Merge
    statement: sql.Composable

    @property
    def statements(self) -> tuple[str, ...]:
        """See `Step`."""
        return (self.statement.as_string(),)

    def run(self, target: Session, tally: Tally) -> None:
        """See `Step`."""
        with told(Side.TARGET, table=self.merge.name):
            [(updated, unmatched, differing, unchanged)] = target.execute(self.statement)
        if updated != differing:
            raise TargetError(
                f"{differing:,} rows were to change, but {updated:,} did",
                side=Side.TARGET,
                table=self.merge.name,
                hint="a trigger that returns NULL keeps a row as it is; or another session changed rows"
                " meanwhile: then run again",
            )
        tally.updated += updated
        tally.unchanged += unchanged
        tally.unmatched += unmatched
