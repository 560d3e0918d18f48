"""The Framer against the plain-Python reference, and against streams that no server would send."""

from __future__ import annotations

import re
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copypump.codec import _framing
from copypump.codec.framing import HEADER, MAX_HEADER_EXTENSION, SIGNATURE, TRAILER, Block, Framer, Scan
from copypump.errors import DecodeError
from tests.codec import reference_decoder as reference
from tests.codec.streams import blocks, cuts, row, stream

FIELDS = st.one_of(st.none(), st.binary(max_size=40), st.sampled_from([b"", b"1234", b"12345678"]))


def fields(block: Block) -> list[list[bytes | None]]:
    """Read a block's fields back through its positions."""
    assert block.positions is not None
    places = memoryview(block.positions).cast("B").cast("i")
    result: list[list[bytes | None]] = []
    for r in range(block.rows):
        result.append([])
        for c in range(block.columns):
            place = places[c * block.stride + r]
            if place < 0:
                assert place == -1
                result[-1].append(None)
                continue
            at = block.start + place
            (length,) = struct.unpack(">i", block.data[at - 4 : at])
            assert block.start < at
            assert at + length <= block.end
            result[-1].append(bytes(block.data[at : at + length]))
    return result


@st.composite
def tables(draw: st.DrawFn) -> list[list[bytes | None]]:
    columns = draw(st.integers(0, 5))
    return draw(st.lists(st.lists(FIELDS, min_size=columns, max_size=columns), min_size=1, max_size=20))


@settings(deadline=None, max_examples=60)
@given(tables(), st.integers(1, 25))
def test_every_cut_gives_the_same_rows(rows: list[list[bytes | None]], batch_rows: int) -> None:
    data = stream(rows)
    assert reference.rows(data, len(rows[0])) == rows
    for pieces in cuts(data):
        found = blocks(pieces, len(rows[0]), batch_rows=batch_rows)
        assert [f for block in found for f in fields(block)] == rows
        assert all(1 <= block.rows <= batch_rows for block in found)
        first = 0
        for block in found:
            assert block.first_row == first
            first += block.rows
        plain = blocks(pieces, len(rows[0]), positions=False, batch_rows=batch_rows)
        assert [bytes(b.data[b.start : b.end]) for b in plain] == [
            bytes(b.data[b.start : b.end]) for b in found
        ]
        assert all(block.positions is None for block in plain)


