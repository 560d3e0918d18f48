"""Where rows come from: a table or a query, described for the plan, then locked and held to it.

The order matters: the lock first, and only then the snapshot; else a TRUNCATE in between gives no rows and
no error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace
from psycopg import sql

from copypump.codec.column import Column, ServerType
from copypump.codec.types import Kernel, pg_type
from copypump.engine.options import Options
from copypump.errors import RefusedError, Side, UsageError
from copypump.postgres.catalog import (
    Table,
    find_table,
    forbid_relations,
    lock_table,
    looking,
    read_table,
    suggest,
)
from copypump.postgres.query import bare_query, describe_query, parse
from copypump.postgres.session import Session, Statement
from copypump.transforms import Transform

# What cannot be meant where rows come from a table by its kind, and nothing of the user's is evaluated: so
# nobody can put it in the table's place. A partition may be a foreign table.
FORBIDDEN = {"r": "view, foreign-table", "p": "view", "m": "view, foreign-table"}

TEXT = ServerType(25, "pg_catalog", "text")

# What a session's, role's or database's own settings must not do to a value's text: round floats and spell
# dates, intervals and bytes in ways that another server reads as something else (those of pg_dump). DateStyle
# keeps the order of day and month, by which a query's own literals are read; TimeZone stays, because views
# and queries compute with it, and a timestamptz's text says its offset.
_TEXT_SETTINGS = (
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
)


# Milliseconds that a reader who joins waits for locks that have no NOWAIT.
_PATIENCE = 100

NO_ENCODING = "SQL_ASCII"

# Else the server holds such text against the session's encoding, and names no row where it does not fit.
RAW = f"SET LOCAL client_encoding = {NO_ENCODING}"


def is_raw(session: Session) -> bool:
    """Whether a database says nothing of the encoding of its text, which is then any bytes."""
    return session.server_encoding == NO_ENCODING


class Origin(Struct, frozen=True):
    """Where rows come from: a table (with its lock) or a query, and the columns of its stream, in order.

    `texts` are, by name, the columns that the user wants read as text, as they are on the source; in
    `columns` they are of type text. `settings` are the statements that make what comes exact, run in the
    source's transaction before its COPY.
    """

    name: str
    table: Table | None
    columns: tuple[Column, ...]
    copy: sql.Composable
    texts: Mapping[str, Column] = field(default_factory=dict)
    settings: tuple[str, ...] = ()

    def declared(self, index: int) -> str:
        """Give the type of a column as the source's SQL writes it, also where it is read as text."""
        column = self.columns[index]
        return self.texts.get(column.name, column).declared


def plan_origin(
    source: Session,
    options: Options,
    transform: Transform | None,
    landing: Table | None,
    table: Table | None = None,
) -> Origin:
    """Describe what is read: the table's columns that are wanted, or the query's.

    `table` saves looking it up again.
    """
    if options.query is not None:
        query = bare_query(options.query)
        # On lines of its own, so that a comment at its end hides nothing of ours. As COPY sees it, for its
        # columns; the very text that will run is parsed below, for its syntax.
        found = describe_query(source, f"(\n{query}\n)", ours=len("(\n"))
        columns, texts = _as_text(found, options)
        copy = copy_rows(query, columns, texts)
        ours = len("COPY (\n") + (len(_head(columns, texts).as_string()) + len("(\n") if texts else 0)
        parse(source, copy.as_string(), ours=ours)
        return Origin("a query", None, columns, copy, texts, _settings(source, texts, None))
    assert options.table is not None
    table = table or find_table(source, options.table)
    if table is None:
        raise no_such_table(source, options.table, "name it as SQL would: [SCHEMA.]NAME")
    found = _chosen_columns(table, options.columns, transform, landing)
    columns, texts = _as_text(found, options)
    settings = _settings(source, texts, table if options.where is None else None)
    conditions = () if options.where is None else (options.where,)
    if conditions:
        # Parsed now, so that its faults are found, and its tables locked, before anything moves.
        ours = len(select_rows(table, columns, texts).as_string()) + len(_WHERE)
        describe_query(source, select_rows(table, columns, texts, conditions).as_string(), ours=ours)
    copy = copy_rows(table, columns, texts, conditions)
    return Origin(str(table), table, columns, copy, texts, settings)


