"""What a plan decides of rejecting: where bad rows go, how many may, and the very statements."""

from __future__ import annotations

import collections.abc

from msgspec import Struct
from msgspec.structs import replace
from psycopg import sql

from copypump.codec.column import Column
from copypump.engine.loading import Loading
from copypump.engine.options import Options
from copypump.engine.pipeline.sink import copy_into, refuse_staging
from copypump.engine.planning.create import MAX_COLUMNS
from copypump.engine.planning.destination import Destination
from copypump.engine.planning.mapping import Mapping
from copypump.engine.rejects.blocks import BLOCK_BYTES, BlockTarget, in_block
from copypump.engine.rejects.files import check_file
from copypump.engine.rejects.landing import make_statements
from copypump.engine.rejects.limit import Limit, MaxRejects
from copypump.engine.rejects.rules import Rules, find_rules
from copypump.engine.rejects.table import RejectTable
from copypump.errors import RefusedError, Side
from copypump.postgres.catalog import find_table
from copypump.postgres.session import Session
from copypump.postgres.translate import denied

# Why modes that merge by a key do not go with it.
_MERGES = "its rows wait in a staging table, and are merged at once when all are there"

# Deferred constraints, too, are checked when a block ends, and not by the COMMIT.
_AT_ONCE = "SET CONSTRAINTS ALL IMMEDIATE"

FILES = (".parquet", ".jsonl")


class Rejecting(Struct, frozen=True):
    """How one run rejects rows. `run` is its name in the table; `file` is written from that at the end.

    Of the statements for the plan, `making` make the table, where it is missing, in a transaction of its own;
    those of a chunk are `statements`, and `refused` for each block that the target refuses. `copy` is None
    where only INSERT goes into the target.
    """

    table: RejectTable
    run: str
    most: MaxRejects
    file: str | None
    copy: sql.Composable | None
    columns: tuple[Column, ...]
    destination: Destination
    identifier: sql.Composable
    into: sql.Composable | None
    named: collections.abc.Mapping[str, str]
    making: tuple[str, ...]
    statements: tuple[str, ...]
    refused: tuple[str, ...]

    def limit(self, rows: int = 0, rejected: int = 0) -> Limit:
        """What counts the rejects of the run, of which so many rows were seen before."""
        return Limit(self.most, rows, rejected)

    def open(self, session: Session, run: str, chunk: int, limit: Limit) -> BlockTarget:
        """What takes the rows of a chunk, in the session's transaction, which holds the target's lock."""
        table = find_table(session, self.destination.name)
        assert table is not None
        session.execute(_AT_ONCE)
        rules = find_rules(session, table, self.columns, self.into)
        statements = make_statements(self.identifier, self.columns, rules, self.table, run, chunk, self.named)
        return BlockTarget(
            session, self.copy, statements, self.columns, self.destination.name, self.table, run,
            chunk, limit,
        )  # fmt: skip

    def as_dict(self) -> dict[str, str | None]:
        """For the plan as plain values."""
        return {"table": str(self.table), "run": self.run, "file": self.file}

    def describe(self) -> list[str]:
        """Lines for the plan."""
        return [
            f"bad rows  to {self.table} on the target, as run {self.run}, and the others land"
            + (f"; then to the file {self.file}" if self.file else ""),
            f"    rows go in by blocks of about {BLOCK_BYTES:,} bytes, each under a savepoint, so that none"
            " are frozen; deferred constraints are checked when a block ends",
        ]


def plan_rejecting(
    target: Session,
    destination: Destination,
    mapping: Mapping,
    loading: Loading,
    options: Options,
    run: str,
    *,
    many: bool,
) -> Rejecting:
    """Decide how bad rows are rejected, as the options want it.

    Raises:
        RefusedError: the mode, or the way of the rows into the target, does not go with it.

    """
    mode = options.load_mode
    if mode is not None and mode.keyed:
        raise RefusedError(
            f"mode {mode.name} does not go with --on-error reject: {_MERGES}",
            hint="reject with --mode append into a table of its own, and go on from there",
        )
    if loading.sink.staging is not None:
        names = ", ".join(f'"{column.name}"' for column in loading.sink.cast)
        raise RefusedError(
            f"text that the target casts does not go with --on-error reject: {names}",
            side=Side.TARGET,
            table=destination.name,
            hint="let the columns be read as what they are, or land in text",
        )
    copies = not loading.sink.parameters
    # Only of rows that COPY puts into the target itself would an INSERT make something else.
    fired = destination if copies and loading.into is None else replace(destination, table=None)
    refuse_staging(target, fired, "rows that were refused are landed")
    columns = tuple(mapped.column for mapped in mapping.mapped)
    if len(columns) >= MAX_COLUMNS:
        raise RefusedError(
            f"{len(columns):,} columns do not go with --on-error reject: a table that holds their rows and a"
            f" number for each may have {MAX_COLUMNS:,}",
            side=Side.TARGET,
            table=destination.name,
        )
    file = options.rejects if options.rejects and options.rejects.lower().endswith(FILES) else None
    if file is not None:
        check_file(file)
    table = RejectTable.of(None if file else options.rejects, options.ledger_schema)
    is_made = table.is_there(target)
    read = file is not None or many  # chunks are counted there
    if is_made and (lacking := table.lacking(target, "INSERT", *["SELECT"] * read)):
        raise denied(f"the role lacks {' and '.join(lacking)} on the table for rejected rows", str(table))
    into = destination.identifier if loading.into is None else loading.into
    copy = copy_into(into, columns)
    landed = destination.table
    rules = (
        find_rules(target, landed, columns, loading.into)
        if landed is not None
        else Rules(sql.Identifier(destination.name), destination.identifier)
    )
    made = make_statements(into, columns, rules, table, run, 1, loading.named)
    refused = (
        *made.make, made.copy, *made.find,
        *(one for one, _ in made.orphans), *made.wait, *(one for _, one in made.orphans),
        made.insert, made.insert_slowly, made.keep,
    )  # fmt: skip
    landing = tuple(statement.as_string() for statement in refused)
    return Rejecting(
        table,
        run,
        MaxRejects.of(options.max_rejects),
        file,
        copy if copies else None,
        columns,
        destination,
        into,
        loading.into,
        loading.named,
        making=() if is_made else tuple(statement.as_string() for statement in table.statements(target)),
        statements=(*loading.sink.settings, _AT_ONCE, *([in_block(copy.as_string())] if copies else landing)),
        refused=landing if copies else (),
    )
