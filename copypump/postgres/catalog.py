"""What a server says about tables and queries, for the plan to check before anything moves.

Every statement here is ours and fully qualified, so that no search_path can put something else in its
place. They take a snapshot: ask them in a transaction before the one that locks and reads (GUARANTEES: LOCK
comes first).
"""

from __future__ import annotations

import difflib
import secrets
from collections.abc import Iterable, Sequence

from msgspec import Struct
from psycopg import sql

from copypump.codec.column import Column
from copypump.errors import RefusedError
from copypump.postgres.names import parse_name, quote_name, show_name
from copypump.postgres.session import Query, Rows, Session, Statement
from copypump.postgres.types import load_types, types_of_table

# pg_class.relkind of what has rows, as a user calls it.
KINDS = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}

# LOCK TABLE takes only these (GUARANTEES: 42809 otherwise).
_LOCKABLE = frozenset("rpv")


class Table(Struct, frozen=True):
    """One row of pg_class that has rows of its own, and what we may do with it.

    `kind` is relkind (see KINDS), `persistence` relpersistence (p permanent, u unlogged, t temporary).
    `columns` are in their order, without dropped ones. `has_children`: other tables inherit from it
    (partitions count). `instead_trigger`: a trigger is INSTEAD OF INSERT (a view then takes COPY).
    `can_select` and `can_insert` hold for the whole table, not for single columns only.
    """

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    columns: tuple[Column, ...]
    has_children: bool
    instead_trigger: bool
    has_rules: bool
    row_security: bool
    can_select: bool
    can_insert: bool
    can_truncate: bool

    @property
    def qualified(self) -> sql.Identifier:
        """The name for psycopg.sql."""
        return sql.Identifier(self.schema, self.name)

    @property
    def can_lock(self) -> bool:
        """Whether `lock_table()` can work in ACCESS SHARE mode."""
        return self.kind in _LOCKABLE and self.can_select

    def may(self, privilege: str) -> bool:
        """Whether the role has this privilege on the whole table."""
        return {"SELECT": self.can_select, "INSERT": self.can_insert, "TRUNCATE": self.can_truncate}[
            privilege
        ]

    def __str__(self) -> str:
        return show_name(self.schema, self.name)


# A domain can forbid NULL, or give a default, by itself. One statement, so that both are of one moment.
_TABLE = """
WITH found AS MATERIALIZED (
SELECT c.oid, n.nspname, c.relname, c.relkind::pg_catalog.text AS kind,
       c.relpersistence::pg_catalog.text AS persistence,
       EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent OPERATOR(pg_catalog.=) c.oid),
       EXISTS (SELECT FROM pg_catalog.pg_trigger t
                WHERE t.tgrelid OPERATOR(pg_catalog.=) c.oid AND NOT t.tgisinternal
                  AND t.tgtype OPERATOR(pg_catalog.&) 68::pg_catalog.int2 OPERATOR(pg_catalog.=) 68),
       EXISTS (SELECT FROM pg_catalog.pg_rewrite r
                WHERE r.ev_class OPERATOR(pg_catalog.=) c.oid AND r.ev_type OPERATOR(pg_catalog.=) '3'),
       c.relrowsecurity,
       pg_catalog.has_table_privilege(c.oid, 'SELECT'),
       pg_catalog.has_table_privilege(c.oid, 'INSERT'),
       pg_catalog.has_table_privilege(c.oid, 'TRUNCATE')
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1::pg_catalog.text))
SELECT found.*, a.attname, a.atttypid, a.atttypmod, pg_catalog.format_type(a.atttypid, a.atttypmod),
       a.attnotnull OR t.typnotnull, a.attgenerated OPERATOR(pg_catalog.<>) '',
       a.attidentity::pg_catalog.text, a.atthasdef OR t.typdefault IS NOT NULL
  FROM found
  LEFT JOIN (pg_catalog.pg_attribute a
             JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid)
         ON a.attrelid OPERATOR(pg_catalog.=) found.oid
            AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
 ORDER BY a.attnum"""

# How many of its columns are of the table, before those of one of the table's.
_FACTS = len(Table.__struct_fields__) - len(("columns",))

_VISIBLE = """
SELECT n.nspname, c.relname, pg_catalog.pg_table_is_visible(c.oid)
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE c.relkind::pg_catalog.text OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f}'::pg_catalog.text[])
   AND n.nspname OPERATOR(pg_catalog.<>) 'pg_catalog'
   AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema'
   AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
 ORDER BY 3 DESC, 1, 2
 LIMIT 10000"""