def _as_text(found: Sequence[Column], options: Options) -> tuple[tuple[Column, ...], dict[str, Column]]:
    """The stream's columns, those of `--type COLUMN=text` made text, and these as they were, by name."""
    texts = {column.name: column for column in found if column.name in options.as_text}
    columns = (
        replace(column, type=TEXT, typmod=-1, declared="text") if column.name in texts else column
        for column in found
    )
    return tuple(columns), texts


# What is the user's stands on lines of its own, so that a comment at its end hides nothing of ours.
_WHERE = " WHERE (\n"
_AND = "\n) AND (\n"


def copy_rows(
    rows: Table | str,
    columns: Sequence[Column],
    texts: Mapping[str, Column],
    conditions: Sequence[str] = (),
    relation: str | None = None,
) -> sql.Composable:
    """COPY of a table's or a query's rows TO STDOUT; the arguments as for `select_rows`."""
    if not conditions and not texts and relation is None:
        if isinstance(rows, str):
            return copy_query(sql.SQL(rows))
        if rows.kind == "r" and not any(column.generated for column in columns):
            plain = sql.SQL("COPY {} ({}) TO STDOUT (FORMAT BINARY)")
            return plain.format(rows.qualified, _selected(columns, texts))
    return copy_query(select_rows(rows, columns, texts, conditions, relation))


def select_rows(
    rows: Table | str,
    columns: Sequence[Column],
    texts: Mapping[str, Column],
    conditions: Sequence[str] = (),
    relation: str | None = None,
) -> sql.Composable:
    """SELECT of a table's rows, or of those of a query, for which all conditions (SQL texts) hold.

    `columns` and `texts` as in Origin. `relation` is a partition's qualified, quoted name, to be read in the
    table's place.
    """
    source = from_item(rows) if relation is None else sql.SQL(relation)
    return _head(columns, texts) + source + where_clause(conditions)


def from_item(rows: Table | str) -> sql.Composable:
    """Give what stands after FROM: a table without its inheritance children, or a query."""
    if isinstance(rows, str):
        return sql.SQL("(\n{}\n) AS q").format(sql.SQL(rows))
    return sql.SQL("{}{}").format(sql.SQL("ONLY " if rows.kind == "r" else ""), rows.qualified)


def where_clause(conditions: Sequence[str]) -> sql.Composable:
    """Give the WHERE of conditions that must hold together, each on lines of its own; nothing for none."""
    if not conditions:
        return sql.SQL("")
    return sql.SQL(_WHERE) + sql.SQL(_AND).join(map(sql.SQL, conditions)) + sql.SQL("\n)")


def _head(columns: Sequence[Column], texts: Mapping[str, Column]) -> sql.Composable:
    return sql.SQL("SELECT {} FROM ").format(_selected(columns, texts))


def _selected(columns: Sequence[Column], texts: Mapping[str, Column]) -> sql.Composable:
    """The list of columns, with the casts to text."""
    cast = sql.SQL("{0}::pg_catalog.text AS {0}")
    return sql.SQL(", ").join(
        cast.format(sql.Identifier(column.name))
        # What is text on the wire needs no cast, and bpchar's would take off its blanks.
        if column.name in texts and pg_type(texts[column.name]).kernel is not Kernel.TEXT
        else sql.Identifier(column.name)
        for column in columns
    )


def _settings(source: Session, texts: Mapping[str, Column], plain: Table | None) -> tuple[str, ...]:
    """The statements before the COPY; `plain` is the table where nothing but its columns is read.

    What a reg* type names is written with its schema unless the search_path finds it; but a view, a query or
    a condition may itself depend on that path.
    """
    settings = [f"SET LOCAL {name} = {value}" for name, value in _TEXT_SETTINGS if texts]
    if texts and plain is not None and plain.kind in "rpm":
        settings.append("SET LOCAL search_path = ''")
    if is_raw(source):
        settings.append(RAW)
    return tuple(settings)


