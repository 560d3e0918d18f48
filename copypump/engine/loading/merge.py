"""What the modes that merge by a key share: the table in which rows wait, and what must hold of them there.

Rows are copied into a table of the target's column types and collations. In a run of one transaction it is
temporary. In a run of many chunks it is one ordinary table in the ledger's schema, which all chunks fill, and
one merge at the end empties into the target: tables of each session's own would hide duplicates of a key
from each other, and let the last chunk win.

Keys are equal as the server's own GROUP BY says. A row has changed where the bytes of a value have
(`*<>`, as REFRESH MATERIALIZED VIEW CONCURRENTLY compares): `=` would take 1.0 for 1.00, miss a change of
case under some collations, and is not there for json or xml.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace
from psycopg import sql

from copypump.codec.column import Column
from copypump.engine.chunks.ledger import Ledger
from copypump.engine.loading.loading import Execute, Landing, Loading, Phase, Step
from copypump.engine.pipeline.sink import make_sink
from copypump.engine.report import Tally
from copypump.errors import RefusedError, Side, TargetError
from copypump.postgres.catalog import KINDS, Table, may_create
from copypump.postgres.keys import has_rewriting_rules, lacking, may_make_temporary
from copypump.postgres.names import quote_name, show_name
from copypump.postgres.query import parse
from copypump.postgres.session import Session
from copypump.postgres.translate import denied

_ROWS = "copypump_rows"
TEMPORARY = sql.Identifier("pg_temp", _ROWS)


class Merge(Struct, frozen=True):
    """What the statements of one merge are made of.

    Attributes:
        table: the target; its `name` is for messages.
        rows: where rows wait.
        columns: the target's columns that arrive, in the order of the COPY.
        key: those of them by which rows are the same.
        settable: those that may be updated, neither of the key nor GENERATED ALWAYS AS IDENTITY.
        nulls_equal: a key with NULL in it is one like any other.

    """

    table: Table
    name: str
    rows: sql.Composable
    columns: tuple[Column, ...]
    key: tuple[Column, ...]
    settable: tuple[Column, ...]
    nulls_equal: bool = False

    @property
    def only(self) -> sql.SQL:
        """What keeps a statement from an ordinary table's inheritance children."""
        return sql.SQL("ONLY " if self.table.kind == "r" else "")

    def names(self, columns: Sequence[Column], alias: str = "") -> sql.Composable:
        """Columns as a list."""
        head = sql.SQL(f"{alias}." if alias else "")
        return sql.SQL(", ").join(head + sql.Identifier(column.name) for column in columns)

    def whole(self, alias: str) -> sql.Composable:
        """The condition that a row's key can meet another."""
        if self.nulls_equal:
            return sql.SQL("true")
        return sql.SQL("pg_catalog.num_nulls({}) OPERATOR(pg_catalog.=) 0").format(
            self.names(self.key, alias)
        )

    def differs(self, one: str, other: str) -> sql.Composable:
        """The condition that a value has changed."""
        record = "ROW({})::pg_catalog.record OPERATOR(pg_catalog.*<>) ROW({})::pg_catalog.record"
        return sql.SQL(record).format(self.names(self.settable, one), self.names(self.settable, other))


def plan_merge(landing: Landing) -> Merge:
    """Check what every merge needs, and say what it is made of.

    Raises:
        RefusedError: the target is no table, or has rules; a column of the key, or the one that decides
            between duplicates, does not arrive, or cannot be compared.
        TargetError: the role may not make the table in which rows wait.

    """
    options, destination, target = landing.options, landing.destination, landing.target
    table = destination.table
    if table is None:
        raise _refused(landing, f"mode {options.mode} needs a table that is there, with its key")
    if table.kind not in "rp":
        raise _refused(landing, f"mode {options.mode} does not go with a {KINDS[table.kind]}")
    if has_rewriting_rules(target, table):
        raise _refused(landing, f"mode {options.mode} does not go with rules on INSERT or UPDATE")
    _check_room(landing)
    real = {column.name: column for column in destination.columns}
    columns = tuple(real[mapped.column.name] for mapped in landing.mapping.mapped)
    arriving = {column.name: column for column in columns}
    assert options.key
    order = options.dedupe_by
    for name in (*options.key, *([order.column] if order else [])):
        if name not in arriving:
            what = "no value is sent for it" if name in real else "the target has no such column"
            raise _refused(
                landing, f"the key, and what decides between rows of one, must arrive: {what}", name
            )
    key = tuple(arriving[name] for name in options.key)
    for column in key:
        _check_comparable(landing, table, column, "GROUP BY")
    if order:
        _check_comparable(landing, table, arriving[order.column], "ORDER BY")
    settable = tuple(c for c in columns if c not in key and c.identity != "a")
    rows = Ledger(options.ledger_schema).incoming(landing.run) if landing.many else TEMPORARY
    return Merge(table, destination.name, rows, columns, key, settable)


def _refused(landing: Landing, message: str, column: str | None = None) -> RefusedError:
    return RefusedError(message, side=Side.TARGET, table=landing.destination.name, column=column)


def _check_room(landing: Landing) -> None:
    """Whether the role may make the table in which rows wait."""
    target, schema = landing.target, landing.options.ledger_schema
    if not landing.many:
        if not may_make_temporary(target):
            raise _denied(
                landing, "it may make no temporary table, in which rows wait: GRANT TEMPORARY ON DATABASE"
            )
        return
    found, allowed = may_create(target, schema)
    if found is not None and not allowed:  # where it is missing, the ledger makes it, and it is ours
        raise _denied(landing, f"it may make no table in the schema {show_name(schema)}, in which rows wait")


