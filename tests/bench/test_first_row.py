"""The proxy sees the first row, and loses nothing."""

from __future__ import annotations

import struct
import time

import psycopg

from bench.first_row import Watch, watched
from copypump.codec.framing import HEADER, TRAILER
from tests.conftest import Pair
from tests.servers import sql


def message(type_: bytes, body: bytes) -> bytes:
    return type_ + struct.pack(">i", len(body) + 4) + body


ROW = struct.pack(">hi", 1, 4) + b"1234"
BEFORE = (
    message(b"", b"\0\3\0\0user\0me\0\0")
    + message(b"Q", b"COPY t FROM STDIN" + bytes(100))
    + message(b"S", b"")
)


def test_a_row_is_found_wherever_the_pieces_end() -> None:
    said = BEFORE + message(b"d", HEADER) + message(b"d", ROW)
    for size in (1, 2, 3, 7, len(said)):
        watch = Watch()
        found = [watch.feed(said[at : at + size]) for at in range(0, len(said), size)]
        assert found[-1]
        assert found.index(True) * size > len(BEFORE + HEADER) - size


def test_no_row_is_found_where_there_is_none() -> None:
    watch = Watch()
    assert not watch.feed(
        BEFORE + message(b"d", HEADER + TRAILER) + message(b"c", b"") + message(b"Q", bytes(100))
    )


def test_rows_pass_whole_and_the_first_is_seen(pair: Pair) -> None:
    with watched(pair.dst) as proxy, psycopg.connect(proxy.dsn) as connection:
        connection.execute("CREATE TEMP TABLE t (a bytea)")
        assert proxy.sent is None
        before = time.monotonic()
        with connection.cursor().copy("COPY t FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["bytea"])
            copy.write_row([b"x" * 3_000_000])
        assert connection.execute("SELECT length(a) FROM t").fetchall() == [(3_000_000,)]
        [(back,)] = connection.execute("SELECT a FROM t").fetchall()
        assert back == b"x" * 3_000_000
    assert proxy.sent is not None
    assert proxy.sent >= before
    assert sql(pair.dst, "SELECT 1") == [(1,)]
