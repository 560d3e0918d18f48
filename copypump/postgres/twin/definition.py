"""All that makes a table what it is, as its server tells: to make another like it, and to compare the two.

What a catalog's row holds goes into the description whole, but for what each table has for itself (oids,
file numbers, sizes, column numbers). So a property that only a later server has is compared, too.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from copypump.postgres.names import show_name
from copypump.postgres.session import Session

# What pg_catalog's functions print is qualified then, unless it is of pg_catalog itself; and nothing can
# stand before an operator of ours. (Who does not name pg_temp has it searched first.)
CATALOG_PATH: Final = "pg_catalog, pg_temp"

Row = Mapping[str, Any]


@contextlib.contextmanager
def catalog_path(session: Session) -> Iterator[None]:
    """Let names be looked for in pg_catalog alone while the body runs, in the transaction that is open."""
    [(before,)] = session.execute("SELECT pg_catalog.current_setting('search_path')")
    change = "SELECT pg_catalog.set_config('search_path', $1::pg_catalog.text, true)"
    session.execute(change, [CATALOG_PATH])
    yield  # after an error, the rollback restores it
    session.execute(change, [before])


def rights(acl: str) -> str:
    """SQL that lists an ACL's items as [grantor, grantee or null for PUBLIC, privilege, grantable].

    In their order, in which tools print them; it is not compared.
    """
    return f"""
(SELECT coalesce(jsonb_agg(jsonb_build_array(pg_get_userbyid(x.grantor),
                                             CASE WHEN x.grantee <> 0 THEN pg_get_userbyid(x.grantee) END,
                                             x.privilege_type, x.is_grantable) ORDER BY x.place), '[]')
   FROM aclexplode({acl}) WITH ORDINALITY AS x(grantor, grantee, privilege_type, is_grantable, place))"""


_TABLESPACE = "(SELECT s.spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace)"

# A constraint's triggers on both of its tables: how they are enabled.
_FIRING = """
(SELECT jsonb_agg(DISTINCT t.tgenabled) FROM pg_trigger t WHERE t.tgconstraint = k.oid AND t.tgisinternal)"""


def _names(numbers: str, relation: str) -> str:
    """SQL that lists the names of the columns whose numbers an array holds, in its order."""
    return f"""
(SELECT jsonb_agg(a.attname ORDER BY n.place)
   FROM unnest({numbers}) WITH ORDINALITY AS n(number, place)
   JOIN pg_attribute a ON a.attrelid = {relation} AND a.attnum = n.number)"""


# What uses the table, and can be told to use another by executing its own definition again: see `refusals`.
OWN = """
own(classid, objid) AS (
    SELECT 'pg_class'::regclass::oid, $1::oid
    UNION ALL SELECT 'pg_class'::regclass, c.reltoastrelid FROM pg_class c
               WHERE c.oid = $1 AND c.reltoastrelid <> 0
    UNION ALL SELECT 'pg_class'::regclass, i.indexrelid FROM pg_index i
               WHERE i.indrelid IN ($1, (SELECT c.reltoastrelid FROM pg_class c WHERE c.oid = $1))
    UNION ALL SELECT 'pg_class'::regclass, d.objid FROM pg_depend d JOIN pg_class s ON s.oid = d.objid
               WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                 AND d.refobjid = $1 AND d.deptype = 'i' AND s.relkind = 'S'
    UNION ALL SELECT 'pg_type'::regclass, t.oid FROM pg_type t WHERE t.typrelid = $1
    UNION ALL SELECT 'pg_type'::regclass, t.typarray FROM pg_type t WHERE t.typrelid = $1
    UNION ALL SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k WHERE k.conrelid = $1
    UNION ALL SELECT 'pg_attrdef'::regclass, a.oid FROM pg_attrdef a WHERE a.adrelid = $1
    UNION ALL SELECT 'pg_trigger'::regclass, t.oid FROM pg_trigger t
               WHERE t.tgrelid = $1 OR t.tgisinternal AND t.tgconstraint IN (
                     SELECT k.oid FROM pg_constraint k WHERE k.conrelid = $1)
    UNION ALL SELECT 'pg_rewrite'::regclass, r.oid FROM pg_rewrite r WHERE r.ev_class = $1
    UNION ALL SELECT 'pg_policy'::regclass, p.oid FROM pg_policy p WHERE p.polrelid = $1
    UNION ALL SELECT 'pg_statistic_ext'::regclass, s.oid FROM pg_statistic_ext s WHERE s.stxrelid = $1
    UNION ALL SELECT 'pg_publication_rel'::regclass, p.oid FROM pg_publication_rel p WHERE p.prrelid = $1),
