"""A table's indexes, and the constraints that cost when rows come: dropped, and made again as they were.

What the table is, `postgres.twin` reads, and it writes the statements that make things of that. Here is what
stays for a reason that the server knows, what dropping and making again asks of the role, and what is missing
afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from copypump.postgres.catalog import find_oid
from copypump.postgres.names import quote_name, show_name
from copypump.postgres.session import Session
from copypump.postgres.twin.definition import Definition, Row, catalog_path, differences_of, read_parts
from copypump.postgres.twin.making import (
    Names,
    constraint_of_index,
    index_properties,
    index_statements,
    reference_statements,
)
from copypump.postgres.twin.texts import Name, quoted, referring_to, renamed_index

# The parts of a definition that are held against each other, before the drop and at the end.
PARTS = ("indexes", "constraints")


class Making(Struct, frozen=True):
    """How one index or constraint is made again: by `make`, if it is not there, and then by `finish`.

    `kind` is "index" or "constraint"; the name may be "" where there is nothing to make.
    """

    kind: str
    name: str
    make: tuple[str, ...]
    finish: tuple[str, ...] = ()

    @property
    def statements(self) -> tuple[str, ...]:
        """All of them, in order."""
        return (*self.make, *self.finish)


class Dropped(Struct, frozen=True):
    """What a table is without while it is loaded.

    `drop` are the statements, in order. Each of `indexes` needs none of the others; then come `constraints`,
    and then the foreign `keys`. `rows` are the catalog's, by part of the definition, as they were read.
    """

    table: Name
    drop: tuple[str, ...]
    indexes: tuple[Making, ...]
    constraints: tuple[Making, ...]
    keys: tuple[Making, ...]
    rows: Mapping[str, tuple[Row, ...]]

    def __str__(self) -> str:
        return show_name(*self.table)

    @property
    def names(self) -> tuple[str, ...]:
        """What is dropped, indexes before foreign keys."""
        keys = [row["conname"] for row in self.rows["constraints"] if row["contype"] == "f"]
        return (*(row["name"] for row in self.rows["indexes"]), *keys)

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it: what must survive between the drop and the end."""
        saved: dict[str, Any] = to_builtins(self)
        return saved

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> Dropped:
        """What `as_dict` gave, as it was."""
        makings = {
            part: tuple(
                Making(each["kind"], each["name"], tuple(each["make"]), tuple(each["finish"]))
                for each in saved[part]
            )
            for part in ("indexes", "constraints", "keys")
        }
        rows = {part: tuple(saved["rows"][part]) for part in PARTS}
        schema, name = saved["table"]
        return cls((schema, name), tuple(saved["drop"]), **makings, rows=rows)

    def missing(self, session: Session) -> list[str]:
        """What the table has not got back as it was: `part NAME (properties)`; nothing where it is gone."""
        oid = find_oid(session, self.table)
        if oid is None:
            return []
        there, found = read_parts(session, oid, PARTS), list[str]()
        for part in PARTS:
            names = {_name(row) for row in self.rows[part]}
            again = tuple(row for row in there[part] if _name(row) in names)
            gone = sorted(names - {_name(row) for row in again})
            found += [f"{part} {show_name(name)} (gone)" for name in gone]
            kept = tuple(row for row in self.rows[part] if _name(row) not in gone)
            found += sorted(differences_of(part, kept, again))
        return found


def _name(row: Row) -> str:
    name: str = row["name"] if "name" in row else row["conname"]
    return name


_IS_THERE = {
    "index": "SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
    " WHERE i.indrelid = $1::oid AND c.relname = $2::name",
    "constraint": "SELECT FROM pg_constraint k WHERE k.conrelid = $1::oid AND k.conname = $2::name",
}


def is_there(session: Session, table: Name, making: Making) -> bool:
    """Whether the table has an index, or a constraint, of this name."""
    with catalog_path(session):
        return bool(session.execute(_IS_THERE[making.kind], [find_oid(session, table), making.name]))


# What stays --------------------------------------------------------------------------------------------

# What is no part of the index or its constraint (deptype i); with its oid where that is a constraint: a
# foreign key of the table's own may be dropped first.
_DEPENDENTS = """
SELECT c.relname, pg_describe_object(d.classid, d.objid, d.objsubid),
       CASE d.classid WHEN 'pg_constraint'::regclass THEN d.objid END
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid
                           AND k.contype IN ('p', 'u', 'x')
  JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indexrelid
                   OR d.refclassid = 'pg_constraint'::regclass AND d.refobjid = k.oid
 WHERE i.indrelid = $1 AND d.deptype <> 'i'
 ORDER BY 1, 2"""

# To an index of a partitioned table, or (ALTER INDEX ... DEPENDS ON EXTENSION) to an extension.
_BELONGS = """
SELECT c.relname, pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
 WHERE i.indrelid = $1 AND d.deptype NOT IN ('n', 'a', 'i')
 ORDER BY d.refclassid <> 'pg_class'::regclass, d.refobjid = $1, 2"""

_PUBLISHED = """
SELECT EXISTS (
    SELECT FROM pg_publication_tables p
      JOIN pg_namespace n ON n.nspname = p.schemaname
      JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
     WHERE c.oid = $1::oid OR c.oid IN (SELECT a.relid FROM pg_partition_ancestors($1::oid::regclass) a))"""

