"""The foreign keys from a table and to it, and other constraints whose checks are triggers of the server's.

With session_replication_role = replica none of these checks takes place.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from msgspec import Struct
from psycopg import sql

from copypump.postgres.catalog import Table
from copypump.postgres.names import show_name
from copypump.postgres.session import Session


class Relation(Struct, frozen=True):
    """A table that takes part: `kind` is pg_class.relkind, `secured`: the role is under its policies."""

    schema: str
    name: str
    kind: str
    can_select: bool
    can_lock: bool
    secured: bool

    @property
    def whole(self) -> sql.Composable:
        """Its name in a FROM; as a foreign key means it, without what inherits from it."""
        return sql.SQL("" if self.kind == "p" else "ONLY ") + sql.Identifier(self.schema, self.name)

    def __str__(self) -> str:
        return show_name(self.schema, self.name)


class Pair(Struct, frozen=True):
    """A column of a foreign key, and the one that it refers to.

    `operator` (schema and name) compares a referenced value (left) with a referring one; `collation` is given
    by its name where the two columns have different ones.
    """

    column: str
    referenced: str
    operator: tuple[str, str]
    collation: tuple[str, str] | None = None

    @property
    def same(self) -> sql.Composable:
        """Whether a row of `t` has the value that a row of `f` refers to."""
        schema, operator = self.operator
        collated = (
            sql.SQL("") if self.collation is None else sql.SQL(" COLLATE ") + sql.Identifier(*self.collation)
        )
        return sql.SQL("t.{}{} OPERATOR({}.{}) f.{}").format(
            sql.Identifier(self.referenced),
            collated,
            sql.Identifier(schema),
            sql.SQL(operator),
            sql.Identifier(self.column),
        )


def counting_orphans(
    referring: sql.Composable, referenced: sql.Composable, pairs: Sequence[Pair], *, full: bool
) -> sql.Composable:
    """SELECT of how many rows refer to none. MATCH FULL: all of a row's columns are NULL, or none."""
    some = sql.SQL(" OR " if full else " AND ").join(
        sql.SQL("f.{} IS NOT NULL").format(sql.Identifier(pair.column)) for pair in pairs
    )
    same = sql.SQL(" AND ").join(pair.same for pair in pairs)
    return sql.SQL(
        "SELECT pg_catalog.count(*) FROM {} AS f WHERE ({}) AND NOT EXISTS (SELECT FROM {} AS t WHERE {})"
    ).format(referring, some, referenced, same)


class ForeignKey(Struct, frozen=True):
    """Rows of `table` refer to `referenced`, by `pairs` of their columns.

    `full`: MATCH FULL. `outgoing`: the table that was asked for refers, with `itself` to itself; else it is
    referred to by another.
    """

    name: str
    table: Relation
    referenced: Relation
    pairs: tuple[Pair, ...]
    full: bool
    validated: bool
    period: bool
    itself: bool
    outgoing: bool

    @property
    def orphans(self) -> sql.Composable:
        """SELECT of how many rows refer to none."""
        return counting_orphans(self.table.whole, self.referenced.whole, self.pairs, full=self.full)


_TREE = """
WITH RECURSIVE tree(oid) AS (
    SELECT $1::pg_catalog.oid
    UNION SELECT p.relid::pg_catalog.oid
            FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass) p)"""

