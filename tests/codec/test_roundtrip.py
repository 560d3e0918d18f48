"""What holds for every type: native and reference decoder agree, and what is decoded is encoded as it was.

Columns and fields come from the type table (strategies.py) and from golden.toml; small domains are gone through
whole. The same over real servers is in test_live_roundtrip.py.
"""

from __future__ import annotations

import itertools
import struct
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copypump.codec import casts, types
from copypump.codec.column import Column
from copypump.codec.encoder import EncodedColumn, Encoder
from copypump.codec.types import FAMILIES, TYPES, Kernel
from tests.codec import golden, reference_encoder, strategies
from tests.codec import reference_decoder as reference
from tests.codec.agreement import check, choices, exact_choices, representable
from tests.codec.streams import column, numeric_typmod, row

GOLDEN = golden.load()
ROWS = [Column("c", strategies.server_type(row), -1, row.name) for row in TYPES]

# Trees of types draw much; what is slow there is Python.
thorough = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


def reencode(of: Column, array: pa.Array) -> bytes:
    """An array's rows, as it would go to a column of the same type."""
    type_ = casts.encoded_type(of, array.type)
    assert type_ is not None
    encoder = Encoder([EncodedColumn(of, type_)])
    return bytes(encoder.encode([casts.cast(array, type_, of.name, 0)], len(array), first_row=0))