def no_such_table(session: Session, name: str, hint: str) -> RefusedError:
    """The error for a table that is not there, with near names of those that are."""
    near = suggest(session, name)
    message = "there is no such table" + (f"; near names: {', '.join(near)}" if near else "")
    return RefusedError(message, side=session.side, table=name, hint=hint)


def begin_origin(
    source: Session, origin: Origin, options: Options, transform: Transform | None, landing: Table | None
) -> None:
    """Begin to read: lock, then take the snapshot; what is there must still be what `origin` says.

    Raises:
        RefusedError: it changed since.

    """
    locks = locking(origin, options, source.server_version)
    looked = () if options.table is None else looking(source, options.table)
    found = source.begin_source(*locks, *looked)
    table = None if options.table is None else read_table(source, options.table, found)
    again = plan_origin(source, options, transform, landing, table)
    if again != origin:
        raise RefusedError(
            "the source changed after the plan was made",
            side=Side.SOURCE,
            table=origin.name,
            hint="run again",
        )
    held = () if table is None or table.can_lock else (_naming(origin, options),)
    if held or origin.settings:
        source.together([*held, *origin.settings])


def joining_origin(
    origin: Origin, options: Options, version: int
) -> tuple[sql.Composable | Statement | str, ...]:
    """Give what makes a transaction that holds the snapshot of `begin_origin`'s ready to read the same.

    It fails with 55P03, among others: somebody waits to lock the table, and we would wait behind him while he
    waits for the run.
    """
    locks = locking(origin, options, version, nowait=True)
    if origin.table is not None and origin.table.can_lock and options.where is None:
        return *locks, *origin.settings
    impatient, patient = (
        f"SET LOCAL lock_timeout = {each}" for each in (_PATIENCE, options.lock_milliseconds)
    )
    return *locks, impatient, _naming(origin, options), patient, *origin.settings


def _naming(origin: Origin, options: Options) -> Statement:
    """Give what is only parsed, and so locks all tables that are read, where no LOCK TABLE can."""
    rows = bare_query(options.query) if options.query is not None else origin.table
    assert rows is not None
    conditions = () if options.where is None else (options.where,)
    return Statement(select_rows(rows, origin.columns, origin.texts, conditions), parse=True)


def locking(
    origin: Origin, options: Options, version: int, *, nowait: bool = False
) -> tuple[sql.Composable, ...]:
    """Give the first statements of a transaction that reads, on a server of this version."""
    table = origin.table
    if table is None:
        return ()
    statements = [lock_table(table, nowait=nowait)]
    if options.where is None and table.kind in FORBIDDEN:
        statements.append(forbid_relations(version, FORBIDDEN[table.kind]))
    return tuple(statement for statement in statements if statement is not None)


def copy_query(query: sql.Composable) -> sql.Composable:
    """COPY of a query's result, which stands on lines of its own: a comment may end it."""
    return sql.SQL("COPY (\n{}\n) TO STDOUT (FORMAT BINARY)").format(query)


def _chosen_columns(
    table: Table, wanted: Sequence[str] | None, transform: Transform | None, landing: Table | None
) -> tuple[Column, ...]:
    by_name = {column.name: column for column in table.columns}
    if wanted is not None:
        for name in wanted:
            if name not in by_name:
                raise RefusedError("there is no such column", side=Side.SOURCE, table=str(table), column=name)
        if len(set(wanted)) < len(wanted):
            raise UsageError("columns names a column twice")
        return tuple(by_name[name] for name in wanted)
    # A generated column is made again by a target that generates it too; elsewhere its values are data.
    made = {column.name for column in landing.columns if column.generated} if landing else set()
    read = (transform.reads if transform is not None else None) or frozenset()
    columns = tuple(c for c in table.columns if not (c.generated and c.name in made and c.name not in read))
    if not columns:
        raise RefusedError(
            "the table has no column; rows without columns cannot be copied",
            side=Side.SOURCE,
            table=str(table),
        )
    return columns
