"""The lossless casts: which there are, that they keep every value, and which row they name if not."""

from __future__ import annotations

import datetime
import struct
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copypump.codec.casts import _CHOICES, _NESTED, cast, encoded_type
from copypump.codec.column import FIRST_OWN_OID, Column, ServerType
from copypump.codec.encoder import EncodedColumn, Encoder
from copypump.codec.types import BITS, INTERVAL, TIMETZ, TYPES, Kernel, opaque
from copypump.errors import CastError, TransformError
from tests.codec import reference_encoder as reference

OIDS = {row.name: row.oid for row in TYPES}
EVERY = [
    pa.null(),
    pa.bool_(),
    *(make() for make in (pa.int8, pa.int16, pa.int32, pa.int64, pa.uint8, pa.uint16, pa.uint32, pa.uint64)),
    *(make() for make in (pa.float16, pa.float32, pa.float64)),
    pa.decimal32(5, 2),
    pa.decimal64(12, 2),
    pa.decimal128(20, 5),
    pa.decimal256(50, 5),
    *(make() for make in (pa.string, pa.large_string, pa.string_view)),
    *(make() for make in (pa.binary, pa.large_binary, pa.binary_view)),
    pa.binary(16),
    pa.binary(5),
    pa.date32(),
    pa.date64(),
    pa.time32("s"),
    pa.time32("ms"),
    pa.time64("us"),
    pa.time64("ns"),
    *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")),
    *(pa.timestamp(unit, zone) for unit in ("s", "us", "ns") for zone in ("UTC", "Europe/Berlin")),
    pa.duration("us"),
    pa.month_day_nano_interval(),
    INTERVAL,
    pa.struct([("months", pa.int64())]),
    pa.list_(pa.int32()),
    pa.map_(pa.utf8(), pa.utf8()),
    BITS,
    TIMETZ,
    pa.uuid(),
    pa.json_(),
]


def column(type_name: str, typmod: int = -1) -> Column:
    # An extension's type is found by its name, and has an oid of its database's own.
    return Column(
        "c", ServerType(OIDS[type_name] or FIRST_OWN_OID, "pg_catalog", type_name), typmod, type_name
    )


def unknown(name: str = "point", kind: str = "b") -> Column:
    labels = ("sad", "ok") if kind == "e" else ()
    return Column("c", ServerType(600, "pg_catalog", name, kind, names=labels), -1, name)


def numeric(precision: int, scale: int) -> Column:
    return column("numeric", ((precision << 16) | (scale & 0x7FF)) + 4)


def fails(array: pa.Array, to: pa.DataType, row: int, kind: type[Exception] = CastError) -> None:
    with pytest.raises(kind) as caught:
        cast(array, to, "c", 100)
    assert caught.value.column == "c"
    assert caught.value.row == 101 + row
    assert caught.value.hint


def through(target: Column, array: pa.Array) -> bytes:
    """Cast and encode one column, as a run does."""
    to = encoded_type(target, array.type)
    assert to is not None
    return bytes(
        Encoder([EncodedColumn(target, to)]).encode([cast(array, to, "c", 0)], len(array), first_row=0)
    )


def test_every_kernel_has_its_casts():
    assert set(_CHOICES) | set(_NESTED) == set(Kernel)
    assert not set(_CHOICES) & set(_NESTED)


@pytest.mark.parametrize("type_name", sorted(OIDS))
def test_the_encoder_takes_whatever_is_offered_and_not_refused(type_name):
    targets = (column(type_name), numeric(10, 3) if type_name == "numeric" else column(type_name, 6))
    pairs = [(target, offered) for target in targets for offered in EVERY]
    for target, offered in pairs:
        to = encoded_type(target, offered)
        if to is not None:
            Encoder([EncodedColumn(target, to)])
            storage = offered.storage_type if isinstance(offered, pa.BaseExtensionType) else offered
            assert through(target, pa.nulls(3, storage)) == reference.rows([[None] * 3])


@pytest.mark.parametrize("row", TYPES, ids=lambda row: row.name)
def test_what_is_decoded_goes_back_as_it_is(row):
    target = column(row.name)
    decoded = row.arrow(target)
    storage = decoded.storage_type if isinstance(decoded, pa.BaseExtensionType) else decoded
    assert encoded_type(target, decoded) == storage
    assert encoded_type(target, storage) == storage
    assert encoded_type(target, pa.null()) == storage
    assert encoded_type(target, opaque(target.type)) == pa.binary()
    assert encoded_type(target, opaque(ServerType(1, "pg_catalog", "other"))) is None
    assert encoded_type(target, pa.list_(pa.bool_())) is None


