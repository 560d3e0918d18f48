"""The target's transaction: how it begins, takes the rows, and ends; for runs, and for streams of the user's.

Nothing is visible to anybody before the COMMIT of `finish_landing`.
"""

from __future__ import annotations

import collections.abc
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
from psycopg import sql

from copypump.codec.column import Column
from copypump.engine.create import create_statement, created_columns
from copypump.engine.mapping import Mapping
from copypump.engine.modes import MODES
from copypump.engine.options import Options
from copypump.engine.origin import no_such_table
from copypump.engine.pipeline import Feed, Pipeline
from copypump.engine.report import Counters, Progress, Report
from copypump.engine.reshape import Reshaper
from copypump.errors import RefusedError, Side, TargetError
from copypump.postgres.catalog import (
    KINDS,
    Table,
    find_table,
    has_rows,
    lacking_insert,
    lock_to_insert,
    may_create,
    row_security_applies,
)
from copypump.postgres.commit import commit
from copypump.postgres.extensions import Extension
from copypump.postgres.interrupt import Interrupt
from copypump.postgres.names import parse_name, quote_name, show_name
from copypump.postgres.session import Session
from copypump.postgres.target import Target

log = logging.getLogger("copypump.landing")

# Seconds for the pipeline's threads to notice that they shall stop; what still runs then is the user's own
# function, which nothing can interrupt.
JOIN_SECONDS = 3.0

# The first key of the advisory lock under which a target is found empty; the second is the table's oid.
EMPTY_TARGET = 0x636F7079  # "copy"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where rows land. `table` is None as long as `create` has not been executed."""

    name: str
    table: Table | None
    columns: tuple[Column, ...]
    create: sql.Composable | None
    identifier: sql.Composable

    @property
    def only(self) -> sql.SQL:
        """What keeps a statement from an ordinary table's inheritance children; COPY never reaches them."""
        return sql.SQL("ONLY " if self.table is not None and self.table.kind == "r" else "")


def find_landing(target: Session, options: Options) -> Table | None:
    """The target table; None where it is yet to be made (RefusedError if that was not asked for)."""
    table = find_table(target, options.target_name)
    if table is None and not options.create:
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
) -> Destination:
    """Describe where rows land: `table`, or the one to be made for these columns (see `created_columns`)."""
    if table is not None:
        return Destination(str(table), table, table.columns, None, table.qualified)
    columns = created_columns(target, stream, unread, output, options.target_name, extensions)
    schema, plain = parse_name(options.target_name)
    parts = (plain,) if schema is None else (schema, plain)
    display = quote_name(plain) if schema is None else show_name(schema, plain)
    return Destination(display, None, columns, create_statement(parts, columns), sql.Identifier(*parts))


def check_landing(target: Session, destination: Destination, mapping: Mapping, options: Options) -> None:
    """Whether rows may land there, in the mode that was chosen: asked by the plan, and again under locks.

    Raises:
        RefusedError: COPY does not go there, or the target holds rows although no mode was given.
        TargetError: the role lacks a privilege.

    """
    table, mode = destination.table, options.load_mode
    if table is None:
        _check_create(target, destination, options)
        return
    fault = ""
    if table.kind == "m" or (table.kind == "v" and not table.instead_trigger):
        fault = f"COPY does not go into a {KINDS[table.kind]}"
        fault += " without an INSTEAD OF INSERT trigger" if table.kind == "v" else ""
    elif table.kind == "v" and mode and mode.privileges:
        fault = f"mode {mode.name} does not go with a view"
    if fault:
        raise RefusedError(
            fault, side=Side.TARGET, table=destination.name, hint="land in a table with --into"
        )
    lacking = [f"{name} on it" for name in mode.privileges if not table.may(name)] if mode else []
    columns = lacking_insert(target, table, [mapped.column.name for mapped in mapping.mapped])
    if columns:
        lacking.append(f"INSERT into {', '.join(map(quote_name, columns))}")
    if row_security_applies(target, table):
        lacking.append("BYPASSRLS: it has row-level security, and COPY cannot write under its policies")
    if lacking:
        raise _denied(f"the role lacks {'; '.join(lacking)}", destination.name)
    if mode is None:
        _check_empty(target, destination, table)


