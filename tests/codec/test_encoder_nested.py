"""Nested values: the native Encoder against the plain-Python reference, its faults, and hostile arrays."""

from __future__ import annotations

import struct
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copypump.codec.column import Column, ServerType
from copypump.codec.encoder import EncodedColumn, Encoder
from copypump.codec.types import BITS, TIMETZ, nd_array
from copypump.errors import CastError, TransformError
from tests.codec import reference_encoder as reference
from tests.codec import trees
from tests.codec.streams import numeric_typmod
from tests.codec.trees import INT4, TEXT, Tree, array_of, composite_of, multirange_of, range_of


def encode(tree: Tree, array: Any, first_row: int = 0) -> bytes:
    encoder = Encoder([EncodedColumn(tree.column, array.type)])
    return bytes(encoder.encode([array], len(array), first_row=first_row))


def rows(tree: Tree, values: list[Any]) -> bytes:
    return reference.rows([[tree.field(value) for value in values]])


def fails(tree: Tree, array: Any, row: int | None, kind: type[Exception] = CastError) -> str:
    with pytest.raises(kind) as caught:
        encode(tree, array, first_row=100)
    assert caught.value.column == "c"
    assert caught.value.row == (None if row is None else 101 + row)
    assert caught.value.hint
    return caught.value.message


