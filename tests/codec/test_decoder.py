"""The native Decoder's parts, its faults one by one, and the Decoder as a whole.

What holds for every type alike is in test_roundtrip.py.
"""

from __future__ import annotations

import struct
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from copypump.codec import faults, types
from copypump.codec.decoder import ROW_INDEX, Decoder
from copypump.codec.faults import Fault
from copypump.codec.policy import Policy
from copypump.codec.spelling import parse_arrow_type
from copypump.errors import DecodeError, RefusedError, UnrepresentableError
from tests.codec import reference_decoder as reference
from tests.codec.agreement import check, decode, representable
from tests.codec.golden import load
from tests.codec.streams import blocks, column, cuts, numeric_typmod, stream

GOLDEN = load()


# --- native against the reference ---


def numerics() -> st.SearchStrategy[bytes]:
    digit = st.one_of(st.integers(0, 9999), st.sampled_from([0, 0, 1, 10, 500, 1000, 9999]))
    odd = st.sampled_from([10000, 0x7FFF, 0x8000, 0xFFFF])

    def build(digits: list[int], weight: int, sign: int, dscale: int) -> bytes:
        return struct.pack(f">HhHH{len(digits)}H", len(digits), weight, sign, dscale, *digits)

    weights = st.integers(-6, 8)
    usual = st.builds(
        build, st.lists(digit, max_size=6), weights, st.sampled_from([0, 0x4000]), st.integers(0, 40)
    )
    long = st.builds(build, st.lists(digit, max_size=22), weights, st.sampled_from([0, 0x4000]), st.just(40))
    strange = st.builds(
        build,
        st.lists(st.one_of(digit, odd), max_size=5),
        st.one_of(weights, st.sampled_from([-32768, 2000, -2000])),
        st.sampled_from([0, 0x4000, 0xC000, 0xD000, 0xF000, 0x8000, 1]),
        st.sampled_from([0, 2, 0x3FFF, 0x4000, 0xFFFF]),
    )
    return st.one_of(usual, usual, long, strange)


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 76), st.integers(-8, 80), numerics())
def test_decimals_of_every_precision_and_scale(precision: int, scale: int, field: bytes) -> None:
    make = pa.decimal128 if precision <= 38 else pa.decimal256
    check(column("numeric"), make(precision, scale), [field])


def test_every_small_numeric_of_a_money_column() -> None:
    # All of -100.99 to 100.99, and around each power of ten, as a server sends them.
    cents = [
        *range(-10099, 10100),
        *(sign * 10**k + step for k in range(4, 15) for step in (-1, 0, 1) for sign in (1, -1)),
    ]
    fields: list[bytes | None] = []
    for number in cents:
        whole, fraction = divmod(abs(number), 100)
        groups = [int(part) for part in (f"{whole:016d}"[i : i + 4] for i in range(0, 16, 4))] + [
            fraction * 100
        ]
        weight = 3
        while groups and groups[0] == 0:
            groups, weight = groups[1:], weight - 1
        while groups and groups[-1] == 0:
            groups.pop()
        sign = 0x4000 if number < 0 else 0
        fields.append(
            struct.pack(f">HhHH{len(groups)}H", len(groups), weight if groups else 0, sign, 2, *groups)
        )
    for chosen in (pa.decimal128(15, 2), pa.decimal128(38, 2), pa.decimal128(20, 5), pa.decimal256(50, 2)):
        expected = [Decimal(number).scaleb(-2) for number in cents]
        assert decode(column("numeric"), fields, chosen, 100_000).to_pylist() == expected


def test_utf8_as_python_has_it() -> None:
    # All of one and two bytes, and every lead byte before every kind of what may follow.
    edges = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF]
    samples = [bytes([a]) for a in range(256)] + [bytes([a, b]) for a in range(256) for b in range(256)]
    samples += [bytes([a, b, c]) for a in range(0xC0, 256) for b in edges for c in edges]
    samples += [bytes([a, b, c, d]) for a in range(0xE0, 256) for b in edges for c in edges for d in edges]
    good, bad = [], []
    for sample in samples:
        try:
            (bad if "\0" in sample.decode() else good).append(sample)
        except UnicodeDecodeError:
            bad.append(sample)
    assert len(good) > 2000
    assert [text.encode() for text in decode(column("text"), list(good), None, 10**6).to_pylist()] == good
    # Each bad one alone between good ones, which is one batch of one pass for each.
    decoder = Decoder([column("text")])
    framed = blocks([stream([[sample] for sample in bad])], 1, batch_rows=1)
    assert len(framed) == len(bad) > 60_000
    for block in framed[::80] + framed[-15000::30]:
        with pytest.raises(DecodeError, match="not UTF-8"):
            decoder.decode(block)