dependent AS (
    SELECT DISTINCT d.classid, d.objid, d.objsubid, d.deptype, d.refclassid, d.refobjid, d.refobjsubid
      FROM pg_depend d JOIN own ON d.refclassid = own.classid AND d.refobjid = own.objid
     WHERE (d.classid, d.objid) NOT IN (SELECT own.classid, own.objid FROM own))"""

_USERS = f"WITH {OWN}"

# By part of `Definition`: one JSON object a row, in an order that does not follow from oids. What begins with
# an underscore is not compared.
_QUERIES: Mapping[str, str] = {
    "relation": f"""
SELECT to_jsonb(c) - '{{oid,reltype,relfilenode,relpages,reltuples,relallvisible,relallfrozen,reltoastrelid,
                        relhasindex,relhasrules,relhastriggers,relhassubclass,relnatts,relrewrite,
                        relfrozenxid,relminmxid,relacl}}'::text[]
       || jsonb_build_object(
              'schema', n.nspname, 'printed', c.oid::regclass::text,
              'owner', pg_get_userbyid(c.relowner), 'method', m.amname,
              'type', CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END,
              'tablespace', (SELECT s.spcname FROM pg_tablespace s JOIN pg_database b
                                 ON s.oid = CASE c.reltablespace WHEN 0 THEN b.dattablespace
                                            ELSE c.reltablespace END
                              WHERE b.datname = current_database()),
              'toast', (SELECT t.reloptions FROM pg_class t WHERE t.oid = c.reltoastrelid),
              'comment', obj_description(c.oid, 'pg_class'),
              '_default_rights', c.relacl IS NULL,
              'rights', {rights("coalesce(c.relacl, acldefault('r', c.relowner))")})
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am m ON m.oid = c.relam
 WHERE c.oid = $1""",
    # System columns have rights, too. Among the options is a stamp of the server's own: PostgreSQL 15.20
    # gives one to the columns of each table that it makes.
    "columns": f"""
SELECT to_jsonb(a) - '{{attrelid,attnum,attcacheoff,attndims,atthasmissing,attmissingval,attacl,
                        attoptions}}'::text[]
       || jsonb_build_object(
              'options', (SELECT jsonb_agg(o.text ORDER BY o.text) FROM unnest(a.attoptions) AS o(text)
                           WHERE o.text NOT LIKE 'pg\\_attver=%'),
              '_system', a.attnum < 0, 'type', format_type(a.atttypid, a.atttypmod),
              'default', pg_get_expr(d.adbin, d.adrelid),
              'comment', col_description(a.attrelid, a.attnum),
              'rights', {rights("a.attacl")})
  FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = $1 AND NOT a.attisdropped AND (a.attnum > 0 OR a.attacl IS NOT NULL)
 ORDER BY a.attnum""",
    # Those with a parent come by themselves: a foreign key to a partitioned table has one for each partition.
    "constraints": f"""
SELECT to_jsonb(k) - '{{oid,conrelid,conindid,conkey,confkey,conbin,confrelid,conpfeqop,conppeqop,conffeqop,
                        confdelsetcols,conexclop,conparentid}}'::text[]
       || jsonb_build_object(
              '_oid', k.oid, 'definition', pg_get_constraintdef(k.oid),
              'comment', obj_description(k.oid, 'pg_constraint'),
              'columns', {_names("k.conkey", "k.conrelid")}, 'firing', {_FIRING},
              'to_itself', k.confrelid = k.conrelid,
              'referenced', CASE WHEN k.confrelid <> 0 THEN k.confrelid::regclass::text END,
              '_lockable', k.confrelid <> 0 AND has_table_privilege(k.confrelid, 'UPDATE, DELETE, TRUNCATE'))
  FROM pg_constraint k
 WHERE k.conrelid = $1 AND k.conparentid = 0
 ORDER BY k.contype, k.conname""",
    "indexes": f"""