ALLOWED = [
    ("int2", pa.uint64(), pa.int16()),
    ("int8", pa.decimal128(20, 0), pa.int64()),
    ("float4", pa.float16(), pa.float32()),
    ("float8", pa.float32(), pa.float64()),
    ("float8", pa.int64(), pa.float64()),
    ("text", pa.dictionary(pa.int8(), pa.large_string()), pa.utf8()),
    ("text", pa.run_end_encoded(pa.int32(), pa.string_view()), pa.utf8()),
    ("jsonb", pa.json_(pa.large_utf8()), pa.utf8()),
    ("json", pa.utf8(), pa.utf8()),
    ("uuid", pa.large_utf8(), pa.utf8()),
    ("uuid", pa.uuid(), pa.binary(16)),
    ("uuid", pa.binary(), pa.binary(16)),
    ("bytea", pa.binary(5), pa.binary()),
    ("date", pa.date64(), pa.date32()),
    ("time", pa.time32("s"), pa.time64("us")),
    ("timestamp", pa.timestamp("ns"), pa.timestamp("us")),
    ("timestamptz", pa.timestamp("ms", "Asia/Tokyo"), pa.timestamp("us", "UTC")),
    ("numeric", pa.decimal32(5, 2), pa.decimal128(5, 2)),
    ("numeric", pa.decimal256(60, 7), pa.decimal256(60, 7)),
    ("numeric", pa.decimal256(20, 7), pa.decimal128(20, 7)),
    ("numeric", pa.uint64(), pa.decimal128(20, 0)),
    ("numeric", pa.large_utf8(), pa.utf8()),
    ("interval", pa.month_day_nano_interval(), pa.month_day_nano_interval()),
]


@pytest.mark.parametrize(("type_name", "offered", "expected"), ALLOWED)
def test_allowed(type_name, offered, expected):
    assert encoded_type(column(type_name), offered) == expected


REFUSED = [
    ("bool", pa.int8()),
    ("int4", pa.float64()),
    ("int4", pa.utf8()),
    ("int4", pa.bool_()),
    ("oid", pa.float32()),
    ("float4", pa.float64()),
    ("float8", pa.decimal128(5, 2)),
    ("float8", pa.utf8()),
    ("numeric", pa.float64()),
    ("numeric", pa.bool_()),
    ("numeric", pa.binary()),
    ("text", pa.binary()),
    ("text", pa.int32()),
    ("json", INTERVAL),
    ("bytea", pa.utf8()),
    ("uuid", pa.binary(15)),
    ("date", pa.timestamp("us")),
    ("time", pa.duration("us")),
    ("timestamp", pa.timestamp("us", "UTC")),
    ("timestamptz", pa.timestamp("us")),
    ("timestamp", pa.date32()),
    ("interval", pa.duration("us")),
    ("interval", pa.struct([("months", pa.int32()), ("days", pa.int32())])),
]


@pytest.mark.parametrize(("type_name", "offered"), REFUSED)
def test_refused(type_name, offered):
    assert encoded_type(column(type_name), offered) is None


def test_targets_by_typmod():
    assert encoded_type(numeric(15, 2), pa.decimal256(70, 9)) == pa.decimal128(15, 2)
    assert encoded_type(numeric(50, 2), pa.int64()) == pa.decimal256(50, 2)
    assert encoded_type(numeric(100, 2), pa.decimal128(15, 2)) == pa.utf8()
    assert encoded_type(numeric(5, -500), pa.decimal128(15, 2)) == pa.utf8()
    assert encoded_type(numeric(5, -500), pa.int8()) == pa.utf8()
    assert encoded_type(numeric(5, 2), pa.decimal128(5, 500)) is None
    assert encoded_type(column("numeric"), pa.decimal128(15, 2000)) is None


