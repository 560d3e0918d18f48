"""Where rows land: the target table, or the one that a run will make, and whether rows may land there."""

from __future__ import annotations

import collections.abc
from collections.abc import Sequence

import pyarrow as pa
from msgspec import Struct
from psycopg import sql

from copypump.codec.column import Column
from copypump.engine.modes import MODES, LoadMode
from copypump.engine.options import Options
from copypump.engine.planning.create import create_statement, created_columns, with_key
from copypump.engine.planning.mapping import Mapping
from copypump.engine.planning.origin import no_such_table
from copypump.errors import RefusedError, Side
from copypump.postgres.catalog import (
    KINDS,
    Table,
    find_table,
    has_rows,
    lacking_insert,
    may_create,
    may_create_schemas,
    row_security_applies,
    takes_insert,
)
from copypump.postgres.extensions import Extension
from copypump.postgres.names import parse_name, quote_name, show_name
from copypump.postgres.session import Session
from copypump.postgres.translate import denied


class Destination(Struct, frozen=True):
    """Where rows land. `table` is None as long as `create`, or a step of the load, has not made it.

    `made` is the table that such a step will make, as the server told when the plan tried it.
    """

    name: str
    table: Table | None
    columns: tuple[Column, ...]
    create: sql.Composable | None
    identifier: sql.Composable
    made: Table | None = None

    @property
    def shape(self) -> Table | None:
        """The table as it is, or will be; None where nothing but its columns is known."""
        return self.table or self.made

    @property
    def only(self) -> sql.SQL:
        """What keeps a statement from an ordinary table's inheritance children; COPY never reaches them."""
        return sql.SQL("ONLY " if self.table is not None and self.table.kind == "r" else "")


def find_landing(target: Session, options: Options) -> Table | None:
    """The target table; None where it is yet to be made (RefusedError if that was not asked for)."""
    table = find_table(target, options.target_name)
    if table is None and not options.makes_table:
        raise no_such_table(target, options.target_name, "name another with --into, or let --create make it")
    return table


def plan_destination(
    target: Session,
    options: Options,
    table: Table | None,
    stream: Sequence[Column],
    unread: Sequence[int],
    output: Sequence[pa.Field[pa.DataType]],
    extensions: collections.abc.Mapping[int, Extension],
    made: Table | None = None,
) -> Destination:
    """Describe where rows land: `table`, or the one to be made for these columns (see `created_columns`).

    Or `made`, which a step of the load will make.
    """
    if table is not None:
        return Destination(str(table), table, table.columns, None, table.qualified)
    if made is not None:
        return Destination(str(made), None, made.columns, None, made.qualified, made)
    columns = created_columns(target, stream, unread, output, options.target_name, extensions)
    key = options.key or ()
    columns = with_key(target, columns, key, options.target_name)
    schema, plain = parse_name(options.target_name)
    parts = (plain,) if schema is None else (schema, plain)
    display = quote_name(plain) if schema is None else show_name(schema, plain)
    create = create_statement(parts, columns, key)
    if schema is not None and not _is_own(schema) and may_create(target, schema)[0] is None:
        create = sql.SQL("CREATE SCHEMA {} {}").format(sql.Identifier(schema), create)
    return Destination(display, None, columns, create, sql.Identifier(*parts))


def _is_own(schema: str | None) -> bool:
    """Whether it is the session's own schema, which may be yet to be made."""
    return schema == "pg_temp"


def check_landing(
    target: Session, destination: Destination, mapping: Mapping, options: Options, *, begun: bool = False
) -> None:
    """Whether rows may land there, in the mode that was chosen: asked by the plan, and again under locks.

    With `begun`, rows of the run's own are there already.

    Raises:
        RefusedError: COPY does not go there, or the target holds rows although no mode was given.
        TargetError: the role lacks a privilege.

    """
    table, mode = destination.table, options.load_mode
    if destination.made is not None:
        return
    if table is None:
        _check_create(target, destination, options)
        return
    if mode is not None and mode.new_table:
        return
    _check_kind(target, table, mode)
    lacking = [f"{name} on it" for name in mode.privileges if not table.may(name)] if mode else []
    landing = [mapped.column.name for mapped in mapping.mapped]
    columns = lacking_insert(target, table, landing) if mode is None or mode.inserts else []
    if columns:
        lacking.append(f"INSERT into {', '.join(map(quote_name, columns))}")
    if (mode is None or mode.copies) and row_security_applies(target, table):
        lacking.append(
            "BYPASSRLS: it has row-level security, and COPY cannot write under its policies"
            " (but --mode insert can)"
        )
    if lacking:
        raise denied(f"the role lacks {'; '.join(lacking)}", destination.name)
    if mode is None and not begun:
        _check_empty(target, destination, table)


def _check_kind(target: Session, table: Table, mode: LoadMode | None) -> None:
    """RefusedError where a mode's statements do not go into what the target is."""
    kind, fault = KINDS[table.kind], ""
    if mode is not None and not mode.copies:
        fault = "" if takes_insert(target, table) else f"the server takes no INSERT into this {kind}"
    elif table.kind == "m" or (table.kind == "v" and not table.instead_trigger):
        fault = f"COPY does not go into a {kind}"
        fault += " without an INSTEAD OF INSERT trigger" if table.kind == "v" else ""
    elif table.kind == "v" and mode and mode.privileges:
        fault = f"mode {mode.name} does not go with a view"
    if fault:
        hint = "land in a table with --into"
        if table.kind == "v" and (mode is None or mode.copies):
            hint += "; or with --mode insert, if INSERT goes there"
        raise RefusedError(fault, side=Side.TARGET, table=str(table), hint=hint)


def _check_create(target: Session, destination: Destination, options: Options) -> None:
    schema, _ = parse_name(options.target_name)
    if _is_own(schema):
        return
    found, allowed = may_create(target, schema)
    if found is None and schema is None:
        raise RefusedError(
            "no schema of the search_path is there",
            side=Side.TARGET,
            table=destination.name,
            hint="name one with --into SCHEMA.NAME",
        )
    if found is None:
        if not may_create_schemas(target):
            raise denied(
                f"there is no schema {quote_name(str(schema))}, and the role lacks CREATE on the database, to"
                " make it",
                destination.name,
            )
        return
    if not allowed:
        raise denied(f"the role lacks CREATE, or USAGE, on the schema {quote_name(found)}", destination.name)


def _check_empty(target: Session, destination: Destination, table: Table) -> None:
    if not table.can_select:
        raise RefusedError(
            "the role may not look whether the target holds rows",
            side=Side.TARGET,
            table=destination.name,
            hint="GRANT SELECT on it, or say --mode append",
        )
    if has_rows(target, table):
        raise RefusedError(
            "the target holds rows already",
            side=Side.TARGET,
            table=destination.name,
            hint="say what to do with them:\n"
            + "\n".join(f"--mode {entry.name}: {entry.help}" for entry in MODES.values()),
        )
