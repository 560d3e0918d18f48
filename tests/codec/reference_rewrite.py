"""What rewriting does to one field, slowly and plainly; the native walk must agree with it on any bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from copypump.codec.column import ServerType

INTERVAL = 1186
ENDLESS = (b"\x7f" + b"\xff" * 7 + b"\x7f\xff\xff\xff" * 2, b"\x80" + b"\0" * 7 + b"\x80\0\0\0" * 2)


class BrokenError(Exception):
    """Not a value of that type."""


class InfiniteError(Exception):
    """An interval that must not be."""


def work(source: ServerType, target: ServerType, finite: bool) -> bool:
    """Whether there is anything to be done in values of that type."""
    source, target = source.base, target.base
    if finite and source.oid == INTERVAL:
        return True
    for mine, theirs in zip(source.parts, target.parts, strict=True):
        if (source.is_array or source.kind == "c") and mine.oid != theirs.oid:
            return True
        if work(mine, theirs, finite):
            return True
    return False


def rewritten(value: bytes, source: ServerType, target: ServerType, *, finite: bool = False) -> bytes:
    """Give the value as the target's server would send it."""
    source, target = source.base, target.base
    if not work(source, target, finite):
        return value
    reading = _Reading(value, list(zip(source.parts, target.parts, strict=True)), finite)
    read = {"c": reading.composite, "r": reading.range, "m": reading.multirange}.get(
        source.kind, reading.interval
    )
    made = reading.array() if source.is_array else read()
    if reading.rest:
        raise BrokenError
    return made


@dataclass
class _Reading:
    """What is left of a value, the parts of its type on either side; each method gives what it read, rewritten."""

    rest: bytes
    parts: list[tuple[ServerType, ServerType]]
    finite: bool

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self.rest):
            raise BrokenError
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    def number(self, least: int, most: int) -> int:
        [number] = struct.unpack(">i", self.take(4))
        if not least <= number <= most:
            raise BrokenError
        return int(number)

    def oid(self, at: int) -> bytes:
        mine, theirs = self.parts[at]
        if self.take(4) != struct.pack(">I", mine.oid):
            raise BrokenError
        return struct.pack(">I", theirs.oid)

    def part(self, at: int, least: int = -1) -> bytes:
        length = self.number(least, 1 << 30)
        head = struct.pack(">i", length)
        if length < 0:
            return head
        return head + rewritten(self.take(length), *self.parts[at], finite=self.finite)

    def array(self) -> bytes:
        dimensions, flags = self.number(0, 6), self.number(0, 1)
        made = struct.pack(">ii", dimensions, flags) + self.oid(0)
        items, most = 1 if dimensions else 0, len(self.rest) // 4  # an item takes four bytes at least
        for _ in range(dimensions):
            size, lower = self.number(0, (1 << 31) - 1), self.take(4)
            items *= size
            if items > most:
                raise BrokenError
            made += struct.pack(">i", size) + lower
        return made + b"".join(self.part(0) for _ in range(items))

    def composite(self) -> bytes:
        count = self.number(len(self.parts), len(self.parts))
        return struct.pack(">i", count) + b"".join(self.oid(at) + self.part(at) for at in range(count))

    def range(self) -> bytes:
        flags = self.take(1)[0]
        if flags > 0x1F:
            raise BrokenError
        bounds = [self.part(0, 0) for infinite in (0x08, 0x10) if not flags & (0x01 | infinite)]
        return bytes([flags]) + b"".join(bounds)

    def multirange(self) -> bytes:
        count = self.number(0, len(self.rest) // 4)
        return struct.pack(">i", count) + b"".join(self.part(0, 0) for _ in range(count))

    def interval(self) -> bytes:
        made = self.take(16)
        if not self.rest and made in ENDLESS:
            raise InfiniteError
        return made