# Partitions have constraints of their own and clones of their parents'. Of those that the table and its
# partitions have, what is nobody's clone among them; of those to them, the first that all are clones of.
# conperiod came with 18, and so did conenforced.
_KEYS = (
    _TREE
    + """,
up(oid, parent) AS (
    SELECT c.oid, c.conparentid FROM pg_catalog.pg_constraint c
     WHERE c.contype OPERATOR(pg_catalog.=) 'f'
       AND c.confrelid OPERATOR(pg_catalog.=) ANY (SELECT tree.oid FROM tree)
    UNION
    SELECT c.oid, c.conparentid FROM pg_catalog.pg_constraint c
      JOIN up ON c.oid OPERATOR(pg_catalog.=) up.parent),
asked(oid, outgoing) AS (
    SELECT c.oid, true FROM pg_catalog.pg_constraint c
     WHERE c.contype OPERATOR(pg_catalog.=) 'f'
       AND c.conrelid OPERATOR(pg_catalog.=) ANY (SELECT tree.oid FROM tree)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint p
                        WHERE p.oid OPERATOR(pg_catalog.=) c.conparentid
                          AND p.conrelid OPERATOR(pg_catalog.=) ANY (SELECT tree.oid FROM tree))
    UNION ALL
    SELECT up.oid, false FROM up WHERE up.parent OPERATOR(pg_catalog.=) 0::pg_catalog.oid)
SELECT c.conname,
       rn.nspname, r.relname, r.relkind::pg_catalog.text, pg_catalog.has_table_privilege(r.oid, 'SELECT'),
       pg_catalog.has_table_privilege(r.oid, 'UPDATE, DELETE, TRUNCATE'),
       pg_catalog.row_security_active(r.oid),
       fn.nspname, f.relname, f.relkind::pg_catalog.text, pg_catalog.has_table_privilege(f.oid, 'SELECT'),
       pg_catalog.has_table_privilege(f.oid, 'UPDATE, DELETE, TRUNCATE'),
       pg_catalog.row_security_active(f.oid),
       k.columns, k.referenced, k.operators, k.collations,
       c.confmatchtype::pg_catalog.text OPERATOR(pg_catalog.=) 'f', c.convalidated,
       coalesce((pg_catalog.to_jsonb(c) OPERATOR(pg_catalog.->>) 'conperiod')::pg_catalog.bool, false),
       asked.outgoing AND c.confrelid OPERATOR(pg_catalog.=) ANY (SELECT tree.oid FROM tree), asked.outgoing
  FROM asked
  JOIN pg_catalog.pg_constraint c ON c.oid OPERATOR(pg_catalog.=) asked.oid
  JOIN pg_catalog.pg_class r ON r.oid OPERATOR(pg_catalog.=) c.conrelid
  JOIN pg_catalog.pg_namespace rn ON rn.oid OPERATOR(pg_catalog.=) r.relnamespace
  JOIN pg_catalog.pg_class f ON f.oid OPERATOR(pg_catalog.=) c.confrelid
  JOIN pg_catalog.pg_namespace fn ON fn.oid OPERATOR(pg_catalog.=) f.relnamespace,
       LATERAL (
    SELECT pg_catalog.json_agg(a.attname ORDER BY p.n)::pg_catalog.text AS columns,
           pg_catalog.json_agg(b.attname ORDER BY p.n)::pg_catalog.text AS referenced,
           pg_catalog.json_agg(pg_catalog.json_build_array(q.nspname, o.oprname) ORDER BY p.n)
               ::pg_catalog.text AS operators,
           pg_catalog.json_agg(CASE WHEN a.attcollation OPERATOR(pg_catalog.<>) b.attcollation
                                    THEN pg_catalog.json_build_array(ln.nspname, l.collname) END
                               ORDER BY p.n)::pg_catalog.text AS collations
      FROM ROWS FROM (pg_catalog.unnest(c.conkey), pg_catalog.unnest(c.confkey),
                      pg_catalog.unnest(c.conpfeqop)) WITH ORDINALITY AS p(one, other, operator, n)
      JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.conrelid
                                    AND a.attnum OPERATOR(pg_catalog.=) p.one
      JOIN pg_catalog.pg_attribute b ON b.attrelid OPERATOR(pg_catalog.=) c.confrelid
                                    AND b.attnum OPERATOR(pg_catalog.=) p.other
      JOIN pg_catalog.pg_operator o ON o.oid OPERATOR(pg_catalog.=) p.operator
      JOIN pg_catalog.pg_namespace q ON q.oid OPERATOR(pg_catalog.=) o.oprnamespace
      LEFT JOIN pg_catalog.pg_collation l ON l.oid OPERATOR(pg_catalog.=) b.attcollation
      LEFT JOIN pg_catalog.pg_namespace ln ON ln.oid OPERATOR(pg_catalog.=) l.collnamespace) k
 WHERE coalesce((pg_catalog.to_jsonb(c) OPERATOR(pg_catalog.->>) 'conenforced')::pg_catalog.bool, true)
   AND (asked.outgoing OR NOT c.conrelid OPERATOR(pg_catalog.=) ANY (SELECT tree.oid FROM tree))
 ORDER BY asked.outgoing DESC, rn.nspname, r.relname, c.conname"""
)

# A unique or an exclusion constraint that is deferrable is checked by a trigger of the server's.
_DEFERRABLE = (
    _TREE
    + """
SELECT DISTINCT c.conname FROM pg_catalog.pg_constraint c
 WHERE c.conrelid OPERATOR(pg_catalog.=) ANY (SELECT tree.oid FROM tree) AND c.condeferrable
   AND c.contype OPERATOR(pg_catalog.=) ANY (ARRAY['p', 'u', 'x']::pg_catalog."char"[])
 ORDER BY 1"""
)


def foreign_keys(session: Session, table: Table) -> tuple[ForeignKey, ...]:
    """All foreign keys that are enforced, from the table and its partitions and to them."""
    return tuple(
        ForeignKey(
            row[0],
            Relation(*row[1:7]),
            Relation(*row[7:13]),
            tuple(
                Pair(column, referenced, (schema, operator), collation and (collation[0], collation[1]))
                for column, referenced, (schema, operator), collation in zip(
                    *map(json.loads, row[13:17]), strict=True
                )
            ),
            *row[17:],
        )
        for row in session.execute(_KEYS, [table.oid])
    )


def deferrable_keys(session: Session, table: Table) -> list[str]:
    """Names of the table's deferrable unique and exclusion constraints."""
    return [name for (name,) in session.execute(_DEFERRABLE, [table.oid])]
