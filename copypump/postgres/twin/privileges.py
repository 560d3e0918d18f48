"""Who may do what with a table: the statements that grant it anew, and what our role lacks to replace it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from msgspec import Struct

from copypump.postgres.names import quote_name, show_name
from copypump.postgres.session import Session
from copypump.postgres.twin.definition import Definition, Row, catalog_path
from copypump.postgres.twin.texts import Name, quoted

# One item of an ACL: grantor, grantee (None is PUBLIC), privilege, grantable.
Item = Sequence[Any]

# For all schemas, or for the one of the table.
_ROLE = """
SELECT current_user, current_setting('role'),
       (SELECT jsonb_agg(DISTINCT CASE WHEN x.grantee <> 0 THEN pg_get_userbyid(x.grantee) END)
          FROM pg_default_acl d CROSS JOIN aclexplode(d.defaclacl) x
         WHERE d.defaclrole = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user)
           AND d.defaclobjtype IN ('r', 'S')
           AND d.defaclnamespace IN (0, (SELECT c.relnamespace FROM pg_class c WHERE c.oid = $1)))"""

_OTHER_RIGHTS = """
SELECT 'SELECT on it' WHERE NOT has_table_privilege($1::oid, 'SELECT')
UNION ALL
SELECT format('EXECUTE on %s', t.tgfoid::regprocedure)
  FROM pg_trigger t
 WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND NOT has_function_privilege(t.tgfoid, 'EXECUTE')
UNION ALL
SELECT format('REFERENCES on %s', k.confrelid::regclass)
  FROM pg_constraint k
 WHERE k.conrelid = $1 AND k.contype = 'f' AND k.conparentid = 0
   AND NOT (SELECT bool_and(has_column_privilege(k.confrelid, n.number, 'REFERENCES'))
              FROM unnest(k.confkey) AS n(number))
UNION ALL
SELECT format('BYPASSRLS: row-level security, forced on %s, would hide rows from the check of a foreign key',
              o.oid::regclass)
  FROM pg_constraint k
  JOIN pg_class o ON o.oid = CASE k.conrelid WHEN $1 THEN k.confrelid ELSE k.conrelid END
 WHERE k.contype = 'f' AND $1 IN (k.conrelid, k.confrelid) AND k.conrelid <> k.confrelid AND k.convalidated
   AND o.relforcerowsecurity AND row_security_active(o.oid) AND pg_has_role(o.relowner, 'USAGE')
UNION ALL
SELECT format('CREATE on the tablespace %I', s.spcname)
  FROM pg_tablespace s
 WHERE s.oid IN (SELECT c.reltablespace FROM pg_class c
                  WHERE c.oid = $1 OR c.oid IN (SELECT i.indexrelid FROM pg_index i WHERE i.indrelid = $1))
   AND NOT has_tablespace_privilege(s.oid, 'CREATE')
 ORDER BY 1"""


class Role(Struct, frozen=True):
    """Our session's role, as far as making a table asks for it.

    `setting` is what SET ROLE was given. `defaults` are those to whom its ALTER DEFAULT PRIVILEGES give
    something of each table or sequence that it makes in the schema.
    """

    name: str
    setting: str
    defaults: tuple[str | None, ...]


def our_role(session: Session, definition: Definition) -> Role:
    """Read who we are."""
    with catalog_path(session):
        [(name, setting, defaults)] = session.execute(_ROLE, [definition.oid])
    return Role(name, setting, tuple(json.loads(defaults or "[]")))


def grants(kind: str, name: Name, made: Row, role: Role) -> Iterator[str]:
    """The statements after which a new table or sequence (`kind`) of `made`'s owner has `made`'s rights."""
    if made["_default_rights"] and not role.defaults:
        return
    object_, owner = f"{kind} {quoted(name)}", made["owner"]
    everyone = dict.fromkeys((None, owner, *role.defaults))
    yield f"REVOKE ALL ON {object_} FROM {', '.join(_grantee(each) for each in everyone)}"
    yield from _granted(object_, {"": made["rights"]}, owner, role)


def column_grants(name: Name, table: Definition, role: Role) -> Iterator[str]:
    """The statements that grant what is granted on single columns."""
    rights = {f" ({quote_name(each['attname'])})": each["rights"] for each in table.columns}
    yield from _granted(f"TABLE {quoted(name)}", rights, table.relation["owner"], role)


def _granted(object_: str, rights: dict[str, Sequence[Item]], owner: str, role: Role) -> Iterator[str]:
    """GRANTs, each by who gave it: the owner's first, then theirs who were given the right to grant."""
    items = [(item, column) for column, column_items in rights.items() for item in column_items]
    given = {owner}
    while items:
        ready = [each for each in items if each[0][0] in given] or items
        items = [each for each in items if each not in ready]
        given |= {item[1] for item, _ in ready if item[3]}
        for grantor, by_grantor in groupby(ready, key=lambda each: each[0][0]):
            if grantor != owner:
                yield f"SET LOCAL ROLE {quote_name(grantor)}"
            for (grantee, grantable), same in groupby(by_grantor, key=lambda each: (each[0][1], each[0][3])):
                what = ", ".join(f"{item[2]}{column}" for item, column in same)
                option = " WITH GRANT OPTION" if grantable else ""
                yield f"GRANT {what} ON {object_} TO {_grantee(grantee)}{option}"
            if grantor != owner:
                yield f"SET LOCAL ROLE {'NONE' if role.setting == 'none' else quote_name(role.setting)}"


