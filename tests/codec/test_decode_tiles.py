"""Columns that are read together are what each would be alone, whatever stands where in a block."""

from __future__ import annotations

import struct
from random import Random

import pyarrow as pa
import pytest

from copypump.codec import _decode_tiles
from copypump.codec._fields import Fields
from copypump.codec.decoder import Decoder
from copypump.codec.policy import Policy
from copypump.errors import DecodeError, UnrepresentableError
from tests.codec.streams import blocks, column, numeric_typmod, stream

ROWS = 3000  # several tiles, whatever the rows' width

INFINITE_DAY = struct.pack(">i", 2**31 - 1)
INFINITE_MOMENT = struct.pack(">q", 2**63 - 1)


def numeric(unscaled: int) -> bytes:
    """`unscaled` / 100, below 10 ** 8."""
    whole, cents = divmod(unscaled, 100)
    groups = [whole // 10000, whole % 10000, 100 * cents]
    return struct.pack(">HhHH3H", 3, 1, 0, 2, *groups)


TYPES = {
    "int4": lambda n: struct.pack(">i", n),
    "int8": lambda n: struct.pack(">q", -n),
    "date": lambda n: struct.pack(">i", n),
    "timestamp": lambda n: struct.pack(">q", n * 1000),
    "numeric": numeric,
    "text": lambda n: b"x" * (n % 70),
    "bpchar": lambda _: b"as long as all others",
    "bytea": lambda n: bytes([n % 256]) * 100,
}
COLUMNS = [column(name, numeric_typmod(15, 2) if name == "numeric" else -1, name=name) for name in TYPES]


def rows(seed: int) -> list[list[bytes | None]]:
    rng = Random(seed)
    return [[make(rng.randrange(10**6)) for make in TYPES.values()] for _ in range(ROWS)]


def decoded(data: list[list[bytes | None]], policy: Policy | None = None) -> list[pa.Array]:
    """All columns read together; each of them is first held against itself, read alone."""
    policies = dict.fromkeys(TYPES, policy) if policy else {}
    data_bytes = [stream(data)]
    [block] = blocks(data_bytes, len(COLUMNS), batch_rows=ROWS)
    together = Decoder(COLUMNS, policies=policies).decode(block)
    for index, array in enumerate(together.columns):
        [block] = blocks(data_bytes, len(COLUMNS), batch_rows=ROWS)
        [alone] = Decoder(COLUMNS, read=[index], policies=policies).decode(block).columns
        assert [part and part.to_pybytes() for part in array.buffers()] == [
            part and part.to_pybytes() for part in alone.buffers()
        ]
        assert array.null_count == alone.null_count
    return together.columns


@pytest.mark.parametrize("seed", range(3))
def test_usual_values(seed: int) -> None:
    data = rows(seed)
    arrays = decoded(data)
    assert arrays[5].to_pylist() == [row[5].decode() for row in data if row[5] is not None]
    assert arrays[0].to_pylist() == [struct.unpack(">i", row[0])[0] for row in data if row[0] is not None]


@pytest.mark.parametrize("index", range(len(TYPES)))
@pytest.mark.parametrize("where", [0, 1500, ROWS - 1])
def test_a_null_in_one_column(index: int, where: int) -> None:
    data = rows(1)
    data[where][index] = None
    arrays = decoded(data)
    assert [array.null_count for array in arrays] == [int(i == index) for i in range(len(TYPES))]
    assert not arrays[index].is_valid()[where].as_py()


@pytest.mark.parametrize("where", [0, ROWS - 1])
def test_values_that_are_kept_and_counted_as_alone(where: int) -> None:
    data = rows(2)
    data[where][2], data[where][3] = INFINITE_DAY, INFINITE_MOMENT
    decoded(data)
    decoder = Decoder(COLUMNS)
    decoder.decode(blocks([stream(data)], len(COLUMNS), batch_rows=ROWS)[0])
    assert sorted(decoder.warnings.values()) == [1, 1]
    assert decoded(data, Policy.NULL)[2].null_count == 1


@pytest.mark.parametrize("index", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("where", [0, 1500, ROWS - 1])
def test_the_first_fault_is_told_by_column_and_row(index: int, where: int) -> None:
    data = rows(3)
    data[where][index] = b"\0\0\0"
    data[0][4] = struct.pack(">HhHH", 0, 0, 0xC000, 0) if index < 4 else data[0][4]  # NaN, in a later column
    [block] = blocks([stream(data)], len(COLUMNS), batch_rows=ROWS)
    with pytest.raises(DecodeError) as caught:
        Decoder(COLUMNS).decode(block)
    assert caught.value.column == COLUMNS[index].name
    assert caught.value.row == where + 1


def test_a_value_without_a_place_is_told() -> None:
    data = rows(4)
    data[ROWS - 1][4] = struct.pack(">HhHH", 0, 0, 0xC000, 0)
    [block] = blocks([stream(data)], len(COLUMNS), batch_rows=ROWS)
    with pytest.raises(UnrepresentableError) as caught:
        Decoder(COLUMNS).decode(block)
    assert (caught.value.column, caught.value.row) == ("numeric", ROWS)


def test_only_columns_and_forms_that_there_are() -> None:
    [block] = blocks([stream(rows(5))], len(COLUMNS), batch_rows=ROWS)
    fields = Fields(block)
    assert _decode_tiles.read(fields, []) == []
    out = pa.allocate_buffer(16 * ROWS)
    with pytest.raises(ValueError, match="no such form"):
        _decode_tiles.read(fields, [(6, 0, out.address, 0, 0, 0)])
    with pytest.raises(ValueError, match="no such form"):
        _decode_tiles.read(fields, [(_decode_tiles.DECIMAL128, 0, out.address, 0, 39, 0)])
    with pytest.raises(IndexError):
        _decode_tiles.read(fields, [(_decode_tiles.WORD32, len(COLUMNS), out.address, 0, 0, 0)])
