"""Streams to feed: made of fields, and cut in every way."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from copypump.codec.column import FIRST_OWN_OID, Column, ServerType
from copypump.codec.framing import HEADER, TRAILER, Block, Framer
from copypump.codec.types import TYPES

OIDS = {row.name: row.oid for row in TYPES}


def column(type_name: str, typmod: int = -1, *, name: str = "c", not_null: bool = False) -> Column:
    """A column of a type of the table; one without a row gets the oid of point."""
    oid = OIDS.get(type_name, 600) or FIRST_OWN_OID
    server_type = ServerType(oid, "pg_catalog", type_name)
    return Column(name, server_type, typmod, type_name, not_null=not_null)


def numeric_typmod(precision: int, scale: int) -> int:
    return ((precision << 16) | (scale & 0x7FF)) + 4


def row(fields: Sequence[bytes | None]) -> bytes:
    words = [struct.pack(">i", -1) if f is None else struct.pack(">i", len(f)) + f for f in fields]
    return struct.pack(">h", len(fields)) + b"".join(words)


def stream(rows: Sequence[Sequence[bytes | None]]) -> bytes:
    return HEADER + b"".join(map(row, rows)) + TRAILER


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """The same bytes whole, byte by byte, and in pieces whose bounds fall within rows."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for size in (7, 64):
        yield [data[at : at + size] for at in range(0, len(data), size)]


def blocks(
    pieces: Sequence[bytes], columns: int, *, positions: bool = True, batch_rows: int = 1000, **limits: int
) -> list[Block]:
    """Frame a whole stream."""
    framer = Framer(columns, positions=positions, batch_rows=batch_rows, **limits)
    found = [block for piece in pieces for block in framer.feed(bytearray(piece))]
    framer.finish()
    assert framer.rows == sum(block.rows for block in found)
    return found