SELECT to_jsonb(i) - '{{indexrelid,indrelid,indkey,indexprs,indpred,indcheckxmin}}'::text[]
       || jsonb_build_object(
              'name', c.relname, 'printed', quote_ident(c.relname),
              'definition', pg_get_indexdef(c.oid), 'options', c.reloptions,
              '_computed', i.indexprs IS NOT NULL OR i.indpred IS NOT NULL,
              'tablespace', {_TABLESPACE}, 'comment', obj_description(c.oid, 'pg_class'),
              'constraint', (SELECT k.conname FROM pg_constraint k
                              WHERE k.conindid = c.oid AND k.conrelid = $1 AND k.contype IN ('p', 'u', 'x')),
              'statistics', (SELECT jsonb_agg(jsonb_build_array(a.attnum, a.attstattarget) ORDER BY a.attnum)
                               FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attstattarget >= 0))
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
 WHERE i.indrelid = $1
 ORDER BY c.relname""",
    "triggers": """
SELECT to_jsonb(t) - '{oid,tgrelid,tgattr,tgconstraint,tgconstrindid,tgconstrrelid,tgqual}'::text[]
       || jsonb_build_object('definition', pg_get_triggerdef(t.oid),
                             'comment', obj_description(t.oid, 'pg_trigger'))
  FROM pg_trigger t
 WHERE t.tgrelid = $1 AND NOT t.tgisinternal
 ORDER BY t.tgname""",
    "policies": """
SELECT to_jsonb(p) - '{oid,polrelid,polqual,polwithcheck,polroles}'::text[]
       || jsonb_build_object(
              'roles', (SELECT jsonb_agg(CASE WHEN r.oid <> 0 THEN pg_get_userbyid(r.oid) END
                                         ORDER BY pg_get_userbyid(r.oid)) FROM unnest(p.polroles) AS r(oid)),
              'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid),
              'comment', obj_description(p.oid, 'pg_policy'))
  FROM pg_policy p
 WHERE p.polrelid = $1
 ORDER BY p.polname""",
    "rules": """
SELECT jsonb_build_object('name', r.rulename, 'enabled', r.ev_enabled, 'definition', pg_get_ruledef(r.oid),
                          'comment', obj_description(r.oid, 'pg_rewrite'))
  FROM pg_rewrite r
 WHERE r.ev_class = $1
 ORDER BY r.rulename""",
    "statistics": """
SELECT to_jsonb(s) - '{oid,stxrelid,stxkeys,stxexprs}'::text[]
       || jsonb_build_object('schema', n.nspname, 'name', s.stxname, 'owner', pg_get_userbyid(s.stxowner),
                             'printed', concat(quote_ident(n.nspname), '.', quote_ident(s.stxname)),
                             'definition', pg_get_statisticsobjdef(s.oid),
                             'comment', obj_description(s.oid, 'pg_statistic_ext'))
  FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
 WHERE s.stxrelid = $1
 ORDER BY n.nspname, s.stxname""",
    # An identity's own, which a new table gets anew ("i"), and those that a column owns ("a").
    "sequences": f"""
SELECT to_jsonb(s) - 'seqrelid'
       || jsonb_build_object(
              '_oid', c.oid, 'schema', n.nspname, 'name', c.relname, 'column', a.attname,
              'deptype', d.deptype, 'persistence', c.relpersistence, 'owner', pg_get_userbyid(c.relowner),
              'comment', obj_description(c.oid, 'pg_class'), '_default_rights', c.relacl IS NULL,
              'rights', {rights("coalesce(c.relacl, acldefault('s', c.relowner))")})
  FROM pg_depend d
  JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_sequence s ON s.seqrelid = c.oid
  JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
 WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
   AND d.deptype IN ('a', 'i')
 ORDER BY n.nspname, c.relname""",
    "publications": f"""
SELECT jsonb_build_object(
           'name', p.pubname, 'owner', pg_get_userbyid(p.pubowner),
           'filter', pg_get_expr(r.prqual, r.prrelid), 'columns', {_names("r.prattrs", "r.prrelid")})
  FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
 WHERE r.prrelid = $1
 ORDER BY p.pubname""",
    # Foreign keys of other tables to this one. `parts`: what a partitioned one has in its partitions.
    "referrers": f"""
