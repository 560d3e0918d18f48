"""Casts of nested types: every layout of a value encodes as the value does, and what does not fit is named."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copypump.codec.casts import cast, encoded_type
from copypump.codec.column import ServerType
from copypump.codec.encoder import EncodedColumn, Encoder
from copypump.codec.types import FAMILIES, Kernel, arrow_type, nd_array, opaque
from copypump.errors import CastError, TransformError
from tests.codec import reference_encoder as reference
from tests.codec import trees
from tests.codec.trees import INT4, INT8, NUMERIC, TEXT, Tree, array_of, composite_of, multirange_of, range_of

HSTORE = next(tree for tree in trees.LEAVES if tree.server.name == "hstore")
VECTORS = [tree for tree in trees.LEAVES if tree.server.name == "vector"]
VECTOR = VECTORS[0]
MOOD = next(tree for tree in trees.LEAVES if tree.server.name == "mood")


def through(tree: Tree, array: Any) -> bytes:
    """Cast and encode one column, as a run does."""
    to = encoded_type(tree.column, array.type)
    assert to is not None
    assert_plain(to)
    encoder = Encoder([EncodedColumn(tree.column, to)])
    return bytes(encoder.encode([cast(array, to, "c", 0)], len(array), first_row=0))


def assert_plain(type_: pa.DataType) -> None:
    """Nothing is left in a type that the Encoder would have to undo; labels it takes in a dictionary."""
    if isinstance(type_, pa.DictionaryType):
        assert (type_.index_type, type_.value_type) == (pa.int32(), pa.utf8())
        return
    assert not isinstance(type_, pa.BaseExtensionType | pa.DictionaryType | pa.RunEndEncodedType)
    assert "large" not in str(type_)
    assert "view" not in str(type_)
    for i in range(type_.num_fields):
        assert_plain(type_.field(i).type)


def rows(tree: Tree, values: list[Any]) -> bytes:
    return reference.rows([[tree.field(value) for value in values]])


def fails(tree: Tree, array: Any, row: int, kind: type[Exception] = CastError) -> str:
    with pytest.raises(kind) as caught:
        through(tree, array)
    assert (caught.value.column, caught.value.row) == ("c", row + 1)
    assert caught.value.hint
    return caught.value.message


# ---- layouts


@st.composite
def layouts(draw, type_: pa.DataType) -> pa.DataType:
    """Another Arrow type for the same values, at every depth."""
    if isinstance(type_, pa.MapType):
        pair = pa.struct([("key", draw(layouts(type_.key_type))), ("value", draw(layouts(type_.item_type)))])
        plain = pa.map_(draw(st.sampled_from([pa.utf8(), pa.large_utf8()])), pa.utf8())
        return draw(st.sampled_from([type_, plain, pa.list_(pair), pa.large_list(pair)]))
    if isinstance(type_, pa.ListType):
        item = draw(layouts(type_.value_type))
        make = draw(st.sampled_from([pa.list_, pa.large_list, pa.list_view, pa.large_list_view]))
        return make(pa.field(draw(st.sampled_from(["item", "element"])), item))
    if isinstance(type_, pa.StructType):
        fields = [pa.field(field.name, draw(layouts(field.type))) for field in type_]
        return pa.struct(draw(st.permutations(fields)))
    return draw(st.sampled_from([type_, *_others(type_)]))


def _others(type_: pa.DataType) -> list[pa.DataType]:
    if type_ == pa.utf8():
        words = pa.dictionary(pa.int16(), pa.utf8())
        return [pa.large_utf8(), pa.string_view(), words]
    if type_ == pa.binary():
        return [pa.large_binary(), pa.binary_view()]
    if type_ == pa.int32():
        return [pa.int64()]
    if type_ == pa.time64("us"):
        return [pa.time64("ns")]
    if type_ == pa.timestamp("us"):
        return [pa.timestamp("ns")]
    if type_ == pa.uint8():
        return [pa.int16(), pa.uint64()]
    return []


def laid_out(values: list[Any], type_: pa.DataType) -> Any:
    """Build an array of any layout by hand: pa.array knows not all of them within others."""
    valid = [value is not None for value in values]
    bits = pa.py_buffer(
        sum(there << i for i, there in enumerate(valid)).to_bytes(len(values) // 8 + 1, "little")
    )
    if isinstance(type_, pa.StructType):
        children = [
            laid_out([None if v is None else _part(v, field.name) for v in values], field.type)
            for field in type_
        ]
        return pa.Array.from_buffers(type_, len(values), [bits], children=children)
    if isinstance(type_, pa.ListType | pa.LargeListType | pa.ListViewType | pa.LargeListViewType):
        lists: list[list[Any]] = [[] if value is None else list(value) for value in values]
        wide = isinstance(type_, pa.LargeListType | pa.LargeListViewType)
        code = "q" if wide else "i"
        if isinstance(type_, pa.ListViewType | pa.LargeListViewType):
            # From the last to the first, so that no two lists follow each other.
            starts, flat = [0] * len(lists), []
            for i in reversed(range(len(lists))):
                starts[i] = len(flat)
                flat += lists[i]
            buffers = [_packed(code, starts), _packed(code, [len(one) for one in lists])]
        else:
            ends, flat = [0], []
            for one in lists:
                flat += one
                ends.append(len(flat))
            buffers = [_packed(code, ends)]
        child = laid_out(flat, type_.value_type)
        return pa.Array.from_buffers(type_, len(values), [bits, *buffers], children=[child])
    return pa.array(values, type_)


def _packed(code: str, numbers: list[int]) -> pa.Buffer:
    return pa.py_buffer(struct.pack(f"<{len(numbers)}{code}", *numbers))


def _part(value: Any, name: str) -> Any:
    return value[name] if isinstance(value, dict) else value[name == "value"]


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_layout(data):
    tree = data.draw(trees.TREES)
    values = data.draw(trees.optional(tree))
    type_ = data.draw(layouts(tree.arrow))
    scaled = _scaled(values, tree.arrow, type_)
    array = laid_out(scaled, type_)
    cut = data.draw(st.integers(0, 3))
    assert through(tree, array) == rows(tree, values)
    assert through(tree, array.slice(cut)) == rows(tree, values[cut:])
    assert through(tree, array.slice(cut, 2)) == rows(tree, values[cut : cut + 2])
    if values:
        picked = data.draw(st.lists(st.none() | st.integers(0, len(values) - 1), max_size=8))
        again = pa.DictionaryArray.from_arrays(pa.array(picked, pa.int8()), array)
        taken = [None if i is None else values[i] for i in picked]
        assert through(tree, again.slice(1)) == rows(tree, taken[1:])
        ends = pa.array([2 * i + 2 for i in range(len(values))], pa.int32())
        runs = pa.RunEndEncodedArray.from_arrays(ends, array)
        twice = [value for value in values for _ in range(2)]
        assert through(tree, runs.slice(1)) == rows(tree, twice[1:])


def _scaled(values: Any, before: pa.DataType, after: pa.DataType) -> Any:
    """Turn microseconds that stand as integers into nanoseconds where the layout counts these."""
    if isinstance(values, list) and isinstance(before, pa.ListType):
        return [None if v is None else _scaled(v, before.value_type, after.value_type) for v in values]
    if not isinstance(values, list):
        return values
    out = []
    for value in values:
        if isinstance(value, int) and before != after and str(after).endswith("[ns]"):
            value *= 1000
        elif isinstance(value, dict):
            value = {
                name: _scaled([part], before.field(name).type, after.field(name).type)[0]
                for name, part in value.items()
            }
        elif isinstance(before, pa.ListType) and value is not None:
            value = _scaled(value, before.value_type, after.value_type)
        out.append(value)
    return out


@pytest.mark.parametrize("tree", trees.LEAVES, ids=lambda tree: f"{tree.server.name}-{tree.arrow}")
def test_nulls_become_anything(tree):
    for whole in (tree, array_of(tree), composite_of([tree, INT4]), range_of(tree), multirange_of(tree)):
        assert through(whole, pa.nulls(3)) == reference.rows([[None] * 3])
    assert through(array_of(tree), pa.array([[None], None, []])) == rows(array_of(tree), [[None], None, []])


@pytest.mark.parametrize("tree", trees.LEAVES, ids=lambda tree: f"{tree.server.name}-{tree.arrow}")
def test_what_is_decoded_is_taken_as_it_is(tree):
    for whole in (tree, array_of(tree), composite_of([tree, INT4]), range_of(tree), multirange_of(tree)):
        decoded = arrow_type(whole.column)
        to = encoded_type(whole.column, decoded)
        assert to is not None
        assert_plain(to)
        assert encoded_type(whole.column, to) == to
        array = pa.nulls(2, to)
        assert cast(array, to, "c", 0) is array


def test_families_are_all_tried():
    assert {row.kernel for row in FAMILIES} == {
        Kernel.ENUM,
        Kernel.ARRAY,
        Kernel.COMPOSITE,
        Kernel.RANGE,
        Kernel.MULTIRANGE,
    }


# ---- which ways there are

ROW = composite_of([INT4, TEXT])
REFUSED = [
    (array_of(INT4), pa.int32()),
    (array_of(INT4), pa.list_(pa.utf8())),
    (array_of(INT4), pa.list_(pa.list_(pa.int32()))),
    (array_of(INT4), pa.map_(pa.int32(), pa.int32())),
    (array_of(INT4), pa.struct([("dims", pa.list_(pa.int32())), ("values", pa.list_(pa.int32()))])),
    (array_of(INT4), pa.binary()),
    (array_of(INT4), pa.list_(opaque(ServerType(1, "pg_catalog", "other")))),
    (ROW, pa.struct([("a0", pa.int32())])),
    (ROW, pa.struct([("a0", pa.int32()), ("a1", pa.utf8()), ("a2", pa.utf8())])),
    (ROW, pa.struct([("a0", pa.int32()), ("a0", pa.utf8())])),
    (ROW, pa.struct([("a0", pa.int32()), ("A1", pa.utf8())])),
    (ROW, pa.struct([("a0", pa.utf8()), ("a1", pa.utf8())])),
    (ROW, pa.list_(pa.int32())),
    (range_of(INT4), pa.struct([("lower", pa.int32()), ("upper", pa.int32())])),
    (range_of(INT4), pa.struct([("lower", pa.int32()), ("upper", pa.utf8()), ("flags", pa.uint8())])),
    (range_of(INT4), pa.struct([("lower", pa.int32()), ("upper", pa.int32()), ("flags", pa.utf8())])),
    (multirange_of(INT4), range_of(INT4).arrow),
    (HSTORE, pa.map_(pa.utf8(), pa.int32())),
    (HSTORE, pa.list_(pa.utf8())),
    (HSTORE, pa.utf8()),
    (VECTOR, pa.list_(pa.float64())),
    (VECTOR, pa.list_(pa.utf8())),
    (VECTOR, pa.list_(pa.decimal128(5, 2))),
    (VECTOR, pa.map_(pa.float32(), pa.float32())),
    (VECTOR, pa.float32()),
    (VECTORS[1], pa.list_(pa.float32(), 4)),
    (array_of(VECTOR), pa.list_(pa.list_(pa.float64(), 3))),
    (MOOD, pa.int32()),
    (MOOD, pa.dictionary(pa.int32(), pa.int32())),
]


@pytest.mark.parametrize(
    ("tree", "offered"), REFUSED, ids=[f"{tree.server.name}-{offered}" for tree, offered in REFUSED]
)
def test_refused(tree, offered):
    assert encoded_type(tree.column, offered) is None


def test_opaque_values_within_others():
    point = next(tree for tree in trees.LEAVES if tree.server.name == "point")
    kind = opaque(point.server)
    array = pa.array([[b"x", None]], pa.list_(pa.binary()))
    assert through(array_of(point), array) == rows(array_of(point), [[b"x", None]])
    assert encoded_type(array_of(point).column, pa.list_(kind)) == pa.list_(pa.binary())
    row = composite_of([MOOD])
    assert (
        encoded_type(row.column, opaque(row.server)) == pa.binary()
    )  # whole columns are the mapping's to compare
    assert encoded_type(array_of(row).column, pa.list_(opaque(row.server))) is None


def test_dimensions_in_any_layout():
    tree = array_of(INT4)
    value = {"values": [1, 2, 3, 4], "dims": [2, 2], "lower_bounds": [0, -1]}
    wire = reference.nd_array(23, [2, 2], [0, -1], [INT4.field(i) for i in (1, 2, 3, 4)])
    for numbers, items in (
        (pa.list_(pa.int64()), pa.large_list(pa.int64())),
        (pa.large_list(pa.uint8()), pa.list_view(pa.int8())),
    ):
        numbers = pa.list_(pa.int8()) if numbers == pa.large_list(pa.uint8()) else numbers
        type_ = pa.struct([("values", items), ("dims", numbers), ("lower_bounds", numbers)])
        array = laid_out([None, value, value], type_)
        assert through(tree, array) == reference.rows([[None, wire, wire]])
        assert through(tree, array.slice(2)) == reference.rows([[wire]])
    natural = nd_array(tree.column)
    assert encoded_type(tree.column, natural) == natural


# ---- values that do not fit


def test_the_row_of_a_value_that_does_not_fit():
    wide = pa.array([[1], None, [2, 2**40], [2**40]], pa.list_(pa.int64()))
    assert "does not fit" in fails(array_of(INT4), wide, 2)
    assert "does not fit" in fails(array_of(INT4), wide.slice(1), 1)
    deep = pa.array([{"a0": [{"a0": 1}]}, {"a0": [{"a0": 1}, {"a0": 2**40}]}])
    assert "does not fit" in fails(composite_of([array_of(composite_of([INT4]))]), deep, 1)
    cents = pa.array([[Decimal("1.00")], [Decimal("1.001")]], pa.list_(pa.decimal256(50, 3)))
    assert "does not fit" in fails(array_of(NUMERIC), cents, 1)
    flags = pa.array([{"lower": 1, "upper": 2, "flags": n} for n in (2, 300)])
    assert "does not fit" in fails(range_of(INT4), flags, 1)


@pytest.mark.parametrize(
    "type_", [pa.list_(pa.int64()), pa.large_list(pa.int64()), pa.list_(pa.int64(), 2)], ids=str
)
def test_what_lies_under_a_null_is_not_cast(type_):
    good = pa.array([[1, 2], [2**40, 2**40], [3, 4]], type_)
    hidden = pa.Array.from_buffers(
        type_,
        3,
        [pa.py_buffer(b"\5"), *good.buffers()[1 : 1 if pa.types.is_fixed_size_list(type_) else 2]],
        children=[good.values],
    )
    assert hidden.null_count == 1
    tree = array_of(INT4)
    assert through(tree, hidden) == rows(tree, [[1, 2], None, [3, 4]])
    assert through(tree, hidden.slice(1)) == rows(tree, [None, [3, 4]])
    parent = pa.Array.from_buffers(
        pa.struct([("a0", pa.int64())]), 2, [pa.py_buffer(b"\1")], children=[pa.array([1, 2**40])]
    )
    assert through(composite_of([INT4]), parent) == rows(composite_of([INT4]), [{"a0": 1}, None])


def test_a_dictionary_word_that_nobody_uses_is_not_cast():
    words = pa.array([[1], [2**40]], pa.list_(pa.int64()))
    tree = array_of(INT4)
    assert through(tree, pa.DictionaryArray.from_arrays(pa.array([0, 0]), words)) == rows(tree, [[1], [1]])
    assert "fit" in fails(tree, pa.DictionaryArray.from_arrays(pa.array([0, 1]), words), 1)


@pytest.mark.parametrize(
    "item",
    [pa.float16(), pa.float32(), pa.int64(), pa.uint8(), pa.dictionary(pa.int8(), pa.float32())],
    ids=str,
)
def test_vectors_in_any_layout(item):
    values: Any = [[1, 2, 0], None, [0, 0, 7], [3, 5, 8]]
    numbers = item.value_type if isinstance(item, pa.DictionaryType) else item
    for make in (pa.list_, pa.large_list, pa.list_view, pa.large_list_view, lambda of: pa.list_(of, 3)):
        if item != numbers and make(item).id in (pa.list_view(item).id, pa.large_list_view(item).id):
            continue  # pyarrow builds no such array
        array = pa.array(values, make(item))
        for tree in VECTORS:
            for cut in range(4):
                assert through(tree, array.slice(cut)) == rows(tree, values[cut:])
    tensors = pa.fixed_shape_tensor(pa.float32(), [3])
    wrapped = pa.ExtensionArray.from_storage(tensors, pa.array(values, pa.list_(pa.float32(), 3)))
    assert through(VECTOR, wrapped) == rows(VECTOR, values)


def test_what_lies_under_a_null_vector_is_not_looked_at():
    nan = float("nan")
    floats = pa.array([1, 2, 3, nan, nan, nan, 4, 5, 6], pa.float32())
    array = pa.Array.from_buffers(pa.list_(pa.float32(), 3), 3, [pa.py_buffer(b"\5")], children=[floats])
    values: Any = [[1, 2, 3], None, [4, 5, 6]]
    for tree in VECTORS:
        for cut in range(4):
            assert through(tree, array.slice(cut)) == rows(tree, values[cut:])
            assert through(tree, array.slice(0, cut)) == rows(tree, values[:cut])
        assert "NaN" in fails(tree, pa.FixedSizeListArray.from_arrays(floats, 3), 1)


def test_integers_beyond_a_float4_do_not_fit_a_vector():
    array = pa.array([[2**24], None, [2**24 + 1]], pa.list_(pa.int64()))
    assert "does not fit" in fails(VECTOR, array, 2)
    assert through(VECTOR, array.slice(0, 2)) == rows(VECTOR, [[2**24], None])


@pytest.mark.parametrize("index", [pa.int8(), pa.uint8(), pa.int16(), pa.int64(), pa.uint64()], ids=str)
@pytest.mark.parametrize("words", [pa.utf8(), pa.large_utf8(), pa.string_view()], ids=str)
def test_labels_in_any_dictionary(index, words):
    dictionary = pa.array(["ok", None, "unused", "sad"]).cast(words)
    array = pa.DictionaryArray.from_arrays(pa.array([3, None, 0, 1, 3], index), dictionary)
    values = ["sad", None, "ok", None, "sad"]
    for cut in range(4):
        assert through(MOOD, array.slice(cut)) == rows(MOOD, values[cut:])
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 2, 5], pa.int32()), array)
    held = [values[:2], [], values[2:]]
    assert through(array_of(MOOD), lists.slice(1)) == rows(array_of(MOOD), held[1:])
    bad = pa.DictionaryArray.from_arrays(pa.array([0, 2], index), dictionary)
    assert "no label" in fails(MOOD, bad, 1)
    lying = pa.DictionaryArray.from_arrays(pa.array([0, 100], index), dictionary, safe=False)
    assert "dictionary" in fails(MOOD, lying, 1, TransformError)


def test_labels_in_dictionaries_that_are_taken_apart():
    """List views and runs go through Arrow's take, and come out with a word for each value."""
    array = pa.array(["ok", "sad", None, "ok"]).dictionary_encode()
    views = pa.ListViewArray.from_arrays(pa.array([2, 0], pa.int32()), pa.array([2, 2], pa.int32()), array)
    assert through(array_of(MOOD), views) == rows(array_of(MOOD), [[None, "ok"], ["ok", "sad"]])
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([1, 4, 5, 6], pa.int32()), array)
    assert through(MOOD, runs.slice(2)) == rows(MOOD, ["sad", "sad", None, "ok"])
    again = pa.DictionaryArray.from_arrays(pa.array([3, 1, 2, None]), array)
    assert through(MOOD, again) == rows(MOOD, ["ok", "sad", None, None])


