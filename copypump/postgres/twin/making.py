"""The statements that make a table's twin: empty at first, then with all that it needs beside its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct
from psycopg import sql

from copypump.postgres.names import quote_name
from copypump.postgres.twin.definition import Definition, Row
from copypump.postgres.twin.texts import Name, quoted, referring_to, renamed_index, renamed_statistics

# The most bytes of a name (NAMEDATALEN - 1, src/include/pg_config_manual.h).
_MAX_NAME = 63

PREFIX = "copypump"


class Names(Struct, frozen=True):
    """What the twin, and what belongs to it and has a name in its schema, is called until it takes its place.

    `parts` and `away` are by ("index" or "sequence" or "statistics", name): the twin's, and what the old
    table's is renamed to, to make room. Indexes of constraints count as indexes, and statistics may have
    another schema. `keys` are the foreign keys of other tables to the twin, as in `Definition.referrers`.
    """

    table: Name
    old: Name
    parts: Mapping[tuple[str, str], str]
    away: Mapping[tuple[str, str], str]
    keys: tuple[str, ...] = ()


def choose_names(definition: Definition, token: str) -> Names:
    """Names that begin with `copypump_TOKEN_`, where the token tells this twin from all others."""
    schema, name = definition.name
    parts = [("index", row["name"]) for row in definition.indexes]
    parts += [("sequence", row["name"]) for row in definition.sequences if row["deptype"] == "i"]
    parts += [("statistics", f"{row['schema']}.{row['name']}") for row in definition.statistics]
    return Names(
        table=(schema, fitting(f"{PREFIX}_{token}_{name}")),
        old=(schema, fitting(f"{PREFIX}_{token}_old_{name}")),
        parts={part: f"{PREFIX}_{token}_{number}" for number, part in enumerate(parts, start=1)},
        away={part: f"{PREFIX}_{token}_{number}_old" for number, part in enumerate(parts, start=1)},
        keys=tuple(f"{PREFIX}_{token}_key_{n}" for n, _ in enumerate(definition.referrers, start=1)),
    )


def fitting(name: str) -> str:
    """A name cut to what fits, between two characters."""
    return name.encode()[:_MAX_NAME].decode(errors="ignore")


def literal(text: str) -> str:
    """A string, as SQL writes it."""
    return sql.Literal(text).as_string().strip()


def comment(object_: str, row: Row) -> Iterator[str]:
    """COMMENT ON an object, where there is one."""
    if row["comment"] is not None:
        yield f"COMMENT ON {object_} IS {literal(row['comment'])}"


def make_statements(definition: Definition, names: Names, server_version: int) -> Iterator[str]:
    """The empty twin: columns with all that they are, checks, comments, owner, storage options.

    Checks are there before the rows come: COPY then tells which row breaks one. Rights are not: nobody else
    shall read what is not complete.
    """
    old, new, relation = quoted(definition.name), quoted(names.table), definition.relation
    including = ["DEFAULTS", "GENERATED", "STORAGE"] + ["COMPRESSION"] * (server_version >= 140000)
    like = " ".join(f"INCLUDING {what}" for what in including)
    options = options_clause(relation["reloptions"], relation["toast"])
    yield (
        f"CREATE {'UNLOGGED ' if relation['relpersistence'] == 'u' else ''}TABLE {new} (LIKE {old} {like})"
        f" USING {quote_name(relation['method'])}"
        f"{options} TABLESPACE {quote_name(relation['tablespace'])}"
    )
    yield f"ALTER TABLE {new} OWNER TO {quote_name(relation['owner'])}"
    if relation["type"] is not None:
        yield f"ALTER TABLE {new} OF {relation['type']}"
    yield from comment(f"TABLE {new}", relation)
    for column in definition.columns:
        if not column["_system"]:
            yield from _column(new, column)
    for sequence in definition.sequences:
        if sequence["deptype"] == "i":
            yield from _identity(definition, names, sequence)
    for constraint in definition.constraints:
        if constraint["contype"] == "n" and not constraint["convalidated"]:  # LIKE makes one that is
            yield f"ALTER TABLE {new} DROP CONSTRAINT {quote_name(constraint['conname'])}"
            yield f"ALTER TABLE {new} ADD {_constraint(constraint)}"
        if constraint["contype"] == "c":
            yield f"ALTER TABLE {new} ADD {_constraint(constraint)}"
        if constraint["contype"] in "cn":
            yield from comment(f"CONSTRAINT {quote_name(constraint['conname'])} ON {new}", constraint)


def options_clause(options: list[str] | None, toast: list[str] | None = None) -> str:
    """` WITH (...)` of storage parameters, in the catalog `name=value`; empty where there are none."""
    both = (("", options), ("toast.", toast))
    split = [(prefix, *each.partition("=")) for prefix, given in both for each in given or ()]
    written = ", ".join(f"{prefix}{quote_name(name)} = {literal(value)}" for prefix, name, _, value in split)
    return f" WITH ({written})" if written else ""


def _constraint(constraint: Row) -> str:
    return f"CONSTRAINT {quote_name(constraint['conname'])} {constraint['definition']}"


def _column(new: str, column: Row) -> Iterator[str]:
    name = quote_name(column["attname"])
    target = column["attstattarget"]
    if target is not None and target >= 0:
        yield f"ALTER TABLE {new} ALTER COLUMN {name} SET STATISTICS {target}"
    if options := options_clause(column["options"]):
        yield f"ALTER TABLE {new} ALTER COLUMN {name} SET{options.removeprefix(' WITH')}"
    yield from comment(f"COLUMN {new}.{name}", column)


def _identity(definition: Definition, names: Names, sequence: Row) -> Iterator[str]:
    """An identity column's sequence: not by LIKE, which would choose its name."""
    [column] = [each for each in definition.columns if each["attname"] == sequence["column"]]
    name = names.parts["sequence", sequence["name"]]
    yield (
        f"ALTER TABLE {quoted(names.table)} ALTER COLUMN {quote_name(column['attname'])} ADD GENERATED"
        f" {'ALWAYS' if column['attidentity'] == 'a' else 'BY DEFAULT'} AS IDENTITY"
        f" (SEQUENCE NAME {quoted((sequence['schema'], name))} START WITH {sequence['seqstart']}"
        f" INCREMENT BY {sequence['seqincrement']} MINVALUE {sequence['seqmin']}"
        f" MAXVALUE {sequence['seqmax']} CACHE {sequence['seqcache']}"
        f" {'CYCLE' if sequence['seqcycle'] else 'NO CYCLE'})"
    )
    yield from comment(f"SEQUENCE {quoted((sequence['schema'], name))}", sequence)


