"""A hostile server: any bytes give batches or an error of the two kinds, as the reference says, in bounded memory."""

from __future__ import annotations

from random import Random
from typing import Any

import pyarrow as pa

from copypump.codec import types
from copypump.codec.column import ServerType
from copypump.codec.decoder import Decoder
from copypump.codec.framing import Framer
from copypump.errors import DecodeError, UnrepresentableError
from tests.codec import reference_decoder as reference
from tests.codec.agreement import ALONE, NESTED, TOGETHER
from tests.fuzz.seeds import Seed

# The most that is allocated for a stream: so many times its bytes for each type in the column's tree, and for
# a numeric as text so many more: a field of ten bytes may say 10 ** 131,067, which is that many digits.
PER_BYTE = 48
PER_BYTE_OF_NUMERIC_TEXT = 16_000
BASE = 1 << 16


class Finding(AssertionError):  # noqa: N818 - what a fuzzer looks for
    """The native decoder did what it must not."""


def size(kind: ServerType) -> int:
    """How many types are in a type's tree."""
    return 1 + sum(map(size, kind.parts))


def bound(seed: Seed, data: bytes) -> int:
    """The most bytes that may be allocated to decode `data`."""
    numeric_text = "numeric" in _names(seed.column.type)
    factor = PER_BYTE_OF_NUMERIC_TEXT if numeric_text else PER_BYTE
    return BASE + factor * size(seed.column.type) * len(data)


def _names(kind: ServerType) -> set[str]:
    return {kind.name}.union(*map(_names, kind.parts))


def native(seed: Seed, pieces: list[bytes], read: tuple[int, ...]) -> list[Any] | type[Exception]:
    """What the native decoder makes of a stream: values, or the class of its error."""
    column = seed.column
    framer = Framer(1, positions=True, batch_rows=3)
    decoder = Decoder([column], read=read, types={column.name: seed.type})
    values: list[Any] = []
    try:
        for piece in pieces:
            for block in framer.feed(bytearray(piece)):
                batch = decoder.decode(block)
                array = batch.column(len(read) - 1)
                array.validate(full="date32" not in str(array.type) and "timestamp" not in str(array.type))
                values += reference.plain(array)
        framer.finish()
    except (DecodeError, UnrepresentableError) as error:
        return type(error)
    return values


def expected(seed: Seed, data: bytes) -> list[Any] | set[type[Exception]]:
    """What the reference makes of it: values, or the errors of which one must come."""
    try:
        rows = reference.rows(data, 1)
    except reference.ImpossibleError:
        return {DecodeError, UnrepresentableError}  # before it broke off there may have been such a value
    values: list[Any] = []
    faults: set[type[Exception]] = set()
    for [field] in rows:
        try:
            values.append(None if field is None else reference.value(seed.column, seed.type, field))
        except reference.ImpossibleError:
            faults.add(DecodeError)
            # Of two faults in one field the native decoder tells the one that it meets first.
            if types.kernel(seed.column, seed.type) in NESTED:
                faults.add(UnrepresentableError)
        except reference.UnrepresentableError:
            faults.add(UnrepresentableError)
    return faults or values


def check(rng: Random, seed: Seed, data: bytes) -> None:
    """Decode a stream whole, then cut at random, and hold both to the reference and to the memory's bound."""
    want = expected(seed, data)
    cut = rng.randint(0, len(data))
    for pieces, read in (([data], TOGETHER), ([data[:cut], data[cut:]], ALONE)):
        usual = pa.default_memory_pool()
        pool = pa.proxy_memory_pool(usual)
        pa.set_memory_pool(pool)
        try:
            got = native(seed, pieces, read)
        finally:
            pa.set_memory_pool(usual)
        most, peak = bound(seed, data) * len(read), pool.max_memory() or 0
        if peak > most:
            raise Finding(f"{seed}: {peak:,} bytes for {len(data):,}, at most {most:,}: {data.hex()}")
        if got not in want if isinstance(want, set) and isinstance(got, type) else got != want:
            raise Finding(f"{seed}: {got!r}, expected {want!r}: {data.hex()}")
