"""Which output column lands in which target column, and how it gets there.

A target column takes either the wire bytes of a source column (`Wire`), or an Arrow column: one of the
transform's output, or one that only we decode because its bytes must be checked or changed on the way
(`Value`, `Hidden`). Where bytes go on, as wire or as opaque values, the oids of user-defined types within
them become the target's (`Walked`). The plan makes the mapping once; the pipeline only follows it.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import pyarrow as pa
from msgspec import Struct

from copypump.codec.casts import encoded_type
from copypump.codec.column import Column, ServerType
from copypump.codec.rewrite import Walked
from copypump.codec.spelling import is_opaque, spelling
from copypump.codec.types import Kernel, is_opaque_of, pg_type
from copypump.codec.typmod import widens
from copypump.engine.planning.refusals import Refusals
from copypump.errors import RefusedError
from copypump.postgres.names import show_name

# The oids of text and varchar.
UNLIMITED_TEXT = (25, 1043)


class Wire(Struct, frozen=True):
    """Source column `index` of the stream, copied byte for byte but for the oids within."""

    index: int


class Value(Struct, frozen=True):
    """Column `name` of the transform's output, of type `offered` when it was probed."""

    name: str
    offered: pa.DataType


class Hidden(Struct, frozen=True):
    """Source column `index`, decoded by us alone: unread by the transform, yet not of the target's type."""

    index: int
    offered: pa.DataType


class Mapped(Struct, frozen=True):
    """One target column and where its values come from; `type` is what the encoder takes (None: wire)."""

    column: Column
    origin: Wire | Value | Hidden
    type: pa.DataType | None


class Mapping(Struct, frozen=True):
    """All mapped columns, in the order of the COPY's column list, and what was left out on purpose.

    `rewritten` are the source's columns whose bytes go on with other oids within.
    """

    mapped: tuple[Mapped, ...]
    generated: tuple[str, ...] = ()
    defaulted: tuple[str, ...] = ()
    rewritten: tuple[Walked, ...] = ()

    def is_forward(self, stream_width: int) -> bool:
        """Whether rows of `stream_width` columns go through whole: each as wire, in the stream's order."""
        return [m.origin for m in self.mapped] == [Wire(i) for i in range(stream_width)]


def same_values(source: Column, target: Column) -> bool:
    """Whether the wire bytes of `source`, oids aside, are exact for `target`: no other type or typmod."""
    if source.wire_type.same_wire(target.wire_type):
        return _no_narrower(source, target)
    # Everything that is text on the wire is a text, and a varchar without a limit, as it stands.
    unlimited = target.wire_type.oid in UNLIMITED_TEXT and target.wire_typmod == -1
    return unlimited and pg_type(source).kernel is Kernel.TEXT


