"""The native Encoder against golden bytes, against the plain-Python reference, and against hostile arrays."""

from __future__ import annotations

import struct
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copypump.codec import encoder as module
from copypump.codec._encode import Fault
from copypump.codec.column import Column, ServerType
from copypump.codec.encoder import EncodedColumn, Encoder
from copypump.codec.framing import HEADER, TRAILER, Block, Framer
from copypump.codec.types import INTERVAL, TYPES
from copypump.errors import CastError, TransformError
from tests.codec import reference_encoder as reference

OIDS = {row.name: row.oid for row in TYPES}


def column(type_name: str, typmod: int = -1, *, not_null: bool = False) -> Column:
    kind = ServerType(OIDS[type_name], "pg_catalog", type_name)
    return Column("c", kind, typmod, type_name, not_null=not_null)


def numeric_typmod(precision: int, scale: int) -> int:
    return ((precision << 16) | (scale & 0x7FF)) + 4


def encode(target: Column, array: pa.Array, first_row: int = 0) -> bytes:
    encoder = Encoder([EncodedColumn(target, array.type)])
    return bytes(encoder.encode([array], len(array), first_row=first_row))


def one_column(fields: list[bytes | None]) -> bytes:
    return reference.rows([fields])


def decimals(values: list[int | None], type_: pa.DataType) -> pa.Array:
    """Make decimals out of their unscaled values, also such that the type does not allow."""
    width = type_.bit_width // 8
    data = b"".join((value or 0).to_bytes(width, "little", signed=True) for value in values)
    valid = sum((value is not None) << row for row, value in enumerate(values)).to_bytes(
        len(values) // 8 + 1, "little"
    )
    return pa.Array.from_buffers(type_, len(values), [pa.py_buffer(valid), pa.py_buffer(data)])


def words(values: list[int], type_: pa.DataType) -> pa.Array:
    integers = pa.int32() if type_.bit_width == 32 else pa.int64()
    return pa.array(values, integers).view(type_)


def fails(target: Column, array: pa.Array, row: int | None, *, kind: type[Exception] = CastError) -> str:
    with pytest.raises(kind) as caught:
        encode(target, array, first_row=100)
    assert caught.value.column == "c"
    assert caught.value.row == (None if row is None else 101 + row)
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "latin1", "utf-16"])
def test_xml_that_declares_another_encoding(encoding: str) -> None:
    """The server would convert from it what is UTF-8: <a>é</a> became <a>Ã©</a>."""
    good = [
        None,
        "<a>é</a>",
        '<?xml version="1.0"?><a/>',
        "<?xml version='1.0' encoding='UTF-8'?><a>é</a>",
        "encoding",
    ]
    array = pa.array([*good, f'<?xml version="1.0" encoding="{encoding}"?><a>é</a>']).slice(1)
    assert "declares another encoding" in fails(column("xml"), array, 4)
    texts = [value and value.encode() for value in good]
    assert encode(column("xml"), pa.array(good)) == reference.rows([texts])
    assert encode(column("text"), array)