SELECT jsonb_build_object(
           '_oid', k.oid, 'schema', n.nspname, 'table', c.relname, 'kind', c.relkind, 'name', k.conname,
           'owner', pg_get_userbyid(c.relowner), 'definition', pg_get_constraintdef(k.oid),
           'validated', k.convalidated, 'firing', {_FIRING},
           'comment', obj_description(k.oid, 'pg_constraint'),
           'columns', {_names("k.conkey", "k.conrelid")}, 'match', k.confmatchtype,
           'referenced', {_names("k.confkey", "k.confrelid")},
           'operators', (SELECT jsonb_agg(jsonb_build_array(s.nspname, o.oprname) ORDER BY e.place)
                           FROM unnest(k.conpfeqop) WITH ORDINALITY AS e(oid, place)
                           JOIN pg_operator o ON o.oid = e.oid JOIN pg_namespace s ON s.oid = o.oprnamespace),
           'period', to_jsonb(k) ->> 'conperiod' = 'true',
           'parts', (WITH RECURSIVE part(oid, conname) AS (
                         SELECT k.oid, k.conname
                         UNION ALL
                         SELECT q.oid, q.conname FROM pg_constraint q JOIN part ON q.conparentid = part.oid)
                     SELECT jsonb_agg(DISTINCT part.conname) FROM part))
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE k.contype = 'f' AND k.confrelid = $1 AND k.conrelid <> $1 AND k.conparentid = 0
 ORDER BY n.nspname, c.relname, k.conname""",
    # Whoever reads locks a view before what it reads: those that read others of these come first.
    "views": f"""
{_USERS},
view AS (
    SELECT DISTINCT r.ev_class AS oid FROM dependent JOIN pg_rewrite r ON r.oid = dependent.objid
     WHERE dependent.classid = 'pg_rewrite'::regclass AND r.rulename = '_RETURN'),
reads(reader, oid) AS (
    WITH RECURSIVE step(reader, oid) AS (
        SELECT view.oid, view.oid FROM view
        UNION
        SELECT step.reader, d.refobjid
          FROM step JOIN pg_rewrite r ON r.ev_class = step.oid
          JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
           AND d.refclassid = 'pg_class'::regclass)
    SELECT DISTINCT step.reader, step.oid FROM step JOIN view ON view.oid = step.oid)