@given(st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_trees(data):
    tree = data.draw(trees.TREES)
    values = data.draw(trees.optional(tree))
    cut = data.draw(st.integers(0, 3))
    array = pa.array(values, tree.arrow)
    assert encode(tree, array) == rows(tree, values)
    assert encode(tree, array.slice(cut)) == rows(tree, values[cut:])
    assert encode(tree, array.slice(cut, 2)) == rows(tree, values[cut : cut + 2])


@pytest.mark.parametrize("tree", trees.LEAVES, ids=lambda tree: f"{tree.server.name}-{tree.arrow}")
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_every_leaf_within_others(tree, data):
    whole = composite_of([tree, array_of(tree), array_of(composite_of([INT4, tree]))])
    values = data.draw(trees.optional(whole))
    assert encode(whole, pa.array(values, whole.arrow)) == rows(whole, values)


MOOD = Tree(
    ServerType(16513, "public", "mood", "e", names=("sad", "ok")), pa.utf8(), st.nothing(), str.encode
)
MOODS = Tree(
    ServerType(16512, "public", "_mood", parts=(MOOD.server,), is_array=True),
    pa.list_(pa.utf8()),
    st.nothing(),
    bytes,
)
PAIR = Tree(
    ServerType(16519, "public", "pair", "c", (INT4.server, MOODS.server), ("a", "b"), part_typmods=(-1, -1)),
    pa.struct([("a", pa.int32()), ("b", MOODS.arrow)]),
    st.nothing(),
    bytes,
)
NUMBER = Tree(ServerType(1700, "pg_catalog", "numeric"), pa.utf8(), st.nothing(), bytes)
HSTORE = next(tree for tree in trees.LEAVES if tree.server.name == "hstore")
PAIRS = pa.list_(pa.struct([("key", pa.utf8()), ("value", pa.utf8())]))
ND = nd_array(array_of(INT4).column)


def builtin(name: str, oid: int, arrow: pa.DataType, typmod: int = -1) -> Tree:
    return trees.leaf(oid, name, arrow, st.nothing(), bytes, typmod)


# COPY (SELECT ...) TO STDOUT (FORMAT BINARY) of PostgreSQL 15, as in test_encoder.py, where `mood` is an enum of
# sad and ok (oid 16513; 16512 its array's), and `pair` a composite of an int4 and a mood[].
GOLDEN = [
    (
        "'{1,NULL}'::int4[]",
        array_of(INT4),
        [1, None],
        "0000002000000001000000010000001700000002000000010000000400000001ffffffff",
    ),
    ("'{}'::text[]", array_of(TEXT), [], "0000000c000000000000000000000019"),
    (
        "'[0:1][-1:0]={{1,2},{3,4}}'::int4[]",
        Tree(array_of(INT4).server, ND, st.nothing(), bytes),
        {"dims": [2, 2], "lower_bounds": [0, -1], "values": [1, 2, 3, 4]},
        "0000003c000000020000000000000017000000020000000000000002ffffffff"
        "00000004000000010000000400000002000000040000000300000004"
        "00000004",
    ),
    (
        "'(,5]'::int4range",
        range_of(INT4),
        {"lower": None, "upper": 6, "flags": 8},
        "00000009080000000400000006",
    ),
    (
        "'[1.5,)'::numrange",
        range_of(NUMBER),
        {"lower": "1.5", "upper": None, "flags": 18},
        "00000011120000000c000200000000000100011388",
    ),
    ("'empty'::int4range", range_of(INT4), {"lower": None, "upper": None, "flags": 1}, "0000000101"),
    (
        "'{[1,2),[5,)}'::int4multirange",
        multirange_of(INT4),
        [{"lower": 1, "upper": 2, "flags": 2}, {"lower": 5, "upper": None, "flags": 18}],
        "000000260000000200000011020000000400000001000000040000000200000009120000000400000005",
    ),
    ("B'10110'::bit(5)", builtin("bit", 1560, BITS, 5), {"bits": 5, "data": b"\xb0"}, "0000000500000005b0"),
    ("''::varbit", builtin("varbit", 1562, BITS), {"bits": 0, "data": b""}, "0000000400000000"),
    (
        "'a=>1,bb=>NULL'::hstore",
        HSTORE,
        [("a", "1"), ("bb", None)],
        "000000180000000200000001610000000131000000026262ffffffff",
    ),
    (
        "'12:34:56.7+05:30'::timetz",
        builtin("timetz", 1266, TIMETZ),
        {"time": 45_296_700_000, "offset": -19800},
        "0000000c0000000a8be4ca60ffffb2a8",
    ),
    (
        """'(42,"{sad,NULL}")'::pair""",
        PAIR,
        {"a": 42, "b": ["sad", None]},
        "000000370000000200000017000000040000002a000040800000001f0000000100000001000040810000000200000001"
        "00000003736164ffffffff",
    ),
    (
        "row(1,null)::pair",
        PAIR,
        {"a": 1, "b": None},
        "000000180000000200000017000000040000000100004080ffffffff",
    ),
    ("'x'::\"char\"", builtin("char", 18, pa.uint8()), 120, "0000000178"),
    ("'ok'::mood", MOOD, "ok", "000000026f6b"),
]


@pytest.mark.parametrize(("sql", "tree", "value", "wire"), GOLDEN, ids=[case[0] for case in GOLDEN])
def test_golden_bytes(sql, tree, value, wire):
    assert encode(tree, pa.array([value], tree.arrow)).hex() == "0001" + wire


# ---- arrays of any dimensions


def nd(values: list[Any], item: Tree = INT4) -> tuple[Tree, pa.Array]:
    tree = array_of(item)
    type_ = nd_array(tree.column)
    loose = pa.struct([pa.field(field.name, pa.list_(field.type.value_type)) for field in type_])
    return Tree(tree.server, loose, tree.values, tree.wire), pa.array(values, loose)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_dimensions(data):
    sizes = st.lists(st.integers(-1, 3), max_size=7)
    bounds = st.integers(-(2**31), 2**31 - 1) | st.integers(2**31 - 4, 2**31 - 1) | st.integers(-3, 3)
    dims = data.draw(sizes)
    lower = data.draw(st.lists(bounds, min_size=len(dims), max_size=len(dims) + data.draw(st.integers(0, 1))))
    product = 1 if dims else 0
    for size in dims:
        product *= max(0, size)
    count = product if product < 50 and data.draw(st.booleans()) else data.draw(st.integers(0, 9))
    values = data.draw(st.lists(st.none() | st.just("x"), min_size=count, max_size=count))
    tree, array = nd([None, {"dims": dims, "lower_bounds": lower, "values": values}], TEXT)
    try:
        expected = reference.nd_array(25, dims, lower, [TEXT.field(v) for v in values])
    except reference.Unfit:
        assert "dimensions" in fails(tree, array, 1)
    else:
        assert encode(tree, array) == reference.rows([[None, expected]])


def test_parts_of_an_array_that_are_null():
    for value in (
        {"dims": None, "lower_bounds": [1], "values": [1]},
        {"dims": [1], "lower_bounds": None, "values": [1]},
        {"dims": [1], "lower_bounds": [1], "values": None},
        {"dims": [None], "lower_bounds": [1], "values": [1]},
        {"dims": [1], "lower_bounds": [None], "values": [1]},
    ):
        tree, array = nd([value])
        assert fails(tree, array, 0) == "a part of the value is NULL"


def test_more_items_than_an_array_holds():
    tree, array = nd([{"dims": [2**31 - 2, 2**31 - 2, 2], "lower_bounds": [1, 1, 1], "values": []}])
    assert "more items" in fails(tree, array, 0)
    many = pa.Array.from_buffers(
        pa.list_(pa.bool_()),
        1,
        [None, pa.py_buffer(struct.pack("<2i", 0, 2**27))],
        children=[pa.Array.from_buffers(pa.bool_(), 2**27, [None, pa.py_buffer(bytes(2**24))])],
    )
    assert "more items" in fails(array_of(builtin("bool", 16, pa.bool_())), many, 0)


def test_a_value_of_a_gigabyte():
    zeros = pa.py_buffer(bytes(2**30 // 8))
    text = pa.Array.from_buffers(pa.binary(), 1, [None, pa.py_buffer(struct.pack("<2i", 0, 2**27)), zeros])
    array = pa.array([[b""] * 0], pa.list_(pa.binary()))
    eight = pa.Array.from_buffers(
        pa.struct([(f"a{i}", pa.binary()) for i in range(8)]), 1, [None], children=[text] * 8
    )
    tree = composite_of([builtin("bytea", 17, pa.binary())] * 8)
    assert "1 GiB" in fails(tree, eight, 0)
    assert encode(array_of(builtin("bytea", 17, pa.binary())), array)


# ---- what does not fit, and where it is


def where(tree: Tree, values: list[Any], type_: pa.DataType | None = None) -> str:
    """Put a value that does not fit behind good ones and a NULL."""
    return fails(tree, pa.array([None, *values], type_ or tree.arrow), len(values))


def varchar(limit: int) -> Tree:
    return builtin("varchar", 1043, pa.utf8(), limit + 4)


CENTS = builtin("numeric", 1700, pa.utf8(), numeric_typmod(5, 2))
TIME = builtin("time", 1083, pa.time64("us"), 3)


def test_typmods_hold_within():
    assert where(array_of(varchar(3)), [["abc"], ["añ€", "abcd"]]) == (
        "the text is too long for varchar, in an element"
    )
    assert "decimal places than numeric keeps, in an element" in where(array_of(CENTS), [["1.50", "1.505"]])
    inner = composite_of([INT4, array_of(varchar(1))])
    assert where(composite_of([inner]), [{"a0": {"a0": 1, "a1": ["a", "bc"]}}]).endswith(
        ', in an element of attribute "a1" of attribute "a0"'
    )
    assert "finer fraction" in where(composite_of([TIME]), [{"a0": 1000}, {"a0": 1001}])
    domain = trees.domain_of(varchar(2))
    assert "too long" in where(array_of(domain), [["ab", "abc"]])
    assert "too long" in where(composite_of([array_of(domain)]), [{"a0": ["abc"]}])


def test_what_a_range_is_not():
    for value, match in (
        ({"lower": 1, "upper": 2, "flags": 32}, "flags"),
        ({"lower": 1, "upper": 2, "flags": 128}, "flags"),
        ({"lower": None, "upper": None, "flags": 3}, "flags"),
        ({"lower": None, "upper": 2, "flags": 10}, "flags"),
        ({"lower": 1, "upper": None, "flags": 20}, "flags"),
        ({"lower": None, "upper": 2, "flags": 0}, "a bound is NULL"),
        ({"lower": 1, "upper": None, "flags": 0}, "a bound is NULL"),
        ({"lower": 1, "upper": 2, "flags": 8}, "a bound is NULL"),
        ({"lower": 1, "upper": None, "flags": 1}, "a bound is NULL"),
    ):
        good = {"lower": 1, "upper": 2, "flags": 2}
        assert match in where(range_of(INT4), [good, value])
        assert where(multirange_of(INT4), [[good], [good, value]]).endswith(", in a range")
    loose = pa.struct([("lower", pa.int32()), ("upper", pa.int32()), ("flags", pa.uint8())])
    assert "part of the value" in where(range_of(INT4), [{"lower": 1, "upper": 2, "flags": None}], loose)
    assert "is NULL" in where(multirange_of(INT4), [[good, None]])
    days = range_of(trees.DATE)
    far = pa.array([2**31 - 2], pa.int32()).view(pa.date32())
    array = pa.StructArray.from_arrays(
        [pa.array([0], pa.int32()).view(pa.date32()), far, pa.array([0], pa.uint8())],
        ["lower", "upper", "flags"],
    )
    assert fails(days, array, 0).endswith("out of the range of date, in the upper bound")


def test_labels():
    assert where(MOOD, ["sad", "ok", "Ok"]) == "the text is no label of mood"
    assert where(MOOD, ["sa"]) == where(MOOD, ["s" * 70]) == where(MOOD, [""])
    assert where(MOODS, [["ok", "happy"]]) == "the text is no label of mood, in an element"
    nothing = Tree(ServerType(1, "public", "none", "e"), pa.utf8(), st.nothing(), bytes)
    assert "label" in where(nothing, [""])


@given(
    st.sets(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=15), max_size=200
    )
)
@settings(max_examples=60, deadline=None)
def test_sets_of_labels(labels):
    labels = sorted(label for label in labels if len(label.encode()) < 64)
    tree = Tree(
        ServerType(1, "public", "e", "e", names=tuple(labels[::2])), pa.utf8(), st.nothing(), str.encode
    )
    assert encode(tree, pa.array(labels[::2], pa.utf8())) == rows(tree, labels[::2])
    for label in labels[1::2][:5]:
        assert "label" in fails(tree, pa.array([*labels[:1], label]), 1)


@given(st.lists(st.text("ab", max_size=4), max_size=60), st.booleans())
@settings(max_examples=200, deadline=None)
def test_keys_of_an_hstore(keys, unique):
    keys = list(dict.fromkeys(keys)) if unique else keys
    pairs = [(key, None) for key in keys]
    array = pa.array([[], pairs], HSTORE.arrow)
    if len(set(keys)) < len(keys):
        assert fails(HSTORE, array, 1) == "a key stands twice in one value"
    else:
        assert encode(HSTORE, array) == rows(HSTORE, [[], pairs])


def test_a_large_hstore():
    pairs = [(f"key {n}", f"{n}") for n in range(50_000)]
    assert encode(HSTORE, pa.array([pairs], HSTORE.arrow)) == rows(HSTORE, [pairs])
    assert "twice" in where(HSTORE, [[*pairs, ("key 49999", None)]])


VECTORS = [tree for tree in trees.LEAVES if tree.server.name == "vector"]


@pytest.mark.parametrize("tree", VECTORS, ids=lambda tree: tree.typmod)
def test_vectors_that_pgvector_refuses(tree):
    good = [1.0, -0.0, 2.5]
    count = f"the number of elements is not what {tree.column.declared} holds"
    for bad, told in (
        ([], count),
        ([1.0, None, 2.0], "an element of the vector is NULL"),
        ([1.0, float("nan"), 2.0], "an element of the vector is NaN or infinite, which pgvector refuses"),
        ([float("inf"), 0.0, 2.0], "an element of the vector is NaN or infinite, which pgvector refuses"),
        ([0.0, 0.0, float("-inf")], "an element of the vector is NaN or infinite, which pgvector refuses"),
    ):
        assert where(tree, [good, None, good, bad]) == told
        assert where(array_of(tree), [[good], None, [good, None, bad]]) == f"{told}, in an element"
    for size in (2, 4, 16000, 16001):
        values = [good, [1.0] * size]
        if tree.typmod == -1 and size <= 16000:
            assert encode(tree, pa.array(values, tree.arrow)) == rows(tree, values)
        else:
            assert where(tree, values) == count


def test_nothing_under_a_null_vector_is_looked_at():
    nan, tree = float("nan"), VECTORS[-1]
    values = pa.array([1.0, 2.0, 3.0, nan, nan, nan, nan, None], pa.float32())
    offsets = pa.array([0, 3, 8], pa.int32()).buffers()[1]
    array = pa.Array.from_buffers(tree.arrow, 2, [pa.py_buffer(b"\1"), offsets], children=[values])
    assert encode(tree, array) == rows(tree, [[1.0, 2.0, 3.0], None])


def test_an_hstore_as_a_list_of_pairs():
    values = [[{"key": "a", "value": None}], None, [], [{"key": "b", "value": "x"}, {"key": "", "value": ""}]]
    tree = Tree(
        HSTORE.server, PAIRS, st.nothing(), lambda v: HSTORE.wire([(p["key"], p["value"]) for p in v])
    )
    array = pa.array(values, PAIRS)
    assert encode(tree, array) == rows(tree, values)
    assert encode(tree, array.slice(2)) == rows(tree, values[2:])
    assert where(tree, [[{"key": None, "value": "x"}]]) == "a key is NULL"
    assert where(tree, [[None]]) == "a key is NULL"
    assert where(tree, [[{"key": "a\0", "value": "x"}]]).endswith(", in a key")
    assert where(tree, [[{"key": "a", "value": "x\0"}]]).endswith(", in a value")


def test_bits():
    loose = pa.struct([("bits", pa.int32()), ("data", pa.binary())])
    for bits, data in (
        (-1, b""),
        (8, b""),
        (0, b"\0"),
        (9, b"\xff"),
        (7, b"\x01"),
        (1, b"\xc0"),
        (2**31 - 1, b""),
    ):
        tree = builtin("varbit", 1562, loose)
        with pytest.raises(reference.Unfit):
            reference.bit_string(bits, data)
        assert "does not hold" in where(tree, [{"bits": 1, "data": b"\x80"}, {"bits": bits, "data": data}])
    exact, most = builtin("bit", 1560, loose, 3), builtin("varbit", 1562, loose, 3)
    assert "number of bits" in where(exact, [{"bits": 3, "data": b"\xe0"}, {"bits": 2, "data": b"\xc0"}])
    assert "number of bits" in where(exact, [{"bits": 4, "data": b"\xe0"}])
    assert "number of bits" in where(
        most, [{"bits": 2, "data": b"\xc0"}, {"bits": 3, "data": b"\xc0"}, {"bits": 4, "data": b"\xc0"}]
    )
    for value in ({"bits": None, "data": b""}, {"bits": 0, "data": None}):
        assert "part" in where(most, [value])
    for length in range(0, 2048, 7):
        data = bytes(length)
        assert encode(
            builtin("varbit", 1562, loose), pa.array([{"bits": 8 * length, "data": data}], loose)
        ) == (reference.rows([[reference.bit_string(8 * length, data)]]))


def test_times_with_zones():
    tree = builtin("timetz", 1266, TIMETZ, 3)
    day = 86_400_000_000

    def moments(time: int, offset: int) -> pa.Array:
        times = pa.array([0, time], pa.int64()).view(pa.time64("us"))
        return pa.StructArray.from_arrays([times, pa.array([0, offset], pa.int32())], fields=list(TIMETZ))

    assert encode(tree, moments(day, -57599)) == reference.rows(
        [[reference.timetz(0, 0), reference.timetz(day, -57599)]]
    )
    for time, offset, match in (
        (day + 1, 0, "out of the range"),
        (-1, 0, "out of the range"),
        (1001, 0, "finer fraction"),
        (0, 57600, "16 hours"),
        (0, -57600, "16 hours"),
        (0, -(2**31), "16 hours"),
    ):
        assert match in fails(tree, moments(time, offset), 1)


# ---- arrays that are not what they claim to be, and what no NULL shows


def test_what_lies_under_a_null_is_not_read():
    broken = pa.Array.from_buffers(
        pa.utf8(), 3, [None, pa.py_buffer(struct.pack("<4i", 0, 2, 4, 6)), pa.py_buffer(b"ab\0\xffcd")]
    )
    hidden = pa.Array.from_buffers(
        pa.list_(pa.utf8()),
        3,
        [pa.py_buffer(b"\5"), pa.py_buffer(struct.pack("<4i", 0, 1, 2, 3))],
        children=[broken],
    )
    tree = array_of(TEXT)
    assert encode(tree, hidden) == rows(tree, [["ab"], None, ["cd"]])
    struct_ = pa.Array.from_buffers(
        pa.struct([("a0", pa.utf8())]), 3, [pa.py_buffer(b"\5")], children=[broken]
    )
    tree = composite_of([TEXT])
    assert encode(tree, struct_) == rows(tree, [{"a0": "ab"}, None, {"a0": "cd"}])
    shown = pa.Array.from_buffers(hidden.type, 3, [None, hidden.buffers()[1]], children=[broken])
    assert fails(array_of(TEXT), shown, 1).endswith(", in an element")


def spans(offsets: tuple[int, ...], child: pa.Array, type_: pa.DataType | None = None) -> pa.Array:
    return pa.Array.from_buffers(
        type_ or pa.list_(child.type),
        len(offsets) - 1,
        [None, pa.py_buffer(struct.pack(f"<{len(offsets)}i", *offsets))],
        children=[child],
    )


class Lying:
    """Stands for a nested array that is not what it says; pyarrow refuses to make most of these."""

    def __init__(self, type_, length, buffers, *, offset=0, fields=(), values=None):
        self.type, self.offset, self._length, self._buffers = type_, offset, length, buffers
        self._fields, self.values = fields, values

    def __len__(self):
        return self._length

    def buffers(self):
        return [None if buffer is None else pa.py_buffer(buffer) for buffer in self._buffers]

    def field(self, i):
        return self._fields[i]

    def slice(self, offset, length):
        return Lying(
            self.type,
            length,
            self._buffers,
            offset=self.offset + offset,
            fields=self._fields,
            values=self.values,
        )

    def validate(self, **_how):
        pass


THREE = pa.array([1, 2, 3], pa.int32())
INTS = pa.list_(pa.int32())
ONE = pa.struct([("a0", pa.int32())])


@pytest.mark.parametrize(
    "offsets",
    [(0, 3, 2, 3), (-1, 2, 3, 3), (0, 2, 3, 4), (0, 2, 2**31 - 1, 3), (0, -(2**31), 2, 3), (3, 2, 1, 0)],
)
def test_hostile_offsets(offsets):
    packed = struct.pack("<4i", *offsets)
    for tree, child, type_ in (
        (array_of(INT4), THREE, INTS),
        (HSTORE, pa.array([{"key": "a", "value": None}] * 3, PAIRS.value_type), PAIRS),
        (VECTORS[0], pa.array([1, 2, 3], pa.float32()), trees.VECTOR),
    ):
        array = Lying(type_, 3, [None, packed], values=child)
        assert "offsets" in fails(tree, array, None, TransformError)
    texts = Lying(pa.utf8(), 3, [None, packed, b"abc"])
    outer = Lying(pa.list_(pa.utf8()), 1, [None, struct.pack("<2i", 0, 3)], values=texts)
    assert fails(array_of(TEXT), outer, None, TransformError).endswith("in an element")


@pytest.mark.parametrize(
    ("tree", "array", "match"),
    [
        (array_of(INT4), Lying(INTS, 3, [None, bytes(15)], values=THREE), "buffer"),
        (array_of(INT4), Lying(INTS, 3, [None, None], values=THREE), "buffer"),
        (array_of(INT4), Lying(INTS, 3, [b"", bytes(16)], values=THREE), "buffer"),
        (array_of(INT4), Lying(INTS, 3, [None, bytes(16)], offset=1, values=THREE), "buffer"),
        (array_of(INT4), Lying(INTS, 3, [None, bytes(16)], offset=-1, values=THREE), "buffer"),
        (
            array_of(INT4),
            Lying(INTS, 1, [None, struct.pack("<2i", 0, 3)], values=Lying(pa.int32(), 3, [None, bytes(11)])),
            "buffer of its array is shorter than its length tells, in an element",
        ),
        (
            array_of(INT4),
            Lying(
                INTS, 1, [None, struct.pack("<2i", 0, 9)], values=Lying(pa.int32(), 9, [b"\xff", bytes(36)])
            ),
            "in an element",
        ),
        (
            VECTORS[0],
            Lying(
                trees.VECTOR,
                1,
                [None, struct.pack("<2i", 0, 3)],
                values=Lying(pa.float32(), 3, [None, bytes(11)]),
            ),
            "buffer of its array is shorter than its length tells, in an element",
        ),
        (
            VECTORS[0],
            Lying(
                trees.VECTOR,
                1,
                [None, struct.pack("<2i", 0, 9)],
                values=Lying(pa.float32(), 9, [b"\xff", bytes(36)]),
            ),
            "in an element",
        ),
        (composite_of([INT4]), Lying(ONE, 4, [None], fields=[THREE]), 'in attribute "a0"'),
        (composite_of([INT4]), Lying(ONE, 9, [b"\xff"], fields=[THREE]), "buffer"),
        (
            trees.range_of(INT4),
            Lying(trees.range_of(INT4).arrow, 3, [None], fields=[THREE, THREE, pa.array([1, 1], pa.uint8())]),
            "as many",
        ),
        (
            builtin("varbit", 1562, BITS),
            Lying(BITS, 3, [None], fields=[THREE, Lying(pa.binary(), 3, [None, bytes(15), b""])]),
            "buffer",
        ),
        (
            builtin("timetz", 1266, TIMETZ),
            Lying(TIMETZ, 3, [None], fields=[Lying(pa.time64("us"), 3, [None, bytes(23)]), THREE]),
            "buffer",
        ),
        (
            builtin("timetz", 1266, TIMETZ),
            Lying(
                TIMETZ, 3, [None], fields=[Lying(pa.time64("us"), 3, [None, bytes(24)], offset=2**62), THREE]
            ),
            "buffer",
        ),
    ],
)
def test_short_buffers(tree, array, match):
    encoder = Encoder([EncodedColumn(tree.column, array.type)])
    with pytest.raises(TransformError, match=match) as caught:
        encoder.encode([array], len(array), first_row=0)
    assert caught.value.column == "c"


def test_arrow_is_asked_first_whether_children_are_long_enough():
    """It ends the process where it slices a child that is shorter than its parent."""

    class TooShort(Lying):
        def validate(self, **_how):
            raise pa.ArrowInvalid("Struct child array #0 has length smaller than expected")

    message = fails(composite_of([INT4]), TooShort(ONE, 4, [None], fields=[]), None, TransformError)
    assert message == "the array of struct<a0: int32> is not valid"


def test_many_columns_of_many_kinds_at_once():
    drawn = [array_of(INT4), TEXT, composite_of([INT4, array_of(TEXT)]), INT4, HSTORE, multirange_of(INT4)]
    values = [[[1, None]], ["x"], [{"a0": None, "a1": ["y"]}], [7], [[("k", "v")]], [[]]]
    arrays = [pa.array(v * 3, tree.arrow) for tree, v in zip(drawn, values, strict=True)]
    encoder = Encoder([EncodedColumn(tree.column, a.type) for tree, a in zip(drawn, arrays, strict=True)])
    expected = reference.rows([[tree.field(v[0])] * 3 for tree, v in zip(drawn, values, strict=True)])
    assert encoder.encode(arrays, 3, first_row=0) == expected
    broken = [*arrays[:2], pa.array([{"a0": 1, "a1": ["\0"]}] * 3, drawn[2].arrow), *arrays[3:]]
    with pytest.raises(CastError, match=r'NUL .* in an element of attribute "a1"') as caught:
        encoder.encode(broken, 3, first_row=5)
    assert caught.value.row == 6


def test_a_column_too_deep_has_no_way():
    from copypump.codec.casts import MAX_DEPTH, encoded_type

    for depth, found in ((MAX_DEPTH, True), (MAX_DEPTH + 1, False)):
        tree = INT4
        for _ in range(depth):
            tree = composite_of([tree])
        value: Any = 5
        for _ in range(depth):
            value = {"a0": value}
        assert (encoded_type(tree.column, tree.arrow) is not None) is found
        if found:
            assert encode(tree, pa.array([value], tree.arrow)) == rows(tree, [value])


def test_not_null_above_nested_values():
    column = Column("c", array_of(INT4).server, -1, "int4[]", not_null=True)
    encoder = Encoder([EncodedColumn(column, INTS)])
    with pytest.raises(CastError, match="NOT NULL") as caught:
        encoder.encode([pa.array([[1], None], INTS)], 2, first_row=0)
    assert caught.value.row == 2


# ---- labels in a dictionary

INDEXED = pa.dictionary(pa.int32(), pa.utf8())
# Of up to 16 bytes and of more, some alike in their first 16, and none at all.
LABELS = ("", "x" * 16, "x" * 17, *(f"{'y' * 16}{i}" for i in range(40)), *map(str, range(300)), "z" * 63)
MANY = ServerType(16600, "public", "many", "e", names=LABELS)
MANIES = ServerType(16601, "public", "_many", parts=(MANY,), is_array=True)


def indexed(indices: list[int | None], words: pa.Array) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), words, safe=False)