# COPY (SELECT ...) TO STDOUT (FORMAT BINARY) of PostgreSQL 15, without header and trailer:
#   psql -c "COPY (SELECT '1.50'::numeric(10,2)) TO STDOUT (FORMAT BINARY)" |
#       tail -c +20 | head -c -2 | xxd -p
GOLDEN = [
    ("'Infinity'::numeric", "numeric", -1, pa.array(["Infinity"]), "00010000000800000000d0000020"),
    ("'-Infinity'::numeric", "numeric", -1, pa.array(["-Infinity"]), "00010000000800000000f0000020"),
    ("'NaN'::numeric", "numeric", -1, pa.array(["NaN"]), "00010000000800000000c0000000"),
    ("'0.00005000'::numeric", "numeric", -1, pa.array(["0.00005000"]), "00010000000a0001fffe000000081388"),
    (
        "'0.00005000'::numeric",
        "numeric",
        -1,
        pa.array([Decimal("0.00005000")], pa.decimal128(9, 8)),
        "00010000000a0001fffe000000081388",
    ),
    (
        "'1.50'::numeric(10,2)",
        "numeric",
        numeric_typmod(10, 2),
        pa.array([Decimal("1.50")], pa.decimal128(10, 2)),
        "00010000000c000200000000000200011388",
    ),
    (
        "'-12345678.0001'::numeric",
        "numeric",
        -1,
        pa.array(["-12345678.0001"]),
        "00010000000e000300014000000404d2162e0001",
    ),
    ("'0.00'::numeric", "numeric", -1, pa.array([Decimal("0.00")]), "0001000000080000000000000002"),
    ("'1e20'::numeric", "numeric", -1, pa.array(["1e20"]), "00010000000a00010005000000000001"),
    (
        "'1200'::numeric(2,-2)",
        "numeric",
        numeric_typmod(2, -2),
        pa.array([Decimal(1200)], pa.decimal128(2, -2)),
        "00010000000a000100000000000004b0",
    ),
    (
        "'0.0012'::numeric(2,4)",
        "numeric",
        numeric_typmod(2, 4),
        decimals([12], pa.decimal128(2, 4)),
        "00010000000a0001ffff00000004000c",
    ),
    (
        "'12345678901234567890.123456789'::numeric(38,9)",
        "numeric",
        numeric_typmod(38, 9),
        pa.array([Decimal("12345678901234567890.123456789")], pa.decimal128(38, 9)),
        "000100000018000800040000000904d2162e23340d801ed204d2162e2328",
    ),
    (
        "interval '1 month 2 days 3.000004 s'",
        "interval",
        -1,
        pa.array([{"months": 1, "days": 2, "microseconds": 3_000_004}], INTERVAL),
        "00010000001000000000002dc6c40000000200000001",
    ),
    (
        "interval '1 month 2 days 3.000004 s'",
        "interval",
        -1,
        pa.array([(1, 2, 3_000_004_000)], pa.month_day_nano_interval()),
        "00010000001000000000002dc6c40000000200000001",
    ),
    ("'2024-02-29'::date", "date", -1, words([19782], pa.date32()), "00010000000400002279"),
    ("'infinity'::date", "date", -1, words([2**31 - 1], pa.date32()), "0001000000047fffffff"),
    ("'-infinity'::date", "date", -1, words([-(2**31)], pa.date32()), "00010000000480000000"),
    ("'4713-01-01 BC'::date", "date", -1, words([-2440550 + 0], pa.date32()), "000100000004ffda97cd"),
    (
        "'2024-02-29 12:34:56.789'::timestamp",
        "timestamp",
        -1,
        words([1709210096789000], pa.timestamp("us")),
        "0001000000080002b58341728608",
    ),
    (
        "'infinity'::timestamptz",
        "timestamptz",
        -1,
        words([2**63 - 1], pa.timestamp("us", "UTC")),
        "0001000000087fffffffffffffff",
    ),
    ("'24:00'::time", "time", -1, words([86_400_000_000], pa.time64("us")), "000100000008000000141dd76000"),
    ("""'{"a":1}'::jsonb""", "jsonb", -1, pa.array(['{"a": 1}']), "000100000009017b2261223a20317d"),
    (
        "'a0eebc999c0b4ef8bb6d6bb9bd380a11'::uuid",
        "uuid",
        -1,
        pa.array(["{a0eebc99-9c0b4ef8-bb6d-6bb9-bd380A11}"]),
        "000100000010a0eebc999c0b4ef8bb6d6bb9bd380a11",
    ),
    ("'x'::char(3)", "bpchar", 7, pa.array(["x  "]), "000100000003782020"),
    ("'-0.0'::float8", "float8", -1, pa.array([-0.0]), "0001000000088000000000000000"),
    ("true", "bool", -1, pa.array([True]), "00010000000101"),
    ("'pg_class'::name", "name", -1, pa.array(["pg_class"]), "00010000000870675f636c617373"),
    ("'4294967295'::oid", "oid", -1, pa.array([2**32 - 1], pa.uint32()), "000100000004ffffffff"),
]


@pytest.mark.parametrize(
    ("sql", "type_name", "typmod", "array", "wire"), GOLDEN, ids=[row[0] for row in GOLDEN]
)
def test_golden_bytes(sql, type_name, typmod, array, wire):
    assert encode(column(type_name, typmod), array).hex() == wire


def test_header_and_trailer_make_a_whole_stream():
    framer = Framer(1, positions=False, batch_rows=10)
    stream = bytearray(HEADER + encode(column("int4"), pa.array([1, None], pa.int32())) + TRAILER)
    (block,) = framer.feed(stream)
    framer.finish()
    assert block.rows == 2


def test_every_fault_has_words():
    found = set(Fault) - {Fault.NONE, Fault.PLACE, Fault.MEMORY}  # the last raises MemoryError
    assert found == set(module._FAULTS)


# ---- against the reference


WORDS = {
    "int2": (pa.int16(), "h", st.integers(-(2**15), 2**15 - 1)),
    "int4": (pa.int32(), "i", st.integers(-(2**31), 2**31 - 1)),
    "int8": (pa.int64(), "q", st.integers(-(2**63), 2**63 - 1)),
    "oid": (pa.uint32(), "I", st.integers(0, 2**32 - 1)),
    "float4": (pa.float32(), "f", st.floats(width=32)),
    "float8": (pa.float64(), "d", st.floats()),
    "bool": (pa.bool_(), "?", st.booleans()),
}