SELECT jsonb_build_object(
           'schema', n.nspname, 'name', c.relname, 'kind', c.relkind, 'owner', pg_get_userbyid(c.relowner),
           'definition', pg_get_viewdef(c.oid), 'options', c.reloptions)
  FROM view JOIN pg_class c ON c.oid = view.oid JOIN pg_namespace n ON n.oid = c.relnamespace
 ORDER BY (SELECT count(*) FROM reads WHERE reads.reader = c.oid) DESC, n.nspname, c.relname""",
    "other_rules": f"""
{_USERS}
SELECT DISTINCT ON (n.nspname, c.relname, r.rulename)
       jsonb_build_object('schema', n.nspname, 'table', c.relname, 'kind', c.relkind,
                          'owner', pg_get_userbyid(c.relowner), 'name', r.rulename,
                          'enabled', r.ev_enabled, 'definition', pg_get_ruledef(r.oid))
  FROM dependent JOIN pg_rewrite r ON r.oid = dependent.objid
  JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE dependent.classid = 'pg_rewrite'::regclass AND r.rulename <> '_RETURN'
 ORDER BY n.nspname, c.relname, r.rulename""",
    "other_policies": f"""
{_USERS}
SELECT DISTINCT ON (n.nspname, c.relname, p.polname)
       jsonb_build_object('schema', n.nspname, 'table', c.relname, 'kind', c.relkind,
                          'owner', pg_get_userbyid(c.relowner), 'name', p.polname,
                          'using', pg_get_expr(p.polqual, p.polrelid),
                          'check', pg_get_expr(p.polwithcheck, p.polrelid))
  FROM dependent JOIN pg_policy p ON p.oid = dependent.objid
  JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE dependent.classid = 'pg_policy'::regclass
 ORDER BY n.nspname, c.relname, p.polname""",
    "functions": f"""
{_USERS}
SELECT DISTINCT ON (p.oid::regprocedure::text)
       jsonb_build_object('schema', n.nspname, 'name', p.oid::regprocedure::text,
                          'owner', pg_get_userbyid(p.proowner), 'definition', pg_get_functiondef(p.oid))
  FROM dependent JOIN pg_proc p ON p.oid = dependent.objid
  JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE dependent.classid = 'pg_proc'::regclass AND p.prokind IN ('f', 'p')
 ORDER BY p.oid::regprocedure::text""",
}

# pg_publication_rel got row filters and column lists in 15.
_PUBLICATIONS_14 = """
SELECT jsonb_build_object('name', p.pubname, 'owner', pg_get_userbyid(p.pubowner),
                          'filter', NULL, 'columns', NULL)
  FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
 WHERE r.prrelid = $1
 ORDER BY p.pubname"""


class Definition(Struct, frozen=True):
    """A table's whole definition; each part holds catalog rows as JSON objects, by `_QUERIES`.

    The last five are of others that use the table: foreign keys to it, views, rules, policies and functions
    whose definition names it.
    """

    oid: int
    relation: Row
    columns: tuple[Row, ...]
    constraints: tuple[Row, ...]
    indexes: tuple[Row, ...]
    triggers: tuple[Row, ...]
    policies: tuple[Row, ...]
    rules: tuple[Row, ...]
    statistics: tuple[Row, ...]
    sequences: tuple[Row, ...]
    publications: tuple[Row, ...]
    referrers: tuple[Row, ...]
    views: tuple[Row, ...]
    other_rules: tuple[Row, ...]
    other_policies: tuple[Row, ...]
    functions: tuple[Row, ...]

    @property
    def name(self) -> tuple[str, str]:
        """Its schema and name."""
        return self.relation["schema"], self.relation["relname"]

    def __str__(self) -> str:
        return show_name(*self.name)

    def differences(self, other: Definition) -> list[str]:
        """What is not the same in another's: `part NAME (properties)`, and nothing of their values."""
        return sorted(
            difference
            for part in _QUERIES
            for difference in differences_of(part, getattr(self, part), getattr(other, part))
        )


def differences_of(part: str, mine: Row | tuple[Row, ...], theirs: Row | tuple[Row, ...]) -> Iterator[str]:
    """What is not the same in one part of two definitions; see `Definition.differences`."""
    ours, others = _by_name(mine), _by_name(theirs)
    for name in ours.keys() | others.keys():
        a, b = ours.get(name, {}), others.get(name, {})
        keys = [key for key in a.keys() | b.keys() if not _same(key, a.get(key), b.get(key))]
        if keys := sorted(key for key in keys if not key.startswith("_")):
            yield f"{part.replace('_', ' ')} {name} ({', '.join(keys)})"
    if list(ours) != list(others) and ours.keys() == others.keys():
        yield f"{part.replace('_', ' ')} (their order)"


def _same(key: str, mine: Any, theirs: Any) -> bool:
    if key == "rights":
        mine, theirs = sorted(mine or (), key=str), sorted(theirs or (), key=str)
    return bool(mine == theirs)


_NAMES = ("name", "relname", "attname", "conname", "tgname", "polname")


def _by_name(part: Row | tuple[Row, ...]) -> dict[str, Row]:
    rows = part if isinstance(part, tuple) else (part,)
    named = {}
    for row in rows:
        name = next(row[key] for key in _NAMES if key in row)
        owner = [row[key] for key in ("schema", "table") if key in row and key != name]
        named[show_name(*owner, name)] = row
    return named


def read_definition(session: Session, oid: int) -> Definition | None:
    """Read the definition of a table (or of what else pg_class has under `oid`); None where it is gone."""
    parts = read_parts(session, oid, _QUERIES)
    relation = parts.pop("relation")
    return Definition(oid, relation[0], **parts) if relation else None


def read_parts(session: Session, oid: int, wanted: Iterable[str]) -> dict[str, tuple[Row, ...]]:
    """Read some of the parts of a definition alone, by name; each is empty where the table is gone."""
    parts = {}
    with catalog_path(session):
        for part in wanted:
            query = _QUERIES[part]
            if part == "publications" and session.server_version < 150000:
                query = _PUBLICATIONS_14
            parts[part] = tuple(json.loads(row[0]) for row in session.execute(query, [oid]))
    return parts
