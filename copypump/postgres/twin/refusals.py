"""What stands against replacing a table: properties and dependencies for which there is no rule.

Every row of pg_depend and pg_shdepend that names the table, a part of it, or its row type, is held against
the rules here; one that none of them knows is told by the server's own description of both objects.
"""

from __future__ import annotations

from collections.abc import Iterator

from copypump.postgres.catalog import KINDS
from copypump.postgres.names import show_name
from copypump.postgres.session import Session
from copypump.postgres.twin.definition import OWN, Definition, catalog_path
from copypump.postgres.twin.texts import referring_to, renamed_index, renamed_statistics

# The first oid that a user's object can have (src/include/access/transam.h).
_FIRST_NORMAL_OID = 16384

# What depends on the table, and for which there is no rule. The rules: a foreign key to it, a sequence that a
# column owns, a view or a rule or a policy, a function with a body of parsed SQL. Not those of a materialized
# view (its rows), nor of another session's temporary view; and nothing that has the table's row type.
_DEPENDENTS = f"""
WITH {OWN}
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid),
       pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
  FROM dependent AS d
 WHERE NOT CASE d.classid
           WHEN 'pg_constraint'::regclass THEN EXISTS (
               SELECT FROM pg_constraint k
                WHERE k.oid = d.objid AND k.contype = 'f' AND d.refclassid <> 'pg_type'::regclass)
           WHEN 'pg_class'::regclass THEN d.deptype = 'a' AND d.refobjid = $1 AND EXISTS (
               SELECT FROM pg_class s WHERE s.oid = d.objid AND s.relkind = 'S')
           WHEN 'pg_rewrite'::regclass THEN EXISTS (
               SELECT FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
                WHERE r.oid = d.objid AND c.relpersistence <> 't'
                  AND (c.relkind = 'v' OR r.rulename <> '_RETURN'))
           WHEN 'pg_policy'::regclass THEN true
           WHEN 'pg_proc'::regclass THEN d.refclassid <> 'pg_type'::regclass AND EXISTS (
               SELECT FROM pg_proc p WHERE p.oid = d.objid AND to_jsonb(p) ->> 'prosqlbody' IS NOT NULL)
           ELSE false END
 ORDER BY 1, 2"""

# What the table, or a part of it, depends on in another way than by what its definition names.
_BELONGS = f"""
WITH {OWN}
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid),
       pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
  FROM pg_depend d JOIN own ON d.classid = own.classid AND d.objid = own.objid
 WHERE d.deptype NOT IN ('n', 'a', 'i')
    OR d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.objid = $1
UNION
SELECT pg_describe_object(d.classid, d.objid, d.objsubid), pg_describe_object(d.refclassid, d.refobjid, 0)
  FROM pg_shdepend d JOIN own ON d.classid = own.classid AND d.objid = own.objid
 WHERE d.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database())
   AND d.deptype NOT IN ('o', 'a', 'r', 't')
 ORDER BY 1, 2"""

# An expression of the table's that names it by oid, or takes its whole row: it would mean the old table.
_OF_ITSELF = """
WITH named AS (SELECT quote_literal($1::oid::regclass::text) || '::regclass' AS text)
SELECT pg_describe_object('pg_class'::regclass, i.indexrelid, 0)
  FROM pg_index i, named
 WHERE i.indrelid = $1
   AND (concat(i.indexprs, i.indpred) ~ ':varattno 0 '
        OR strpos(pg_get_indexdef(i.indexrelid), named.text) > 0)
UNION ALL
SELECT pg_describe_object('pg_constraint'::regclass, k.oid, 0)
  FROM pg_constraint k, named
 WHERE k.conrelid = $1 AND k.contype = 'c'
   AND (k.conbin::text ~ ':varattno 0 ' OR strpos(pg_get_constraintdef(k.oid), named.text) > 0)
UNION ALL
SELECT pg_describe_object('pg_attrdef'::regclass, a.oid, 0)
  FROM pg_attrdef a, named
 WHERE a.adrelid = $1 AND strpos(pg_get_expr(a.adbin, a.adrelid), named.text) > 0
UNION ALL
SELECT pg_describe_object('pg_statistic_ext'::regclass, s.oid, 0)
  FROM pg_statistic_ext s, named
 WHERE s.stxrelid = $1
   AND (to_jsonb(s) ->> 'stxexprs' ~ ':varattno 0 '
        OR strpos(pg_get_statisticsobjdef(s.oid), named.text) > 0)
 ORDER BY 1"""

