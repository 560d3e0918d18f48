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
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
@settings(max_examples=25, deadline=None)
def test_every_leaf_within_others(tree, data):
    whole = composite_of([tree, array_of(tree), array_of(composite_of([INT4, tree]))])
    values = data.draw(trees.optional(whole))
    assert encode(whole, pa.array(values, whole.arrow)) == rows(whole, values)


def test_golden_bytes():
    """COPY (SELECT ...) of PostgreSQL 15, as in test_encoder.py."""
    array = pa.array([[1, None]], pa.list_(pa.int32()))
    assert encode(array_of(INT4), array).hex() == (
        "0001" + "00000020" + "00000001" + "00000001" + "00000017" + "0000000200000001"
        "0000000400000001" + "ffffffff"
    )