def test_fixed_size_lists():
    tree = array_of(INT4)
    array = pa.array([[1, 2], None, [3, None], [5, 6]], pa.list_(pa.int64(), 2))
    for cut in range(4):
        assert through(tree, array.slice(cut)) == rows(tree, [[1, 2], None, [3, None], [5, 6]][cut:])
    assert through(tree, pa.array([[], None], pa.list_(pa.int32(), 0))) == rows(tree, [[], None])


def test_values_that_arrow_calls_invalid_are_the_encoders_to_judge():
    """Midnight at the end of a day, and broken UTF-8, within layouts that must be converted."""
    day = pa.array([86_400_000_000], pa.int64()).view(pa.time64("us"))
    time = trees.leaf(1083, "time", pa.time64("us"), st.nothing(), reference.time)
    late = pa.LargeListArray.from_arrays(pa.array([0, 1], pa.int64()), day)
    assert through(array_of(time), late) == rows(array_of(time), [[86_400_000_000]])
    broken = pa.array([b"ok", b"\xff"], pa.binary()).view(pa.utf8())
    lists = pa.LargeListArray.from_arrays(pa.array([0, 1, 2], pa.int64()), broken)
    assert fails(array_of(TEXT), lists, 1) == "the text is not valid UTF-8, in an element"


