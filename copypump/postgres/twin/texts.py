"""Definitions as the server prints them, of another name or for another table.

They are taken apart no further than that: each begins or ends in a way that is known, or else is refused.
"""

from __future__ import annotations

from copypump.postgres.names import quote_name
from copypump.postgres.twin.definition import Definition, Row

Name = tuple[str, str]


def quoted(name: Name) -> str:
    """A schema and a name, as SQL writes both."""
    return ".".join(map(quote_name, name))


def renamed_index(table: Definition, index: Row, name: str, on: Name | None = None) -> str | None:
    """CREATE INDEX of another name, on another table; None where the definition is not understood."""
    unique = "UNIQUE " if index["indisunique"] else ""
    begin = f"CREATE {unique}INDEX {index['printed']} ON {table.relation['printed']} USING "
    rest = index["definition"].removeprefix(begin)
    if rest == index["definition"]:
        return None
    return f"CREATE {unique}INDEX {quote_name(name)} ON {quoted(on or table.name)} USING {rest}"


def renamed_statistics(table: Definition, statistics: Row, name: Name, on: Name) -> str | None:
    """CREATE STATISTICS of another name, on another table; None where the definition is not understood."""
    definition: str = statistics["definition"]
    begin, end = f"CREATE STATISTICS {statistics['printed']} ", f" FROM {table.relation['printed']}"
    if not (definition.startswith(begin) and definition.endswith(end)):
        return None
    return f"CREATE STATISTICS {quoted(name)} {definition[len(begin) : -len(end)]} FROM {quoted(on)}"


def referring_to(table: Definition, key: Row, other: Name) -> str | None:
    """A foreign key's definition with another table in this one's place; None where it is not understood."""
    definition: str = key["definition"]
    reference = f" REFERENCES {table.relation['printed']}("
    if definition.count(reference) != 1:
        return None
    return definition.replace(reference, f" REFERENCES {quoted(other)}(")