@pytest.mark.parametrize("length", [*range(70), 127, 128, 1000])
def test_texts_of_every_length_at_every_place(length: int) -> None:
    texts = ["x" * length, "", "yz" * 40, "x" * length, "é" * length, "z"]
    for count in range(1, len(texts) + 1):
        fields: list[bytes | None] = [text.encode() for text in texts[:count]]
        assert decode(column("text"), fields).to_pylist() == texts[:count]


# --- the faults, one by one ---


@pytest.mark.parametrize("length", range(131))
def test_texts_all_of_one_length(length: int) -> None:
    # The last rows of a block are copied otherwise than those before them; other columns shift where that is.
    for rows in (1, 2, 5, 70):
        texts = [bytes(65 + (i + k) % 26 for k in range(length)) for i in range(rows)]
        assert decode(column("bytea"), list(texts), None, rows).to_pylist() == texts
        columns = [column("text", name=name) for name in "abc"]
        (block,) = blocks([stream([[text, text, b"ends"] for text in texts])], 3, batch_rows=rows)
        batch = Decoder(columns).decode(block)
        for place in (0, 1):
            assert [text.encode() for text in batch.column(place).to_pylist()] == texts


@pytest.mark.parametrize(
    ("name", "width"), [("int4", 4), ("int8", 8), ("date", 4), ("bool", 1), ("uuid", 16), ("float8", 8)]
)
def test_one_wrong_length_in_all_rows_is_a_fault_of_the_first(name: str, width: int) -> None:
    for length in (0, width - 1, width + 1):
        (block,) = blocks([stream([[bytes(length)]] * 9)], 1)
        with pytest.raises(DecodeError, match=f"{length}") as caught:
            Decoder([column(name)]).decode(block)
        assert caught.value.row == 1


def test_one_odd_date_among_many() -> None:
    days = [struct.pack(">i", day) for day in range(-50, 50)]
    for odd in (2**31 - 1, -(2**31)):
        for place in (0, 50, 99):
            fields: list[bytes | None] = [*days]
            fields[place] = struct.pack(">i", odd)
            made = decode(column("date"), fields, None, 1000)
            expected = [day + 10957 for day in range(-50, 50)]
            expected[place] = odd
            assert made.cast(pa.int32()).to_pylist() == expected
    (block,) = blocks([stream([[day] for day in [*days, struct.pack(">i", 2145031949)]])], 1)
    with pytest.raises(DecodeError) as caught:
        Decoder([column("date")]).decode(block)
    assert caught.value.row == 101


def number(digits: list[int], weight: int = 0, sign: int = 0, dscale: int = 0) -> bytes:
    return struct.pack(f">HhHH{len(digits)}H", len(digits), weight, sign, dscale, *digits)


MONEY = numeric_typmod(15, 2)


@pytest.mark.parametrize(
    ("name", "typmod", "field", "message"),
    [
        ("int4", -1, b"123", "int4 of length 3, expected 4"),
        ("int2", -1, b"", "int2 of length 0, expected 2"),
        ("date", -1, bytes(5), "date of length 5, expected 4"),
        ("uuid", -1, bytes(15), "uuid of length 15, expected 16"),
        ("interval", -1, bytes(12), "interval of length 12, expected 16"),
        ("bool", -1, b"\2", "not a valid bool"),
        ("bool", -1, b"\0\0", "bool of length 2, expected 1"),
        ("jsonb", -1, b"\2{}", "jsonb of an unknown version"),
        ("jsonb", -1, b"", "jsonb of length 0"),
        ("text", -1, b"a\0b", "text that is not UTF-8, or has a NUL byte in it"),
        ("numeric", MONEY, bytes(7), "numeric of length 7"),
        ("numeric", -1, bytes(7), "numeric of length 7"),
        ("numeric", MONEY, number([10000]), "not a valid numeric"),
        ("numeric", -1, number([1], sign=0x8000), "not a valid numeric"),
        ("numeric", -1, number([1], weight=-1), "not a valid numeric"),
        ("numeric", -1, number([1], sign=0xC000), "not a valid numeric"),
        ("numeric", MONEY, number([1])[:-1], "not a valid numeric"),
        ("date", -1, struct.pack(">i", 2**31 - 2), "date outside the range of its type"),
        ("time", -1, struct.pack(">q", -1), "time outside the range of its type"),
        ("time", -1, struct.pack(">q", 86_400_000_001), "time outside the range of its type"),
        ("timestamp", -1, struct.pack(">q", 2**63 - 2), "timestamp outside the range of its type"),
        ("timestamptz", -1, struct.pack(">q", -(2**62)), "timestamptz outside the range of its type"),
    ],
)
def test_impossible_fields(name: str, typmod: int, field: bytes, message: str) -> None:
    good = {case.column.type.name: case.wire[0] for case in GOLDEN}[name]
    with pytest.raises(DecodeError) as caught:
        decode(column(name, typmod), [None, good, field, good], batch_rows=2)
    assert caught.value.message == message
    assert (caught.value.column, caught.value.row, caught.value.exit_code) == ("c", 3, 4)