def find_table(session: Session, name: str, first: Sequence[Query | Statement] = ()) -> Table | None:
    """Return the table that `name` ("[SCHEMA.]NAME", by the role's search_path) means, if any.

    What is to be done `first` goes in the same round trip. RefusedError when the name cannot be one, or is
    that of an index, a sequence or a composite type.
    """
    return read_table(session, name, session.together([*first, *looking(session, name)]))


def find_oid(session: Session, name: tuple[str, str]) -> int | None:
    """Return the oid of what has a name in a schema now; None where nothing has."""
    [(oid,)] = session.execute(
        "SELECT pg_catalog.to_regclass($1::pg_catalog.text)::pg_catalog.oid",
        [sql.Identifier(*name).as_string()],
    )
    return None if oid is None else int(oid)


def looking(session: Session, name: str) -> list[Statement]:
    """Give the statements that find a table, to be sent together with others; see `read_table`."""
    schema, plain = parse_name(name)
    quoted = quote_name(plain) if schema is None else f"{quote_name(schema)}.{quote_name(plain)}"
    return [Statement(_TABLE, [quoted]), types_of_table(session, quoted)]


def read_table(session: Session, name: str, found: list[Rows]) -> Table | None:
    """Return what `find_table` does, given the rows of the statements of `looking`, which were the last."""
    rows, types = found[-2:]
    if not rows:
        return None
    oid, schema, plain, kind, persistence, *flags = rows[0][:_FACTS]
    if kind not in KINDS:
        raise RefusedError(
            f"{show_name(schema, plain)} is no table, view or foreign table",
            side=session.side,
            table=name,
        )
    columns = [row[_FACTS:] for row in rows if row[_FACTS] is not None]
    return Table(oid, schema, plain, kind, persistence, _columns(session, columns, types), *flags)


def _columns(session: Session, rows: Rows, known: Rows) -> tuple[Column, ...]:
    """Return a table's columns, of which `known` are the types."""
    types = load_types(session, {row[1] for row in rows}, known)
    return tuple(
        Column(
            name=column,
            type=types[type_oid],
            typmod=typmod,
            declared=declared,
            not_null=not_null,
            generated=generated,
            identity=identity,
            has_default=has_default,
        )
        for column, type_oid, typmod, declared, not_null, generated, identity, has_default in rows
    )


def suggest(session: Session, name: str, limit: int = 3) -> list[str]:
    """Return names of tables near to `name`, nearest first, written as a user would write them."""
    schema, plain = parse_name(name)
    names = {
        (table if visible and schema is None else f"{owner}.{table}"): show_name(owner, table)
        for owner, table, visible in session.execute(_VISIBLE)
    }
    wanted = plain if schema is None else f"{schema}.{plain}"
    near = difflib.get_close_matches(wanted, names, limit, cutoff=0.6)
    # The same name in a schema that the search_path lacks is nearest of all.
    near = [key for key in names if schema is None and key.endswith(f".{plain}")][:limit] + near
    return [names[key] for key in dict.fromkeys(near)][:limit]


def has_rows(session: Session, table: Table) -> bool:
    """Whether the table holds a row; of an inheritance parent only its own rows count, as for COPY."""
    only = sql.SQL("ONLY ") if table.kind == "r" else sql.SQL("")
    query = sql.SQL("SELECT EXISTS (SELECT FROM {}{})").format(only, table.qualified)
    return bool(session.execute(query)[0][0])


def lacking_insert(session: Session, table: Table, columns: Iterable[str]) -> list[str]:
    """Those of a table's columns that the role may not insert into, as COPY asks for each that it fills."""
    if table.can_insert:
        return []
    query = """SELECT pg_catalog.has_column_privilege(
                          $1::pg_catalog.oid, $2::pg_catalog.text, 'INSERT'::pg_catalog.text)"""
    return [name for name in columns if not session.execute(query, [table.oid, name])[0][0]]


def row_security_applies(session: Session, table: Table) -> bool:
    """Whether row-level security holds for the role there; COPY FROM does not work under it."""
    query = "SELECT pg_catalog.row_security_active($1::pg_catalog.oid)"
    return table.row_security and bool(session.execute(query, [table.oid])[0][0])