# ---- arrays that lie


@pytest.mark.parametrize("offsets", [(0, 5, 2, 3), (0, 1, 2, 1 << 40), (-1, 1, 2, 3), (0, 1, 1 << 40, 3)])
def test_hostile_offsets(offsets):
    tree = array_of(INT4)
    try:
        array = pa.Array.from_buffers(
            pa.large_list(pa.int64()), 3, [None, _packed("q", list(offsets))], children=[pa.array([1, 2, 3])]
        )
    except pa.ArrowInvalid:
        return
    with pytest.raises(TransformError, match="not valid"):
        through(tree, array)


@pytest.mark.parametrize(
    ("starts", "sizes"), [((0, 9), (1, 1)), ((0, 1), (1, 9)), ((-1, 0), (1, 1)), ((0, 0), (1, -1))]
)
def test_hostile_views(starts, sizes):
    try:
        array = pa.Array.from_buffers(
            pa.list_view(pa.int64()),
            2,
            [None, _packed("i", list(starts)), _packed("i", list(sizes))],
            children=[pa.array([1, 2, 3])],
        )
    except pa.ArrowInvalid:
        return
    with pytest.raises(TransformError, match="not valid"):
        through(array_of(INT4), array)


def test_hostile_indices():
    indices = pa.Array.from_buffers(pa.int32(), 3, [None, _packed("i", [0, 1, 1 << 20])])
    words = pa.array([[1], [2]])
    lying = pa.DictionaryArray.from_arrays(indices, words, safe=False)
    fails(array_of(INT8), lying, 2, TransformError)
    inner = pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b"]), safe=False)
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), inner)
    fails(array_of(TEXT), lists, 2, TransformError)