def encode_labels(array: pa.Array, *, not_null: bool = False) -> bytes:
    column = Column("c", MANIES if pa.types.is_list(array.type) else MANY, -1, "many", not_null=not_null)
    encoder = Encoder([EncodedColumn(column, array.type)])
    return bytes(encoder.encode([array], len(array), first_row=0))


def labels_fail(array: pa.Array, row: int | None, kind: type[Exception] = CastError, **more: bool) -> str:
    with pytest.raises(kind) as caught:
        encode_labels(array, **more)
    assert (caught.value.column, caught.value.row) == ("c", row)
    return caught.value.message


def test_every_label_of_a_dictionary():
    labels = [label.encode() for label in LABELS]
    array = indexed(list(range(len(LABELS))), pa.array(LABELS))
    assert encode_labels(array) == reference.rows([labels])
    assert encode_labels(pa.array(LABELS)) == reference.rows([labels])
    for start in (0, 3, 50):
        words = pa.array(LABELS).slice(start)  # a sliced dictionary, and sliced indices
        backwards = indexed(list(range(len(words)))[::-1], words).slice(2, 9)
        assert encode_labels(backwards) == reference.rows([labels[start:][::-1][2:11]])


def test_nulls_of_a_dictionary_are_nulls():
    words = pa.array(["bad", "1", None, "2", "bad"]).slice(1, 3)
    array = indexed([0, None, 1, 2, 0, 1], words)
    expected = [b"1", None, None, b"2", b"1", None]
    assert encode_labels(array) == reference.rows([expected])
    assert encode_labels(array.slice(2, 3)) == reference.rows([expected[2:5]])
    assert "NOT NULL" in labels_fail(array.slice(2), 1, not_null=True)
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 6], pa.int32()), array)
    assert encode_labels(lists) == encode_labels(pa.array([["1", None], [None, "2", "1", None]]))
    nothing = indexed([None, None], pa.array([], pa.utf8()))
    assert encode_labels(nothing) == reference.rows([[None, None]])