def _grantee(name: str | None) -> str:
    return "PUBLIC" if name is None else quote_name(name)


def what_is_lacking(session: Session, definition: Definition) -> list[str]:
    """What our role would need to replace the table, beside what it has."""
    with catalog_path(session):
        lacking = [str(row[0]) for row in session.execute(_OTHER_RIGHTS, [definition.oid])]
        lacking += _lacking_roles(session, definition)
        lacking += _lacking_schemas(session, definition)
    return lacking


def _lacking_roles(session: Session, definition: Definition) -> Iterator[str]:
    """Those whose objects are altered, and in whose name something was granted."""
    owner = definition.relation["owner"]
    owned: dict[str, str] = {owner: "it"}
    for part in ("views", "referrers", "other_rules", "other_policies", "functions", "publications"):
        for row in getattr(definition, part):
            what = show_name(row["schema"], row.get("table", row["name"])) if "schema" in row else row["name"]
            owned.setdefault(row["owner"], what if part != "publications" else f"publication {what}")
    for row in definition.statistics:
        owned.setdefault(row["owner"], f"statistics {show_name(row['schema'], row['name'])}")
    for name, what in owned.items():
        [(may,)] = session.execute("SELECT pg_has_role($1::name, 'USAGE')", [name])
        if not may:
            yield f"membership of {show_name(name)}, who owns {what}"
    rights: Iterable[Row] = (definition.relation, *definition.columns, *definition.sequences)
    grantors = {item[0] for row in rights for item in row["rights"]} - {owner}
    switch = "SET" if session.server_version >= 160000 else "MEMBER"
    [(us,)] = session.execute("SELECT current_user")
    for name in sorted(grantors | ({owner} - {us})):
        [(may,)] = session.execute("SELECT pg_has_role($1::name, $2::text)", [name, switch])
        if not may:
            why = "who owns it" if name == owner else "who granted rights on it"
            yield f"SET ROLE to {show_name(name)}, {why}"
    schema = definition.name[0]
    for name in sorted(grantors):
        [(may,)] = session.execute("SELECT has_schema_privilege($1::name, $2::text, 'USAGE')", [name, schema])
        if not may:
            yield f"USAGE on the schema {show_name(schema)} for {show_name(name)}, who granted rights on it"


def _lacking_schemas(session: Session, definition: Definition) -> Iterator[str]:
    """A new table is made in the schema, by us, for the owner; and what is replaced is made in a way, too."""
    schema, owner = definition.name[0], definition.relation["owner"]
    others = (*definition.views, *definition.functions, *definition.statistics)
    for name in sorted({schema} | {row["schema"] for row in others}):
        [(may,)] = session.execute("SELECT has_schema_privilege($1::text, 'CREATE')", [name])
        if not may:
            yield f"CREATE on the schema {show_name(name)}"
    query = """SELECT has_schema_privilege($1::name, $2::text, 'CREATE')
                   OR (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user)"""
    [(may,)] = session.execute(query, [owner, schema])
    if not may:
        yield f"CREATE on the schema {show_name(schema)} for its owner, {show_name(owner)}"
