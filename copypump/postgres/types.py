"""What a server says about types: pg_type and its neighbours, with everything that stands inside a value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from copypump.codec.column import ServerType
from copypump.postgres.session import Session, Statement
from copypump.postgres.values import Value

_TYPES = """
SELECT t.oid, n.nspname, t.typname, t.typtype::pg_catalog.text, t.typelem, t.typbasetype, t.typtypmod,
       t.typinput OPERATOR(pg_catalog.=) 'pg_catalog.array_in'::pg_catalog.regproc,
       t.typsend::pg_catalog.oid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
           AND t.typreceive::pg_catalog.oid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid,
       {ranges}
  FROM pg_catalog.pg_type t
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
 WHERE t.oid OPERATOR(pg_catalog.=) ANY ({oids})"""

_THESE = "$1::pg_catalog.oid[]"

# Those of the columns of the table that a name means.
_OF_TABLE = """
    SELECT a.atttypid FROM pg_catalog.pg_attribute a
     WHERE a.attrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1::pg_catalog.text)
       AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped"""

# A range's subtype, a multirange's range; pg_range.rngmultitypid came with PostgreSQL 14.
_RANGE = """(SELECT r.rngsubtype FROM pg_catalog.pg_range r
        WHERE r.rngtypid OPERATOR(pg_catalog.=) t.oid)"""
_MULTIRANGE = """(SELECT r.rngtypid FROM pg_catalog.pg_range r
        WHERE r.rngmultitypid OPERATOR(pg_catalog.=) t.oid)"""

_LABELS = """
SELECT e.enumtypid, e.enumlabel
  FROM pg_catalog.pg_enum e
 WHERE e.enumtypid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
 ORDER BY e.enumtypid, e.enumsortorder"""

_ATTRIBUTES = """
SELECT c.reltype, a.attname, a.atttypid, a.atttypmod
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
 WHERE c.reltype OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
   AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
 ORDER BY c.reltype, a.attnum"""


def types_of_table(session: Session, name: str) -> Statement:
    """Ask for what `load_types` would ask first, of the columns of a table (its name quoted as in SQL)."""
    return Statement(_types_query(session, _OF_TABLE), [name])


def load_types(
    session: Session, oids: Iterable[int], known: Iterable[Sequence[Value]] = ()
) -> dict[int, ServerType]:
    """Return the types of these oids, each with its parts; at most three queries a level of nesting.

    `known` are the rows of `types_of_table`.
    """
    rows: dict[int, _Row] = {}
    wanted = set(oids)
    found = _rows(known)
    while wanted:
        if not found.keys() >= wanted:
            query = _types_query(session, _THESE)
            found |= _rows(session.execute(query, [_oid_array(wanted - found.keys())]))
        _complete(session, found)
        rows.update(found)
        wanted = {part for row in found.values() for part in row.parts} - rows.keys()
        found = {}
    built: dict[int, ServerType] = {}
    return {oid: _build(oid, rows, built) for oid in oids}


def _types_query(session: Session, oids: str) -> str:
    ranges = f"coalesce({_RANGE}, {_MULTIRANGE})" if session.server_version >= 140000 else _RANGE
    return _TYPES.replace("{ranges}", ranges).replace("{oids}", oids)


class _Row:
    """A type as its rows tell it, its parts still oids."""

    def __init__(self, values: Sequence[Value]) -> None:
        self.oid, self.schema, self.name, self.kind, element, base, self.typmod = values[:7]
        self.is_array, self.binary, subtype = values[7:]
        inner = {"b": element if self.is_array else 0, "d": base, "r": subtype, "m": subtype}.get(self.kind)
        self.parts: list[int] = [inner] if inner else []
        self.names: list[str] = []
        self.part_typmods: list[int] = []


def _rows(found: Iterable[Sequence[Value]]) -> dict[int, _Row]:
    return {int(values[0]): _Row(values) for values in found}


def _complete(session: Session, rows: dict[int, _Row]) -> None:
    """Read what enums and composite types are made of."""
    if enums := [oid for oid, row in rows.items() if row.kind == "e"]:
        for oid, label in session.execute(_LABELS, [_oid_array(enums)]):
            rows[oid].names.append(label)
    if composites := [oid for oid, row in rows.items() if row.kind == "c"]:
        for oid, name, part, typmod in session.execute(_ATTRIBUTES, [_oid_array(composites)]):
            rows[oid].names.append(name)
            rows[oid].parts.append(part)
            rows[oid].part_typmods.append(typmod)


def _build(oid: int, rows: dict[int, _Row], built: dict[int, ServerType]) -> ServerType:
    """Put a type together from its parts; `built` keeps what is done."""
    if oid not in built:
        row = rows[oid]
        parts = tuple(_build(part, rows, built) for part in row.parts)
        built[oid] = ServerType(
            oid=oid,
            schema=row.schema,
            name=row.name,
            kind=row.kind,
            parts=parts,
            names=tuple(row.names),
            typmod=row.typmod,
            is_array=row.is_array,
            binary=row.binary and all(part.binary for part in parts),
            part_typmods=tuple(row.part_typmods),
        )
    return built[oid]


def _oid_array(oids: Iterable[int]) -> str:
    """Return oids as the text of an oid[]."""
    return "{" + ",".join(map(str, sorted(oids))) + "}"