# ---- what other libraries hand over


NESTED = {
    "ints": [[1, None, 3], None, []],
    "texts": [["a", "añ€ which is longer than any view holds inline"], [None], None],
    "row": [{"a0": 1, "a1": "x"}, {"a0": None, "a1": None}, {"a0": 3, "a1": "z"}],
    "rows": [[{"a0": 1, "a1": "x"}], None, [{"a0": None, "a1": None}, {"a0": 2, "a1": "y"}]],
}
TARGETS = {"ints": array_of(INT4), "texts": array_of(TEXT), "row": ROW, "rows": array_of(ROW)}


@pytest.mark.parametrize("name", sorted(NESTED))
@pytest.mark.parametrize("library", ["polars", "duckdb", "pandas", "arrow"])
def test_what_libraries_bring(library, name):
    table = brought = pa.table({name: pa.array(NESTED[name], TARGETS[name].arrow)})
    if library == "polars":
        brought = pl.from_arrow(table).to_arrow(compat_level=pl.CompatLevel.newest())
        also = pa.table(pl.from_arrow(table))  # by the C stream
        assert also.num_rows == 3
        assert through(TARGETS[name], also.column(0).combine_chunks()) == rows(TARGETS[name], NESTED[name])
    elif library == "duckdb":
        brought = duckdb.sql("from brought").to_arrow_table()
    elif library == "pandas":
        brought = pa.table(pd.DataFrame({name: pd.Series(NESTED[name])}))
    assert brought.num_rows == 3
    at = 0
    for chunk in brought.column(0).chunks:
        assert through(TARGETS[name], chunk) == rows(TARGETS[name], NESTED[name][at : at + len(chunk)])
        at += len(chunk)
    chunked = pa.chunked_array([*brought.slice(0, 1).column(0).chunks, *brought.slice(1).column(0).chunks])
    assert b"".join(through(TARGETS[name], chunk) for chunk in chunked.chunks) == rows(
        TARGETS[name], NESTED[name]
    )


