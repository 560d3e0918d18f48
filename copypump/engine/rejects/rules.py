"""What a table's constraints refuse, as SQL over a staging table: which rows, under which SQLSTATE.

Each rule finds bad rows for a whole block in one statement. A rule is made only where it says exactly what
the server will: of a table whose BEFORE triggers may yet change a row there are none, nor of a constraint
over columns whose values are not known before the INSERT (defaults), or whose other table the role may not
read. What no rule finds, the INSERT does: see `engine.rejects.landing`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from msgspec import Struct, field
from psycopg import sql

from copypump.codec.column import Column
from copypump.postgres.catalog import Table
from copypump.postgres.session import Session

# Of a partitioned table with more leaves than this, rows without a partition are left to the INSERT.
_MOST_LEAVES = 64

# The number of a staged row in its chunk; the name is not one that a user's column has.
NUMBER = "__copypump_n"

NOT_NULL, CHECK, FOREIGN_KEY, UNIQUE = "23502", "23514", "23503", "23505"


class Local(Struct, frozen=True):
    """What can be told of a row by itself: `bad` is true for one that the server refuses."""

    bad: sql.Composable
    reason: str
    sqlstate: str
    constraint: str | None = None
    column: str | None = None


class Foreign(Struct, frozen=True):
    """A foreign key: pairs of its column and the other table's, with the operator that compares them."""

    constraint: str
    table: sql.Composable
    pairs: tuple[tuple[str, str, sql.Composable], ...]
    itself: bool


class Unique(Struct, frozen=True):
    """A unique index: its key expressions, each with its equality operator; `where` of a partial one."""

    constraint: str
    keys: tuple[tuple[sql.Composable, sql.Composable], ...]
    where: sql.Composable | None
    nulls_equal: bool