def test_opaque_bytes_and_typmods():
    assert encoded_type(unknown(), pa.large_binary()) == pa.binary()
    assert encoded_type(unknown(), pa.utf8()) is None
    assert encoded_type(unknown(), opaque(unknown().type)) == pa.binary()
    assert encoded_type(numeric(5, 2), opaque(column("numeric").type)) == pa.binary()
    labels = pa.dictionary(pa.int32(), pa.utf8())
    assert encoded_type(unknown("mood", "e"), pa.dictionary(pa.int8(), pa.large_utf8())) == labels
    assert encoded_type(unknown("mood", "e"), pa.utf8()) == pa.utf8()
    assert through(unknown("mood", "e"), pa.array(["sad"])) == reference.rows([[b"sad"]])
    array = pa.ExtensionArray.from_storage(opaque(unknown().type), pa.array([b"\0\1"], pa.binary()))
    assert through(unknown(), array) == reference.rows([[b"\0\1"]])


def test_the_same_type_is_the_same_array():
    array = pa.array([1, 2])
    assert cast(array, pa.int64(), "c", 0) is array


# ---- value by value

INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]


def limits(type_: pa.DataType) -> tuple[int, int]:
    signed = pa.types.is_signed_integer(type_)
    return (
        (-(2 ** (type_.bit_width - 1)), 2 ** (type_.bit_width - 1) - 1)
        if signed
        else (0, 2**type_.bit_width - 1)
    )


@pytest.mark.parametrize("offered", INTEGERS, ids=str)
@pytest.mark.parametrize("to", [pa.int16(), pa.int32(), pa.int64(), pa.uint32()], ids=str)
def test_integers(offered, to):
    low, high = max(limits(offered)[0], limits(to)[0]), min(limits(offered)[1], limits(to)[1])
    inside = pa.array([low, None, high], offered)
    assert cast(inside, to, "c", 0).to_pylist() == [low, None, high]
    for beyond in (low - 1, high + 1):
        if limits(offered)[0] <= beyond <= limits(offered)[1]:
            fails(pa.array([0, None, high, beyond, beyond], offered), to, 3)


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=30), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_integers_to_float(values, cut):
    array = pa.array(values, pa.int64()).slice(cut)
    bad = [row for row, value in enumerate(values[cut:]) if value is not None and abs(value) > 2**53]
    if bad:
        fails(array, pa.float64(), bad[0])
    else:
        assert cast(array, pa.float64(), "c", 0).to_pylist() == values[cut:]


def test_integers_beyond_a_float():
    assert cast(pa.array([2**53, -(2**53)]), pa.float64(), "c", 0).to_pylist() == [2.0**53, -(2.0**53)]
    fails(pa.array([0, 2**53 + 1]), pa.float64(), 1)
    fails(pa.array([0, 2**24 + 1]), pa.float32(), 1)


@given(st.lists(st.floats(width=32), max_size=20))
@settings(max_examples=50, deadline=None)
def test_float32_to_float64(values):
    given_ = pa.array(values, pa.float32())
    assert str(cast(given_, pa.float64(), "c", 0).to_pylist()) == str(given_.to_pylist())


DECIMALS = [pa.decimal32, pa.decimal64, pa.decimal128, pa.decimal256]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_decimals(data):
    """Whatever decimal comes, numeric(p,s) takes exactly the values that are in it."""
    make = data.draw(st.sampled_from(DECIMALS))
    precision = data.draw(
        st.integers(1, {pa.decimal32: 9, pa.decimal64: 18, pa.decimal128: 38}.get(make, 76))
    )
    scale = data.draw(st.integers(0, precision))
    offered = make(precision, scale)
    whole = st.integers(-(10**precision) + 1, 10**precision - 1)
    tens = st.integers(0, precision).map(lambda power: 10**power % 10**precision)
    context = reference.EXACT
    values = [Decimal(v).scaleb(-scale, context) for v in data.draw(st.lists(whole | tens, max_size=8))]
    wanted = data.draw(st.integers(1, 90))
    wanted_scale = data.draw(st.integers(-5, 60))
    target = numeric(wanted, wanted_scale)
    expected = []
    for row, value in enumerate(values):
        try:
            expected.append(reference.numeric(value, wanted, wanted_scale))
        except reference.Unfit:
            with pytest.raises(CastError) as caught:
                through(target, pa.array(values, offered))
            assert caught.value.row is not None
            assert caught.value.row <= row + 1
            return
    assert through(target, pa.array(values, offered)) == reference.rows([expected])
    free = [reference.numeric(value, dscale=scale) for value in values]
    assert through(column("numeric"), pa.array(values, offered)) == reference.rows([free])