def test_maps_of_duckdb_and_categories_of_polars_and_pandas():
    made = duckdb.sql(
        "select map {'a': '1', 'b': null} as pairs, 'sad'::enum('sad', 'ok') as mood"
        " union all select map {}, null"
    ).to_arrow_table()
    assert through(HSTORE, made.column("pairs").combine_chunks()) == rows(
        HSTORE, [[("a", "1"), ("b", None)], []]
    )
    assert through(MOOD, made.column("mood").combine_chunks()) == rows(MOOD, ["sad", None])
    labels = ["ok", "sad", None, "ok"]
    for series in (
        pl.Series(labels, dtype=pl.Categorical),
        pl.Series(labels, dtype=pl.Enum(["sad", "ok", "never"])),
        pl.Series([[label] for label in labels], dtype=pl.List(pl.Categorical)),
    ):
        tree = array_of(MOOD) if isinstance(series.dtype, pl.List) else MOOD
        expected = [[label] for label in labels] if tree is not MOOD else labels
        brought = pa.table(series.to_frame("c")).column(0).combine_chunks()
        assert through(tree, brought) == rows(tree, expected)
    pandas = pa.array(pd.Series(labels, dtype="category"))
    assert through(MOOD, pandas) == rows(MOOD, labels)


def test_fixed_arrays_of_polars_and_duckdb():
    tree = array_of(INT4)
    series = pl.Series([[1, 2], None, [3, 4]], dtype=pl.Array(pl.Int32, 2))
    assert through(tree, pa.table(series.to_frame("c")).column(0).combine_chunks()) == rows(
        tree, [[1, 2], None, [3, 4]]
    )
    made = duckdb.sql("select [1, 2]::int[2] as c union all select null").to_arrow_table()
    assert through(tree, made.column(0).combine_chunks()) == rows(tree, [[1, 2], None])


def test_whatever_speaks_the_c_data_interface():
    class Speaker:
        """An array as a library that is not pyarrow hands it over."""

        def __arrow_c_array__(self, requested_schema=None):
            return (
                pa.array(NESTED["rows"], TARGETS["rows"].arrow).slice(1).__arrow_c_array__(requested_schema)
            )

    assert through(TARGETS["rows"], pa.array(Speaker())) == rows(TARGETS["rows"], NESTED["rows"][1:])
