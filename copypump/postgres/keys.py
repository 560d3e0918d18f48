"""What a server says about the key of a table: which unique indexes stand for it, when two keys are equal.

Asked by the plan of a mode that merges; see `engine.loading.merge`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable

from msgspec import Struct
from psycopg import sql

from copypump.codec.column import Column
from copypump.postgres.catalog import Table
from copypump.postgres.session import Session


class Index(Struct, frozen=True):
    """One unique index of a table, whose key are these `columns`, in order ("" stands for an expression).

    `fault` is why ON CONFLICT cannot tell rows by it, or not as GROUP BY does; "" where it can. With
    `nulls_equal` (NULLS NOT DISTINCT), two keys with NULL in the same place are the same.
    """

    name: str
    columns: tuple[str, ...]
    fault: str
    nulls_equal: bool


# pg_index.indnullsnotdistinct came with PostgreSQL 15. An index with another operator class or collation than
# its column has calls other keys equal than a plain comparison does.
_UNIQUE = """
SELECT c.relname, k.names,
       CASE WHEN NOT i.indisvalid THEN 'is not valid'
            WHEN i.indisexclusion THEN 'is one of an exclusion constraint'
            WHEN NOT i.indimmediate THEN 'is deferrable'
            WHEN i.indpred IS NOT NULL THEN 'is partial'
            WHEN i.indexprs IS NOT NULL THEN 'is on an expression'
            WHEN NOT k.plain THEN 'compares by an operator class or collation of its own'
            ELSE '' END,
       coalesce((pg_catalog.to_jsonb(i) OPERATOR(pg_catalog.->>) 'indnullsnotdistinct')
                ::pg_catalog.bool, false)
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid,
       LATERAL (SELECT pg_catalog.json_agg(coalesce(a.attname::pg_catalog.text, '') ORDER BY p.n)
                           ::pg_catalog.text AS names,
                       pg_catalog.bool_and(o.opcdefault AND a.attcollation OPERATOR(pg_catalog.=) p.coll)
                           AS plain
                  FROM ROWS FROM (pg_catalog.unnest(i.indkey::pg_catalog.int2[]),
                                  pg_catalog.unnest(i.indclass::pg_catalog.oid[]),
                                  pg_catalog.unnest(i.indcollation::pg_catalog.oid[]))
                           WITH ORDINALITY AS p(attnum, opclass, coll, n)
                  JOIN pg_catalog.pg_opclass o ON o.oid OPERATOR(pg_catalog.=) p.opclass
                  LEFT JOIN pg_catalog.pg_attribute a
                         ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid
                        AND a.attnum OPERATOR(pg_catalog.=) p.attnum
                        AND p.attnum OPERATOR(pg_catalog.<>) 0::pg_catalog.int2) k
 WHERE i.indrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid AND i.indisunique
 ORDER BY i.indisprimary DESC, c.relname"""


def unique_indexes(session: Session, table: Table) -> list[Index]:
    """All unique indexes of a table, its primary key first."""
    return [
        Index(name, tuple(json.loads(columns)), fault, nulls_equal)
        for name, columns, fault, nulls_equal in session.execute(_UNIQUE, [table.oid])
    ]


def indexes_led_by(session: Session, table: Table, columns: Collection[str]) -> list[str]:
    """The valid indexes of the table, but for partial ones, that begin with one of these columns."""
    query = """
SELECT c.relname, a.attname
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid
  JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid
                                AND a.attnum OPERATOR(pg_catalog.=) i.indkey[0]
 WHERE i.indrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid AND i.indisvalid AND i.indpred IS NULL"""
    return [name for name, column in session.execute(query, [table.oid]) if column in columns]


def table_bytes(session: Session, table: Table) -> int:
    """The bytes of a table's rows on disk, those of its partitions included."""
    query = """
SELECT coalesce(pg_catalog.sum(pg_catalog.pg_relation_size(p.relid)), 0)::pg_catalog.int8
  FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass) p"""
    if table.kind != "p":
        query = "SELECT pg_catalog.pg_relation_size($1::pg_catalog.oid::pg_catalog.regclass)"
    return int(session.execute(query, [table.oid])[0][0])