@given(st.sampled_from(INTEGERS), st.data(), st.integers(1, 90), st.integers(-45, 60))
@settings(max_examples=100, deadline=None)
def test_integers_to_numeric(offered, data, precision, scale):
    values = data.draw(st.lists(st.integers(*limits(offered)) | st.integers(0, 9), max_size=5))
    assert through(column("numeric"), pa.array(values, offered)) == reference.rows(
        [[reference.numeric(Decimal(value)) for value in values]]
    )
    try:
        expected = [reference.numeric(Decimal(value), precision, scale) for value in values]
    except reference.Unfit:
        with pytest.raises(CastError):
            through(numeric(precision, scale), pa.array(values, offered))
    else:
        assert through(numeric(precision, scale), pa.array(values, offered)) == reference.rows([expected])


def test_decimals_that_arrow_would_multiply_into_other_ones():
    small = Decimal("0.000007")
    for make in (pa.decimal32, pa.decimal64, pa.decimal128, pa.decimal256):
        fails(pa.array([Decimal(0), None, small], make(6, 6)), pa.decimal128(38, 44), 2)
    large = pa.array([1, 10**30 + 7, 10**37], pa.decimal128(38, 0))
    fails(large, pa.decimal128(38, 30), 1)
    fails(large.cast(pa.decimal256(70, 0)), pa.decimal256(76, 70), 1)
    assert cast(large, pa.decimal256(76, 38), "c", 0).to_pylist() == large.to_pylist()
    for digits in range(1, 39):
        array = pa.array([1, 9 * 10 ** (digits - 1)], pa.decimal128(38, 0))
        fits = digits <= 8
        if fits:
            assert cast(array, pa.decimal128(38, 30), "c", 0).to_pylist() == array.to_pylist()
        else:
            fails(array, pa.decimal128(38, 30), 1)
    huge = pa.Array.from_buffers(pa.decimal128(38, -38), 1, pa.array([7], pa.decimal128(38, 0)).buffers())
    fails(huge, pa.int64(), 0)
    fails(pa.array([7], pa.int64()), pa.decimal128(38, 38), 0)


def test_decimals_name_their_row():
    cents = pa.array([Decimal("1.00"), None, Decimal("1.01")], pa.decimal128(5, 2))
    fails(cents, pa.decimal128(5, 1), 2)
    fails(cents, pa.int32(), 2)
    assert cast(cents[:2], pa.int32(), "c", 0).to_pylist() == [1, None]
    fails(pa.array([1, 10], pa.int8()), pa.decimal128(3, 2), 1)
    fails(pa.array([2**31 - 1, 2**31]).cast(pa.decimal256(50, 0)), pa.int32(), 1)


TEXTS = ["a", None, "", "añ€", "a long text that no view holds inline"]


@pytest.mark.parametrize("kind", [pa.utf8(), pa.large_utf8(), pa.string_view()], ids=str)
def test_texts(kind):
    array = pa.array(TEXTS, kind)
    assert cast(array, pa.utf8(), "c", 0).to_pylist() == TEXTS
    assert cast(array.slice(2), pa.utf8(), "c", 0).to_pylist() == TEXTS[2:]
    indices = pa.array([4, 0, None, 3], pa.int16())
    encoded = pa.DictionaryArray.from_arrays(indices, array)
    assert cast(encoded.slice(1), pa.utf8(), "c", 0).to_pylist() == ["a", None, TEXTS[3]]
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["x", "y"], kind))
    assert cast(runs.slice(1), pa.utf8(), "c", 0).to_pylist() == ["x", "y"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2)], ids=str)
def test_binaries(kind):
    values = [b"\0\xff", None, b"ab"]
    assert cast(pa.array(values, kind), pa.binary(), "c", 0).to_pylist() == values


def test_binary_to_uuid():
    assert cast(pa.array([bytes(16)], pa.large_binary()), pa.binary(16), "c", 0).to_pylist() == [bytes(16)]
    fails(pa.array([bytes(16), None, bytes(15)], pa.binary()), pa.binary(16), 2)


def test_extension_types_are_unwrapped():
    json = pa.ExtensionArray.from_storage(pa.json_(pa.large_utf8()), pa.array(["{}"], pa.large_utf8()))
    assert cast(json, pa.utf8(), "c", 0).to_pylist() == ["{}"]
    uuids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)], pa.binary(16)))
    assert cast(uuids, pa.binary(16), "c", 0).type == pa.binary(16)
    nested = pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int8()), json.storage)
    assert cast(nested, pa.utf8(), "c", 0).to_pylist() == ["{}", "{}"]


