"""How large a relation is, which partitions it has, and by which keys its rows can be found.

Sizes are those of the files at this moment, not what the last VACUUM counted (GUARANTEES: pg_class.relpages
was 0 for a table of 682 pages). Every statement is fully qualified, as in `postgres.catalog`.
"""

from __future__ import annotations

from msgspec import Struct
from psycopg import sql

from copypump.postgres.catalog import Table
from copypump.postgres.names import show_name
from copypump.postgres.session import Session


class Storage(Struct, frozen=True):
    """What a relation occupies, and whether we may read it by its own name.

    `heap` and `toast` are bytes of the main forks, 0 where it has none (a foreign table, a view).
    `has_blocks`: it is stored by PostgreSQL's own heap, whose rows lie in numbered blocks of `block` bytes.
    `can_select` holds for the whole relation; `row_security`: policies decide which rows the role sees.
    """

    oid: int
    schema: str
    name: str
    kind: str
    heap: int
    toast: int
    block: int
    has_blocks: bool
    can_select: bool
    row_security: bool

    @property
    def bytes(self) -> int:
        """Heap and TOAST."""
        return self.heap + self.toast

    @property
    def blocks(self) -> int:
        """How many blocks the heap has."""
        return self.heap // self.block

    @property
    def qualified(self) -> sql.Identifier:
        """The name for psycopg.sql."""
        return sql.Identifier(self.schema, self.name)

    def __str__(self) -> str:
        return show_name(self.schema, self.name)


_STORAGE = """
SELECT c.oid, n.nspname, c.relname, c.relkind::pg_catalog.text,
       coalesce(pg_catalog.pg_relation_size(c.oid), 0),
       coalesce(pg_catalog.pg_relation_size(nullif(c.reltoastrelid, 0)), 0),
       pg_catalog.current_setting('block_size')::pg_catalog.int4,
       coalesce(am.amname OPERATOR(pg_catalog.=) 'heap', false)
           AND c.relkind::pg_catalog.text OPERATOR(pg_catalog.<>) 'p',
       pg_catalog.has_table_privilege(c.oid, 'SELECT'),
       pg_catalog.row_security_active(c.oid)
  FROM {}
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  LEFT JOIN pg_catalog.pg_am am ON am.oid OPERATOR(pg_catalog.=) c.relam
 WHERE {}
 ORDER BY c.oid"""


def storage_of(session: Session, oid: int) -> Storage:
    """Measure one relation by itself; a partitioned table's partitions are not counted."""
    query = _STORAGE.format("pg_catalog.pg_class c", "c.oid OPERATOR(pg_catalog.=) $1::pg_catalog.oid")
    return Storage(*session.execute(query, [oid])[0])


def leaves_of(session: Session, oid: int) -> tuple[Storage, ...]:
    """Measure the partitions, at any depth, that hold a partitioned table's rows."""
    tree = """pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass) tree
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) tree.relid::pg_catalog.oid"""
    return tuple(Storage(*row) for row in session.execute(_STORAGE.format(tree, "tree.isleaf"), [oid]))


def bytes_of(session: Session, table: Table) -> int | None:
    """Measure a table with its partitions; None for what is not stored here: a view, a foreign table."""
    if table.kind not in "rpm":
        return None
    parts = leaves_of(session, table.oid) if table.kind == "p" else (storage_of(session, table.oid),)
    return sum(part.bytes for part in parts)


class Key(Struct, frozen=True):
    """A column that a btree index of the whole table begins with, in the column's own order of values.

    `unique`: the index is unique, and has no other column.
    """

    column: str
    unique: bool


# Not deferrable ones neither: they may hold a value twice until COMMIT, but then only for their own session.
_KEYS = """
SELECT a.attname, pg_catalog.bool_or(i.indisunique AND i.indnkeyatts OPERATOR(pg_catalog.=) 1),
       pg_catalog.bool_or(i.indisprimary), pg_catalog.min(i.indexrelid)
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid
  JOIN pg_catalog.pg_am am ON am.oid OPERATOR(pg_catalog.=) c.relam
  JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid
                                AND a.attnum OPERATOR(pg_catalog.=) i.indkey[0]
  JOIN pg_catalog.pg_opclass o ON o.oid OPERATOR(pg_catalog.=) i.indclass[0]
 WHERE i.indrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid
   AND i.indisvalid AND i.indislive AND i.indpred IS NULL AND i.indkey[0] OPERATOR(pg_catalog.<>) 0
   AND i.indcollation[0] OPERATOR(pg_catalog.=) a.attcollation
   AND am.amname OPERATOR(pg_catalog.=) 'btree' AND o.opcdefault
 GROUP BY a.attname
 ORDER BY 2 DESC, 3 DESC, 4"""


def keys_of(session: Session, oid: int) -> tuple[Key, ...]:
    """List the columns that ranges of rows can be found by: the primary key, other unique ones, the rest."""
    return tuple(Key(column, unique) for column, unique, *_ in session.execute(_KEYS, [oid]))


# The order of bytes: C and POSIX of the system's, and whatever the server's builtin provider (17) sorts.
_BYTE_ORDER = """
SELECT a.attcollation OPERATOR(pg_catalog.=) 0
       OR CASE co.collprovider WHEN 'd' THEN
              CASE coalesce(pg_catalog.to_jsonb(d) OPERATOR(pg_catalog.->>) 'datlocprovider', 'c')
                   WHEN 'b' THEN true
                   WHEN 'c' THEN d.datcollate::pg_catalog.text OPERATOR(pg_catalog.=) 'C'
                              OR d.datcollate::pg_catalog.text OPERATOR(pg_catalog.=) 'POSIX'
                   ELSE false END
          WHEN 'b' THEN true
          WHEN 'c' THEN coalesce(co.collcollate::pg_catalog.text OPERATOR(pg_catalog.=) 'C'
                              OR co.collcollate::pg_catalog.text OPERATOR(pg_catalog.=) 'POSIX', false)
          ELSE false END
  FROM pg_catalog.pg_attribute a
  LEFT JOIN pg_catalog.pg_collation co ON co.oid OPERATOR(pg_catalog.=) a.attcollation
  JOIN pg_catalog.pg_database d ON d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
 WHERE a.attrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid
   AND a.attname OPERATOR(pg_catalog.=) $2::pg_catalog.name"""


def in_byte_order(session: Session, oid: int, column: str) -> bool:
    """Whether a column's values sort in an order that no version of a collation can change."""
    return bool(session.execute(_BYTE_ORDER, [oid, column])[0][0])


def is_standby(session: Session) -> bool:
    """Whether the server is in recovery: what it replays may cancel a long read."""
    return bool(session.execute("SELECT pg_catalog.pg_is_in_recovery()")[0][0])
