"""What differs between two servers so that the same bytes, or the same text, mean something else there.

Asked once, by the plan: some differences are refused, the others told as warnings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from copypump.codec.column import Column, ServerType
from copypump.engine.planning.mapping import Hidden, Value
from copypump.engine.planning.mapping import Mapping as ColumnMapping
from copypump.engine.planning.origin import NO_ENCODING, Origin, is_raw
from copypump.errors import RefusedError
from copypump.postgres.extensions import Extension, extensions_of
from copypump.postgres.names import show_name
from copypump.postgres.session import Session

MONEY_OID = 790
JSONB_OID = 3802


def find_differences(
    source: Session,
    target: Session,
    origin: Origin,
    mapping: ColumnMapping,
    landing: Sequence[Column],
    extensions: Mapping[int, Extension],
) -> tuple[str, ...]:
    """Warnings of what means something else on the target.

    `landing` are the target's own columns, `extensions` those that made the source's types, by oid.

    Raises:
        RefusedError: money of another lc_monetary, or money that would be taken for a number of its units.

    """
    pairs = list(_pairs(origin, mapping, landing))
    _check_money(source, target, origin, pairs)
    return (
        *_units(origin, mapping, pairs),
        *_parsed(pairs),
        *_other_oids(origin, pairs),
        *_other_versions(target, pairs, extensions),
        *_encodings(source, target),
    )


def _pairs(
    origin: Origin, mapping: ColumnMapping, landing: Sequence[Column]
) -> Iterator[tuple[Column, Column]]:
    """Each source column, with the type that it has there, beside the target column that it lands in."""
    targets = {column.name: column for column in landing}
    sources = {column.name: origin.texts.get(column.name, column) for column in origin.columns}
    for mapped in mapping.mapped:
        match mapped.origin:
            case Value(name):
                column = sources.get(name)
            case other:
                column = sources[origin.columns[other.index].name]
        if column is not None:
            yield column, targets[mapped.column.name]


def _within(type_: ServerType, test: Callable[[ServerType], bool]) -> bool:
    """Whether a type, or one that stands in its values at any depth, passes a test."""
    return test(type_) or any(_within(part, test) for part in type_.parts)


def _check_money(
    source: Session, target: Session, origin: Origin, pairs: Sequence[tuple[Column, Column]]
) -> None:
    """Refuse money that would be another amount on the target: bytes and text depend on the locale."""
    for column, landing in pairs:
        if not all(_within(each.type, lambda type_: type_.oid == MONEY_OID) for each in (column, landing)):
            continue
        theirs, ours = (str(side.execute("SHOW lc_monetary")[0][0]) for side in (source, target))
        if same_locale(theirs, ours):
            return
        name = show_name(column.name)
        raise RefusedError(
            f"lc_monetary is {theirs!r} on the source and {ours!r} on the target, and says what money means",
            table=origin.name,
            column=column.name,
            hint=f"land it in a numeric column: --query 'SELECT ..., {name}::numeric AS {name} FROM ...';"
            f" or in a text column: --type {name}=text",
        )


def _units(origin: Origin, mapping: ColumnMapping, pairs: Sequence[tuple[Column, Column]]) -> Iterator[str]:
    """Money that is a number on the other side: Arrow has it in the smallest units of its locale.

    RefusedError where nobody but us sees the numbers; a transform may have turned one into the other.
    """
    hidden = {mapped.column.name for mapped in mapping.mapped if isinstance(mapped.origin, Hidden)}
    for column, landing in pairs:
        if column.name in origin.texts or not _one_is_money(column, landing):
            continue
        if landing.name not in hidden:
            yield (
                f"column {show_name(column.name)} ({column.declared}) lands as {landing.declared}: money is"
                " counted in its smallest units (cents, say), which the transform must see to"
            )
            continue
        name, to = show_name(column.name), "numeric" if column.wire_type.oid == MONEY_OID else "money"
        raise RefusedError(
            f"{column.declared} and {landing.declared} count in different units (cents, say)",
            table=origin.name,
            column=column.name,
            hint=f"cast it on the source: --query 'SELECT ..., {name}::{to} AS {name} FROM ...'",
        )


def _one_is_money(one: Column, other: Column) -> bool:
    if one.children and len(one.children) == len(other.children):
        return any(_one_is_money(a, b) for a, b in zip(one.children, other.children, strict=True))
    return (one.wire_type.oid == MONEY_OID) != (other.wire_type.oid == MONEY_OID)


def _parsed(pairs: Sequence[tuple[Column, Column]]) -> Iterator[str]:
    """Text that becomes jsonb."""
    for column, landing in pairs:
        if landing.wire_type.oid == JSONB_OID and column.wire_type.oid != JSONB_OID:
            yield (
                f"column {show_name(column.name)} ({column.declared}) becomes jsonb: of a key that an object"
                " holds twice only the last value stays, and neither white space nor the order of keys does"
            )


def same_locale(one: str, other: str) -> bool:
    """Whether two names of locales write money alike.

    Encodings are spelled in several ways; POSIX is C, and so, for money, is C in any encoding.
    """
    return _plain_locale(one) == _plain_locale(other)


def _plain_locale(name: str) -> str:
    language, dot, encoding = name.partition(".")
    return "C" if language in ("C", "POSIX") else language + dot + encoding.lower().replace("-", "")


def _is_reg(type_: ServerType) -> bool:
    """Whether a type's values are oids of catalog rows: regclass, regtype and their like."""
    return type_.is_builtin and type_.schema == "pg_catalog" and type_.name.startswith("reg")


def _other_oids(origin: Origin, pairs: Sequence[tuple[Column, Column]]) -> Iterator[str]:
    for column, _ in pairs:
        if not _within(column.type, _is_reg):
            continue
        name = show_name(column.name)
        if column.name not in origin.texts:
            yield (
                f"column {name} ({column.declared}) holds oids, which name other things on the target;"
                f" --type {name}=text copies the names instead"
            )
        elif not any("search_path" in setting for setting in origin.settings):
            yield (
                f"column {name} ({column.declared}) names without their schema what the source's search_path"
                " finds; the target looks for them in its own"
            )


def _other_versions(
    target: Session, pairs: Sequence[tuple[Column, Column]], extensions: Mapping[int, Extension]
) -> Iterator[str]:
    """Extensions with types on both sides, of different versions."""
    ours = extensions_of(target, [landing.type for _, landing in pairs])
    versions = {extension.name: extension.version for extension in ours.values()}
    theirs = {(extension.name, extension.version) for extension in extensions.values()}
    for name, version in sorted(theirs):
        if name in versions and versions[name] != version:
            yield (
                f"extension {show_name(name)} is of version {version} on the source and {versions[name]} on"
                " the target: the bytes of its types may mean something else there"
            )


def _encodings(source: Session, target: Session) -> Iterator[str]:
    if is_raw(source):
        checked = "nobody" if is_raw(target) else "the target"
        yield (
            f"the source's database has the encoding {NO_ENCODING}: its text may be in any. What is read must"
            " be UTF-8, which is checked row by row (--type COLUMN=opaque reads the bytes); all else goes as"
            f" bytes, which {checked} checks"
        )
    elif is_raw(target):
        yield f"the target's database has the encoding {NO_ENCODING}: its text will be UTF-8"
