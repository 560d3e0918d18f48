"""The sequences that give a table's columns their values: of identity columns, and those owned (serial)."""

from __future__ import annotations

from msgspec import Struct
from psycopg import sql

from copypump.postgres.catalog import Table
from copypump.postgres.names import show_name
from copypump.postgres.session import Session


class Sequence(Struct, frozen=True):
    """A sequence and the column of the table that it is for; `minimum` and `maximum` are its bounds.

    `owned`: the role may alter it. `readable`: the role may read the whole column.
    """

    schema: str
    name: str
    column: str
    increment: int
    minimum: int
    maximum: int
    cache: int
    owned: bool
    readable: bool

    @property
    def identifier(self) -> sql.Identifier:
        """Its name for psycopg.sql."""
        return sql.Identifier(self.schema, self.name)

    def __str__(self) -> str:
        return show_name(self.schema, self.name)


# Since PostgreSQL 17 a partition's identity column has the sequence of the partitioned table.
_SEQUENCES = """
SELECT n.nspname, s.relname, a.attname, q.seqincrement, q.seqmin, q.seqmax, q.seqcache,
       pg_catalog.pg_has_role(s.relowner, 'USAGE'),
       pg_catalog.has_column_privilege($1::pg_catalog.oid, a.attname::pg_catalog.text, 'SELECT')
           AND NOT pg_catalog.row_security_active($1::pg_catalog.oid)
  FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_class s ON s.oid OPERATOR(pg_catalog.=) d.objid
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) s.relnamespace
  JOIN pg_catalog.pg_sequence q ON q.seqrelid OPERATOR(pg_catalog.=) s.oid
  JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) d.refobjid
                                AND a.attnum OPERATOR(pg_catalog.=) d.refobjsubid
 WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
   AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
   AND d.deptype OPERATOR(pg_catalog.=) ANY (ARRAY['a', 'i']::pg_catalog."char"[])
   AND d.refobjid OPERATOR(pg_catalog.=) ANY (
           SELECT $1::pg_catalog.oid
           UNION SELECT up.relid::pg_catalog.oid
                   FROM pg_catalog.pg_partition_ancestors($1::pg_catalog.oid::pg_catalog.regclass) up(relid))
   AND EXISTS (SELECT FROM pg_catalog.pg_attribute own
                WHERE own.attrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid AND NOT own.attisdropped
                  AND own.attname OPERATOR(pg_catalog.=) a.attname)
 ORDER BY n.nspname, s.relname"""


def sequences_of(session: Session, table: Table) -> list[Sequence]:
    """All of a table's, in the order of their names."""
    return [Sequence(*row) for row in session.execute(_SEQUENCES, [table.oid])]