def _denied(landing: Landing, what: str) -> TargetError:
    return denied(f"the role lacks a privilege: {what}", landing.destination.name)


def check_updatable(landing: Landing, table: Table, columns: Sequence[Column]) -> None:
    """TargetError unless the role may update these columns."""
    missing = lacking(landing.target, table, [column.name for column in columns], "UPDATE")
    if missing:
        raise _denied(landing, f"UPDATE of {', '.join(map(quote_name, missing))}")


def _check_comparable(landing: Landing, table: Table, column: Column, how: str) -> None:
    """Let the server parse what compares values, GROUP BY or ORDER BY; RefusedError for json and the like."""
    query = sql.SQL("SELECT FROM {} {} {}").format(table.qualified, sql.SQL(how), sql.Identifier(column.name))
    try:
        parse(landing.target, query.as_string())
    except RefusedError:
        raise _refused(landing, f"values of type {column.declared} cannot be compared", column.name) from None


# Steps ----------------------------------------------------------------------------------------------------


class Distinct(Struct, frozen=True):
    """The step that ends the run where several rows that wait have one key; `ties` likewise counts keys.

    With `drop`, all but one row of a key are taken away, once `ties` has found no key of which two rows claim
    to be the one.
    """

    name: str
    count: sql.Composable
    message: str
    hint: str
    drop: sql.Composable | None = None

    @property
    def statements(self) -> tuple[str, ...]:
        """See `Step`."""
        return (self.count.as_string(), *([self.drop.as_string()] if self.drop is not None else []))

    def run(self, target: Session, tally: Tally) -> None:
        """See `Step`."""
        [(found,)] = target.execute(self.count)
        if found:
            raise TargetError(f"{found:,} {self.message}", side=Side.TARGET, table=self.name, hint=self.hint)
        if self.drop is not None:
            tally.duplicates += target.results(self.drop)[-1].command_tuples or 0


def distinct(merge: Merge, landing: Landing) -> Distinct:
    """What makes sure that no key stands for two rows."""
    rows, key = merge.rows, merge.names(merge.key)
    order = landing.options.dedupe_by
    if order is None:
        count = sql.SQL(
            "SELECT pg_catalog.count(*) FROM (SELECT FROM {rows} AS s WHERE {whole} GROUP BY {key}"
            " HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 1) AS d"
        ).format(rows=rows, whole=merge.whole("s"), key=merge.names(merge.key, "s"))
        return Distinct(
            merge.name,
            count,
            f"keys ({key.as_string()}) stand for more than one row of the source",
            "--dedupe first:COLUMN or last:COLUMN keeps one row of each, by what that column holds",
        )
    # Rows without a value to be decided by come last, whichever way.
    window = sql.SQL("(PARTITION BY {} ORDER BY {} {} NULLS LAST)").format(
        merge.names(merge.key, "s"),
        sql.SQL("s.") + sql.Identifier(order.column),
        sql.SQL("ASC" if order.which == "first" else "DESC"),
    )
    numbered = sql.SQL(
        "SELECT s.ctid AS place, pg_catalog.row_number() OVER w AS n, pg_catalog.rank() OVER w AS r"
        " FROM {} AS s WHERE {} WINDOW w AS {}"
    ).format(rows, merge.whole("s"), window)
    ties = sql.SQL(
        "SELECT pg_catalog.count(*) FROM ({}) AS d"
        " WHERE d.n OPERATOR(pg_catalog.=) 2 AND d.r OPERATOR(pg_catalog.=) 1"
    ).format(numbered)
    drop = sql.SQL(
        "DELETE FROM {} AS s USING ({}) AS d"
        " WHERE s.ctid OPERATOR(pg_catalog.=) d.place AND d.n OPERATOR(pg_catalog.>) 1"
    ).format(rows, numbered)
    return Distinct(
        merge.name,
        ties,
        f"keys ({key.as_string()}) have more than one {order.which} row by {quote_name(order.column)}",
        "--dedupe needs a column that differs between rows of one key",
        drop,
    )


def merging(landing: Landing, merge: Merge, step: Step, warnings: Sequence[str]) -> Loading:
    """The loading of a mode whose rows wait, are held against each other, and then come in by `step`."""
    rows = merge.rows
    if landing.many:
        # Filled by many sessions and read once: nothing for autovacuum to win.
        made = sql.SQL("CREATE TABLE {} WITH (autovacuum_enabled = false) AS SELECT {} FROM {} WITH NO DATA")
        create = made.format(rows, merge.names(merge.columns), merge.table.qualified)
    else:
        made = sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA")
        create = made.format(sql.Identifier(_ROWS), merge.names(merge.columns), merge.table.qualified)
    waiting = replace(landing.destination, table=None, identifier=rows)
    sink = make_sink(landing.target, waiting, landing.mapping, landing.cast, raw=landing.raw)
    steps: list[Step] = [Execute(sql.SQL("ANALYZE {}").format(rows)), distinct(merge, landing), step]
    if landing.many:
        steps.append(Execute(sql.SQL("DROP TABLE {}").format(rows)))
    return Loading(
        sink,
        prepare=(Execute(create),),
        finish=(Phase("merge", tuple(steps)),),
        restart=(Execute(sql.SQL("TRUNCATE TABLE {}").format(rows)),),
        warnings=tuple(warnings),
    )


def identity_warnings(merge: Merge) -> list[str]:
    """What a user may not expect of identity columns."""
    return [
        f"{quote_name(column.name)} is GENERATED ALWAYS AS IDENTITY: it is never updated"
        for column in merge.columns
        if column.identity == "a" and column not in merge.key
    ]