def equality(session: Session, column: Column) -> sql.Composable:
    """The operator by which GROUP BY compares the column's values, as SQL writes it whatever the search_path.

    Types of the server's own, and those made of others (arrays, enums, ranges, composites), have it in
    pg_catalog; an extension's comes with the default operator class of its type.
    """
    query = """
SELECT n.nspname, o.oprname
  FROM pg_catalog.pg_opclass c
  JOIN pg_catalog.pg_am m ON m.oid OPERATOR(pg_catalog.=) c.opcmethod
  JOIN pg_catalog.pg_amop a ON a.amopfamily OPERATOR(pg_catalog.=) c.opcfamily
                           AND a.amoplefttype OPERATOR(pg_catalog.=) c.opcintype
                           AND a.amoprighttype OPERATOR(pg_catalog.=) c.opcintype
  JOIN pg_catalog.pg_operator o ON o.oid OPERATOR(pg_catalog.=) a.amopopr
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace
 WHERE c.opcintype OPERATOR(pg_catalog.=) $1::pg_catalog.oid AND c.opcdefault
   AND a.amopstrategy OPERATOR(pg_catalog.=)
       CASE m.amname WHEN 'btree' THEN 3 WHEN 'hash' THEN 1 END::pg_catalog.int2
 ORDER BY m.amname LIMIT 1"""
    found = session.execute(query, [column.type.base.oid])
    schema, name = found[0] if found else ("pg_catalog", "=")
    return sql.SQL("OPERATOR({}.{})").format(sql.Identifier(schema), sql.SQL(name))


def lacking(session: Session, table: Table, columns: Iterable[str], privilege: str) -> list[str]:
    """Those of a table's columns on which the role lacks this privilege (SELECT, INSERT or UPDATE)."""
    query = """SELECT pg_catalog.has_column_privilege(
                          $1::pg_catalog.oid, $2::pg_catalog.text, $3::pg_catalog.text)"""
    return [name for name in columns if not session.execute(query, [table.oid, name, privilege])[0][0]]


def may_make_temporary(session: Session) -> bool:
    """Whether the role may make temporary tables in this database."""
    query = "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY')"
    return bool(session.execute(query)[0][0])


def drops_rows(session: Session, table: Table) -> bool:
    """Whether a trigger may keep rows out: one before each row, on INSERT or UPDATE, here or on a partition.

    Of pg_trigger.tgtype, bit 1 is FOR EACH ROW, 2 BEFORE, 4 INSERT, 16 UPDATE.
    """
    query = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_trigger t
     WHERE (t.tgrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid
            OR t.tgrelid OPERATOR(pg_catalog.=) ANY (
                SELECT p.relid::pg_catalog.oid
                  FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass) p))
       AND NOT t.tgisinternal AND t.tgenabled OPERATOR(pg_catalog.<>) 'D'
       AND t.tgtype OPERATOR(pg_catalog.&) 3::pg_catalog.int2 OPERATOR(pg_catalog.=) 3::pg_catalog.int2
       AND t.tgtype OPERATOR(pg_catalog.&) 20::pg_catalog.int2 OPERATOR(pg_catalog.<>) 0::pg_catalog.int2)"""
    return bool(session.execute(query, [table.oid])[0][0])


def has_rewriting_rules(session: Session, table: Table) -> bool:
    """Whether the table has rules on INSERT or UPDATE."""
    query = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_rewrite r
                WHERE r.ev_class OPERATOR(pg_catalog.=) $1::pg_catalog.oid
                  AND r.ev_type::pg_catalog.text OPERATOR(pg_catalog.=) ANY ('{2,3}'::pg_catalog.text[]))"""
    return bool(session.execute(query, [table.oid])[0][0])
