"""The column that rows are cut by: which it can be, and the conditions on its values.

Conditions compare by the type's own operators and the column's own collation, so that whatever value there is
meets exactly one of `< x` and `>= x`, and of `= x` and `<> x`; NULL meets none. They are complete as texts:
literals are the server's own spelling of a value, cast to the type.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from psycopg import sql

from copypump.codec.column import Column
from copypump.engine.planning.origin import is_raw
from copypump.engine.splits.request import Request, Unfit
from copypump.postgres.names import show_name
from copypump.postgres.sizes import Key, in_byte_order, keys_of

# pg_type.oid of the types that are compared by operators of pg_catalog's: whose values a collation orders,
TEXTS = frozenset((25, 1042, 1043))  # text, bpchar, varchar
# of those that are a good key, for date and time, int2, int4, int8, numeric and uuid,
_KEYS = frozenset((1082, 1114, 1184, 20, 21, 23, 1700, 2950))
# and the rest: bool, "char", name, oid, float4, float8, time, inet, macaddr.
_OTHERS = frozenset((16, 18, 19, 26, 700, 701, 1083, 869, 829))

UNCHECKED_NULLS = 180000  # the server version that brought NOT NULL constraints that old rows may break


class SplitColumn(Struct, frozen=True):
    """A column to cut by, of the table or `of_query`.

    `indexed` and `unique` tell of an index that begins with it, or has it alone. `nullable`: NULL may be in
    it.
    """

    column: Column
    indexed: bool = False
    unique: bool = False
    nullable: bool = True
    of_query: bool = False

    def __str__(self) -> str:
        return show_name(self.name)

    @property
    def name(self) -> str:
        """Its name, as it is."""
        return self.column.name

    @property
    def identifier(self) -> sql.Composable:
        """Its name for psycopg.sql."""
        return sql.Identifier(self.column.name)

    @property
    def compared(self) -> sql.Composable:
        """What is compared: a query's text in the order of bytes, as nothing tells which order it has."""
        if self.of_query and self.is_text:
            return sql.SQL('{} COLLATE pg_catalog."C"').format(self.identifier)
        return self.identifier

    @property
    def is_text(self) -> bool:
        """Whether a collation orders its values."""
        return self.column.wire_type.oid in TEXTS

    def literal(self, text: str) -> sql.Composable:
        """Give a value from the server's text of it."""
        wire = self.column.wire_type
        return sql.SQL("{}::{}").format(sql.Literal(text), sql.Identifier(wire.schema, wire.name))

    def compare(self, operator: str, text: str) -> str:
        """The condition that its value stands so to another, of which the server's text is given."""
        condition = sql.SQL("{} OPERATOR(pg_catalog.{}) {}")
        return condition.format(self.compared, sql.SQL(operator), self.literal(text)).as_string()

    def is_none_of(self, texts: Sequence[str]) -> str:
        """The condition that it has a value, and none of these."""
        if not texts:
            return self.is_not_null
        others = sql.SQL(", ").join(map(self.literal, texts))
        condition = sql.SQL("{} OPERATOR(pg_catalog.<>) ALL (ARRAY[{}])")
        return condition.format(self.compared, others).as_string()

    @property
    def is_null(self) -> str:
        """The condition that it is NULL."""
        return sql.SQL("{} IS NULL").format(self.identifier).as_string()

    @property
    def is_not_null(self) -> str:
        """The condition that it is not NULL."""
        return sql.SQL("{} IS NOT NULL").format(self.identifier).as_string()


def named_column(request: Request) -> SplitColumn:
    """The column that --split-by names: any one of the table, or an output column of the query."""
    name = request.options.split_by
    assert name is not None
    table = request.origin.table
    columns = request.columns if table is None else table.columns
    column = next((column for column in columns if column.name == name), None)
    if column is None:
        raise Unfit("there is no such column", column=name)
    if table is None:
        return SplitColumn(column, of_query=True)
    return _of(request, column, keys_of(request.source, table.oid))


def key_column(request: Request) -> SplitColumn:
    """The best column whose values are unique: the primary key, else another one that has an index alone."""
    table = request.origin.table
    if table is None:
        raise Unfit("a query has no keys", hint="name one of its columns: --split-by COLUMN")
    keys = keys_of(request.source, table.oid)
    columns = {column.name: column for column in table.columns}
    unique = [_of(request, columns[key.column], keys) for key in keys if key.unique]
    for by in unique:
        try:
            if by.column.wire_type.oid in TEXTS | _KEYS:
                refuse_type(request, by)
                refuse_order(request, by)
                return by
        except Unfit:
            continue
    if unique:
        fault = "no unique key is a number, a date, a timestamp, a uuid, or a text with the collation C"
    else:
        fault = f"{table} has no unique index on one column alone"
    raise Unfit(fault, hint="name a column: --split-by COLUMN")


def _of(request: Request, column: Column, keys: Sequence[Key]) -> SplitColumn:
    table = request.origin.table
    assert table is not None
    # NOT NULL can be trusted only of an ordinary table's own: a domain's is not asked everywhere, a foreign
    # table's never, and since PostgreSQL 18 rows may be older than the constraint (NOT VALID).
    version = request.source.server_version
    checked = table.kind == "r" and column.type.kind != "d" and version < UNCHECKED_NULLS
    return SplitColumn(
        column,
        indexed=any(key.column == column.name for key in keys),
        unique=any(key.column == column.name and key.unique for key in keys),
        nullable=not (checked and column.not_null),
    )


def refuse_type(request: Request, by: SplitColumn) -> None:
    """Raise Unfit unless the column's values can be compared as this module does."""
    wire = by.column.wire_type
    known = wire.oid in TEXTS | _KEYS | _OTHERS or wire.kind == "e"
    if not known:
        raise Unfit(f"values of {by.column.declared} cannot be told apart reliably", column=by.name)
    if (by.is_text or wire.kind == "e") and is_raw(request.source):
        raise Unfit("the database does not say which encoding its text has", column=by.name)


def refuse_order(request: Request, by: SplitColumn) -> None:
    """Raise Unfit if ranges of a text may not be the same under another version of its collation."""
    table = request.origin.table
    if not by.is_text or table is None or in_byte_order(request.source, table.oid, by.name):
        return
    raise Unfit(
        "its collation is not C, so its order may change with the system's library",
        column=by.name,
        hint="name a number, a date or a uuid, or cut by --split values",
    )
