"""Types of any depth to draw from: each with a column, its Arrow type, values, and what their bytes are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from copypump.codec.column import Column, ServerType
from copypump.codec.types import BITS, TIMETZ
from tests.codec import reference_encoder as reference
from tests.codec.streams import numeric_typmod

USER = 16384


@dataclass(frozen=True)
class Tree:
    """A type. `values` makes what pa.array takes for `arrow`, and `wire` their bytes; never None."""

    server: ServerType
    arrow: pa.DataType
    values: st.SearchStrategy[Any]
    wire: Callable[[Any], bytes]
    typmod: int = -1

    @property
    def column(self) -> Column:
        name = f"{self.server.parts[0].name}[]" if self.server.is_array else self.server.name
        return Column("c", self.server, self.typmod, name)

    def field(self, value: Any) -> bytes | None:
        return None if value is None else self.wire(value)


def builtin(oid: int, name: str) -> ServerType:
    return ServerType(oid, "pg_catalog", name)


def leaf(
    oid: int,
    name: str,
    arrow: pa.DataType,
    values: st.SearchStrategy[Any],
    wire: Callable[[Any], bytes],
    typmod: int = -1,
) -> Tree:
    return Tree(builtin(oid, name), arrow, values, wire, typmod)


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
LABELS = ("", "sad", "ok", "happy", "ünïcödé", *(f"label {n}" for n in range(40)))

VECTOR = pa.list_(pa.float32())


def _floats(least: int, most: int) -> st.SearchStrategy[list[float]]:
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    return st.lists(numbers, min_size=least, max_size=most)


INT4 = leaf(23, "int4", pa.int32(), st.integers(-(2**31), 2**31 - 1), lambda v: reference.word("i", v))
INT8 = leaf(20, "int8", pa.int64(), st.integers(-(2**63), 2**63 - 1), lambda v: reference.word("q", v))
TEXT = leaf(25, "text", pa.utf8(), TEXTS, str.encode)
DATE = leaf(1082, "date", pa.date32(), st.dates(), lambda v: reference.date(v.toordinal() - 719163))
NUMERIC = leaf(
    1700,
    "numeric",
    pa.decimal128(10, 2),
    st.decimals(-99999999, 99999999, places=2),
    lambda v: reference.numeric(v, 10, 2),
    numeric_typmod(10, 2),
)
LEAVES = (
    INT4,
    INT8,
    TEXT,
    DATE,
    NUMERIC,
    leaf(16, "bool", pa.bool_(), st.booleans(), lambda v: reference.word("?", v)),
    leaf(17, "bytea", pa.binary(), st.binary(max_size=20), bytes),
    leaf(18, "char", pa.uint8(), st.integers(0, 255), lambda v: reference.word("B", v)),
    leaf(21, "int2", pa.int16(), st.integers(-(2**15), 2**15 - 1), lambda v: reference.word("h", v)),
    leaf(701, "float8", pa.float64(), st.floats(allow_nan=False), lambda v: reference.word("d", v)),
    leaf(1043, "varchar", pa.utf8(), TEXTS.map(lambda v: v[:5]), str.encode, 5 + 4),
    leaf(3802, "jsonb", pa.utf8(), TEXTS, lambda v: b"\1" + v.encode()),
    leaf(2950, "uuid", pa.binary(16), st.binary(min_size=16, max_size=16), bytes),
    leaf(1700, "numeric", pa.utf8(), st.decimals(allow_nan=False).map(str), reference.numeric),
    leaf(3220, "pg_lsn", pa.uint64(), st.integers(0, 2**64 - 1), lambda v: reference.word("Q", v)),
    leaf(
        1114,
        "timestamp",
        pa.timestamp("us"),
        st.integers(-(10**15), 10**15),
        reference.timestamp,
    ),
    leaf(
        1266,
        "timetz",
        TIMETZ,
        st.fixed_dictionaries({"time": st.integers(0, 86_399_999_999), "offset": st.integers(-57599, 57599)}),
        lambda v: reference.timetz(v["time"], v["offset"]),
    ),
    leaf(
        1562,
        "varbit",
        BITS,
        st.binary(max_size=5).flatmap(
            lambda data: st.integers(0, 7 if data else 0).map(
                lambda cut: {
                    "bits": 8 * len(data) - cut,
                    "data": data[:-1] + bytes([data[-1] >> cut << cut]) if data else b"",
                }
            )
        ),
        lambda v: reference.bit_string(v["bits"], v["data"]),
    ),
    Tree(
        ServerType(USER + 1, "public", "mood", "e", names=LABELS),
        pa.utf8(),
        st.sampled_from(LABELS),
        str.encode,
    ),
    Tree(
        ServerType(USER + 2, "public", "hstore"),
        pa.map_(pa.utf8(), pa.utf8()),
        st.dictionaries(TEXTS, st.none() | TEXTS, max_size=30).map(lambda pairs: list(pairs.items())),
        lambda v: reference.hstore([(k.encode(), None if x is None else x.encode()) for k, x in v]),
    ),
    Tree(ServerType(USER + 3, "public", "vector"), VECTOR, _floats(1, 9), reference.vector),
    Tree(ServerType(USER + 3, "public", "vector"), VECTOR, _floats(3, 3), reference.vector, 3),
    Tree(ServerType(600, "pg_catalog", "point"), pa.binary(), st.binary(max_size=20), bytes),
)


def optional(tree: Tree, max_size: int = 6) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.none() | tree.values, max_size=max_size)


def array_of(item: Tree) -> Tree:
    return Tree(
        ServerType(USER + 10, "public", f"_{item.server.name}", parts=(item.server,), is_array=True),
        pa.list_(item.arrow),
        optional(item),
        lambda v: reference.array(item.server.oid, [item.field(x) for x in v]),
        item.typmod,
    )


def composite_of(items: Sequence[Tree]) -> Tree:
    names = tuple(f"a{i}" for i in range(len(items)))
    return Tree(
        ServerType(
            USER + 11,
            "public",
            "row",
            "c",
            tuple(item.server for item in items),
            names,
            part_typmods=tuple(item.typmod for item in items),
        ),
        pa.struct([(name, item.arrow) for name, item in zip(names, items, strict=True)]),
        st.fixed_dictionaries(
            {name: st.none() | item.values for name, item in zip(names, items, strict=True)}
        ),
        lambda v: reference.composite(
            [(item.server.oid, item.field(v[name])) for name, item in zip(names, items, strict=True)]
        ),
    )


def domain_of(item: Tree) -> Tree:
    server = ServerType(USER + 12, "public", "dom", "d", (item.server,), typmod=item.typmod)
    return Tree(server, item.arrow, item.values, item.wire)


def _range_values(bound: Tree) -> st.SearchStrategy[dict[str, Any]]:
    def shape(flags: int) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries(
            {
                "lower": st.none() if flags & 9 else bound.values,
                "upper": st.none() if flags & 17 else bound.values,
                "flags": st.just(flags),
            }
        )

    possible = [f for f in range(32) if f == 1 or not (f & 1 or f & 10 == 10 or f & 20 == 20)]
    return st.sampled_from(possible).flatmap(shape)


def range_of(bound: Tree) -> Tree:
    bound = Tree(bound.server, bound.arrow, bound.values, bound.wire) if bound.typmod == -1 else INT4
    return Tree(
        ServerType(USER + 13, "public", "span", "r", (bound.server,)),
        pa.struct([("lower", bound.arrow), ("upper", bound.arrow), pa.field("flags", pa.uint8(), False)]),
        _range_values(bound),
        lambda v: reference.range_of(bound.field(v["lower"]), bound.field(v["upper"]), v["flags"]),
    )


def multirange_of(bound: Tree) -> Tree:
    part = range_of(bound)
    return Tree(
        ServerType(USER + 14, "public", "spans", "m", (part.server,)),
        pa.list_(part.arrow),
        st.lists(part.values, max_size=4),
        lambda v: reference.multirange([part.wire(x) for x in v]),
    )


def _grown(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    not_arrays = inner.filter(lambda tree: not tree.server.base.is_array)
    return st.one_of(
        not_arrays.map(array_of),
        st.lists(inner, max_size=3).map(composite_of),
        inner.map(range_of),
        inner.map(multirange_of),
        inner.map(domain_of),
    )


TREES = st.recursive(st.sampled_from(LEAVES), _grown, max_leaves=5)