def index_statements(
    definition: Definition, names: Names, *, refusing: bool | None = None
) -> Iterator[tuple[str, ...]]:
    """Index by index, none of which needs another: those that a constraint does not have to make itself.

    With `refusing`, only those that may refuse a row, or only the others.
    """
    for index in definition.indexes:
        if _made_by(definition, index) is None and refusing in (None, index["indisunique"]):
            space = "" if index["tablespace"] is None else quote_name(index["tablespace"])
            statement = renamed_index(definition, index, names.parts["index", index["name"]], names.table)
            assert statement is not None, "refused before"
            yield f"SET LOCAL default_tablespace = {literal(space)}", statement


def _made_by(definition: Definition, index: Row) -> Row | None:
    """The constraint that makes the index; the others take one that is there."""
    for each in definition.constraints:
        if each["conname"] == index["constraint"] and each["contype"] in "pux":
            return each if each["contype"] == "x" or each.get("conperiod") else None
    return None


def exclusion_statements(definition: Definition, names: Names) -> Iterator[str]:
    """The constraints that make their indexes themselves."""
    for index in definition.indexes:
        if _made_by(definition, index) is not None:
            yield from constraint_of_index(definition, names, index)


def constraint_statements(definition: Definition, names: Names, *, exclusions: bool = True) -> Iterator[str]:
    """What comes after the indexes: their constraints, all else that is to be said of them, statistics.

    Without `exclusions` where these are there already.
    """
    new = quoted(names.table)
    for index in definition.indexes:
        if exclusions or _made_by(definition, index) is None:
            yield from constraint_of_index(definition, names, index)
        yield from index_properties(names, index)
    if identity := {"n": "NOTHING", "f": "FULL"}.get(definition.relation["relreplident"]):
        yield f"ALTER TABLE {new} REPLICA IDENTITY {identity}"
    for each in definition.statistics:
        yield from _statistics(definition, names, each)
    yield f"ANALYZE {new}"