def test_labels_that_nobody_uses_may_be_anything():
    words = pa.array([b"bad", b"\xff", b"7", b"x" * 100]).view(pa.utf8())
    assert encode_labels(indexed([2, 2], words)) == reference.rows([[b"7", b"7"]])
    buffers = [pa.py_buffer(b"\0"), pa.py_buffer(struct.pack("<i", 99))]
    hidden = pa.DictionaryArray.from_buffers(INDEXED, 1, buffers, words)
    assert encode_labels(hidden) == reference.rows([[None]])
    for i in (0, 1, 3):
        assert labels_fail(indexed([2, i], words), 2) == "the text is no label of many"


@pytest.mark.parametrize("index", [4, -1, 2**31 - 1, -(2**31)])
def test_indices_that_leave_the_dictionary(index):
    words = pa.array(["1", "2", "3", None])
    assert "index" in labels_fail(indexed([0, index], words), 2, TransformError)
    assert "index" in labels_fail(indexed([index], pa.array([], pa.utf8())), 1, TransformError)


@pytest.mark.parametrize("offsets", [(0, 1, 1 << 30), (0, -1, 1), (2, 0, 2), (-5, 1, 2)])
def test_dictionaries_whose_offsets_lie(offsets):
    memory = bytearray(struct.pack("<3i", 0, 1, 2))
    array = indexed(
        [0, 1], pa.Array.from_buffers(pa.utf8(), 2, [None, pa.py_buffer(memory), pa.py_buffer(b"12")])
    )
    assert encode_labels(array) == reference.rows([[b"1", b"2"]])
    memory[:] = struct.pack("<3i", *offsets)  # now, because pyarrow looks when it makes a dictionary
    with pytest.raises(TransformError, match="offsets"):
        encode_labels(array)


@pytest.mark.parametrize("spoiled", range(3))
def test_buffers_of_dictionaries_that_are_too_short(spoiled):
    parts = (bytes(36), b"\xff\xff", struct.pack("<10i", *range(10)))  # indices; validity and offsets
    indices, validity, offsets = buffers = [pa.allocate_buffer(len(p), resizable=True) for p in parts]
    for buffer, part in zip(buffers, parts, strict=True):
        memoryview(buffer).cast("B")[:] = part
    words = pa.Array.from_buffers(pa.utf8(), 9, [validity, offsets, pa.py_buffer(b"123456789")])
    array = pa.DictionaryArray.from_buffers(INDEXED, 9, [None, indices], words)
    assert encode_labels(array) == reference.rows([[b"1"] * 9])
    buffers[spoiled].resize(len(parts[spoiled]) - 1)
    assert "shorter" in labels_fail(array, None, TransformError)