def optional(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(st.none() | values, max_size=40)


@pytest.mark.parametrize("type_name", sorted(WORDS))
@given(data=st.data(), cut=st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_words(type_name, data, cut):
    type_, code, values = WORDS[type_name]
    taken = data.draw(optional(values))
    expected = [None if value is None else reference.word(code, value) for value in taken]
    assert encode(column(type_name), pa.array(taken, type_).slice(cut)) == one_column(expected[cut:])


def test_all_of_int2_and_its_bits():
    values = list(range(-(2**15), 2**15))
    expected = one_column([struct.pack("!h", value) for value in values])
    assert encode(column("int2"), pa.array(values, pa.int16())) == expected


def test_float_bits_are_kept():
    payload = struct.pack("<QQ", 0x7FF4000000000001, 0xFFF8DEADBEEF0001)
    array = pa.Array.from_buffers(pa.float64(), 2, [None, pa.py_buffer(payload)])
    assert encode(column("float8"), array) == one_column([payload[7::-1], payload[:7:-1]])


@given(
    optional(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))), st.integers(0, 9)
)
@settings(max_examples=100, deadline=None)
def test_texts(values, cut):
    fields = [None if value is None else value.encode() for value in values]
    array = pa.array(values, pa.utf8()).slice(cut)
    assert encode(column("text"), array) == one_column(fields[cut:])
    assert encode(column("json"), array) == one_column(fields[cut:])
    jsonb = [None if field is None else b"\1" + field for field in fields]
    assert encode(column("jsonb"), array) == one_column(jsonb[cut:])


