"""Which output column lands in which target column, and how it gets there.

A target column takes either the wire bytes of a source column as they came (`Wire`), or an Arrow column:
one of the transform's output, or one that only we decode because its bytes must be checked or changed on
the way (`Value`, `Hidden`). The plan makes the mapping once; the pipeline only follows it.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from copypump.codec.casts import encoded_type
from copypump.codec.column import Column
from copypump.codec.spelling import is_opaque, spelling
from copypump.codec.types import Kernel, is_opaque_of, pg_type
from copypump.codec.typmod import widens
from copypump.errors import RefusedError
from copypump.postgres.names import show_name

# The oids of text and varchar.
UNLIMITED_TEXT = (25, 1043)


@dataclass(frozen=True, slots=True)
class Wire:
    """Source column `index` of the stream, copied byte for byte."""

    index: int


@dataclass(frozen=True, slots=True)
class Value:
    """Column `name` of the transform's output, of type `offered` when it was probed."""

    name: str
    offered: pa.DataType


@dataclass(frozen=True, slots=True)
class Hidden:
    """Source column `index`, decoded by us alone: unread by the transform, yet not of the target's type."""

    index: int
    offered: pa.DataType


@dataclass(frozen=True, slots=True)
class Mapped:
    """One target column and where its values come from; `type` is what the encoder takes (None: wire)."""

    column: Column
    origin: Wire | Value | Hidden
    type: pa.DataType | None


@dataclass(frozen=True, slots=True)
class Mapping:
    """All mapped columns, in the order of the COPY's column list, and what was left out on purpose."""

    mapped: tuple[Mapped, ...]
    generated: tuple[str, ...] = ()
    defaulted: tuple[str, ...] = ()

    def is_forward(self, stream_width: int) -> bool:
        """Whether rows of `stream_width` columns go through whole: each as wire, in the stream's order."""
        return [m.origin for m in self.mapped] == [Wire(i) for i in range(stream_width)]


def same_values(source: Column, target: Column) -> bool:
    """Whether the wire bytes of `source` are exact for `target`: the same type, and no narrower typmod."""
    mine, theirs = source.wire_type, target.wire_type
    if mine.same_wire(theirs):
        return widens(mine.name, source.wire_typmod, target.wire_typmod)
    # Everything that is text on the wire is a text, and a varchar without a limit, as it stands.
    return theirs.oid in UNLIMITED_TEXT and target.wire_typmod == -1 and pg_type(source).kernel is Kernel.TEXT


def make_mapping(
    stream: Sequence[Column],
    stream_types: Sequence[pa.DataType],
    unread: Sequence[int],
    output: Sequence[pa.Field[pa.DataType]],
    target: Sequence[Column],
    target_name: str,
) -> Mapping:
    """Match columns by name.

    Args:
        stream: the source's columns, as they stand in its stream.
        stream_types: the Arrow type that each of them decodes to.
        unread: indices of those that the transform does not read.
        output: the fields of the transform's output, without the row column.
        target: the target's columns.
        target_name: for messages.

    Raises:
        RefusedError: a name that two columns have, a column that the target lacks, a type without a lossless
            way, or a target column that must have a value and gets none.

    """
    by_name = {column.name: column for column in target}
    made = {field.name for field in output}
    origins: dict[str, Wire | Value | Hidden] = {}
    for index in unread:
        column = stream[index]
        if column.name in made:  # the transform says what this column is now
            continue
        landing = by_name.get(column.name)
        if landing is None or landing.generated or same_values(column, landing):
            origins[column.name] = Wire(index)
        else:
            origins[column.name] = Hidden(index, stream_types[index])
    for field in output:
        if isinstance(origins.get(field.name), Value):
            raise RefusedError("two columns have this name", table=target_name, column=field.name)
        origins[field.name] = Value(field.name, field.type)

    mapped: list[Mapped] = []
    generated: list[str] = []
    for name in _in_stream_order(stream, origins):
        landing = by_name.get(name)
        if landing is None:
            raise _no_such_column(name, by_name, target_name)
        if landing.generated:
            generated.append(name)
            continue
        mapped.append(_mapped(landing, origins[name], stream, target_name))
    if not mapped:
        raise RefusedError("no column is left to copy", table=target_name)
    defaulted = _defaulted(target, origins, target_name)
    return Mapping(tuple(mapped), tuple(generated), defaulted)


