"""What one column is, as a server describes it; no Arrow and no connection in here.

`postgres.catalog` fills these in, `codec.types` looks them up in the type table, the engine maps and checks
them. Type oids below `FIRST_OWN_OID` mean the same on every server; the others are one database's own.
"""

from __future__ import annotations

from msgspec import Struct

# FirstGenbkiObjectId of PostgreSQL's src/include/access/transam.h: smaller oids are written in its catalog's
# sources; those from here on are given when a server is built, initialised or used.
FIRST_OWN_OID = 10000


class ServerType(Struct, frozen=True):
    """One row of a server's pg_type, with the types whose oids or values stand within its wire form.

    `kind` is pg_type.typtype (b base, c composite, d domain, e enum, m multirange, p pseudo, r range).
    `parts` are: an array's element, a domain's base, a range's subtype, a multirange's range, a composite's
    attributes in order. `names` are an enum's labels in order, or a composite's attribute names;
    `part_typmods` are a composite's attributes' own. `typmod` is a domain's own (it applies to the base
    type), else -1.
    `binary` tells whether the type has binary send and receive functions.
    """

    oid: int
    schema: str
    name: str
    kind: str = "b"
    parts: tuple[ServerType, ...] = ()
    names: tuple[str, ...] = ()
    typmod: int = -1
    is_array: bool = False
    binary: bool = True
    part_typmods: tuple[int, ...] = ()

    @property
    def is_builtin(self) -> bool:
        """Whether the oid means the same type on every server."""
        return self.oid < FIRST_OWN_OID

    @property
    def has_binary(self) -> bool:
        """Whether values of this type can be sent in binary form: the type itself and all its parts."""
        return self.binary and all(part.has_binary for part in self.parts)

    @property
    def base(self) -> ServerType:
        """The type below all domains; its values are on the wire as they are."""
        return self.parts[0].base if self.kind == "d" else self

    @property
    def carries_oids(self) -> bool:
        """Whether the oids of the parts stand on the wire; domains, ranges and multiranges carry none."""
        return self.is_array or self.kind == "c"

    def same_wire(self, other: ServerType) -> bool:
        """Whether values of this type are values of `other` on another server, but for oids within them.

        Types that mean the same everywhere are the same when their oid is; all others when kind, name and
        parts agree. An array and a multirange are what their one part is, since a server makes their names.
        The schema of an extension's type may differ between two databases, so it is not compared. An enum's
        labels must be there; their order is no matter of the wire.
        """
        mine, theirs = self.base, other.base
        made = (mine.is_array and theirs.is_array) or mine.kind == theirs.kind == "m"
        if not (made and mine.parts and theirs.parts):
            if (mine.is_builtin or theirs.is_builtin) and mine.oid != theirs.oid:
                return False
            if mine.kind != theirs.kind or mine.name != theirs.name or mine.is_array != theirs.is_array:
                return False
        named = set(mine.names) <= set(theirs.names) if mine.kind == "e" else mine.names == theirs.names
        return (
            named
            and len(mine.parts) == len(theirs.parts)
            and all(a.same_wire(b) for a, b in zip(mine.parts, theirs.parts, strict=True))
        )

    def same_oids(self, other: ServerType) -> bool:
        """Whether the oids within values are those within values of `other`, a type of the same wire."""
        mine, theirs = self.base, other.base
        return all(
            (a.oid == b.oid or not mine.carries_oids) and a.same_oids(b)
            for a, b in zip(mine.parts, theirs.parts, strict=True)
        )

    def lacking(self, other: ServerType) -> tuple[ServerType, tuple[str, ...]] | None:
        """Give the first enum at any depth that `other` has under the same name without all of its labels.

        The enum is `other`'s; beside it stand the labels that it lacks.
        """
        mine, theirs = self.base, other.base
        if mine.kind == theirs.kind == "e" and mine.name == theirs.name:
            missing = tuple(label for label in mine.names if label not in theirs.names)
            return (theirs, missing) if missing else None
        if mine.kind != theirs.kind or mine.is_array != theirs.is_array:
            return None
        pairs = zip(mine.parts, theirs.parts, strict=False)
        return next((found for a, b in pairs if (found := a.lacking(b)) is not None), None)


class Column(Struct, frozen=True):
    """One column of a table or of a query's result, in the order it has there.

    `declared` is format_type(): the type as SQL writes it, typmod and schema included. Of a query's result
    only name, type, typmod and declared are known; the rest keeps its default.
    `identity` is pg_attribute.attidentity ("a" always, "d" by default, "" none).
    `inner`: it is one of another's `children`.
    """

    name: str
    type: ServerType
    typmod: int
    declared: str
    not_null: bool = False
    generated: bool = False
    identity: str = ""
    has_default: bool = False
    inner: bool = False

    @property
    def wire_type(self) -> ServerType:
        """The type whose values are on the wire: a domain's base, else the type itself."""
        return self.type.base

    @property
    def wire_typmod(self) -> int:
        """The typmod that holds for the wire values: a domain's own where the type is a domain."""
        kind, typmod = self.type, self.typmod
        while kind.kind == "d":
            typmod, kind = kind.typmod, kind.parts[0]
        return typmod

    @property
    def children(self) -> tuple[Column, ...]:
        """What stands within each value, as columns; none where nothing does.

        An array's "item", with the array's typmod; a composite's attributes by name; a range's "bound"; a
        multirange's "range".
        """
        wire = self.wire_type
        if wire.is_array and wire.parts:
            declared = self.declared.removesuffix("[]")
            return (Column("item", wire.parts[0], self.wire_typmod, declared, inner=True),)
        if wire.kind == "c":
            typmods = wire.part_typmods or (-1,) * len(wire.parts)
            return tuple(
                Column(name, part, typmod, part.name, inner=True)
                for name, part, typmod in zip(wire.names, wire.parts, typmods, strict=True)
            )
        if wire.kind in "rm" and wire.parts:
            name, part = "bound" if wire.kind == "r" else "range", wire.parts[0]
            return (Column(name, part, -1, part.name, inner=True),)
        return ()
