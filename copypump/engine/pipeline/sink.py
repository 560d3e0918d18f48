"""What takes the encoded rows: the target table itself, or a staging table that the target is filled from.

A staging table stands between the COPY and the target where rows cannot land as they come: their text needs
a cast that only the server has. It is temporary, belongs to the target's transaction, and is gone with it.
Every statement is decided in the plan, which prints it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace
from psycopg import sql

from copypump.codec.casts import encoded_type
from copypump.codec.column import Column
from copypump.engine.planning.destination import Destination
from copypump.engine.planning.mapping import Mapping as ColumnMapping
from copypump.engine.planning.origin import RAW, TEXT, is_raw
from copypump.errors import CastError, RefusedError, Side, TargetError
from copypump.postgres.keys import may_make_temporary
from copypump.postgres.session import Session
from copypump.postgres.translate import told

STAGING = sql.Identifier("pg_temp", "copypump_staging")

# By which a value's text is read: see the settings of `origin`. With array_nulls off, NULL in an array's text
# would be a word.
_TEXT_SETTINGS = (("IntervalStyle", "postgres"), ("array_nulls", "on"), ("xmloption", "content"))

_CHAR = 18
_INTERVAL = 1186


class Check(Struct, frozen=True):
    """A query that counts the staged values which the cast to a column's type would change in silence."""

    column: Column
    count: sql.Composable


class Staging(Struct, frozen=True):
    """How the rows of a staging table come into the target.

    `create` makes it; after the COPY come `settings`, `checks` and `insert`. `cast` are the target's columns
    that have another type there.
    """

    create: sql.Composable
    settings: tuple[str, ...]
    checks: tuple[Check, ...]
    insert: sql.Composable
    cast: tuple[Column, ...]


class Sink(Struct, frozen=True):
    """Where the COPY goes, and what is done before and after it, in the target's transaction.

    With `parameters`, the oids of the columns' wire types, `copy` is an INSERT up to its first row, and rows
    go there as its parameters (see `postgres.inserts`).
    """

    copy: sql.Composable
    staging: Staging | None = None
    settings: tuple[str, ...] = ()
    parameters: tuple[int, ...] = ()

    @property
    def statements(self) -> tuple[str, ...]:
        """The very statements, in order."""
        staging, copy = self.staging, (*self.settings, self.copy.as_string() + self._values)
        if staging is None:
            return copy
        checks = (check.count.as_string() for check in staging.checks)
        return (staging.create.as_string(), *copy, *staging.settings, *checks, staging.insert.as_string())

    @property
    def _values(self) -> str:
        """The parameters of each row, of which one statement has several."""
        numbers = ", ".join(f"${number}" for number in range(1, len(self.parameters) + 1))
        return f"({numbers}), ..." if numbers else ""

    @property
    def cast(self) -> tuple[Column, ...]:
        """The target's columns that its server casts text to."""
        return self.staging.cast if self.staging else ()

    def begin(self, target: Session) -> None:
        """Do what comes before the COPY."""
        if self.staging is not None:
            target.execute(self.staging.create)
        for setting in self.settings:
            target.execute(setting)

    def finish(self, target: Session, table: str, rows: int) -> None:
        """Bring the `rows` that COPY took from the staging table into the target.

        Raises:
            CastError: values that the target's type would round or cut.
            TargetError: the server's own error for a value that is none of the type, or other rows landed
                than were staged.

        """
        staging = self.staging
        if staging is None:
            return
        for setting in staging.settings:
            target.execute(setting)
        try:
            for check in staging.checks:
                self._check(target, check, table)
            with told(Side.TARGET, table=table):
                landed = target.results(staging.insert)[-1].command_tuples
        except TargetError as error:
            raise self._placed(error) from None
        if landed != rows:
            raise TargetError(
                f"{rows:,} rows were staged, but {landed or 0:,} landed",
                side=Side.TARGET,
                table=table,
                hint="a trigger that returns NULL drops rows",
            )

    def _check(self, target: Session, check: Check, table: str) -> None:
        [(count,)] = target.execute(check.count)
        if count:
            raise CastError(
                f"{count:,} values do not fit {check.column.declared} exactly",
                side=Side.TARGET,
                table=table,
                column=check.column.name,
                hint="round them in the query or the transform, or widen the target column's type",
            )

    def _placed(self, error: TargetError) -> TargetError:
        """A value's error, with what is known of its column: the server tells none where it casts."""
        if error.column is None and (error.sqlstate or "").startswith(("22", "42")):
            names = ", ".join(f'"{column.name}"' for column in self.cast)
            error.column = self.cast[0].name if len(self.cast) == 1 else None
            error.hint = error.hint or f"the target cast the text of {names} to the type of the column"
        return error


def copy_into(table: sql.Composable, columns: Sequence[Column], *, freeze: bool = False) -> sql.Composable:
    """COPY ... FROM STDIN of these columns."""
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    frozen = sql.SQL(", FREEZE" if freeze else "")
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY{})").format(table, names, frozen)


def insert_into(table: sql.Composable, columns: Sequence[Column]) -> sql.Composable:
    """INSERT of these columns, up to its rows. As COPY, it gives identity columns what it is sent."""
    overriding = "OVERRIDING SYSTEM VALUE " if any(column.identity for column in columns) else ""
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    return sql.SQL("INSERT INTO {} ({}) {}").format(table, names, sql.SQL(overriding))