def test_null_becomes_anything():
    for row in TYPES:
        target = column(row.name)
        assert through(target, pa.nulls(2)) == reference.rows([[None, None]])


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_timestamps(zone):
    to = pa.timestamp("us", "UTC" if zone else None)
    assert cast(pa.array([1, None], pa.timestamp("s", zone)), to, "c", 0).cast(pa.int64()).to_pylist() == [
        10**6,
        None,
    ]
    fails(pa.array([1000, None, 1001], pa.timestamp("ns", zone)), to, 2)
    fails(pa.array([1, 2**62], pa.timestamp("s", zone)), to, 1)


def test_dates_and_times():
    day = pa.array([86_400_000, -86_400_000], pa.int64()).view(pa.date64())
    assert cast(day, pa.date32(), "c", 0).to_pylist() == [
        datetime.date(1970, 1, 2),
        datetime.date(1969, 12, 31),
    ]
    fails(pa.array([86_400_000, 1], pa.int64()).view(pa.date64()), pa.date32(), 1)
    fails(pa.array([0, 2**62 // 86_400_000 * 86_400_000], pa.int64()).view(pa.date64()), pa.date32(), 1)
    for unit, make, count in (("s", pa.time32, 1), ("ms", pa.time32, 1000), ("ns", pa.time64, 10**9)):
        second = pa.array([count], pa.int32() if make is pa.time32 else pa.int64()).view(make(unit))
        assert cast(second, pa.time64("us"), "c", 0).to_pylist() == [datetime.time(0, 0, 1)]
    fails(pa.array([1000, 1001], pa.int64()).view(pa.time64("ns")), pa.time64("us"), 1)


@given(st.lists(st.booleans(), min_size=1, max_size=200), st.integers(0, 20))
@settings(max_examples=100, deadline=None)
def test_the_first_row_that_fails_is_named(bad, cut):
    array = pa.array([2**40 if is_bad else 1 for is_bad in bad]).slice(cut)
    if True in bad[cut:]:
        fails(array, pa.int32(), bad[cut:].index(True))
    else:
        assert cast(array, pa.int32(), "c", 0).to_pylist() == [1] * len(array)


def test_no_value_is_in_an_error():
    for array, to in (
        (pa.array([987654321987]), pa.int32()),
        (pa.array([Decimal("98765.4321")]), pa.decimal128(9, 2)),
        (pa.array([987654321987], pa.timestamp("ns")), pa.timestamp("us")),
    ):
        with pytest.raises(CastError) as caught:
            cast(array, to, "c", 0)
        assert "98765" not in f"{caught.value}{caught.value.hint}"
        assert caught.value.__suppress_context__


# ---- arrays that lie


def test_indices_beyond_the_dictionary():
    indices = pa.Array.from_buffers(pa.int32(), 3, [None, pa.py_buffer(struct.pack("<3i", 0, 1, 1 << 20))])
    lying = pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b"]), safe=False)
    fails(lying, pa.utf8(), 2, TransformError)


def test_offsets_that_turn_back():
    offsets = pa.py_buffer(struct.pack("<4q", 0, 5, 2, 6))
    lying = pa.Array.from_buffers(pa.large_utf8(), 3, [None, offsets, pa.py_buffer(b"123456")])
    fails(lying, pa.utf8(), 1, TransformError)


def test_offsets_that_leave_the_data():
    offsets = pa.py_buffer(struct.pack("<4q", 0, 2, 1 << 40, 6))
    lying = pa.Array.from_buffers(pa.large_binary(), 3, [None, offsets, pa.py_buffer(b"123456")])
    fails(lying, pa.binary(), 1, TransformError)


def test_broken_utf8_is_left_to_the_encoder():
    array = pa.array([b"fine", b"\xff"], pa.large_binary()).view(pa.large_utf8())
    with pytest.raises(CastError, match="UTF-8") as caught:
        through(column("text"), array)
    assert caught.value.row == 2


def test_what_pandas_and_numpy_bring():
    days = pa.array(np.array(["2024-01-01", "NaT"], "datetime64[ns]"))
    assert through(column("timestamp"), days) == reference.rows(
        [[reference.timestamp(1704067200 * 10**6), None]]
    )