@given(optional(st.binary(max_size=200)), st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_bytes(values, cut):
    array = pa.array(values, pa.binary())
    assert encode(column("bytea"), array.slice(cut)) == one_column(values[cut:])
    assert encode(column("numeric"), array.slice(cut)) == one_column(values[cut:])  # opaque


def test_short_and_long_texts_at_the_end_of_their_buffer():
    for length in range(200):
        for before in (0, 1, 15, 16, 17, 79, 80, 100):
            values = ["b" * before, "x" * length]
            assert encode(column("text"), pa.array(values)) == one_column([v.encode() for v in values])


@given(st.lists(st.binary(max_size=6), max_size=5), st.none() | st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_utf8_is_what_python_takes_for_it(values, characters):
    array = pa.array(values, pa.binary()).view(pa.utf8())
    target = column("varchar", -1 if characters is None else characters + 4)
    expected: list[bytes | None] = []
    for row, value in enumerate(values):
        try:
            expected.append(reference.text(value, characters))
        except reference.Unfit:
            fails(target, array, row)
            return
    assert encode(target, array) == one_column(expected)


def test_every_two_bytes_and_the_borders_of_utf8():
    pairs = [bytes([a, b]) for a in range(256) for b in range(a & 1, 256, 2 if a < 0x80 else 1)]
    borders = [
        bytes([lead, second, *tail])
        for lead in range(0xE0, 0xF6)
        for second in (0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0)
        for tail in ([], [0x7F], [0x80], [0x80, 0x80], [0xBF, 0xBF], [0x80, 0xC0], [0xC0, 0x80])
    ]
    good, bad = [], []
    for value in [bytes([a]) for a in range(256)] + pairs + borders:
        try:
            good.append(reference.text(value))
        except reference.Unfit:
            bad.append(value)
    assert encode(column("text"), pa.array(good, pa.binary()).view(pa.utf8())) == one_column(list(good))
    encoder = Encoder([EncodedColumn(column("text"), pa.utf8())])
    for value in bad[::7]:
        with pytest.raises(CastError):
            encoder.encode([pa.array([value], pa.binary()).view(pa.utf8())], 1, first_row=0)
    assert len(good) > 1000
    assert len(bad) > 1000


@pytest.mark.parametrize("scale", range(5))
def test_all_decimals_of_four_digits(scale):
    values = range(-9999, 10_000)
    exact = [Decimal(value).scaleb(-scale) for value in values]
    expected = one_column([reference.numeric(value, 4, scale) for value in exact])
    target = column("numeric", numeric_typmod(4, scale))
    assert encode(target, decimals(list(values), pa.decimal128(4, scale))) == expected
    assert encode(target, decimals(list(values), pa.decimal256(4, scale))) == expected
    assert encode(target, pa.array([str(value) for value in exact])) == expected


def borders(precision: int) -> list[int]:
    """Values around each power of ten and each power of two, and groups of zeros within."""
    near = {10**power + step for power in range(precision + 1) for step in (-1, 0, 1)}
    near |= {2**power + step for power in range(256) for step in (-1, 0, 1)}
    near |= {
        (10**high + 10**low) * digit for high in range(precision) for low in range(high) for digit in (1, 9)
    }
    return sorted(value * sign for value in near if value < 10**precision for sign in (1, -1))


@pytest.mark.parametrize(
    ("precision", "scale"), [*((38, scale) for scale in (*range(-5, 21), 38)), (76, 1), (76, 40), (76, 75)]
)
def test_borders_of_groups(precision, scale):
    values = borders(precision)
    type_ = pa.decimal128(38, scale) if precision == 38 else pa.decimal256(76, scale)
    expected = [
        reference.numeric(Decimal(value).scaleb(-scale, reference.EXACT), dscale=max(0, scale))
        for value in values
    ]
    assert encode(column("numeric"), decimals(list(values), type_)) == one_column(expected)


@given(st.integers(1, 38), st.data())
@settings(max_examples=100, deadline=None)
def test_decimals(precision, data):
    scale = data.draw(st.integers(-10, 45))
    values = data.draw(optional(st.integers(-(10**precision) + 1, 10**precision - 1)))
    cut = data.draw(st.integers(0, 5))
    expected = [
        None
        if value is None
        else reference.numeric(Decimal(value).scaleb(-scale, reference.EXACT), precision, scale)
        for value in values
    ]
    for make in (pa.decimal128, pa.decimal256):
        array = decimals(values, make(precision, scale)).slice(cut)
        assert encode(column("numeric", numeric_typmod(precision, scale)), array) == one_column(
            expected[cut:]
        )


@given(st.integers(1, 40), st.integers(1, 18), st.data())
@settings(max_examples=200, deadline=None)
def test_decimals_of_a_larger_scale_lose_their_zeros_only(precision, cut, data):
    """The encoder rescales by itself: what it takes and what it refuses, against Python's decimals."""
    scale = data.draw(st.integers(-3, 20))
    target = column("numeric", numeric_typmod(precision, scale))
    type_ = pa.decimal128(38, scale + cut)
    kept = st.integers(-(10 ** (38 - cut)) + 1, 10 ** (38 - cut) - 1).map(lambda value: value * 10**cut)
    values = data.draw(optional(st.one_of(kept, st.integers(-(10**38) + 1, 10**38 - 1))))
    bad = {
        row: "digits" if value % 10**cut == 0 else "decimal places"
        for row, value in enumerate(values)
        if value is not None and (value % 10**cut or abs(value) // 10**cut >= 10**precision)
    }
    if bad:
        row, why = next(iter(bad.items()))
        assert why in fails(target, decimals(values, type_), row)
    good = [None if row in bad else value for row, value in enumerate(values)]
    expected = [
        None
        if value is None
        else reference.numeric(Decimal(value // 10**cut).scaleb(-scale, reference.EXACT), precision, scale)
        for value in good
    ]
    assert encode(target, decimals(good, type_)) == one_column(expected)


@pytest.mark.parametrize("precision", [1, 4, 14, 15, 16, 17, 18, 19, 20, 37, 38, 76])
@pytest.mark.parametrize("scale", [0, 1, 2, 3, 4])
def test_more_digits_than_the_decimal_has(precision, scale):
    widths = [pa.decimal256] if precision > 38 else [pa.decimal128, pa.decimal256]
    for make in widths:
        type_ = make(precision, scale)
        for value in (
            10**precision,
            -(10**precision),
            2 ** (type_.bit_width - 1) - 1,
            -(2 ** (type_.bit_width - 1)),
        ):
            message = fails(column("numeric"), decimals([1, None, value], type_), 2)
            assert "more digits" in message


DIGITS = st.text("0123456789", max_size=30)
NUMBERS = st.tuples(
    st.sampled_from(["", "+", "-"]),
    DIGITS,
    st.sampled_from(["", "."]),
    DIGITS,
    st.none() | st.integers(-99, 99),
).filter(lambda parts: parts[1] or parts[3])
NUMBERS = NUMBERS.map(lambda parts: "".join(parts[:4]) + ("" if parts[4] is None else f"e{parts[4]:+}"))


@given(NUMBERS)
@settings(max_examples=100, deadline=None)
def test_numeric_text(value):
    assert encode(column("numeric"), pa.array([value])) == one_column([reference.numeric(value)])


@given(NUMBERS, st.integers(1, 100), st.integers(-20, 60))
@settings(max_examples=100, deadline=None)
def test_numeric_text_under_a_typmod(value, precision, scale):
    target = column("numeric", numeric_typmod(precision, scale))
    try:
        expected = reference.numeric(value, precision, scale)
    except reference.Unfit:
        fails(target, pa.array([None, value]), 1)
    else:
        assert encode(target, pa.array([value])) == one_column([expected])


@given(st.text("+-.eE0159 \tnaNiIfFty", max_size=9))
@settings(max_examples=100, deadline=None)
def test_numeric_syntax(value):
    try:
        expected = reference.numeric(value)
    except reference.Unfit:
        fails(column("numeric"), pa.array([value]), 0)
    else:
        assert encode(column("numeric"), pa.array([value])) == one_column([expected])


@pytest.mark.parametrize(
    "value",
    [
        "",
        "+",
        "-",
        ".",
        "e1",
        "1e",
        "1e+",
        "1 ",
        " 1",
        "1..2",
        "1.2.3",
        "0x1",
        "1_000",
        "+NaN",
        "-nan",
        "\N{ARABIC-INDIC DIGIT ONE}",
    ],
)
def test_what_is_no_number(value):
    assert fails(column("numeric"), pa.array([value]), 0) == "the text is not a numeric"


@pytest.mark.parametrize(
    "value", ["1e200000", "1e999999999999999999999", "1e131072", "1e-16384", "0e-16384", "0." + "1" * 16384]
)
def test_more_digits_than_postgres_has(value):
    assert "than PostgreSQL takes" in fails(column("numeric"), pa.array([value]), 0)


@pytest.mark.parametrize(
    "value", ["1e131071", "1" * 131072, "0." + "1" * 16383, "1e-16383", "0e999999999999999999999"]
)
def test_as_many_digits_as_postgres_has(value):
    exact = "0" if value.startswith("0e") else value
    if len(value) < 1000:
        assert (
            encode(column("numeric"), pa.array([value]))[6:14]
            == encode(column("numeric"), pa.array([exact]))[6:14]
        )
    assert len(encode(column("numeric"), pa.array([value]))) <= 18 + len(value)


def test_infinity_needs_a_numeric_without_precision():
    target = column("numeric", numeric_typmod(5, 2))
    assert "holds no infinity" in fails(target, pa.array(["1", "inf"]), 1)
    assert encode(target, pa.array(["NaN"])) == one_column([reference.numeric("NaN")])


@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=30))
@settings(max_examples=100, deadline=None)
def test_dates(values):
    agree(column("date"), words(values, pa.date32()), values, reference.date)


@pytest.mark.parametrize("edge", [-2451545 + 10957, 2145031949 + 10957, -(2**31), 2**31 - 1])
def test_borders_of_dates(edge):
    for day in range(edge - 3, edge + 4):
        if -(2**31) <= day < 2**31:
            agree(column("date"), words([day], pa.date32()), [day], reference.date)


TIMES = st.integers(-(2**63), 2**63 - 1) | st.integers(-(10**12), 10**12).map(lambda us: us * 1000)


@given(st.lists(TIMES, max_size=20), st.integers(0, 6))
@settings(max_examples=100, deadline=None)
def test_timestamps(values, digits):
    for name, type_ in (("timestamp", pa.timestamp("us")), ("timestamptz", pa.timestamp("us", "UTC"))):
        agree(column(name, digits), words(values, type_), values, lambda v: reference.timestamp(v, digits))


@pytest.mark.parametrize("edge", [-(2**63), 946684800000000 - 211813488000000000, 0, 2**63 - 1])
def test_borders_of_timestamps(edge):
    for value in range(edge - 3, edge + 4):
        if -(2**63) <= value < 2**63:
            agree(column("timestamp"), words([value], pa.timestamp("us")), [value], reference.timestamp)


@given(st.lists(st.integers(-10, 86_400_000_010) | TIMES, max_size=20), st.integers(0, 6))
@settings(max_examples=100, deadline=None)
def test_times(values, digits):
    agree(column("time", digits), words(values, pa.time64("us")), values, lambda v: reference.time(v, digits))


def agree(target, array, values, field):
    """Hold the native encoder to the reference: the same bytes, or the same first row that does not fit."""
    expected: list[bytes | None] = []
    for row, value in enumerate(values):
        try:
            expected.append(field(value))
        except reference.Unfit:
            fails(target, array, row)
            return
    assert encode(target, array) == one_column(expected)


INTERVALS = st.tuples(
    st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
)


def intervals(values, type_=INTERVAL):
    names = ("months", "days", "microseconds")
    return pa.array([None if v is None else dict(zip(names, v, strict=True)) for v in values], type_)


@given(optional(INTERVALS), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_intervals(values, cut):
    expected = [None if value is None else reference.interval(*value) for value in values]
    assert encode(column("interval"), intervals(values).slice(cut)) == one_column(expected[cut:])


YEAR, MONTH, DAY, HOUR, MINUTE, SECOND = (1 << bit for bit in (2, 1, 3, 10, 11, 12))
H, M = 3_600_000_000, 60_000_000


@pytest.mark.parametrize(
    ("fields", "digits", "fits", "unfit"),
    [
        (YEAR, 0xFFFF, [(-24, 0, 0)], [(13, 0, 0), (12, 1, 0), (12, 0, 1)]),
        (MONTH, 0xFFFF, [(13, 0, 0)], [(0, 1, 0), (0, 0, 1)]),
        (YEAR | MONTH, 0xFFFF, [(13, 0, 0)], [(0, 1, 0), (0, 0, H)]),
        (DAY, 0xFFFF, [(13, 5, 0)], [(0, 1, H)]),
        (HOUR, 0xFFFF, [(13, 5, -H)], [(0, 1, M)]),
        (DAY | HOUR, 0xFFFF, [(13, 5, H)], [(0, 1, M)]),
        (HOUR | MINUTE, 0xFFFF, [(13, 5, M)], [(0, 1, -1_000_000)]),
        (DAY | HOUR | MINUTE, 0xFFFF, [(13, 5, M)], [(0, 1, 1)]),
        (SECOND, 0xFFFF, [(13, 5, 1)], []),
        (SECOND | MINUTE, 2, [(1, 1, 10_000)], [(1, 1, 1000)]),
        (0x7FFF, 0, [(1, 1, 1_000_000)], [(1, 1, 100_000)]),
        (0x7FFF, 0xFFFF, [(1, 1, 1)], []),
    ],
)
def test_typmods_of_intervals(fields, digits, fits, unfit):
    target = column("interval", (fields << 16) | digits)
    assert encode(target, intervals(fits)) == one_column([reference.interval(*value) for value in fits])
    for value in unfit:
        fails(target, intervals([*fits, None, value]), len(fits) + 1)


def test_intervals_of_nanoseconds():
    type_ = pa.month_day_nano_interval()
    values = [(1, -2, -3_000), (-1, 0, 2**63 - 1 - (2**63 - 1) % 1000)]
    expected = [reference.interval(months, days, nanoseconds // 1000) for months, days, nanoseconds in values]
    assert encode(column("interval"), pa.array(values, type_)) == one_column(expected)
    assert encode(column("interval"), pa.array([(9, 9, 9), *values], type_).slice(1)) == one_column(expected)
    assert "finer fraction" in fails(column("interval"), pa.array([(0, 0, 1000), (0, 0, 1001)], type_), 1)


def test_a_part_of_an_interval_may_not_be_null():
    loose = pa.struct([("months", pa.int32()), ("days", pa.int32()), ("microseconds", pa.int64())])
    array = intervals([(1, 1, 1), None, (2, 2, 2), (2, None, 2)], loose)
    assert "part" in fails(column("interval"), array, 3)
    assert encode(column("interval"), array[:3]) == one_column(
        [reference.interval(1, 1, 1), None, reference.interval(2, 2, 2)]
    )


UUIDS = st.text("0123456789abcdefABCDEF", min_size=32, max_size=32)


@given(UUIDS, st.sets(st.integers(1, 7)), st.booleans(), st.integers(0, 45), st.sampled_from(" -{}g0"))
@settings(max_examples=80, deadline=None)
def test_uuid_text(digits, hyphens, braces, at, noise):
    value = "".join("-" * (i in hyphens) + digits[4 * i : 4 * i + 4] for i in range(8))
    value = f"{{{value}}}" if braces else value
    assert encode(column("uuid"), pa.array([value])) == one_column([bytes.fromhex(digits)])
    for changed in (value[:at] + noise + value[at:], value[:at] + noise + value[at + 1 :], value[:at]):
        agree(column("uuid"), pa.array([changed]), [changed], reference.uuid_text)


def test_uuid_bytes():
    values = [bytes(range(16)), None, bytes(range(16, 32))]
    assert encode(column("uuid"), pa.array(values, pa.binary(16)).slice(1)) == one_column(values[1:])


# ---- limits of the target


def test_varchar_counts_characters():
    target = column("varchar", 4 + 3)
    assert encode(target, pa.array(["añ€", "😀😀😀"])) == one_column(["añ€".encode(), "😀😀😀".encode()])
    assert fails(target, pa.array(["añ€", None, "😀😀😀 "]), 2) == "the text is too long for varchar"
    assert "too long" in fails(column("bpchar", 5), pa.array(["  "]), 0)


def test_a_name_counts_bytes():
    assert encode(column("name"), pa.array(["n" * 63])) == one_column([b"n" * 63])
    fails(column("name"), pa.array(["n" * 64]), 0)
    fails(column("name"), pa.array(["é" * 32]), 0)


@pytest.mark.parametrize("type_name", ["text", "varchar", "json", "jsonb"])
def test_nul_and_broken_text(type_name):
    assert "NUL" in fails(column(type_name), pa.array(["a", None, "b\0c"]), 2)
    array = pa.array([b"fine " * 200, b"\xed\xa0\x80"], pa.binary()).view(pa.utf8())
    assert "UTF-8" in fails(column(type_name), array, 1)


def test_what_lies_under_a_null_is_not_read():
    offsets = pa.py_buffer(struct.pack("<4i", 0, 2, 4, 6))
    array = pa.Array.from_buffers(pa.utf8(), 3, [pa.py_buffer(b"\5"), offsets, pa.py_buffer(b"ab\0\xffcd")])
    assert encode(column("varchar", 6), array) == one_column([b"ab", None, b"cd"])


@given(st.lists(st.booleans(), min_size=1, max_size=300), st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_not_null(present, cut):
    array = pa.array([1 if there else None for there in present], pa.int32()).slice(cut)
    target = column("int4", not_null=True)
    if all(present[cut:]):
        assert encode(target, array) == encode(column("int4"), array)
    else:
        assert "NOT NULL" in fails(target, array, present[cut:].index(False))


# ---- arrays that are not what they claim to be


def raw(type_, length, buffers, offset=0):
    return pa.Array.from_buffers(
        type_, length, [None if b is None else pa.py_buffer(b) for b in buffers], offset=offset
    )


@pytest.mark.parametrize("type_name", ["text", "bytea", "jsonb", "numeric", "uuid"])
@pytest.mark.parametrize(
    "offsets",
    [(0, 3, 2, 6), (-1, 2, 4, 6), (0, 2, 4, 7), (0, 2, 2**31 - 1, 6), (0, -(2**31), 4, 6), (5, 4, 3, 2)],
)
def test_hostile_offsets(type_name, offsets):
    type_ = pa.binary() if type_name == "bytea" else pa.utf8()
    try:
        array = raw(type_, 3, [None, struct.pack("<4i", *offsets), b"123456"])
    except pa.ArrowInvalid:
        return
    assert "offsets" in fails(column(type_name), array, None, kind=TransformError)


def test_another_number_of_values():
    for rows in (0, 2):
        encoder = Encoder([EncodedColumn(column("int4"), pa.int32())])
        with pytest.raises(TransformError, match="as many values"):
            encoder.encode([pa.array([1], pa.int32())], rows, first_row=0)


class Lying:
    """Stands for an array whose buffers are shorter than it says; pyarrow refuses to make most of these."""

    def __init__(self, type_, length, buffers, offset=0):
        self.type, self.offset, self._length, self._buffers = type_, offset, length, buffers

    def __len__(self):
        return self._length

    def buffers(self):
        return [None if buffer is None else pa.py_buffer(buffer) for buffer in self._buffers]


LIES = [
    ("int4", pa.int32(), 3, [None, bytes(11)], 0),
    ("int4", pa.int32(), 3, [None, None], 0),
    ("int4", pa.int32(), 3, [None, bytes(12)], 1),
    ("int4", pa.int32(), 3, [None, bytes(12)], -1),
    ("int4", pa.int32(), 3, [None, bytes(12)], 2**62),
    ("int4", pa.int32(), 9, [b"\xff", bytes(36)], 0),
    ("int4", pa.int32(), 3, [b"", bytes(36)], 0),
    ("bool", pa.bool_(), 9, [None, b"\xff"], 0),
    ("int2", pa.int16(), 3, [None, bytes(5)], 0),
    ("float8", pa.float64(), 3, [None, bytes(23)], 0),
    ("date", pa.date32(), 3, [None, bytes(11)], 0),
    ("time", pa.time64("us"), 3, [None, bytes(23)], 0),
    ("uuid", pa.binary(16), 3, [None, bytes(47)], 0),
    ("numeric", pa.decimal128(5, 2), 3, [None, bytes(47)], 0),
    ("numeric", pa.decimal256(5, 2), 3, [None, bytes(95)], 0),
    ("interval", pa.month_day_nano_interval(), 3, [None, bytes(47)], 0),
    ("text", pa.utf8(), 3, [None, bytes(15), b""], 0),
    ("text", pa.utf8(), 3, [None, None, b""], 0),
    ("text", pa.utf8(), 3, [None, bytes(16), b""], 1),
]


@pytest.mark.parametrize(("type_name", "type_", "length", "buffers", "offset"), LIES)
def test_short_buffers(type_name, type_, length, buffers, offset):
    encoder = Encoder([EncodedColumn(column(type_name), type_)])
    with pytest.raises(TransformError, match="buffer") as caught:
        encoder.encode([Lying(type_, length, buffers, offset)], length, first_row=0)
    assert caught.value.column == "c"


def test_no_data_buffer_under_empty_texts():
    array = Lying(pa.utf8(), 2, [None, bytes(12), None])
    assert encode(column("text"), array) == one_column([b"", b""])


def test_the_type_is_looked_at_again():
    encoder = Encoder([EncodedColumn(column("int4"), pa.int32())])
    with pytest.raises(TransformError, match="int64, expected int32"):
        encoder.encode([pa.array([1])], 1, first_row=0)
    with pytest.raises(TransformError, match="missing"):
        encoder.encode([None], 1, first_row=0)


def test_no_rows_and_no_columns():
    assert encode(column("text"), pa.array([], pa.utf8())) == b""
    assert encode(column("interval"), intervals([])) == b""
    assert Encoder([]).encode([], 3, first_row=0) == bytes(6)


def test_two_gigabytes_are_refused_before_they_are_allocated():
    encoder = Encoder([EncodedColumn(column("text"), pa.utf8()) for _ in range(40)])
    array = pa.array(["x" * 60_000_000])
    with pytest.raises(TransformError, match="2 GiB"):
        encoder.encode([array] * 40, 1, first_row=0)


# ---- wire columns


def block_of(fields: list[list[bytes | None]]) -> Block:
    """Make a block, not at the start of its data, out of columns."""
    framer = Framer(len(fields), positions=True, batch_rows=1000)
    (block,) = framer.feed(bytearray(HEADER + reference.rows(fields) + TRAILER))
    return block


FIELDS = st.none() | st.binary(max_size=40)


@st.composite
def copies(draw):
    columns, rows = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    fields = [draw(st.lists(FIELDS, min_size=rows, max_size=rows)) for _ in range(columns)]
    picked = draw(st.lists(st.none() | st.integers(0, columns - 1), min_size=1, max_size=9))
    ids = draw(st.none() | st.lists(st.integers(0, rows - 1), max_size=12))
    return fields, picked, ids


@given(copies())
@settings(max_examples=100, deadline=None)
def test_wire_columns(case):
    fields, picked, ids = case
    rows = list(range(len(fields[0]))) if ids is None else ids
    block = block_of(fields)
    columns = [
        EncodedColumn(column("int4"), pa.int32())
        if wire is None
        else EncodedColumn(column("text"), wire=wire)
        for wire in picked
    ]
    numbers = pa.array(range(len(rows)), pa.int32())
    arrays = [numbers if wire is None else None for wire in picked]
    row_ids = None if ids is None else pa.array([7, *ids], pa.int32()).slice(1)
    written = Encoder(columns).encode(arrays, len(rows), block=block, row_ids=row_ids, first_row=0)
    expected = [
        [struct.pack("!i", at) if wire is None else fields[wire][row] for at, row in enumerate(rows)]
        for wire in picked
    ]
    assert written == reference.rows(expected)


@pytest.mark.parametrize(
    ("ids", "row", "match"),
    [
        ([0, 3], 1, "names no row"),
        ([0, -1], 1, "names no row"),
        ([0, None, 9], 1, "NULL"),
        ([-(2**31)], 0, "no row"),
    ],
)
def test_row_ids_out_of_range(ids, row, match):
    block = block_of([[b"a", b"b", b"c"]])
    encoder = Encoder([EncodedColumn(column("text"), wire=0)])
    with pytest.raises(TransformError, match=match) as caught:
        encoder.encode([None], len(ids), block=block, row_ids=pa.array(ids, pa.int32()), first_row=10)
    assert caught.value.row == 11 + row


def test_row_ids_of_another_shape():
    block = block_of([[b"a", b"b", b"c"]])
    encoder = Encoder([EncodedColumn(column("text"), wire=0)])
    with pytest.raises(TransformError, match="int64"):
        encoder.encode([None], 1, block=block, row_ids=pa.array([0]), first_row=0)
    with pytest.raises(TransformError, match="as many"):
        encoder.encode([None], 2, block=block, row_ids=pa.array([0], pa.int32()), first_row=0)
    with pytest.raises(TransformError, match="as many"):
        encoder.encode([None], 4, block=block, first_row=0)


def test_a_wire_null_under_not_null():
    block = block_of([[b"a", b"b"], [b"a", None]])
    encoder = Encoder([EncodedColumn(column("text", not_null=True), wire=index) for index in (0, 1)])
    with pytest.raises(CastError, match="NOT NULL") as caught:
        encoder.encode([None, None], 3, block=block, row_ids=pa.array([0, 0, 1], pa.int32()), first_row=5)
    assert (caught.value.column, caught.value.row) == ("c", 8)


def test_a_column_that_the_block_lacks():
    encoder = Encoder([EncodedColumn(column("text"), wire=64)])
    with pytest.raises(TransformError, match="buffer"):
        encoder.encode([None], 1, block=block_of([[b"a"]]), first_row=0)