def cast_on_target(
    destination: Destination,
    texts: Collection[str],
    unread: Collection[str],
    output: Sequence[pa.Field[pa.DataType]],
) -> dict[str, Column]:
    """The target's columns, by name, that take text through a cast of the server's.

    Only columns of `texts`, those that the user wants read as text, that still are text when they land (those
    of `unread` that the `output` does not replace are), and only where the encoder has no lossless way.
    """
    offered = {name: pa.utf8() for name in unread} | {field.name: field.type for field in output}
    return {
        column.name: column
        for column in destination.columns
        if column.name in texts
        and not column.generated
        and column.name in offered
        and _is_text(offered[column.name])
        and encoded_type(column, pa.utf8()) is None
    }


def staged(columns: Sequence[Column], cast: Mapping[str, Column]) -> tuple[Column, ...]:
    """The target's columns as rows are staged for them: text where they are cast."""
    return tuple(
        replace(column, type=TEXT, typmod=-1, declared="pg_catalog.text") if column.name in cast else column
        for column in columns
    )


def make_sink(
    target: Session,
    destination: Destination,
    mapping: ColumnMapping,
    cast: Mapping[str, Column],
    *,
    raw: bool = False,
    freeze: bool = False,
) -> Sink:
    """Decide where the rows of a mapping go; through a staging table where columns of it are `cast`.

    With `raw`, text may be any bytes, and a target that takes them gets them. With `freeze`, rows that go
    there directly land as VACUUM FREEZE would leave them: only where the very transaction, and no savepoint
    of it, made or emptied the table.

    Raises:
        RefusedError: the target does not let us make a staging table, or would not do with its rows what COPY
            does.

    """
    columns = [mapped.column for mapped in mapping.mapped]
    settings = (RAW,) if raw and is_raw(target) else ()
    if not cast:
        return Sink(copy_into(destination.identifier, columns, freeze=freeze), settings=settings)
    refuse_staging(target, destination, "text is cast")
    names = [sql.Identifier(column.name) for column in columns]
    values = [
        sql.SQL("{}::{}").format(name, sql.SQL(cast[column.name].declared)) if column.name in cast else name
        for name, column in zip(names, columns, strict=True)
    ]
    insert = insert_into(destination.identifier, columns) + sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(values), STAGING
    )
    landing = tuple(cast[column.name] for column in columns if column.name in cast)
    staging = Staging(
        create=create_staging(columns),
        settings=tuple(f"SET LOCAL {name} = {value}" for name, value in _TEXT_SETTINGS),
        checks=tuple(check for column in landing if (check := _exactness(target, column)) is not None),
        insert=insert,
        cast=landing,
    )
    return Sink(copy_into(STAGING, columns), staging, settings)


def create_staging(columns: Sequence[Column]) -> sql.Composable:
    """CREATE TABLE of a staging table, with names and types alone of these columns."""
    body = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.declared)) for column in columns
    )
    return sql.SQL("CREATE TEMPORARY TABLE copypump_staging ({}) ON COMMIT DROP").format(body)


def refuse_staging(target: Session, destination: Destination, what: str) -> None:
    """RefusedError where rows cannot go through a temporary table; `what` happens there, for messages."""
    if not may_make_temporary(target):
        raise RefusedError(
            f"{what} through a temporary table, which the role may not make",
            side=Side.TARGET,
            table=destination.name,
            hint="GRANT TEMPORARY ON DATABASE",
        )
    if destination.table is not None and destination.table.has_rules:
        raise RefusedError(
            f"{what} by an INSERT, which fires the rules of this table; COPY does not",
            side=Side.TARGET,
            table=destination.name,
            hint="drop the rules",
        )


def _exactness(target: Session, column: Column) -> Check | None:
    """What tells that the cast of text to a column's type rounds or cuts; None where it never does.

    An explicit cast keeps a typmod of the server's own types by rounding, as it does for timestamp(0), or by
    cutting, as for bit(3); and of the text of a "char" it takes the first byte. Intervals are compared by
    their text: a month equals thirty days.
    """
    name, wire = sql.Identifier(column.name), column.wire_type
    element = wire.parts[0].base if wire.is_array and wire.parts else wire
    kept = sql.SQL("{}::{}").format(name, sql.SQL(column.declared))
    if wire.oid == _CHAR:
        whole: sql.Composable = name
        kept = sql.SQL("{}::pg_catalog.text").format(kept)
    elif column.wire_typmod == -1 or not element.is_builtin:
        return None
    else:
        query = "SELECT pg_catalog.format_type($1::pg_catalog.oid, -1)"
        [(unlimited,)] = target.execute(query, [wire.oid])
        whole = sql.SQL("{}::{}").format(name, sql.SQL(unlimited))
        kept = sql.SQL("{}::{}").format(kept, sql.SQL(unlimited))
        if element.oid == _INTERVAL:
            whole, kept = (sql.SQL("{}::pg_catalog.text").format(value) for value in (whole, kept))
    count = sql.SQL("SELECT pg_catalog.count(*) FROM {} WHERE {} IS DISTINCT FROM {}").format(
        STAGING, whole, kept
    )
    return Check(column, count)


def _is_text(type_: pa.DataType) -> bool:
    """Whether it is text, or may yet be: an empty batch's column may have the null type."""
    if pa.types.is_null(type_):
        return True
    if isinstance(type_, pa.DictionaryType | pa.RunEndEncodedType):
        return _is_text(type_.value_type)
    return pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)