def _in_stream_order(stream: Sequence[Column], origins: dict[str, Wire | Value | Hidden]) -> list[str]:
    """Names in the source's order, then new ones: so that plain forwarding stays plain forwarding."""
    known = [column.name for column in stream if column.name in origins]
    return known + [name for name in origins if name not in set(known)]


def _mapped(
    landing: Column, origin: Wire | Value | Hidden, stream: Sequence[Column], target_name: str
) -> Mapped:
    if isinstance(origin, Wire):
        return Mapped(landing, origin, None)
    encoded = encoded_type(landing, origin.offered)
    if encoded is None or not _bytes_fit(landing, origin, stream):
        source = next((column for column in stream if column.name == landing.name), None)
        came_from = f" (from {source.declared})" if source is not None else ""
        raise RefusedError(
            f"{spelling(origin.offered)}{came_from} has no lossless way to {landing.declared}",
            table=target_name,
            column=landing.name,
            hint=_hint(landing.name, origin.offered, source),
        )
    return Mapped(landing, origin, encoded)


def _hint(name: str, offered: pa.DataType, source: Column | None) -> str:
    """The ways out; one is the server's own cast, which takes any text of a source's column, if told to."""
    hint = "change the column's type in the transform or on the target, or leave it out"
    if source is not None and pa.types.is_string(offered):
        hint += f"; or let the target cast the text: --type {show_name(name)}=text"
    return hint


def _bytes_fit(landing: Column, origin: Value | Hidden, stream: Sequence[Column]) -> bool:
    """Whether a value that is wire bytes (an opaque one) comes from a column whose bytes `landing` takes.

    Bytes that come from nowhere, as `write` gets them, may be those of a type that is the same everywhere.
    Plain binary, which duckdb and others make of an opaque type, is what the server makes of it, unless the
    server would round it without a word.
    """
    own, limited = landing.wire_type, landing.wire_typmod != -1
    if not is_opaque(origin.offered):
        bare = limited and is_opaque(pg_type(landing).arrow(landing))
        return not bare or any(c.name == landing.name and same_values(c, landing) for c in stream)
    if not stream and own.is_builtin and own.is_portable and not limited:
        return is_opaque_of(origin.offered, own)
    # Which column of that type the transform took its bytes from cannot be told: each of them must fit.
    donors = [stream[origin.index]] if isinstance(origin, Hidden) else stream
    alike = [column for column in donors if is_opaque_of(origin.offered, column.wire_type)]
    return bool(alike) and all(same_values(column, landing) for column in alike)


def _no_such_column(name: str, by_name: dict[str, Column], target_name: str) -> RefusedError:
    near = difflib.get_close_matches(name, by_name, n=3, cutoff=0.5)
    return RefusedError(
        "the target has no such column" + (f"; near names: {', '.join(near)}" if near else ""),
        table=target_name,
        column=name,
        hint="drop or rename it in the transform, choose columns with --columns, or add it to the target",
    )


def _defaulted(
    target: Sequence[Column], origins: dict[str, Wire | Value | Hidden], target_name: str
) -> tuple[str, ...]:
    """The target's columns that no value is sent for; RefusedError where one of them must have one."""
    names = []
    for column in target:
        if column.name in origins or column.generated:
            continue
        if column.not_null and not (column.has_default or column.identity):
            raise RefusedError(
                "the target's column is NOT NULL without a default, and nothing is sent for it",
                table=target_name,
                column=column.name,
                hint="let the transform make it, select it from the source, or give it a default",
            )
        names.append(column.name)
    return tuple(names)