@pytest.mark.parametrize(
    ("name", "typmod", "field", "message", "hint"),
    [
        ("numeric", MONEY, number([], sign=0xC000), "NaN does not fit decimal128(15,2)", "utf8"),
        ("numeric", MONEY, number([], sign=0xD000, dscale=32), "an infinite numeric does not fit", "utf8"),
        ("numeric", MONEY, number([], sign=0xF000, dscale=32), "an infinite numeric does not fit", "utf8"),
        (
            "numeric",
            MONEY,
            number([1], -1, dscale=4),
            "numeric with more than 2 digits after the point",
            "utf8",
        ),
        (
            "numeric",
            MONEY,
            number([1], -2, dscale=8),
            "numeric with more than 2 digits after the point",
            "utf8",
        ),
        ("numeric", MONEY, number([10], 3), "numeric with more than 15 digits at scale 2", "utf8"),
        (
            "numeric",
            numeric_typmod(3, 0),
            number([1000], 0),
            "numeric with more than 3 digits at scale 0",
            "utf8",
        ),
        ("time", -1, struct.pack(">q", 86_400_000_000), "24:00:00 does not fit time64[us]", "opaque"),
        (
            "timestamp",
            -1,
            struct.pack(">q", 9222425352054775807),
            "timestamp too late for timestamp[us]",
            "opaque",
        ),
        ("timestamptz", -1, struct.pack(">q", 9223371331199999999), "timestamptz too late for", "opaque"),
    ],
)
def test_values_that_arrow_cannot_hold(name: str, typmod: int, field: bytes, message: str, hint: str) -> None:
    with pytest.raises(UnrepresentableError) as caught:
        decode(column(name, typmod), [None, None, field], batch_rows=2)
    assert message in caught.value.message
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(f"--type c={hint}, or --on-unrepresentable c=null")
    assert (caught.value.column, caught.value.row, caught.value.exit_code) == ("c", 3, 6)
    assert reference.plain(decode(column(name, typmod), [field], parse_arrow_type(hint)))


@pytest.mark.parametrize(
    ("name", "field"), [("date", struct.pack(">i", 2**31 - 1)), ("timestamp", struct.pack(">q", -(2**63)))]
)
def test_an_infinite_moment_that_shall_be_an_error(name: str, field: bytes) -> None:
    decoder = Decoder([column(name)], policies={"c": Policy.ERROR})
    [block] = blocks([stream([[field]])], 1, batch_rows=1)
    with pytest.raises(UnrepresentableError, match=f"an infinite {name} does not fit") as caught:
        decoder.decode(block)
    assert caught.value.hint == "--type c=text, or --on-unrepresentable c=null|keep"


def test_the_last_timestamps_before_infinity() -> None:
    latest = 9222425352054775806
    assert reference.plain(decode(column("timestamp"), [struct.pack(">q", latest)])) == [2**63 - 2]


def test_too_much_text_is_an_error_and_no_allocation() -> None:
    # Ten bytes a field, 131 kB of text each: more than 2 GiB.
    huge = number([1], weight=32767)
    with pytest.raises(UnrepresentableError, match="more than 2 GiB of text") as caught:
        decode(column("numeric"), [huge] * 20_000, batch_rows=20_000)
    # Room is made for the whole groups before the point, a sign, and the longest word.
    assert caught.value.row == (2**31 - 1) // (4 * 32768 + 9) + 1


def test_faults_are_all_told() -> None:
    told = [*faults._IMPOSSIBLE, *faults.UNREPRESENTABLE, Fault.TOO_MUCH, Fault.OK]
    assert sorted(told) == list(Fault)


# --- the Decoder as a whole ---


def test_infinities_are_kept_and_counted() -> None:
    decoder = Decoder([column("date", name="d"), column("timestamptz", name="t")])
    rows = [[struct.pack(">i", -(2**31)), struct.pack(">q", 2**63 - 1)], [struct.pack(">i", 2**31 - 1), None]]
    for block in blocks([stream(rows * 3)], 2, batch_rows=4):
        decoder.decode(block)
    kept = "infinity kept as the largest or smallest integer"
    assert decoder.warnings == {f'column "d": {kept}': 6, f'column "t": {kept}': 3}