class Rules(Struct, frozen=True):
    """All that can be told of a table before an INSERT.

    `generated` are columns that the server makes of the others, by name; local rules and indexes may speak
    of them. `alias` is the table's own name, by which expressions may call it. `collations` are those of
    columns that have another than their type: by it constraints compare, without a word of it in their text.
    """

    alias: sql.Identifier
    target: sql.Composable
    collations: Mapping[str, sql.Identifier] = field(default_factory=dict)
    generated: tuple[tuple[str, sql.Composable], ...] = ()
    local: tuple[Local, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    unique: tuple[Unique, ...] = ()


_BEFORE = """
WITH RECURSIVE tree(oid) AS (
    SELECT $1::pg_catalog.oid
    UNION
    SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent OPERATOR(pg_catalog.=) tree.oid
      JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.inhrelid AND c.relispartition)
SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger t JOIN tree ON t.tgrelid OPERATOR(pg_catalog.=) tree.oid
                WHERE NOT t.tgisinternal AND t.tgenabled OPERATOR(pg_catalog.<>) 'D'
                  AND t.tgtype OPERATOR(pg_catalog.&) 7::pg_catalog.int2 OPERATOR(pg_catalog.=) 7)"""

_ATTRIBUTES = """
SELECT a.attnum, a.attname, a.attnotnull, pg_catalog.pg_get_expr(d.adbin, d.adrelid), n.nspname, l.collname
  FROM pg_catalog.pg_attribute a
  LEFT JOIN pg_catalog.pg_collation l ON l.oid OPERATOR(pg_catalog.=) a.attcollation
       AND l.oid OPERATOR(pg_catalog.<>) 'pg_catalog.default'::pg_catalog.regcollation
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) l.collnamespace
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid OPERATOR(pg_catalog.=) a.attrelid
       AND d.adnum OPERATOR(pg_catalog.=) a.attnum AND a.attgenerated OPERATOR(pg_catalog.<>) ''
 WHERE a.attrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid
   AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped"""

_CHECKS = """
SELECT c.conname, pg_catalog.array_to_string(c.conkey, ','), pg_catalog.pg_get_expr(c.conbin, c.conrelid)
  FROM pg_catalog.pg_constraint c
 WHERE c.conrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid AND c.contype OPERATOR(pg_catalog.=) 'c'{enforced}
 ORDER BY c.conname"""

_DOMAIN = """
WITH RECURSIVE chain(oid, base, not_null) AS (
    SELECT t.oid, t.typbasetype, t.typnotnull FROM pg_catalog.pg_type t
     WHERE t.oid OPERATOR(pg_catalog.=) $1::pg_catalog.oid AND t.typtype OPERATOR(pg_catalog.=) 'd'
    UNION ALL
    SELECT t.oid, t.typbasetype, t.typnotnull FROM pg_catalog.pg_type t
      JOIN chain ON t.oid OPERATOR(pg_catalog.=) chain.base AND t.typtype OPERATOR(pg_catalog.=) 'd')
SELECT chain.not_null, c.conname, pg_catalog.pg_get_expr(c.conbin, 0::pg_catalog.oid), n.nspname, l.collname
  FROM chain
  LEFT JOIN pg_catalog.pg_constraint c ON c.contypid OPERATOR(pg_catalog.=) chain.oid
       AND c.contype OPERATOR(pg_catalog.=) 'c'
  LEFT JOIN pg_catalog.pg_type b ON b.oid OPERATOR(pg_catalog.=) chain.base
  LEFT JOIN pg_catalog.pg_collation l ON l.oid OPERATOR(pg_catalog.=) b.typcollation
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) l.collnamespace"""

_FOREIGN = """
SELECT c.conname, n.nspname, r.relname, r.relkind::pg_catalog.text,
       c.confrelid OPERATOR(pg_catalog.=) c.conrelid, k.mine, k.theirs, o.ns, o.name
  FROM pg_catalog.pg_constraint c
  JOIN pg_catalog.pg_class r ON r.oid OPERATOR(pg_catalog.=) c.confrelid
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) r.relnamespace,
       LATERAL (SELECT pg_catalog.json_agg(m.attname ORDER BY u.i) AS mine,
                       pg_catalog.json_agg(t.attname ORDER BY u.i) AS theirs
                  FROM ROWS FROM (pg_catalog.unnest(c.conkey), pg_catalog.unnest(c.confkey))
                       WITH ORDINALITY AS u(m, t, i)
                  JOIN pg_catalog.pg_attribute m ON m.attrelid OPERATOR(pg_catalog.=) c.conrelid
                       AND m.attnum OPERATOR(pg_catalog.=) u.m
                  JOIN pg_catalog.pg_attribute t ON t.attrelid OPERATOR(pg_catalog.=) c.confrelid
                       AND t.attnum OPERATOR(pg_catalog.=) u.t) k,
       LATERAL (SELECT pg_catalog.json_agg(s.nspname ORDER BY u.i) AS ns,
                       pg_catalog.json_agg(p.oprname ORDER BY u.i) AS name
                  FROM pg_catalog.unnest(c.conpfeqop) WITH ORDINALITY AS u(op, i)
                  JOIN pg_catalog.pg_operator p ON p.oid OPERATOR(pg_catalog.=) u.op
                  JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) p.oprnamespace) o
 WHERE c.conrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid AND c.contype OPERATOR(pg_catalog.=) 'f'
   AND (c.confmatchtype OPERATOR(pg_catalog.=) 's'
        OR pg_catalog.cardinality(c.conkey) OPERATOR(pg_catalog.=) 1){enforced}
   AND pg_catalog.has_table_privilege(r.oid, 'SELECT') AND NOT pg_catalog.row_security_active(r.oid)
   AND EXISTS (SELECT FROM pg_catalog.pg_trigger t
                WHERE t.tgconstraint OPERATOR(pg_catalog.=) c.oid
                  AND t.tgrelid OPERATOR(pg_catalog.=) c.conrelid
                  AND t.tgenabled::pg_catalog.text OPERATOR(pg_catalog.=) ANY (
                      CASE WHEN pg_catalog.current_setting('session_replication_role')
                                OPERATOR(pg_catalog.=) 'replica'
                           THEN '{{A,R}}'::pg_catalog.text[] ELSE '{{A,O}}'::pg_catalog.text[] END))
 ORDER BY c.conname"""

_UNIQUE = """
SELECT x.relname, pg_catalog.pg_get_expr(i.indpred, i.indrelid), {nulls}, k.keys, k.ns, k.ops,
       k.collation_ns, k.collations, pg_catalog.array_to_string(i.indkey::pg_catalog.int2[], ',')
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid,
       LATERAL (
           SELECT pg_catalog.json_agg(pg_catalog.pg_get_indexdef(i.indexrelid, u.i::pg_catalog.int4, false)
                                       ORDER BY u.i) AS keys,
                  pg_catalog.json_agg(s.nspname ORDER BY u.i) AS ns,
                  pg_catalog.json_agg(p.oprname ORDER BY u.i) AS ops,
                  pg_catalog.json_agg(ln.nspname ORDER BY u.i) AS collation_ns,
                  pg_catalog.json_agg(l.collname ORDER BY u.i) AS collations
             FROM ROWS FROM (pg_catalog.unnest(i.indclass::pg_catalog.oid[]),
                             pg_catalog.unnest(i.indcollation::pg_catalog.oid[]))
                  WITH ORDINALITY AS u(class, coll, i)
             JOIN pg_catalog.pg_opclass c ON c.oid OPERATOR(pg_catalog.=) u.class
             JOIN pg_catalog.pg_amop a ON a.amopfamily OPERATOR(pg_catalog.=) c.opcfamily
                  AND a.amoplefttype OPERATOR(pg_catalog.=) c.opcintype
                  AND a.amoprighttype OPERATOR(pg_catalog.=) c.opcintype
                  AND a.amopstrategy OPERATOR(pg_catalog.=) 3::pg_catalog.int2
             JOIN pg_catalog.pg_operator p ON p.oid OPERATOR(pg_catalog.=) a.amopopr
             JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) p.oprnamespace
             LEFT JOIN pg_catalog.pg_collation l ON l.oid OPERATOR(pg_catalog.=) u.coll
             LEFT JOIN pg_catalog.pg_namespace ln ON ln.oid OPERATOR(pg_catalog.=) l.collnamespace) k
 WHERE i.indrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid AND i.indisunique AND i.indisready
   AND NOT i.indisexclusion
 ORDER BY i.indisprimary DESC, x.relname"""

_LEAVES = """
WITH RECURSIVE tree(oid) AS (
    SELECT $1::pg_catalog.oid
    UNION ALL
    SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent OPERATOR(pg_catalog.=) tree.oid)
SELECT pg_catalog.pg_get_partition_constraintdef(c.oid)
  FROM tree JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) tree.oid
 WHERE c.relkind OPERATOR(pg_catalog.<>) 'p'"""


def find_rules(
    session: Session, table: Table, columns: Sequence[Column], into: sql.Composable | None = None
) -> Rules:
    """Read the constraints of a table into which rows of these columns go.

    They go `into` another that has the same constraints, and no triggers, where one is given.
    """
    alias = sql.Identifier(table.name)
    only = sql.SQL("ONLY " if table.kind == "r" else "")
    target = sql.SQL("{}{}").format(only, table.qualified) if into is None else into
    none = Rules(alias, target)
    if table.kind not in "rp" or (into is None and not table.can_select):
        return none
    if into is None and session.execute(_BEFORE, [table.oid])[0][0]:
        return none
    attributes = session.execute(_ATTRIBUTES, [table.oid])
    sent = {column.name for column in columns}
    names = {number: name for number, name, *_ in attributes}
    collations = {name: sql.Identifier(*found) for _, name, _, _, *found in attributes if all(found)}
    # Its expression may speak of columns that are not sent, and then is an error where it is used: see
    # `Lander`, which does without rules then.
    unsent = [name for _, name, _, text, *_ in attributes if name not in sent and text is None]
    generated = (
        ()
        if unsent
        else tuple(
            (name, collated(sql.SQL("({})").format(sql.SQL(text)), collations.get(name)))
            for _, name, _, text, *_ in attributes
            if name not in sent and text
        )
    )
    known = sent | {name for name, _ in generated}

    def knows(numbers: str | None) -> bool:
        return bool(numbers) and all(names.get(int(number)) in known for number in str(numbers).split(","))

    enforced = " AND c.conenforced" if session.server_version >= 180000 else ""
    local = [_not_null(name) for _, name, not_null, *_ in attributes if not_null and name in known]
    for column in columns:
        local += _domain(session, column)
    for name, numbers, text in session.execute(_CHECKS.format(enforced=enforced), [table.oid]):
        if knows(numbers):
            bad = sql.SQL("NOT ({})").format(sql.SQL(text))
            local.append(Local(bad, f'violates check constraint "{name}"', CHECK, name))
    if table.kind == "p":
        local += _partitions(session, table, known)
    return Rules(
        alias,
        target,
        collations,
        generated,
        tuple(local),
        tuple(_foreign(session, table, known, enforced, into)),
        tuple(_unique(session, table, known, names)),
    )


def collated(expression: sql.Composable, by: sql.Identifier | None) -> sql.Composable:
    """Give an expression the collation that is named, if one is."""
    return expression if by is None else sql.SQL("({} COLLATE {})").format(expression, by)


def _not_null(name: str, constraint: str | None = None) -> Local:
    # Not IS NULL, which also holds for a composite whose attributes all are.
    bad = sql.SQL("NOT ({} IS DISTINCT FROM NULL)").format(sql.Identifier(name))
    return Local(bad, "NULL, where the column is NOT NULL", NOT_NULL, constraint, name)


# VALUE, but not within a literal or a quoted name.
_VALUE = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\bVALUE\b")


def _domain(session: Session, column: Column) -> list[Local]:
    if column.type.kind != "d":
        return []
    local = []
    for not_null, constraint, text, *collation in session.execute(_DOMAIN, [column.type.oid]):
        if not_null:
            local.append(_not_null(column.name))
        if text is not None:
            # VALUE has the collation of what the domain is made of, whatever the domain's and the column's.
            by = sql.Identifier(*collation) if all(collation) else None
            value = collated(sql.Identifier(column.name), by).as_string()
            reason = f'violates check constraint "{constraint}" of the domain'
            bad = sql.SQL("NOT ({})").format(sql.SQL(_of_value(text, value)))
            local.append(Local(bad, reason, CHECK, constraint, column.name))
    return local


def _of_value(text: str, value: str) -> str:
    """A domain's condition as one of what stands in the place of VALUE."""
    return _VALUE.sub(lambda found: value if found[0] == "VALUE" else found[0], text)


def _partitions(session: Session, table: Table, known: set[str]) -> list[Local]:
    """What tells a row that no partition takes."""
    leaves = [text for (text,) in session.execute(_LEAVES, [table.oid])]
    if not leaves or len(leaves) > _MOST_LEAVES or any(text is None for text in leaves):
        return []
    if not known.issuperset(column.name for column in table.columns):
        return []
    bad = sql.SQL("NOT ({})").format(sql.SQL(" OR ").join(sql.SQL("({})").format(sql.SQL(t)) for t in leaves))
    # A bound is a constraint like any other, but NULL is not a row's way past it.
    return [Local(sql.SQL("({}) IS NOT FALSE").format(bad), "no partition takes the row", CHECK)]


def _foreign(
    session: Session, table: Table, known: set[str], enforced: str, into: sql.Composable | None
) -> list[Foreign]:
    found = []
    for name, schema, other, kind, itself, mine, theirs, spaces, operators in session.execute(
        _FOREIGN.format(enforced=enforced), [table.oid]
    ):
        comparing = map(_operator, json.loads(spaces), json.loads(operators))
        pairs = tuple(zip(json.loads(mine), json.loads(theirs), comparing, strict=True))
        if known.issuperset(pair[0] for pair in pairs):
            only = sql.SQL("ONLY " if kind == "r" else "")
            there = into if itself and into is not None else only + sql.Identifier(schema, other)
            found.append(Foreign(name, there, pairs, itself))
    return found


def _unique(session: Session, table: Table, known: set[str], names: dict[int, str]) -> list[Unique]:
    nulls = "i.indnullsnotdistinct" if session.server_version >= 150000 else "false"
    found = []
    for name, predicate, equal, keys, spaces, operators, *collating, numbers in session.execute(
        _UNIQUE.format(nulls=nulls), [table.oid]
    ):
        # An expression's columns are not told; it then fails where one is not known, and no rule is used.
        plain = [names.get(int(number)) for number in numbers.split(",") if int(number)]
        if any(name not in known for name in plain):
            continue
        pairs = tuple(
            (
                collated(sql.SQL("({})").format(sql.SQL(key)), sql.Identifier(*by) if all(by) else None),
                _operator(space, operator),
            )
            for key, space, operator, *by in zip(
                *map(json.loads, (keys, spaces, operators, *collating)), strict=True
            )
        )
        where = None if predicate is None else sql.SQL(predicate)
        found.append(Unique(name, pairs, where, equal))
    return found


def _operator(schema: str, name: str) -> sql.Composable:
    # An operator's name cannot be quoted; it holds nothing but signs.
    return sql.SQL("OPERATOR({}.{})").format(sql.Identifier(schema), sql.SQL(name))
