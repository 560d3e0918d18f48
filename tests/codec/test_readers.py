"""What becomes of odd values by the user's policy, and where a fault within nested values is said to be."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pyarrow as pa
import pytest

from copypump.codec import types
from copypump.codec.column import Column, ServerType
from copypump.codec.decoder import MAX_EMPTY_BYTES, Decoder
from copypump.codec.faults import KEPT, UNREPRESENTABLE
from copypump.codec.policy import Policy
from copypump.codec.spelling import ANY_STRUCT
from copypump.errors import DecodeError, RefusedError, UnrepresentableError
from tests.codec.streams import blocks, column, numeric_typmod, stream

INT4 = ServerType(23, "pg_catalog", "int4")
TIME = ServerType(1083, "pg_catalog", "time")
MOOD = ServerType(16400, "public", "mood", kind="e", names=("sad", "ok"))
MOODS = ServerType(16399, "public", "_mood", parts=(MOOD,), is_array=True)
INNER = ServerType(16402, "public", "inner", kind="c", parts=(TIME, MOODS), names=("at", "felt"))
INTS = ServerType(1007, "pg_catalog", "_int4", parts=(INT4,), is_array=True)
SPAN = ServerType(16404, "public", "span", kind="r", parts=(TIME,))
SPANS = ServerType(16406, "public", "spans", kind="m", parts=(SPAN,))

NOON = struct.pack(">q", 43_200_000_000)
MIDNIGHT = struct.pack(">q", 86_400_000_000)


def of(kind: ServerType) -> Column:
    return Column("c", kind, -1, kind.name)


def field(data: bytes | None) -> bytes:
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def array(oid: int, items: Sequence[bytes | None], *, dims: Sequence[tuple[int, int]] | None = None) -> bytes:
    dims = ([(len(items), 1)] if items else []) if dims is None else dims
    head = struct.pack(">iiI", len(dims), None in items, oid)
    return head + b"".join(struct.pack(">ii", *dim) for dim in dims) + b"".join(map(field, items))


def composite(*attributes: tuple[int, bytes | None]) -> bytes:
    parts = (struct.pack(">I", oid) + field(data) for oid, data in attributes)
    return struct.pack(">i", len(attributes)) + b"".join(parts)


def decoded(
    kind: Column, fields: Sequence[bytes | None], policy: Policy | None = None, **choices: pa.DataType
) -> tuple[pa.Array, dict[str, int]]:
    decoder = Decoder([kind], types=choices, policies={"c": policy} if policy else {})
    [block] = blocks([stream([[data] for data in fields])], 1, batch_rows=5000)
    batch = decoder.decode(block)
    batch.validate(full=batch.schema.field(0).type != pa.time64("us"))  # which 24:00:00 does not pass
    return batch.column(0), dict(decoder.warnings)


# Each with a value that is fine, the odd value, and what `keep` makes of it (None: an error all the same).
ODD = {
    "date": (column("date"), struct.pack(">i", 0), struct.pack(">i", 2**31 - 1), 2**31 - 1),
    "timestamp": (column("timestamp"), struct.pack(">q", 0), struct.pack(">q", -(2**63)), -(2**63)),
    "time": (column("time"), NOON, MIDNIGHT, 86_400_000_000),
    "late": (column("timestamptz"), struct.pack(">q", 0), struct.pack(">q", 9223371331199999999), None),
    "nan": (
        column("numeric", numeric_typmod(9, 2)),
        struct.pack(">hhhh", 0, 0, 0, 0),
        struct.pack(">hhHh", 0, 0, 0xC000, 0),
        None,
    ),
    "label": (of(MOOD), b"ok", b"new", None),
    "shape": (of(INTS), array(23, []), array(23, [b"\0\0\0\1"], dims=[(1, 0)]), None),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_values_by_policy(name: str) -> None:
    kind, plain, odd, kept = ODD[name]
    rows = [plain, odd, None, plain, odd]
    with pytest.raises(UnrepresentableError) as caught:
        decoded(kind, rows, Policy.ERROR)
    assert (caught.value.column, caught.value.row) == ("c", 2)

    values, warnings = decoded(kind, rows, Policy.NULL)
    assert values.is_null().to_pylist() == [False, True, True, False, True]
    assert warnings == {'column "c": values that Arrow cannot hold became NULL': 2}

    if kept is None:
        with pytest.raises(UnrepresentableError):
            decoded(kind, rows, Policy.KEEP)
        return
    values, warnings = decoded(kind, rows, Policy.KEEP)
    assert values.is_null().to_pylist() == [False, False, True, False, False]
    assert values.view(pa.int64() if kind.type.name != "date" else pa.int32())[4].as_py() == kept
    assert list(warnings.values()) == [2]


def test_infinities_are_kept_by_default_and_midnight_is_not() -> None:
    kind, plain, odd, _ = ODD["date"]
    assert list(decoded(kind, [plain, odd])[1].values()) == [1]
    with pytest.raises(UnrepresentableError, match=r"24:00:00") as caught:
        decoded(column("time"), [MIDNIGHT])
    assert caught.value.hint == "--type c=opaque, or --on-unrepresentable c=null|keep"


def test_what_can_be_kept_is_unrepresentable() -> None:
    assert set(UNREPRESENTABLE) >= KEPT


def test_a_column_that_may_become_null_says_so() -> None:
    of_time = Column("c", TIME, -1, "time", not_null=True)
    assert not Decoder([of_time]).schema.field(0).nullable
    assert Decoder([of_time], policies={"c": Policy.NULL}).schema.field(0).nullable


def test_null_within_a_value_is_an_element() -> None:
    inner = composite((1083, MIDNIGHT), (16399, array(16400, [b"ok", b"new", None, b"sad"])))
    values, warnings = decoded(of(INNER), [None, inner], Policy.NULL)
    assert values.to_pylist() == [None, {"at": None, "felt": ["ok", None, None, "sad"]}]
    assert list(warnings.values()) == [2]


@pytest.mark.parametrize(
    ("kind", "rows", "within"),
    [
        (MOODS, [array(16400, [b"ok"]), array(16400, []), array(16400, [b"ok", b"?"])], "in an element: "),
        (
            INNER,
            [None, composite((1083, NOON), (16399, None)), composite((1083, MIDNIGHT), (16399, None))],
            'in attribute "at": ',
        ),
        (
            INNER,
            [None, None, composite((1083, NOON), (16399, array(16400, [None, b"?"])))],
            'in attribute "felt": in an element: ',
        ),
        (SPAN, [b"\x01", b"\x18", b"\x06" + field(NOON) + field(MIDNIGHT)], "in the upper bound: "),
        (
            SPANS,
            [
                struct.pack(">i", 0),
                struct.pack(">i", 1) + field(b"\x18"),
                struct.pack(">i", 2) + field(b"\x08" + field(NOON)) + field(b"\x12" + field(MIDNIGHT)),
            ],
            "in a range: in the lower bound: ",
        ),
    ],
)
def test_a_fault_within_a_value_names_row_and_place(
    kind: ServerType, rows: list[bytes | None], within: str
) -> None:
    with pytest.raises(UnrepresentableError) as caught:
        decoded(of(kind), rows)
    assert caught.value.message.startswith(within)
    assert (caught.value.column, caught.value.row) == ("c", 3)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (INTS, array(23, [b"\0\0\0\1"])[:-1]),
        (INTS, array(23, [b"\0\0\0\1"]) + b"\0"),
        (INTS, array(25, [b"\0\0\0\1"])),
        (INTS, array(23, [], dims=[(2**31 - 1, 1)])),
        (INTS, array(23, [], dims=[(2**16, 1), (2**16, 1)])),
        (INTS, array(23, [], dims=[(-1, 1)])),
        (INTS, struct.pack(">iiI", 7, 0, 23) + bytes(8 * 7)),
        (INTS, struct.pack(">iiI", 0, 2, 23)),
        (INTS, struct.pack(">ii", 0, 0)),
        (INNER, composite((1083, NOON))),
        (INNER, composite((1083, NOON), (25, None))),
        (INNER, composite((1083, NOON), (16399, None)) + b"\0"),
        (INNER, b"\0\0"),
        (SPAN, b""),
        (SPAN, b"\x20"),
        (SPAN, b"\x06" + field(NOON)),
        (SPAN, b"\x01" + field(NOON)),
        (SPAN, b"\x08" + field(None)),
        (SPANS, struct.pack(">i", -1)),
        (SPANS, struct.pack(">i", 2**31 - 1)),
        (SPANS, struct.pack(">i", 1) + field(None)),
        (SPANS, struct.pack(">i", 0) + b"\0"),
    ],
)
def test_what_no_server_sends(kind: ServerType, data: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        decoded(of(kind), [None, data])
    assert (caught.value.column, caught.value.row, caught.value.exit_code) == ("c", 2, 4)


def vector(*floats: float, dimensions: int | None = None, unused: int = 0) -> bytes:
    count = len(floats) if dimensions is None else dimensions
    return struct.pack(f">Hh{len(floats)}f", count, unused, *floats)


@pytest.mark.parametrize(
    ("typmod", "data", "told"),
    [
        (-1, b"", "not a valid vector"),
        (-1, b"\0\1\0", "not a valid vector"),
        (-1, vector(), "not a valid vector"),
        (-1, vector(1, unused=1), "not a valid vector"),
        (-1, vector(1, dimensions=0), "not a valid vector"),
        (-1, vector(1, dimensions=2), "not a valid vector"),
        (-1, vector(1, 2) + b"\0", "not a valid vector"),
        (-1, vector(*[1] * 0x8000), "not a valid vector"),
        (2, b"", "vector of length 0, expected 12"),
        (2, vector(1), "vector of length 8, expected 12"),
        (2, vector(1, 2, 3), "vector of length 16, expected 12"),
        (2, vector(1, 2, dimensions=3), "not a valid vector"),
        (2, vector(1, 2, unused=-1), "not a valid vector"),
    ],
)
def test_what_is_no_vector(typmod: int, data: bytes, told: str) -> None:
    good = vector(*[1] * abs(typmod))
    with pytest.raises(DecodeError) as caught:
        decoded(column("vector", typmod), [good, None, data])
    assert (caught.value.message, caught.value.column, caught.value.row) == (told, "c", 3)


@pytest.mark.parametrize("typmod", [-1, 4])
def test_floats_of_vectors_are_kept_bit_for_bit(typmod: int) -> None:
    """NaN too, which pgvector itself does not send."""
    words = (0x80000000, 1, 0x7F7FFFFF, 0x7FC12345)
    field = struct.pack(">hh4I", 4, 0, *words)
    values, _ = decoded(column("vector", typmod), [None, field, None, field])
    assert values.is_null().to_pylist() == [True, False, True, False]
    assert values.slice(1).flatten().view(pa.uint32()).to_pylist() == [*words, *words]
    everything = values.values.view(pa.uint32()).to_pylist()
    assert everything == ([*words] * 2 if typmod < 0 else [0] * 4 + [*words] + [0] * 4 + [*words])


def test_blocks_of_wide_vectors_have_fewer_rows() -> None:
    assert Decoder([column("vector", 16000)]).most_rows(100_000) == MAX_EMPTY_BYTES // 64_004
    assert Decoder([column("vector", 3)]).most_rows(100_000) == 100_000


def test_too_many_nulls_among_vectors_are_an_error_and_no_allocation() -> None:
    """Four bytes each on the wire, 64 kB in Arrow."""
    item = column("vector").type
    kind = ServerType(16500, "public", "_vector", parts=(item,), is_array=True)
    most = (1 << 29) // 16000
    few, many = array(item.oid, [None] * 10), array(item.oid, [None] * most)
    with pytest.raises(UnrepresentableError, match="in an element: more than 2 GiB of") as caught:
        decoded(Column("c", kind, 16000, "vector(16000)[]"), [None, few, many, few])
    assert caught.value.row == 3
    assert caught.value.hint == "a smaller --batch-rows"


def test_arrays_of_any_shape() -> None:
    words = [struct.pack(">i", i) for i in range(6)]
    shapes = [array(23, words, dims=[(2, -1), (3, 1)]), array(23, []), None, array(23, [None], dims=[(1, 5)])]
    values, _ = decoded(of(INTS), shapes, c=ANY_STRUCT)
    assert values.type == types.nd_array(of(INTS))
    assert values.to_pylist() == [
        {"dims": [2, 3], "lower_bounds": [-1, 1], "values": [0, 1, 2, 3, 4, 5]},
        {"dims": [], "lower_bounds": [], "values": []},
        None,
        {"dims": [1], "lower_bounds": [5], "values": [None]},
    ]
    with pytest.raises(RefusedError):
        decoded(column("int4"), [words[0]], c=ANY_STRUCT)


def test_an_enum_with_many_labels() -> None:
    labels = tuple(f"label {'x' * (i % 61)}{i}" for i in range(3000))
    kind = ServerType(16500, "public", "many", kind="e", names=labels)
    values, _ = decoded(of(kind), [label.encode() for label in labels])
    assert values.indices.to_pylist() == list(range(3000))
    assert values.dictionary.to_pylist() == list(labels)