def _no_narrower(source: Column, target: Column) -> bool:
    """Whether no typmod of `target`, at any depth, would round or cut a value: receiving does it silently."""
    if source.children:
        pairs = zip(source.children, target.children, strict=True)
        return all(_no_narrower(mine, theirs) for mine, theirs in pairs)
    return widens(source.wire_type.name, source.wire_typmod, target.wire_typmod)


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
            way, or a target column that must have a value and gets none; all that there are.

    """
    with Refusals() as refusals:
        return _make_mapping(stream, stream_types, unread, output, target, target_name, refusals)


def _make_mapping(
    stream: Sequence[Column],
    stream_types: Sequence[pa.DataType],
    unread: Sequence[int],
    output: Sequence[pa.Field[pa.DataType]],
    target: Sequence[Column],
    target_name: str,
    refusals: Refusals,
) -> Mapping:
    by_name = {column.name: column for column in target}
    opaque = [i for i, type_ in enumerate(stream_types) if i not in set(unread) and is_opaque(type_)]
    origins: dict[str, Wire | Value | Hidden] = {}
    made = {field.name for field in output}
    for index in unread:
        name = stream[index].name
        if name not in made:  # else the transform says what this column is now
            origins[name] = Wire(index)
            with refusals.collecting():
                origins[name] = _unread(index, stream, stream_types, by_name.get(name), target_name)
    for field in output:
        if isinstance(origins.get(field.name), Value):
            raise RefusedError("two columns have this name", table=target_name, column=field.name)
        origins[field.name] = Value(field.name, field.type)

    mapped: list[Mapped] = []
    generated: list[str] = []
    for name in _in_stream_order(stream, origins):
        landing = by_name.get(name)
        with refusals.collecting():
            if landing is None:
                raise _no_such_column(name, by_name, target_name)
            if landing.generated:
                generated.append(name)
            else:
                mapped.append(_mapped(landing, origins[name], stream, opaque, target_name))
    defaulted = _defaulted(target, origins, target_name, refusals)
    if refusals:
        raise refusals.error()
    if not mapped:
        raise RefusedError("no column is left to copy", table=target_name)
    rewritten = _rewritten(mapped, stream, opaque, target_name)
    return Mapping(tuple(mapped), tuple(generated), defaulted, rewritten)


def _unread(
    index: int,
    stream: Sequence[Column],
    stream_types: Sequence[pa.DataType],
    landing: Column | None,
    target_name: str,
) -> Wire | Hidden:
    """How a column goes that nobody reads; RefusedError for an enum's label that the target lacks."""
    column = stream[index]
    if landing is None or landing.generated or same_values(column, landing):
        return Wire(index)
    if (lacking := column.type.lacking(landing.type)) is not None:
        raise _no_such_labels(*lacking, landing, target_name)
    return Hidden(index, stream_types[index])


def _in_stream_order(stream: Sequence[Column], origins: dict[str, Wire | Value | Hidden]) -> list[str]:
    """Names in the source's order, then new ones: so that plain forwarding stays plain forwarding."""
    known = [column.name for column in stream if column.name in origins]
    return known + [name for name in origins if name not in set(known)]


def _mapped(
    landing: Column,
    origin: Wire | Value | Hidden,
    stream: Sequence[Column],
    opaque: Sequence[int],
    target_name: str,
) -> Mapped:
    if isinstance(origin, Wire):
        return Mapped(landing, origin, None)
    encoded = encoded_type(landing, origin.offered)
    if encoded is None or not _bytes_fit(landing, origin, stream, opaque):
        for index in _givers(landing, origin, stream, opaque):
            if (lacking := stream[index].type.lacking(landing.type)) is not None:
                raise _no_such_labels(*lacking, landing, target_name)
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
    hint = (
        "change the column's type in the transform or on the target, leave it out, or let it pass unread"
        " (copypump.reads): its bytes then stay as they are"
    )
    if source is not None and pa.types.is_string(offered):
        hint += f"; or let the target cast the text: --type {show_name(name)}=text"
    return hint


def _givers(
    landing: Column, origin: Wire | Value | Hidden, stream: Sequence[Column], opaque: Sequence[int]
) -> list[int]:
    """Indices of the source's columns whose very bytes can come to stand in `landing`.

    `opaque` are those that the transform reads as opaque bytes. Which one of that type it took a value from
    cannot be told: it may rename and mix them. Plain binary may be that of any such column, too.
    """
    if isinstance(origin, Wire):
        return [origin.index]
    if isinstance(origin, Hidden):
        return [origin.index] if is_opaque(origin.offered) else []
    if is_opaque(origin.offered):
        return [i for i in opaque if is_opaque_of(origin.offered, stream[i].wire_type)]
    own = landing.wire_type
    return [i for i in opaque if _is_binary(origin.offered) and stream[i].wire_type.same_wire(own)]