# A foreign key that our role could not make again, or whose check would not see all rows.
_NOT_AGAIN = """
SELECT k.conname, format('the role lacks REFERENCES on %s', k.confrelid::regclass)
  FROM pg_constraint k
 WHERE k.conrelid = $1 AND k.contype = 'f'
   AND NOT (SELECT bool_and(has_column_privilege(k.confrelid, n.number, 'REFERENCES'))
              FROM unnest(k.confkey) AS n(number))
UNION ALL
SELECT k.conname, format('row-level security, forced on %s, would hide rows from its check', o.oid::regclass)
  FROM pg_constraint k JOIN pg_class o ON o.oid IN (k.conrelid, k.confrelid)
 WHERE k.conrelid = $1 AND k.contype = 'f'
   AND o.relforcerowsecurity AND row_security_active(o.oid) AND pg_has_role(o.relowner, 'USAGE')"""


def kept_keys(session: Session, definition: Definition) -> dict[str, str]:
    """The foreign keys of the table that stay as they are, and why."""
    keys = [row for row in definition.constraints if row["contype"] == "f"]
    kept = {}
    for row in keys:
        if row.get("conenforced") is False:
            kept[row["conname"]] = "it is not enforced"
        elif not row["convalidated"]:
            kept[row["conname"]] = "it is not valid: made again, it would not check the rows of this run"
        elif row["firing"] not in (None, ["O"]):
            kept[row["conname"]] = "its triggers are disabled, or fire on replicas"
        elif row["to_itself"] and referring_to(definition, row, definition.name) is None:
            kept[row["conname"]] = "its definition is not understood"
    with catalog_path(session):
        for name, why in session.execute(_NOT_AGAIN, [definition.oid]):
            kept.setdefault(str(name), str(why))
    return kept


def kept_indexes(session: Session, definition: Definition, dropped_keys: Iterable[Row]) -> dict[str, str]:
    """The indexes of the table that stay as they are, and why, where these foreign keys of it are dropped."""
    gone = {row["_oid"] for row in dropped_keys}
    kept: dict[str, str] = {}
    for index in definition.indexes:
        name = index["name"]
        if not (index["indisvalid"] and index["indisready"] and index["indislive"]):
            kept[name] = "it is not valid"
        elif index["indisreplident"]:
            kept[name] = "it is the replica identity"
        elif index["constraint"] is None and renamed_index(definition, index, name) is None:
            kept[name] = "its definition is not understood"
    with catalog_path(session):
        for name, other in session.execute(_BELONGS, [definition.oid]):
            kept.setdefault(str(name), f"it belongs to {other}")
        for name, dependent, oid in session.execute(_DEPENDENTS, [definition.oid]):
            if oid not in gone:
                kept.setdefault(str(name), f"{dependent} depends on it")
        if definition.relation["relreplident"] == "d":
            primary = [row["name"] for row in definition.indexes if row["indisprimary"]]
            if primary and session.execute(_PUBLISHED, [definition.oid])[0][0]:
                kept.setdefault(primary[0], "it is the replica identity of a published table")
    return kept


# Dropping, and making again ------------------------------------------------------------------------------


def dropping(definition: Definition, indexes: Sequence[Row], keys: Sequence[Row]) -> Dropped:
    """How these indexes, with the constraints that they serve, and these foreign keys go and come again."""
    table = quoted(definition.name)
    same = Names(
        definition.name, definition.name, {("index", row["name"]): row["name"] for row in indexes}, {}
    )
    served = {row["constraint"] for row in indexes} - {None}
    names_of_keys = [row["conname"] for row in keys]
    ours = tuple(
        row
        for row in definition.constraints
        if (row["contype"] in "pux" and row["conname"] in served)
        or (row["contype"] == "f" and row["conname"] in names_of_keys)
    )
    drop = [*names_of_keys, *(row["conname"] for row in ours if row["contype"] != "f")]
    plain = [row["name"] for row in indexes if row["constraint"] is None]
    schema = definition.name[0]
    return Dropped(
        definition.name,
        (
            *(f"ALTER TABLE {table} DROP CONSTRAINT {quote_name(name)}" for name in drop),
            *(f"DROP INDEX {quoted((schema, name))}" for name in plain),
        ),
        tuple(_indexes(definition, same, indexes)),
        tuple(_constraints(definition, same, indexes)),
        tuple(
            Making(
                "constraint",
                row["conname"],
                tuple(reference_statements(replace(definition, constraints=(row,)), same)),
            )
            for row in keys
        ),
        {"indexes": tuple(indexes), "constraints": ours},
    )


def _indexes(definition: Definition, names: Names, indexes: Iterable[Row]) -> Iterator[Making]:
    for index in indexes:
        for statements in index_statements(replace(definition, indexes=(index,)), names):
            yield Making("index", index["name"], statements)


def _constraints(definition: Definition, names: Names, indexes: Iterable[Row]) -> Iterator[Making]:
    for index in indexes:
        make = tuple(constraint_of_index(definition, names, index))
        finish = tuple(index_properties(names, index))
        if make or finish:
            yield Making("constraint", index["constraint"] or "", make, finish)


def what_is_lacking(session: Session, definition: Definition, indexes: Iterable[Row]) -> list[str]:
    """What our role would need to drop these indexes and to make them again, beside what it has."""
    owner, schema = definition.relation["owner"], definition.name[0]
    query = "SELECT pg_has_role($1::name, 'USAGE'), has_schema_privilege($2::text, 'CREATE')"
    with catalog_path(session):
        [(owns, creates)] = session.execute(query, [owner, schema])
        lacking = [] if owns else [f"membership of {show_name(owner)}, who owns it"]
        lacking += [] if creates else [f"CREATE on the schema {show_name(schema)}"]
        for space in sorted({index["tablespace"] for index in indexes} - {None}):
            [(may,)] = session.execute("SELECT has_tablespace_privilege($1::text, 'CREATE')", [space])
            lacking += [] if may else [f"CREATE on the tablespace {show_name(space)}"]
    return lacking
