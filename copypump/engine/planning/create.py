"""The target table that `--create` makes: its columns follow from the output schema.

A column that has a source column's name has that column's PostgreSQL type where the output fits it; so has,
of other Arrow data, one whose metadata still tells the type that it had. Else the type follows from Arrow.
It is NOT NULL where the source's is, or for what a transform returns, where the field is not nullable; the
columns of the key are the primary key. The target itself says what each type is there, so one that it lacks
is found before anything is written; nothing stands in for it unless the user says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace
from psycopg import sql

from copypump.codec.casts import encoded_type
from copypump.codec.column import Column
from copypump.codec.spelling import VENDOR, spelling
from copypump.codec.types import INTERVAL
from copypump.errors import RefusedError, Side
from copypump.postgres.extensions import Extension, find_type, is_available
from copypump.postgres.names import parse_name, show_name
from copypump.postgres.query import describe_query, parse
from copypump.postgres.session import Session
from copypump.postgres.types import load_types

# MaxHeapAttributeNumber of PostgreSQL's access/htup_details.h.
MAX_COLUMNS = 1600

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

# numeric(p,s) has no more digits than this; without a limit it holds them all.
_MAX_PRECISION = 1000


class Past(Struct, frozen=True):
    """The PostgreSQL type that a column had on a server; `declared` is how that one's SQL writes it."""

    schema: str
    name: str
    typmod: int
    declared: str
    extension: str | None = None

    @classmethod
    def of_column(cls, column: Column, extensions: Mapping[int, Extension]) -> Past:
        """The type of a source's column; `extensions` are those that made its types, by oid."""
        type_ = column.type
        made = extensions.get(type_.parts[0].oid if type_.is_array and type_.parts else type_.oid)
        name = made.name if made else None
        return cls(type_.schema, type_.name, column.typmod, column.declared, name)

    @classmethod
    def of_field(cls, field: pa.Field[pa.DataType]) -> Past | None:
        """What a field's metadata tells, as `types.field` writes it; or the name of an opaque type."""
        told = field.metadata or {}
        try:
            schema, name = parse_name(told[b"PG:type"].decode())
            if schema is not None:
                declared = told.get(b"PG:declared", told[b"PG:type"]).decode()
                return cls(schema, name, int(told[b"PG:typmod"]), declared)
        except (KeyError, ValueError, RefusedError):  # it only informs: what cannot be read tells nothing
            pass
        if isinstance(field.type, pa.OpaqueType) and field.type.vendor_name == VENDOR:
            return cls("pg_catalog", field.type.type_name, -1, field.type.type_name)
        return None


# What maps of texts become.
_HSTORE = Past("public", "hstore", -1, "hstore", "hstore")


def sql_type(type_: pa.DataType) -> str | None:
    """The PostgreSQL type for an Arrow type that has no PostgreSQL past; None where there is none.

    There is none for the null type, which says nothing of the values that may come; for durations, structs
    and unions; and for lists of lists, as an array of PostgreSQL's has no arrays within.
    """
    if pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_):
        return sql_type(type_.value_type)
    if pa.types.is_decimal(type_):
        # Servers before 15 know neither a negative scale nor one beyond the precision.
        scale = max(type_.scale, 0)
        precision = max(type_.precision - min(type_.scale, 0), scale)
        return f"numeric({precision},{scale})" if precision <= _MAX_PRECISION else "numeric"
    if pa.types.is_timestamp(type_):
        return "timestamp with time zone" if type_.tz else "timestamp without time zone"
    if pa.types.is_time(type_):
        return "time without time zone"
    if pa.types.is_fixed_size_binary(type_):
        return "bytea"
    if isinstance(type_, pa.StructType):
        parts = [(part.name, part.type) for part in type_]
        return "interval" if parts == [(part.name, part.type) for part in INTERVAL] else None
    if isinstance(type_, _LISTS):
        element = sql_type(type_.value_type)
        return f"{element}[]" if element and not isinstance(type_.value_type, _LISTS) else None
    return SQL_TYPES.get(type_)


_LISTS = (pa.ListType, pa.LargeListType, pa.FixedSizeListType, pa.ListViewType, pa.LargeListViewType)


def created_columns(
    target: Session,
    stream: Sequence[Column],
    unread: Iterable[int],
    output: Sequence[pa.Field[pa.DataType]],
    table: str,
    extensions: Mapping[int, Extension],
) -> tuple[Column, ...]:
    """Describe the columns of a table that does not exist yet, as the target will.

    `extensions` are those that made types of the stream's, by oid.

    Raises:
        RefusedError: a column's type has no counterpart on the target.

    """
    made = {field.name for field in output}
    sources = {column.name: column for column in stream}
    pasts: dict[str, Past] = {}
    for column in (stream[index] for index in unread):
        if column.name not in made:
            pasts[column.name] = Past.of_column(column, extensions)
    for field in output:
        source = sources.get(field.name)
        if source is None and (told := Past.of_field(field)):
            pasts[field.name] = told
        elif source is not None and _keeps(source, field.type):
            pasts[field.name] = Past.of_column(source, extensions)
    columns = _as_before(target, table, pasts)
    following: dict[str, str] = {}
    for field in output:
        kept = columns.get(field.name)
        if kept is not None and _keeps(kept, field.type):
            continue
        if _is_hstore(field.type):
            columns |= _as_before(target, table, {field.name: _HSTORE})
        else:
            following[field.name] = _following(field, table)
    columns |= _described(target, following)
    order = [column.name for column in stream if column.name in columns]
    order += [field.name for field in output if field.name not in sources]
    required = {column.name for column in (stream[index] for index in unread) if column.not_null}
    required = (required - made) | {field.name for field in output if not field.nullable}
    made_columns = tuple(replace(columns[name], not_null=name in required) for name in dict.fromkeys(order))
    if len(made_columns) > MAX_COLUMNS:
        raise RefusedError(
            f"{len(made_columns):,} columns, and a table has at most {MAX_COLUMNS:,}",
            side=Side.TARGET,
            table=table,
            hint="let the transform return fewer, or put some together in a list or a struct",
        )
    return made_columns