def takes_insert(session: Session, table: Table) -> bool:
    """Whether the server takes INSERT there: into a view that it can update, or that says how to.

    The function tells what is possible as a sum of 1 << CmdType (src/include/nodes/nodes.h), INSERT being 3.
    """
    query = "SELECT pg_catalog.pg_relation_is_updatable($1::pg_catalog.oid::pg_catalog.regclass, true)"
    return table.kind != "m" and bool(session.execute(query, [table.oid])[0][0] & 1 << 3)


def may_create(session: Session, schema: str | None) -> tuple[str | None, bool]:
    """The schema that a new table would be made in (None: there is none), and whether the role may do so."""
    query = """
SELECT n.nspname, pg_catalog.has_schema_privilege(n.oid, 'CREATE')
                  AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  FROM pg_catalog.pg_namespace n
 WHERE n.nspname OPERATOR(pg_catalog.=) coalesce($1::pg_catalog.name, pg_catalog.current_schema())"""
    found = session.execute(query, [schema])
    return found[0] if found else (None, False)


def may_create_schemas(session: Session) -> bool:
    """Whether the role may make schemas in this database."""
    query = "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')"
    return bool(session.execute(query)[0][0])


def lock_table(table: Table, *, nowait: bool = False) -> sql.Composable | None:
    """Give what locks the table in ACCESS SHARE mode until the transaction ends; None where nothing can.

    Takes no snapshot. Children are locked too. With `nowait`, a lock that cannot be had at once is an error
    (55P03).
    """
    if not table.can_lock:
        return None
    lock = sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE{}")
    return lock.format(table.qualified, sql.SQL(" NOWAIT" if nowait else ""))


# restrict_nonsystem_relation_kind came with these minor versions of major ones, and with 17.
_FORBIDS = {12: 20, 13: 16, 14: 13, 15: 8, 16: 4}


def forbid_relations(version: int, kinds: str) -> sql.Composable | None:
    """Give what makes a server refuse to expand views ("view") or to read foreign tables ("foreign-table").

    Until the transaction ends; the system's own are not meant. Takes no snapshot. None: a server of this
    version does not know how.
    """
    major, minor = divmod(version, 10000)
    if minor < _FORBIDS.get(major, 0):
        return None
    return sql.SQL("SET LOCAL restrict_nonsystem_relation_kind = {}").format(sql.Literal(kinds))


def locking_to_insert(table: Table) -> list[Query | Statement]:
    """Give what takes the lock that COPY into a table (or a partitioned one) takes, ROW EXCLUSIVE.

    By parsing an INSERT, which holds it until the transaction ends, and executes nothing: LOCK TABLE wants a
    privilege on the whole table, where COPY is content with one on each of its columns.
    """
    insert = Statement(sql.SQL("INSERT INTO {} DEFAULT VALUES").format(table.qualified), parse=True)
    if not table.row_security:
        return [insert]
    # Else the server would not parse it for a role that is under its policies.
    return ["SET LOCAL row_security = on", insert, "SET LOCAL row_security = off"]


def begin_both(source: Session, target: Session) -> bool:
    """Begin on both sides, and say whether they are in one database, however they got there.

    Only within one database two sessions meet at an advisory lock; it is held until their transactions end.
    """
    key = secrets.randbits(63)
    source.begin_source(Statement("SELECT pg_catalog.pg_advisory_xact_lock($1::pg_catalog.int8)", [key]))
    [[(free,)]] = target.begin_target(
        Statement("SELECT pg_catalog.pg_try_advisory_xact_lock($1::pg_catalog.int8)", [key])
    )
    return not free


def holds_lock(session: Session, pid: int, table: Table) -> bool:
    """Whether the backend `pid`, of the same database, holds a lock on the table or on a child of it.

    Then the table is, or is in, what that backend reads: a partition is read by its own name, too.
    """
    query = """
WITH RECURSIVE tree(oid) AS (
    SELECT $2::pg_catalog.oid
    UNION
    SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent OPERATOR(pg_catalog.=) tree.oid)
SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l JOIN tree ON l.relation OPERATOR(pg_catalog.=) tree.oid
                WHERE l.pid OPERATOR(pg_catalog.=) $1::pg_catalog.int4 AND l.granted
                  AND l.database OPERATOR(pg_catalog.=) (
                      SELECT d.oid FROM pg_catalog.pg_database d
                       WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()))"""
    return bool(session.execute(query, [pid, table.oid])[0][0])
