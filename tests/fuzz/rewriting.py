"""A hostile server again, where bytes go on undecoded: its oids are rewritten as the reference does, or an error."""

from __future__ import annotations

from random import Random

from msgspec.structs import replace

from copypump.codec.column import FIRST_OWN_OID, ServerType
from copypump.codec.framing import HEADER, TRAILER, Framer
from copypump.codec.rewrite import Rewriter, Walked
from copypump.errors import CastError, DecodeError
from tests.codec import reference_decoder as reference
from tests.codec.reference_rewrite import BrokenError, InfiniteError, rewritten
from tests.codec.streams import stream
from tests.fuzz.decoding import Finding
from tests.fuzz.seeds import Seed


def elsewhere(kind: ServerType) -> ServerType:
    """The same type as another server has it: users' oids are others."""
    oid = kind.oid if kind.is_builtin else max(FIRST_OWN_OID, kind.oid ^ 0x01010101)
    return replace(kind, oid=oid, parts=tuple(map(elsewhere, kind.parts)))


def check(rng: Random, seed: Seed, data: bytes) -> None:
    """Rewrite a stream's fields, and hold them to the reference."""
    finite = rng.random() < 0.5
    target = elsewhere(seed.column.type)
    rewriter = Rewriter([Walked(0, seed.column, target)], finite=finite)
    try:
        blocks = Framer(1, positions=True, batch_rows=3).feed(bytearray(data))
    except DecodeError:
        return
    for block in blocks:
        fields = reference.rows(HEADER + bytes(block.data[block.start : block.end]) + TRAILER, 1)
        faults: set[type[Exception]] = set()
        wanted: list[list[bytes | None]] = []
        for [field] in fields:
            try:
                value = None if field is None else rewritten(field, seed.column.type, target, finite=finite)
                wanted.append([value])
            except BrokenError:
                faults |= {DecodeError, CastError}  # an infinite interval may stand before
            except InfiniteError:
                faults.add(CastError)
        try:
            rewriter.rewrite(block)
        except (DecodeError, CastError) as error:
            if type(error) not in faults:
                raise Finding(f"{seed}: {error}: {data.hex()}") from error
            return
        if faults or HEADER + bytes(block.data[block.start : block.end]) + TRAILER != stream(wanted):
            raise Finding(f"{seed}: rewritten otherwise: {data.hex()}")