def with_key(
    target: Session, columns: Sequence[Column], key: Sequence[str], table: str
) -> tuple[Column, ...]:
    """The columns with those of the primary key NOT NULL.

    Raises:
        RefusedError: one of the key is not there, or has a type that the target does not order.

    """
    names = {column.name: column for column in columns}
    for name in key:
        column = names.get(name)
        fault = "is not among the columns that arrive"
        if column is not None:
            query = sql.SQL("SELECT FROM (SELECT NULL::{} AS value) AS k ORDER BY k.value")
            try:
                parse(target, query.format(sql.SQL(column.declared)).as_string())
            except RefusedError:
                fault = f"has a type that cannot be ordered: {column.declared}"
            else:
                continue
        raise RefusedError(f"the key {fault}", side=Side.TARGET, table=table, column=name)
    return tuple(replace(column, not_null=column.not_null or column.name in key) for column in columns)


def create_statement(name: Sequence[str], columns: Sequence[Column], key: Sequence[str] = ()) -> sql.Composed:
    """CREATE TABLE of columns as `created_columns` and `with_key` describe them."""
    parts = [
        sql.SQL("{} {}{}").format(
            sql.Identifier(column.name),
            sql.SQL(column.declared),
            sql.SQL(" NOT NULL" if column.not_null else ""),
        )
        for column in columns
    ]
    if key:
        parts.append(sql.SQL("PRIMARY KEY ({})").format(sql.SQL(", ").join(map(sql.Identifier, key))))
    return sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(*name), sql.SQL(", ").join(parts))


def _keeps(source: Column, offered: pa.DataType) -> bool:
    """Whether a column that is still named like its source keeps the source's type."""
    encoded = encoded_type(source, offered)
    if encoded is None:
        return False
    # A product has more fraction digits than its factors: its own scale is then what the user means.
    return (
        not (pa.types.is_decimal(offered) and pa.types.is_decimal(encoded)) or offered.scale <= encoded.scale
    )


def _as_before(target: Session, table: str, pasts: Mapping[str, Past]) -> dict[str, Column]:
    """Columns of the types that they had, as the target knows these (RefusedError: it lacks one)."""
    found = {
        name: find_type(target, past.schema, past.name, past.typmod) or _refuse(target, table, name, past)
        for name, past in pasts.items()
    }
    types = load_types(target, {oid for oid, _ in found.values()})
    return {
        name: Column(name, types[oid], pasts[name].typmod, declared)
        for name, (oid, declared) in found.items()
    }


def _refuse(target: Session, table: str, column: str, past: Past) -> NoReturn:
    extension = past.extension or (past.name if is_available(target, past.name) else None)
    if extension is not None:
        create = f"CREATE EXTENSION {show_name(extension)} on the target"
    else:
        create = "create the type there (pg_dump --schema-only writes how)"
    raise RefusedError(
        f"the target has no type {past.declared}",
        side=Side.TARGET,
        table=table,
        column=column,
        hint=f"{create}; or take another: --type {show_name(column)}=text copies its text, and of Arrow data"
        " a field without metadata (field.remove_metadata()) has the type that follows from Arrow",
    )


def _is_hstore(type_: pa.DataType) -> bool:
    return isinstance(type_, pa.MapType) and sql_type(type_.key_type) == sql_type(type_.item_type) == "text"


def _following(field: pa.Field[pa.DataType], table: str) -> str:
    """The type that follows from Arrow's (RefusedError: none does)."""
    found = sql_type(field.type)
    if found is None:
        raise RefusedError(
            f"no PostgreSQL type follows from {spelling(field.type)}",
            table=table,
            column=field.name,
            hint="cast it in the transform, or create the table yourself",
        )
    return found


def _described(target: Session, declared: Mapping[str, str]) -> dict[str, Column]:
    """Columns of types of the server's own (of a domain it would tell the base type alone)."""
    values = [
        sql.SQL("NULL::{} AS {}").format(sql.SQL(type_), sql.Identifier(name))
        for name, type_ in declared.items()
    ]
    if not values:
        return {}
    query = sql.SQL("SELECT {}").format(sql.SQL(", ").join(values)).as_string()
    return {column.name: column for column in describe_query(target, query)}