@settings(deadline=None, max_examples=150)
@given(tables(), st.data())
def test_a_broken_stream_fails_as_the_reference_does(
    rows: list[list[bytes | None]], data: st.DataObject
) -> None:
    broken = bytearray(stream(rows))
    for _ in range(data.draw(st.integers(1, 3))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    columns = len(rows[0])
    try:
        expected = reference.rows(bytes(broken), columns)
    except reference.ImpossibleError:
        for pieces in cuts(bytes(broken)):
            with pytest.raises(DecodeError):
                blocks(pieces, columns)
    else:
        for pieces in cuts(bytes(broken)):
            assert [f for block in blocks(pieces, columns) for f in fields(block)] == expected


def test_whole_rows_are_not_copied() -> None:
    framer = Framer(1, positions=True, batch_rows=10)
    for piece in (bytearray(HEADER + row([b"x"])), bytearray(row([b"y"]) * 3)):
        (block,) = framer.feed(piece)
        assert block.data is piece


def test_truncated_anywhere() -> None:
    data = stream([[b"abc", None], [b"", b"12345678"]])
    for end in range(len(data)):
        for pieces in ([data[:end]], [data[at : at + 1] for at in range(end)]):
            with pytest.raises(DecodeError, match="the stream ended"):
                blocks(pieces, 2)


def test_no_rows() -> None:
    assert blocks([HEADER + TRAILER], 3) == []
    assert blocks([HEADER, TRAILER], 0) == []


def test_the_longest_header_extension_is_skipped() -> None:
    header = HEADER[:15] + struct.pack(">i", MAX_HEADER_EXTENSION) + b"\xff" * MAX_HEADER_EXTENSION
    data = header + row([b"x"]) + TRAILER
    for size in (len(data), 65536):
        (block,) = blocks([data[at : at + size] for at in range(0, len(data), size)], 1)
        assert fields(block) == [[b"x"]]


@pytest.mark.parametrize(
    ("data", "message", "bad_row"),
    [
        (b"ERROR", "signature", None),
        (b"X", "signature", None),
        (b"PGCOPY\n\xff\r\n\1", "signature", None),
        (SIGNATURE + struct.pack(">Ii", 1 << 16, 0), "critical flags 0x00010000", None),
        (SIGNATURE + struct.pack(">Ii", 1 << 31, 0), "critical flags 0x80000000", None),
        (SIGNATURE + struct.pack(">Ii", 0, -1), "extension of -1 bytes", None),
        (SIGNATURE + struct.pack(">Ii", 0, MAX_HEADER_EXTENSION + 1), "extension of 1,048,577 bytes", None),
        (HEADER + row([b"x"]) + row([b"x", b"y"]), "a row of 2 fields, expected 1", 2),
        (HEADER + b"\x80\x00", "a row of -32768 fields", 1),
        (HEADER + row([b"x"]) * 2 + b"\0\1" + struct.pack(">i", -2), "field 1 has length -2", 3),
        (HEADER + b"\0\1" + struct.pack(">i", -(2**31)), "field 1 has length -2147483648", 1),
        (HEADER + b"\0\1" + struct.pack(">i", 2**31 - 1), "longer than 1,073,741,824 bytes at field 1", 1),
        (HEADER + b"\0\1" + struct.pack(">i", 2**30 - 5), "longer than 1,073,741,824 bytes at field 1", 1),
        (HEADER + TRAILER + b"\0", "1 bytes follow the trailer", None),
        (stream([[b"x"]]) + row([b"x"]), "7 bytes follow the trailer", None),
    ],
)
def test_hostile(data: bytes, message: str, bad_row: int | None) -> None:
    for pieces in cuts(data):
        with pytest.raises(DecodeError, match=r"at byte [\d,]+ of the stream") as caught:
            blocks(pieces, 1)
        if len(pieces) == 1 or "follow the trailer" not in message:
            assert message in caught.value.message
        assert caught.value.row == bad_row


def test_the_byte_of_a_fault_does_not_hang_on_the_cuts() -> None:
    data = HEADER + row([b"x"]) * 5 + b"\0\2"
    for pieces in cuts(data):
        with pytest.raises(DecodeError, match=re.escape(f"(at byte {len(data) - 2} of the stream)")):
            blocks(pieces, 1)


def test_rows_up_to_the_limit() -> None:
    for pieces in cuts(stream([[b"x" * 94]])):
        assert len(blocks(pieces, 1, max_row_bytes=100)) == 1
        with pytest.raises(DecodeError, match="longer than 99 bytes at field 1"):
            blocks(pieces, 1, max_row_bytes=99)
    for pieces in cuts(stream([[b"x" * 40, b"y" * 40, None]])):
        with pytest.raises(DecodeError, match="longer than 80 bytes"):
            blocks(pieces, 3, max_row_bytes=80)


def test_a_claimed_length_allocates_nothing() -> None:
    framer = Framer(1, positions=True, batch_rows=10)
    assert framer.feed(bytearray(HEADER + b"\0\1" + struct.pack(">i", 2**30 - 100))) == []
    assert len(framer._tail) == 6


def test_a_large_row_in_small_pieces_is_scanned_and_copied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scan, scanned = _framing.scan, []

    def counted(*given: Any) -> Any:
        scanned.append(None)
        return scan(*given)

    monkeypatch.setattr(_framing, "scan", counted)
    piece, count = bytes(8192), 100
    framer = Framer(1, positions=True, batch_rows=10)
    framer.feed(bytearray(HEADER + b"\0\1" + struct.pack(">i", count * len(piece))))
    tail = framer._tail
    for _ in range(count - 1):
        assert framer.feed(bytearray(piece)) == []
        assert framer._tail is tail  # which grows where it is
    [block] = framer.feed(bytearray(piece))
    assert (block.rows, block.end - block.start) == (1, 6 + count * len(piece))
    assert len(scanned) == 2  # its beginning, and all of it
    framer.feed(bytearray(TRAILER))
    framer.finish()


def test_the_widest_table() -> None:
    rows = [[b"%d" % c for c in range(1664)], [None] * 1664]
    for pieces in ([stream(rows)], [stream(rows)[:5000], stream(rows)[5000:]]):
        assert [f for block in blocks(pieces, 1664) for f in fields(block)] == rows
    with pytest.raises(ValueError, match="out of range"):
        Framer(1665, positions=True, batch_rows=1)


def test_nbytes_counts_rows_and_positions() -> None:
    (block,) = blocks([stream([[b"x", None]] * 3)], 2)
    assert block.nbytes == 3 * len(row([b"x", None])) + 3 * 2 * 4


def test_lengths_tell_what_all_fields_share() -> None:
    rows: list[list[bytes | None]] = [
        [b"four", b"a", b"x", None, b"", b"l" * 2000, b"n"],
        [b"more", b"ab", None, None, b"", b"l" * 2000, b"n"],
        [b"that", b"a", b"x", None, b"", b"l" * 2000, None],
    ]
    shared = [4, -3, -1, -1, 0, 2000, -1]
    (block,) = blocks([stream(rows)], 7)
    assert block.lengths is not None
    assert memoryview(block.lengths).cast("i").tolist() == shared
    # Each block by itself, and whatever part of a row follows it: never more than is true of its rows.
    for pieces in cuts(stream(rows)):
        for block in blocks(pieces, 7):
            assert block.lengths is not None
            told = memoryview(block.lengths).cast("i").tolist()
            for length, column in zip(told, zip(*fields(block), strict=True), strict=True):
                lengths = {-1 if field is None else len(field) for field in column}
                assert length == -1 or (-1 not in lengths and (length == -3 or lengths == {length}))


def test_native_arguments_are_checked() -> None:
    data = bytearray(10)
    for arguments in [
        (0, 11, 1, 1, 9, 0, 0),
        (-1, 5, 1, 1, 9, 0, 0),
        (6, 5, 1, 1, 9, 0, 0),
        (0, 5, 1, 2, 9, 8, 1),
    ]:
        with pytest.raises(ValueError, match=r"window|fit each other"):
            _framing.scan(data, *arguments)
    with pytest.raises(ValueError, match="lengths do not fit"):
        _framing.scan(data, 0, 10, 2, 1, 9, 0, 0, bytearray(7))
    assert _framing.scan(b"", 0, 0, 1, 1, 9, 0, 0) == (Scan.MORE, 0, 0, 2, 0)
