"""Which casts of text change a value without a word; those that only its bytes tell are a `sink.Check`.

A server's input function takes from a text what its own type holds: a date drops the time of day, a timestamp
the time zone, a float the digits that it has no room for. Where the text is that of another type of values,
the plan refuses what nobody would be told of.
"""

from __future__ import annotations

from collections.abc import Mapping

from copypump.codec.column import Column
from copypump.codec.types import Kernel, pg_type
from copypump.codec.typmod import widens
from copypump.errors import RefusedError, Side
from copypump.postgres.names import show_name

# Built-in types whose text each other either takes whole or refuses.
_FAMILIES = (
    {"int2", "int4", "int8", "numeric", "oid"},
    {"inet", "cidr"},
    {"macaddr", "macaddr8"},
    {"bit", "varbit"},
)
_WIDER = {("date", "timestamp"), ("xid", "xid8")}


def refuse_changes(texts: Mapping[str, Column], cast: Mapping[str, Column], table: str) -> None:
    """RefusedError if the target's cast of a text may make another value of it, and not say so.

    `texts` are the columns as they are on the source, `cast` those of the target, both by name.
    """
    for name, landing in cast.items():
        source = texts[name]
        if _limited(landing) if _is_text(source) else _changes(source, landing, checked=True):
            shown = show_name(name)
            raise RefusedError(
                f"a cast of the text of {source.declared} to {landing.declared} would change values without a"
                " word",
                side=Side.TARGET,
                table=table,
                column=name,
                hint="say yourself what shall become of it:"
                f" --query 'SELECT ..., {shown}::{landing.declared} AS {shown} FROM ...'",
            )


def _is_text(column: Column) -> bool:
    """Whether it was text before, of which only its user knows what it means."""
    return pg_type(column).kernel in (Kernel.TEXT, Kernel.ENUM)


def _changes(source: Column, landing: Column, *, checked: bool) -> bool:
    """Whether a value may change; `checked`: the values are held to the landing's own typmod by a Check."""
    mine, theirs = source.wire_type, landing.wire_type
    if source.children and landing.children:
        if len(source.children) != len(landing.children):
            return False  # the server refuses it
        # The typmod of an array's column is that of its elements, unless these have one of their own.
        checked = checked and theirs.is_array and landing.children[0].type.kind != "d"
        pairs = zip(source.children, landing.children, strict=True)
        return any(_changes(one, other, checked=checked) for one, other in pairs)
    if mine.is_builtin and theirs.is_builtin and not _is_text(source) and not _alike(mine.name, theirs.name):
        return True
    if checked or landing.wire_typmod == -1 or not theirs.is_builtin:
        return False
    return mine.name != theirs.name or not widens(theirs.name, source.wire_typmod, landing.wire_typmod)


def _alike(mine: str, theirs: str) -> bool:
    pair = (mine, theirs)
    return mine == theirs or pair in _WIDER or any(family.issuperset(pair) for family in _FAMILIES)


def _limited(landing: Column) -> bool:
    """Whether a typmod stands within the landing's values where no Check looks."""
    elements = landing.wire_type.is_array and landing.wire_type.parts
    if elements and landing.children[0].type.kind != "d" and not landing.children[0].children:
        return False
    return any(child.wire_typmod != -1 or _limited(child) for child in landing.children)
