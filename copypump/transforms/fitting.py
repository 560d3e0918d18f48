"""Fits conditions to the types that PostgreSQL compares otherwise than Arrow: char(n), citext and enums.

A column's type is told by its field's metadata; what a transform has made has none.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from copypump.errors import RefusedError
from copypump.transforms.expressions import Among, Call, Column, Literal, Matches, Node, Unpadded

_EQUALITY = {"equal", "not_equal"}
_ORDERING = {"less", "less_equal", "greater", "greater_equal"}


def fit(node: Node, schema: pa.Schema) -> Node:
    """Give what means on columns of a schema what the condition means in SQL.

    Raises:
        RefusedError: there is nothing that means the same.

    """
    match node:
        case Column(name):
            return Unpadded(node) if _pg_type(schema, name) == "bpchar" else node
        case Call(function, arguments):
            if function in _EQUALITY | _ORDERING:
                _refuse(schema, arguments, ordering=function in _ORDERING)
            fitted = [fit(argument, schema) for argument in arguments]
            if any(isinstance(argument, Unpadded) for argument in fitted):
                fitted = [_unpadded(each) if isinstance(each, Literal) else each for each in fitted]
            return Call(function, tuple(fitted))
        case Matches(function, text, pattern, ignore_case):  # to a pattern, blanks are characters like others
            if not ignore_case:
                _refuse(schema, [text])
            return Matches(
                function, text if isinstance(text, Column) else fit(text, schema), pattern, ignore_case
            )
        case Among(inner, literals):
            _refuse(schema, [inner])
            value = fit(inner, schema)
            if isinstance(value, Unpadded):
                literals = tuple(_unpadded(Literal(each)).value for each in literals)
            return Among(value, literals)
        case _:
            return node


def _refuse(schema: pa.Schema, nodes: Iterable[Node], *, ordering: bool = False) -> None:
    for name in (node.name for node in nodes if isinstance(node, Column)):
        type_ = _pg_type(schema, name)
        if type_ == "citext":
            raise RefusedError(
                "citext is compared without regard to case", column=name, hint=f"write lower({name})"
            )
        if ordering and type_ is not None and pa.types.is_dictionary(schema.field(name).type):
            raise RefusedError(
                "an enum's labels have an order of their own, which is not that of their letters",
                column=name,
                hint=f"name the labels: {name} in ('...')",
            )


def _pg_type(schema: pa.Schema, name: str) -> str | None:
    """The name of a column's type in PostgreSQL, without its schema; None of what a transform has made."""
    told = (schema.field(name).metadata or {}).get(b"PG:type")
    return None if told is None else told.decode().rpartition(".")[2]


def _unpadded(literal: Literal) -> Literal:
    return Literal(literal.value.rstrip(" ")) if isinstance(literal.value, str) else literal