def test_columns_that_are_read_and_the_row_index() -> None:
    columns = [column("int4", name="a"), column("text", name="b", not_null=True), column("point", name="p")]
    decoder = Decoder(columns, read=[1, 0], row_index=True)
    assert decoder.schema.names == ["b", "a", ROW_INDEX]
    assert [decoder.schema.field(i).nullable for i in range(3)] == [False, True, False]
    assert decoder.schema.field("b").metadata[b"PG:oid"] == b"25"
    # Nobody looks into what is not read.
    rows = [[struct.pack(">i", i), b"%d" % i, b"not a point"] for i in range(7)]
    batches = [decoder.decode(block) for block in blocks([stream(rows)], 3, batch_rows=4)]
    assert [batch.num_rows for batch in batches] == [4, 3]
    assert all(batch.schema.equals(decoder.schema, check_metadata=True) for batch in batches)
    assert batches[1].to_pydict() == {"b": ["4", "5", "6"], "a": [4, 5, 6], ROW_INDEX: [4, 5, 6]}


def test_the_row_index_begins_again_where_int32_ends() -> None:
    decoder = Decoder([column("int4")], read=[], row_index=True)
    decoder._counted = 2**31 - 4
    batches = [decoder.decode(block) for block in blocks([stream([[b"1234"]] * 6)], 1, batch_rows=2)]
    assert [batch[ROW_INDEX].to_pylist() for batch in batches] == [[2**31 - 4, 2**31 - 3], [0, 1], [2, 3]]


def test_no_column_is_read() -> None:
    columns = [column("int4")]
    (block,) = blocks([stream([[b"1234"]] * 5)], 1)
    assert Decoder(columns, read=[]).decode(block).num_rows == 5
    assert Decoder(columns, read=[], row_index=True).decode(block).to_pydict() == {ROW_INDEX: [0, 1, 2, 3, 4]}


def test_every_cut_of_a_stream_of_all_types() -> None:
    columns, wires = [], []
    for i, case in enumerate(GOLDEN):
        columns.append(replace(case.column, name=f"c{i}"))
        usual = types.arrow_type(case.column)
        wires.append([wire for wire in case.wire if representable(case.column, usual, wire)])
    rows = [
        [wire[r % len(wire)] if (r + i) % 4 and wire else None for i, wire in enumerate(wires)]
        for r in range(5)
    ]
    expected = [
        [None if row[i] is None else reference.value(of, types.arrow_type(of), row[i]) for row in rows]
        for i, of in enumerate(columns)
    ]
    for pieces in cuts(stream(rows)):
        decoder = Decoder(columns)
        batches = [decoder.decode(block) for block in blocks(pieces, len(columns))]
        table = pa.Table.from_batches(batches, decoder.schema).combine_chunks()
        assert [reference.plain(table.column(i).chunk(0)) for i in range(len(columns))] == expected


@pytest.mark.parametrize(
    ("name", "width"), [("int8", 8), ("float4", 4), ("uuid", 16), ("timestamp", 8), ("date", 4)]
)
def test_null_slots_hold_zeros(name: str, width: int) -> None:
    array = decode(column(name), [None, b"\1" * width, None])
    array = array.storage if isinstance(array, pa.ExtensionArray) else array
    values = array.buffers()[1].to_pybytes()
    assert values[:width] == values[2 * width :] == bytes(width)
    assert any(values[width : 2 * width])


def test_a_column_of_the_row_indexs_name_is_refused() -> None:
    with pytest.raises(RefusedError, match="taken"):
        Decoder([column("int4", name=ROW_INDEX)], row_index=True)


def test_a_type_that_cannot_be_is_refused() -> None:
    with pytest.raises(RefusedError, match='column "c": int4 cannot be read as utf8'):
        Decoder([column("int4")], types={"c": pa.utf8()})


def test_a_block_of_other_columns_is_a_defect() -> None:
    (block,) = blocks([stream([[b"1234"]])], 1)
    with pytest.raises(ValueError, match="a block of 1 columns, expected 2"):
        Decoder([column("int4"), column("int4", name="d")]).decode(block)
    block.rows = block.stride + 1
    with pytest.raises(ValueError, match="positions are fewer"):
        Decoder([column("int4")]).decode(block)


def test_decoded_memory_is_read_only() -> None:
    """The engine knows an array that was handed on by its memory: nobody may change it in place."""
    columns = [column("int8", name="a"), column("text", name="b"), column("bool", name="c")]
    rows = [[struct.pack(">q", 7), b"x", b"\1"], [None, None, None]]
    (block,) = blocks([stream(rows)], 3)
    batch = Decoder(columns, row_index=True).decode(block)
    buffers = [buffer for array in batch.columns for buffer in array.buffers() if buffer is not None]
    assert len(buffers) == 8
    assert not any(buffer.is_mutable for buffer in buffers)