def fresh(of: Column, field: bytes, *, as_struct: bool = False) -> bytes:
    """A field in which each array says no more of itself than Arrow keeps.

    Its has-nulls flag tells whether a NULL is in it: the server keeps the flag of an array that was sliced out
    of one with NULLs. And unless it is read as a struct, an array without elements has no dimensions.
    """
    kind = types.pg_type(of).kernel
    if kind not in (Kernel.ARRAY, Kernel.COMPOSITE, Kernel.RANGE, Kernel.MULTIRANGE):
        return field
    cursor, children = reference.Cursor(field), of.children
    head = cursor.take({Kernel.ARRAY: 12, Kernel.RANGE: 1}.get(kind, 4))
    if kind == Kernel.ARRAY:
        shape = cursor.take(8 * int.from_bytes(head[:4], "big"))
    parts, nulls = b"", False
    for child in children if kind == Kernel.COMPOSITE else itertools.repeat(children[0]):
        if not cursor.left:
            break
        parts += cursor.take(4) if kind == Kernel.COMPOSITE else b""
        content = cursor.inner()
        nulls |= content is None
        parts += strategies.sized(None if content is None else fresh(child, content))
    if kind == Kernel.ARRAY:
        shape = shape if parts or as_struct else b""
        head = struct.pack(">ii", len(shape) // 8, nulls) + head[8:] + shape
    return head + parts


def check_both_ways(
    of: Column, chosen: pa.DataType, fields: list[bytes | None], *, every_cut: bool = False
) -> None:
    array = check(of, chosen, fields, every_cut=every_cut)
    if array is not None:
        opaque, as_struct = types.kernel(of, chosen) == Kernel.BYTES, pa.types.is_struct(chosen)
        expected = [
            field if opaque or field is None else fresh(of, field, as_struct=as_struct) for field in fields
        ]
        assert reencode(of, array) == b"".join(row([field]) for field in expected)


# --- the table


def test_every_row_has_its_strategy() -> None:
    assert set(strategies.FIELDS) == set(Kernel)
    assert {types.pg_type(of).name for of in ROWS} == {row.name for row in TYPES}


EXACT = [(of, chosen) for of in ROWS for chosen in exact_choices(of)]


def _name(value: object) -> str:
    return value.declared if isinstance(value, Column) else str(value)[:40]


@pytest.mark.parametrize(("of", "chosen"), EXACT, ids=_name)
@settings(thorough, max_examples=10)
@given(data=st.data())
def test_every_row_goes_both_ways(of: Column, chosen: pa.DataType, data: st.DataObject) -> None:
    fields = strategies.fields(of).filter(lambda field: representable(of, chosen, field))
    check_both_ways(
        of, chosen, data.draw(st.lists(st.none() | fields, min_size=1, max_size=8)), every_cut=True
    )


CHOICES = [(of, chosen) for of in ROWS for chosen in choices(of)]


@pytest.mark.parametrize(("of", "chosen"), CHOICES, ids=_name)
@settings(thorough, max_examples=10)
@given(data=st.data())
def test_native_and_reference_agree(of: Column, chosen: pa.DataType, data: st.DataObject) -> None:
    usual = strategies.fields(of)
    fields = data.draw(st.lists(st.none() | usual, min_size=1, max_size=20), label="fields")
    if data.draw(st.booleans(), label="strange"):
        fields.insert(data.draw(st.integers(0, len(fields))), data.draw(strategies.strange(of)))
    check(of, chosen, fields)


# --- trees of types

FAMILY_ROWS = {row.name for row in FAMILIES}


@settings(thorough, max_examples=300)
@given(st.data())
def test_trees_of_types_go_both_ways(data: st.DataObject) -> None:
    of = data.draw(strategies.columns())
    chosen = data.draw(st.sampled_from(exact_choices(of)))
    usual = strategies.fields(of)
    check_both_ways(
        of, chosen, data.draw(st.lists(st.none() | usual, min_size=1, max_size=6)), every_cut=True
    )


@settings(thorough, max_examples=400)
@given(st.data())
def test_trees_of_types_with_strange_fields(data: st.DataObject) -> None:
    of = data.draw(strategies.columns())
    fields = data.draw(st.lists(st.none() | strategies.fields(of), max_size=4))
    fields.insert(data.draw(st.integers(0, len(fields))), data.draw(strategies.strange(of)))
    check(of, types.arrow_type(of), fields)


# --- golden bytes


@pytest.mark.parametrize("case", GOLDEN, ids=str)
def test_golden_bytes_go_both_ways(case: golden.Golden) -> None:
    of = case.column
    for chosen in choices(of):
        held = [wire for wire in case.wire if representable(of, chosen, wire)]
        for wire in case.wire:
            check(of, chosen, [wire])
        if held and chosen in exact_choices(of):
            check_both_ways(of, chosen, [None, *held, None], every_cut=True)


# --- small domains, whole


def everything(name: str, fields: list[bytes | None], typmod: int = -1) -> None:
    of = column(name, typmod)
    check_both_ways(of, types.arrow_type(of), fields)


def test_all_of_int2_and_char_and_bool() -> None:
    everything("int2", [struct.pack(">H", number) for number in range(65536)])
    everything("char", [bytes([byte]) for byte in range(256)])
    everything("bool", [b"\0", b"\1"])


@pytest.mark.parametrize("scale", range(-3, 9))
def test_all_decimals_of_precision_4(scale: int) -> None:
    fields: list[bytes | None] = [
        reference_encoder.numeric(Decimal(number).scaleb(-scale), 4, scale) for number in range(-9999, 10000)
    ]
    assert len(fields) == 19999
    everything("numeric", fields, numeric_typmod(4, scale))


@pytest.mark.parametrize("scale", range(21))
def test_every_group_boundary(scale: int) -> None:
    """Around each power of ten of 38 and of 76 digits: there a base-10000 group ends, or begins."""
    for precision in (38, 76):
        numbers = {
            sign * (multiple * 10**power + step)
            for power in range(precision)
            for multiple in (1, 9)
            for step in (-1, 0, 1)
            for sign in (1, -1)
        }
        exact = reference_encoder.EXACT
        fields: list[bytes | None] = [
            reference_encoder.numeric(exact.scaleb(Decimal(number), -scale), precision, scale)
            for number in sorted(numbers)
        ]
        assert len(fields) > 300
        everything("numeric", fields, numeric_typmod(precision, scale))
        texts = [
            reference_encoder.numeric(exact.scaleb(Decimal(number), -scale)) for number in sorted(numbers)
        ]
        everything("numeric", list(texts))


@pytest.mark.parametrize("edge", [-2451545, -10957, 0, 2147483493 - 2451545])
def test_all_dates_around(edge: int) -> None:
    days = range(max(edge - 2000, -2451545), min(edge + 2000, 2147483493 - 2451545) + 1)
    assert len(days) > 2000
    everything("date", [struct.pack(">i", day) for day in days])


@pytest.mark.parametrize("edge", [-211813488000000000, -946684800000000, 0, 2**63 - 2 - 946684800000000])
@pytest.mark.parametrize("name", ["timestamp", "timestamptz"])
def test_all_timestamps_around(name: str, edge: int) -> None:
    moments = range(max(edge - 1000, -211813488000000000), min(edge + 1000, 2**63 - 2 - 946684800000000) + 1)
    assert len(moments) > 1000
    everything(name, [struct.pack(">q", moment) for moment in moments])


def test_all_hours_of_timetz() -> None:
    zones: list[Any] = [*range(-57599, 57600, 607), 57599]
    everything("timetz", [struct.pack(">qi", abs(zone) * 1_000_000, zone) for zone in zones])