def _bytes_fit(
    landing: Column, origin: Value | Hidden, stream: Sequence[Column], opaque: Sequence[int]
) -> bool:
    """Whether a value that is wire bytes (an opaque one) comes from a column whose bytes `landing` takes.

    Bytes that come from nowhere, as `write` gets them, may be those of a type that is the same everywhere.
    Plain binary, which duckdb and others make of an opaque type, is what the server makes of it, and nothing
    tells where it comes from. So where the server would round it without a word, or oids stand within, it
    lands only where the bytes of each column of that type may.
    """
    own, limited = landing.wire_type, landing.wire_typmod != -1
    givers = _givers(landing, origin, stream, opaque)
    if not is_opaque(origin.offered):
        if own.is_builtin and limited and pg_type(landing).converter is not None:
            # What the user's own encoder makes is the server's to receive, and a built-in type's is rounded.
            index = origin.index if isinstance(origin, Hidden) else _place(stream, origin.name)
            return index is not None and same_values(stream[index], landing)
        bare = (limited and is_opaque(pg_type(landing).arrow(landing))) or bool(own.parts)
        return not (bare and _is_binary(origin.offered)) or _all_fit(landing, givers, stream)
    if not stream and own.is_builtin and not limited:
        return is_opaque_of(origin.offered, own)
    return _all_fit(landing, givers, stream)


def _place(stream: Sequence[Column], name: str) -> int | None:
    return next((index for index, column in enumerate(stream) if column.name == name), None)


def _all_fit(landing: Column, givers: Sequence[int], stream: Sequence[Column]) -> bool:
    return bool(givers) and all(same_values(stream[index], landing) for index in givers)


def _is_binary(type_: pa.DataType) -> bool:
    return type_ in (pa.binary(), pa.large_binary(), pa.binary_view())


def _rewritten(
    mapped: Sequence[Mapped], stream: Sequence[Column], opaque: Sequence[int], target_name: str
) -> tuple[Walked, ...]:
    """The columns whose bytes go on with other oids; RefusedError if two landings of one want two kinds."""
    landings: dict[int, Column] = {}
    for landing, origin in ((each.column, each.origin) for each in mapped):
        for index in _givers(landing, origin, stream, opaque):
            if not same_values(stream[index], landing):
                continue
            first = landings.setdefault(index, landing)
            if not first.type.same_oids(landing.type):
                raise RefusedError(
                    f"bytes of {stream[index].name} may land here and in {first.name}, which want other oids"
                    " within them",
                    table=target_name,
                    column=landing.name,
                    hint="give both columns the same type on the target, or leave one out",
                )
    return tuple(
        Walked(index, stream[index], landing.type)
        for index, landing in landings.items()
        if not stream[index].type.same_oids(landing.type)
    )


def _no_such_labels(enum: ServerType, missing: Sequence[str], landing: Column, target: str) -> RefusedError:
    labels = ["'" + label.replace("'", "''") + "'" for label in missing]
    name = show_name(enum.schema, enum.name)
    adding = "; ".join(f"ALTER TYPE {name} ADD VALUE {label}" for label in labels)
    return RefusedError(
        f"the target's enum {name} has no label {', '.join(labels)}",
        table=target,
        column=landing.name,
        hint=f"add what is missing ({adding}), or let a transform read the column and replace it",
    )


def _no_such_column(name: str, by_name: dict[str, Column], target_name: str) -> RefusedError:
    near = difflib.get_close_matches(name, by_name, n=3, cutoff=0.5)
    return RefusedError(
        "the target has no such column" + (f"; near names: {', '.join(near)}" if near else ""),
        table=target_name,
        column=name,
        hint="drop or rename it in the transform, choose columns with --columns, or add it to the target",
    )


def _defaulted(
    target: Sequence[Column],
    origins: dict[str, Wire | Value | Hidden],
    target_name: str,
    refusals: Refusals,
) -> tuple[str, ...]:
    """The target's columns that no value is sent for; each of them that must have one is refused."""
    names = []
    for column in target:
        if column.name in origins or column.generated:
            continue
        with refusals.collecting():
            if column.not_null and not (column.has_default or column.identity):
                raise RefusedError(
                    "the target's column is NOT NULL without a default, and nothing is sent for it",
                    table=target_name,
                    column=column.name,
                    hint="let the transform make it, select it from the source, or give it a default",
                )
            names.append(column.name)
    return tuple(names)