_ATTACHED = f"""
WITH {OWN}
SELECT 'the security label of ' || pg_describe_object(l.classoid, l.objoid, l.objsubid)
  FROM pg_seclabel l JOIN own ON l.classoid = own.classid AND l.objoid = own.objid
UNION ALL
SELECT 'the comment on ' || pg_describe_object(d.classoid, d.objoid, d.objsubid)
  FROM pg_description d JOIN own ON d.classoid = own.classid AND d.objoid = own.objid
 WHERE d.classoid = 'pg_type'::regclass
UNION ALL
SELECT 'privileges on ' || pg_describe_object('pg_type'::regclass, t.oid, 0)
  FROM pg_type t JOIN own ON own.classid = 'pg_type'::regclass AND t.oid = own.objid
 WHERE t.typacl IS NOT NULL
UNION ALL
SELECT 'the subscription that fills it' FROM pg_subscription_rel s WHERE s.srrelid = $1 GROUP BY s.srrelid
UNION ALL
SELECT 'its tables that inherit' FROM pg_inherits i WHERE i.inhparent = $1 GROUP BY i.inhparent
 ORDER BY 1"""


def what_stands_against(session: Session, definition: Definition) -> list[str]:
    """All for which there is no rule, by name; empty where the table can be replaced."""
    with catalog_path(session):
        return [*_kind(definition), *_parts(definition), *_dependencies(session, definition)]


def _kind(definition: Definition) -> Iterator[str]:
    relation = definition.relation
    kind = relation["relkind"]
    if kind != "r":
        yield f"it is a {KINDS.get(kind, kind)}"
    if relation["relpersistence"] == "t":
        yield "it is a temporary table"
    if relation["relispartition"]:
        yield "it is a partition: detach it first, and attach it again afterwards"
    if definition.oid < _FIRST_NORMAL_OID:
        yield "it is the system's own"


def _parts(definition: Definition) -> Iterator[str]:
    """What is as it is in no table that was just made, or is told by the server in a way not known here."""
    for index in definition.indexes:
        name = show_name(index["name"])
        if not (index["indisvalid"] and index["indisready"] and index["indislive"]):
            yield f"index {name} is not valid: REINDEX or drop it"
        if index["constraint"] is None and renamed_index(definition, index, "x") is None:
            yield f"the definition of index {name} is not understood"
    for each in definition.statistics:
        if renamed_statistics(definition, each, ("x", "x"), ("x", "x")) is None:
            yield f"the definition of statistics {show_name(each['name'])} is not understood"
    keys = [(each, each["conname"]) for each in definition.constraints if each["contype"] == "f"]
    for key, name in (*keys, *((each, each["name"]) for each in definition.referrers)):
        if key["firing"] not in (None, ["O"]):
            yield f"triggers of the foreign key {show_name(name)} are disabled, or fire on replicas"
        if key.get("to_itself", True) and referring_to(definition, key, ("x", "x")) is None:
            yield f"the definition of the foreign key {show_name(name)} is not understood"
        if len(key.get("parts", ())) > 1:
            yield f"the foreign key {show_name(name)} has another name in a partition"


def _dependencies(session: Session, definition: Definition) -> Iterator[str]:
    oid = definition.oid
    for dependent, on in session.execute(_DEPENDENTS, [oid]):
        hint = (
            ": drop it first, and make it again afterwards" if "materialized view" in str(dependent) else ""
        )
        yield f"{dependent} depends on {on}{hint}"
    for part, other in session.execute(_BELONGS, [oid]):
        yield f"{part} belongs to {other}"
    for (part,) in session.execute(_OF_ITSELF, [oid]):
        yield f"{part} takes the whole row of the table, or names it by its oid"
    for (what,) in session.execute(_ATTACHED, [oid]):
        yield str(what)