def _check_create(target: Session, destination: Destination, options: Options) -> None:
    schema, _ = parse_name(options.target_name)
    if schema == "pg_temp":  # the session's own, which may be yet to be made
        return
    found, allowed = may_create(target, schema)
    if found is None:
        raise RefusedError(
            f"there is no schema {quote_name(schema)}" if schema else "no schema of the search_path is there",
            side=Side.TARGET,
            table=destination.name,
            hint="name one that is there with --into SCHEMA.NAME",
        )
    if not allowed:
        raise _denied(f"the role lacks CREATE, or USAGE, on the schema {quote_name(found)}", destination.name)


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
            hint="say what to do with them: "
            + "; ".join(f"--mode {entry.name}: {entry.help}" for entry in MODES.values()),
        )


def _denied(message: str, table: str) -> TargetError:
    """What the server would say itself, later: insufficient_privilege."""
    return TargetError(message, side=Side.TARGET, table=table, sqlstate="42501")


def begin_landing(target: Session, destination: Destination, mapping: Mapping, options: Options) -> Table:
    """Make and lock the target table as the mode wants it, hold it against what the plan saw, and give it.

    Raises:
        RefusedError: it changed since.
        CopypumpError: see `check_landing`.

    """
    mode, planned = options.load_mode, destination.table
    if planned is None:
        assert destination.create is not None
        target.execute(destination.create)
    else:
        # Locked before it is described again: whoever alters it meanwhile is waited for, and then seen. A
        # mode's own statements take what they need at once: two runs that both held less, and then wanted
        # more, would wait for each other.
        if planned.kind in "rp" and not (mode and mode.before):
            lock_to_insert(target, planned)
        if mode is None:
            _wait_for_others(target, planned)
    execute_all(target, destination, mode.before if mode else ())
    table = find_table(target, destination.name)
    if table is None:
        raise RefusedError("the table is gone", side=Side.TARGET, table=destination.name)
    if planned is None:
        return table
    if table != planned:
        raise RefusedError(
            "the target changed after the plan was made",
            side=Side.TARGET,
            table=destination.name,
            hint="run again",
        )
    check_landing(target, destination, mapping, options)
    return table


def _wait_for_others(target: Session, table: Table) -> None:
    """Wait until other runs of ours that found this table empty have committed or given up."""
    target.execute(
        "SELECT pg_catalog.pg_advisory_xact_lock($1::pg_catalog.int4, $2::pg_catalog.oid::pg_catalog.int4)",
        [EMPTY_TARGET, table.oid],
    )


def execute_all(target: Session, destination: Destination, statements: tuple[str, ...]) -> None:
    """Execute a mode's statements on the target table."""
    for statement in statements:
        target.execute(sql.SQL(statement).format(table=destination.identifier, only=destination.only))


def move(
    feed: Feed,
    reshaper: Reshaper | None,
    target: Session,
    copy: sql.Composable,
    interrupt: Interrupt,
    counters: Counters,
    batch_bytes: int,
    on_progress: Callable[[Progress], None] | None,
    interval: float,
) -> None:
    """Run the pipeline into the target's COPY, and stop all of its threads if it ends any other way.

    Raises:
        CopypumpError: the sessions remain to be rolled back.
        Aborted: the interrupt was set from outside; likewise.

    """
    copy_in = Target(target)
    copy_in.start(copy)
    pipeline = Pipeline(feed, reshaper, copy_in, interrupt, counters, batch_bytes)
    try:
        pipeline.run(on_progress, interval)
        interrupt.check()  # the pipeline's threads do not tell that they were ended from outside
    except BaseException:
        pipeline.abort()
        stuck = pipeline.join(JOIN_SECONDS)
        if stuck:
            log.warning("still running, and left behind: %s", ", ".join(stuck))
        raise


def finish_landing(target: Session, destination: Destination, options: Options, report: Report) -> None:
    """Do the mode's last step and commit.

    Ctrl-C that comes while the server commits is too late if the COMMIT held: the run is then done.
    """
    mode = options.load_mode
    execute_all(target, destination, mode.after if mode else ())
    try:
        commit(target)
    except KeyboardInterrupt:
        if not target.committed:
            raise
        report.warnings.append("interrupted while committing, which was too late: everything is there")
    report.status = "done"
