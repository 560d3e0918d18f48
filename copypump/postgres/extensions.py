"""What a server says about extensions and the types that they made, and about types by their names."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from copypump.codec.column import ServerType
from copypump.postgres.session import Session


class Extension(Struct, frozen=True):
    """One row of pg_extension."""

    name: str
    version: str


_MEMBERS = """
SELECT d.objid, e.extname, e.extversion
  FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_extension e ON e.oid OPERATOR(pg_catalog.=) d.refobjid
 WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
   AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
   AND d.deptype OPERATOR(pg_catalog.=) 'e'
   AND d.objid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])"""

# 0: of this schema; 1: found by the search_path; 2: of an extension, wherever that was put.
_NAMED = """
SELECT found.oid, pg_catalog.format_type(found.oid, $3::pg_catalog.int4)
  FROM (SELECT t.oid,
               CASE WHEN n.nspname OPERATOR(pg_catalog.=) $1::pg_catalog.text THEN 0
                    WHEN pg_catalog.pg_type_is_visible(t.oid) THEN 1
                    WHEN EXISTS (
                        SELECT FROM pg_catalog.pg_depend d
                         WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
                           AND d.objid OPERATOR(pg_catalog.=)
                                   coalesce(nullif(t.typelem, 0::pg_catalog.oid), t.oid)
                           AND d.deptype OPERATOR(pg_catalog.=) 'e') THEN 2
               END AS rank
          FROM pg_catalog.pg_type t
          JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
         WHERE t.typname OPERATOR(pg_catalog.=) $2::pg_catalog.text AND t.typisdefined) AS found
 WHERE found.rank IS NOT NULL
 ORDER BY found.rank
 LIMIT 1"""


def extensions_of(session: Session, types: Iterable[ServerType]) -> dict[int, Extension]:
    """Return the extensions that these types, and those within them, are of, by the oid of the type."""
    oids = {type_.oid for each in types for type_ in _all(each) if not type_.is_builtin}
    if not oids:
        return {}
    array = "{" + ",".join(map(str, sorted(oids))) + "}"
    return {int(oid): Extension(name, version) for oid, name, version in session.execute(_MEMBERS, [array])}


def find_type(session: Session, schema: str, name: str, typmod: int) -> tuple[int, str] | None:
    """Return the oid of the type of this name, and how SQL writes it with this typmod; None: there is none.

    That of this schema; else the one that the search_path finds; else an extension's, in whatever schema that
    was put. One that merely has the name, elsewhere, is another type.
    """
    found = session.execute(_NAMED, [schema, name, typmod])
    return (int(found[0][0]), str(found[0][1])) if found else None


def is_available(session: Session, name: str) -> bool:
    """Whether the server has an extension of this name to create."""
    query = """SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions e
                               WHERE e.name OPERATOR(pg_catalog.=) $1::pg_catalog.name)"""
    return bool(session.execute(query, [name])[0][0])


def _all(type_: ServerType) -> Iterable[ServerType]:
    yield type_
    for part in type_.parts:
        yield from _all(part)