def index_properties(names: Names, index: Row) -> Iterator[str]:
    """What is to be said of an index once it is there, and its constraint, if it has one."""
    new, schema, name = quoted(names.table), names.table[0], names.parts["index", index["name"]]
    for number, target in index["statistics"] or ():
        yield f"ALTER INDEX {quoted((schema, name))} ALTER COLUMN {number} SET STATISTICS {target}"
    yield from comment(f"INDEX {quoted((schema, name))}", index)
    if index["indisclustered"]:
        yield f"ALTER TABLE {new} CLUSTER ON {quote_name(name)}"
    if index["indisreplident"]:
        yield f"ALTER TABLE {new} REPLICA IDENTITY USING INDEX {quote_name(name)}"


def constraint_of_index(definition: Definition, names: Names, index: Row) -> Iterator[str]:
    """The constraint that an index serves, if any, and its comment; some make their index themselves."""
    found = [each for each in definition.constraints if each["contype"] in "pux"]
    constraint = next((each for each in found if each["conname"] == index["constraint"]), None)
    if constraint is None:
        return
    new, name = quoted(names.table), names.parts["index", index["name"]]
    add = f"ALTER TABLE {new} ADD CONSTRAINT {quote_name(name)}"
    if _made_by(definition, index) is not None:
        space = "" if index["tablespace"] is None else quote_name(index["tablespace"])
        yield f"SET LOCAL default_tablespace = {literal(space)}"
        yield f"{add} {constraint['definition']}"
        if options := options_clause(index["options"]):
            yield f"ALTER INDEX {quoted((names.table[0], name))} SET{options.removeprefix(' WITH')}"
    else:
        kind = "PRIMARY KEY" if constraint["contype"] == "p" else "UNIQUE"
        deferrable = " DEFERRABLE" if constraint["condeferrable"] else ""
        deferred = " INITIALLY DEFERRED" if constraint["condeferred"] else ""
        yield f"{add} {kind} USING INDEX {quote_name(name)}{deferrable}{deferred}"
    yield from comment(f"CONSTRAINT {quote_name(name)} ON {new}", constraint)


def _statistics(definition: Definition, names: Names, each: Row) -> Iterator[str]:
    name = (each["schema"], names.parts["statistics", f"{each['schema']}.{each['name']}"])
    statement = renamed_statistics(definition, each, name, names.table)
    assert statement is not None, "refused before"
    yield statement
    target = each.get("stxstattarget")
    if target is not None and target >= 0:
        yield f"ALTER STATISTICS {quoted(name)} SET STATISTICS {target}"
    yield f"ALTER STATISTICS {quoted(name)} OWNER TO {quote_name(each['owner'])}"
    yield from comment(f"STATISTICS {quoted(name)}", each)


def reference_statements(definition: Definition, names: Names) -> Iterator[str]:
    """The table's own foreign keys, checked as they are made unless they never were."""
    new = quoted(names.table)
    for constraint in definition.constraints:
        if constraint["contype"] != "f":
            continue
        name, text = quote_name(constraint["conname"]), constraint["definition"]
        if constraint["to_itself"]:
            text = referring_to(definition, constraint, names.table)
        yield f"ALTER TABLE {new} ADD CONSTRAINT {name} {text}"
        yield from comment(f"CONSTRAINT {name} ON {new}", constraint)
