"""The target table that `--create` makes: its columns follow from the output schema.

A column that has a source column's name has that column's PostgreSQL type where the output fits it; else its
type follows from Arrow. The target itself says what each type is there, so a type that it lacks is found
before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
from psycopg import sql

from copypump.codec.casts import encoded_type
from copypump.codec.column import Column
from copypump.errors import RefusedError, Side
from copypump.postgres.query import describe_query
from copypump.postgres.session import Session

# What an Arrow type without a PostgreSQL past becomes; each holds every value of its Arrow type.
SQL_TYPES: dict[pa.DataType, str] = {
    pa.bool_(): "boolean",
    pa.int8(): "smallint",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.uint8(): "smallint",
    pa.uint16(): "integer",
    pa.uint32(): "bigint",
    pa.uint64(): "numeric(20,0)",
    pa.float16(): "real",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.utf8(): "text",
    pa.large_utf8(): "text",
    pa.string_view(): "text",
    pa.binary(): "bytea",
    pa.large_binary(): "bytea",
    pa.binary_view(): "bytea",
    pa.date32(): "date",
    pa.date64(): "date",
    pa.uuid(): "uuid",
    pa.json_(): "jsonb",
    pa.month_day_nano_interval(): "interval",
}


def sql_type(type_: pa.DataType) -> str | None:
    """The PostgreSQL type for an Arrow type that has no PostgreSQL past; None where there is none."""
    if pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_):
        return sql_type(type_.value_type)
    if pa.types.is_decimal(type_):
        return f"numeric({type_.precision},{type_.scale})"
    if pa.types.is_timestamp(type_):
        return "timestamp with time zone" if type_.tz else "timestamp without time zone"
    if pa.types.is_time(type_):
        return "time without time zone"
    return SQL_TYPES.get(type_)


def created_columns(
    target: Session,
    stream: Sequence[Column],
    unread: Iterable[int],
    output: Sequence[pa.Field[pa.DataType]],
    table: str,
) -> tuple[Column, ...]:
    """Describe the columns of a table that does not exist yet, as the target will.

    Raises:
        RefusedError: a column's type has no counterpart on the target.

    """
    made = {field.name for field in output}
    sources = {column.name: column for column in stream}
    declared: dict[str, str] = {}
    for index in unread:
        if stream[index].name not in made:
            declared[stream[index].name] = stream[index].declared
    for field in output:
        source = sources.get(field.name)
        kept = source is not None and _keeps(source, field.type)
        type_ = source.declared if kept and source else sql_type(field.type)
        if type_ is None:
            raise RefusedError(
                f"no PostgreSQL type follows from {field.type}",
                table=table,
                column=field.name,
                hint="cast it in the transform, or create the table yourself",
            )
        declared[field.name] = type_
    order = [column.name for column in stream if column.name in declared]
    order += [name for name in declared if name not in set(order)]
    return _described(target, [(name, declared[name]) for name in order], table)


def create_statement(name: Sequence[str], columns: Sequence[Column]) -> sql.Composed:
    """CREATE TABLE of columns as `created_columns` describes them."""
    body = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.declared)) for column in columns
    )
    return sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(*name), body)


def _keeps(source: Column, offered: pa.DataType) -> bool:
    """Whether a column that is still named like its source keeps the source's type."""
    encoded = encoded_type(source, offered)
    if encoded is None:
        return False
    # A product has more fraction digits than its factors: its own scale is then what the user means.
    return (
        not (pa.types.is_decimal(offered) and pa.types.is_decimal(encoded)) or offered.scale <= encoded.scale
    )


def _described(target: Session, declared: Sequence[tuple[str, str]], table: str) -> tuple[Column, ...]:
    """The columns as the target knows their types.

    A type's text comes from a server: it is checked to be the name of a type before it stands in a statement.
    """
    for name, type_ in declared:
        known = target.execute("SELECT pg_catalog.to_regtype($1) IS NOT NULL", [type_])
        if not known[0][0]:
            raise RefusedError(
                f"the target has no type {type_}",
                side=Side.TARGET,
                table=table,
                column=name,
                hint="create the type there, or change the column in the transform",
            )
    values = sql.SQL(", ").join(
        sql.SQL("NULL::{} AS {}").format(sql.SQL(type_), sql.Identifier(name)) for name, type_ in declared
    )
    return tuple(describe_query(target, sql.SQL("SELECT {}").format(values).as_string()))
