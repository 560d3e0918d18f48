"""A hostile transform: arrays with broken insides give whole rows or an error, never a read out of bounds."""

from __future__ import annotations

from random import Random
from typing import Any

import pyarrow as pa

from copypump.codec import casts
from copypump.codec.encoder import EncodedColumn, Encoder
from copypump.codec.framing import HEADER, TRAILER, Framer
from copypump.errors import CastError, TransformError
from tests.codec.agreement import decode, representable
from tests.fuzz.decoding import Finding
from tests.fuzz.seeds import Seed

_WORDS = [0, 1, -1, 2, 5, 127, 255, 1 << 16, (1 << 31) - 1, -(1 << 31), 1 << 30]


def arrays(rng: Random, seed: Seed) -> pa.Array | None:
    """An array of a seed's values with NULLs between them; None where none of them fits the type."""
    held = [field for field in seed.fields if representable(seed.column, seed.type, field)]
    if not held:
        return None
    return decode(seed.column, [rng.choice([None, *held]) for _ in range(rng.randint(1, 9))], seed.type)


def broken(rng: Random, array: pa.Array) -> pa.Array | None:
    """The same array built again with something wrong in it; None where pyarrow itself refuses that."""
    try:
        return _rebuild(rng, array)
    except (pa.ArrowException, ValueError, OverflowError):
        return None


def check(rng: Random, seed: Seed, array: pa.Array) -> None:
    """Cast and encode a broken array for a column of its own type."""
    type_ = casts.encoded_type(seed.column, array.type)
    if type_ is None:
        return
    try:
        cast = casts.cast(array, type_, seed.column.name, 0)
        rows = Encoder([EncodedColumn(seed.column, type_)]).encode([cast], len(array), first_row=0)
    except (CastError, TransformError):
        return
    framer = Framer(1, positions=False, batch_rows=1 << 20)
    framer.feed(HEADER + rows + TRAILER)
    framer.finish()
    if framer.rows != len(array):
        raise Finding(f"{seed}: {framer.rows} rows of {len(array)}")


def _rebuild(rng: Random, array: pa.Array) -> Any:
    """Build an array from its parts, each of which may be spoiled on the way."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return pa.ExtensionArray.from_storage(kind, _rebuild(rng, array.storage))
    if isinstance(array, pa.DictionaryArray):
        return pa.DictionaryArray.from_arrays(
            _rebuild(rng, array.indices), _rebuild(rng, array.dictionary), safe=False
        )
    children: list[pa.Array] = []
    if pa.types.is_struct(kind):
        children = [array.field(i) for i in range(kind.num_fields)]
    elif pa.types.is_map(kind):
        entry = pa.struct([kind.key_field, kind.item_field])
        children = [
            pa.Array.from_buffers(entry, len(array.keys), [None], 0, children=[array.keys, array.items])
        ]
    elif pa.types.is_list(kind):
        children = [array.values]
    own = array.buffers()[: kind.num_buffers]
    length = len(array)
    if rng.random() < 0.1:
        length = max(0, length + rng.choice([-1, 1, 7, 1000]))
    children = [_rebuild(rng, child) for child in children]
    if children and rng.random() < 0.1:
        place = rng.randrange(len(children))
        children[place] = children[place].slice(0, rng.randint(0, len(children[place])))
    buffers = [_spoiled(rng, buffer) for buffer in own]
    offset = array.offset if rng.random() < 0.9 else rng.randint(0, 3)
    return pa.Array.from_buffers(kind, length, buffers, offset=offset, children=children or None)


def _spoiled(rng: Random, buffer: pa.Buffer | None) -> pa.Buffer | None:
    """A copy of a buffer, of its exact size so that a sanitizer sees each step beyond it."""
    if buffer is None or rng.random() < 0.03:
        return None
    data = bytearray(buffer.to_pybytes())
    if data and rng.random() < 0.3:
        match rng.randrange(4):
            case 0:
                data = data[: rng.randint(0, len(data))]
            case 1:
                data[rng.randrange(len(data))] = rng.randrange(256)
            case _:
                at = 4 * rng.randrange(max(1, len(data) // 4))
                data[at : at + 4] = (rng.choice(_WORDS) & 0xFFFFFFFF).to_bytes(4, "little")
    return pa.py_buffer(bytes(data))
