"""One column through the native Decoder, held against the plain-Python reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from copypump.codec import types
from copypump.codec.column import Column
from copypump.codec.decoder import Decoder
from copypump.codec.spelling import is_opaque, parse_arrow_type
from copypump.codec.types import Kernel
from copypump.errors import DecodeError, UnrepresentableError
from tests.codec import reference_decoder as reference
from tests.codec.streams import blocks, cuts, stream

NESTED = frozenset(
    {Kernel.ARRAY, Kernel.COMPOSITE, Kernel.RANGE, Kernel.MULTIRANGE, Kernel.HSTORE, Kernel.VECTOR}
)

# What a decoder reads of the one column: by its own loop, and, twice, together with another (its twin).
ALONE = (0,)
TOGETHER = (0, 0)


def decode(
    of: Column,
    fields: Sequence[bytes | None],
    chosen: pa.DataType | None = None,
    batch_rows: int = 1000,
    read: Sequence[int] = ALONE,
) -> pa.Array:
    """Decode one column, in one array."""
    return decode_pieces(of, [stream([[field] for field in fields])], chosen, batch_rows, read)


def decode_pieces(
    of: Column,
    pieces: Sequence[bytes],
    chosen: pa.DataType | None = None,
    batch_rows: int = 1000,
    read: Sequence[int] = ALONE,
) -> pa.Array:
    decoder = Decoder([of], read=read, types={of.name: chosen} if chosen else {})
    batches = [decoder.decode(block) for block in blocks(pieces, 1, batch_rows=batch_rows)]
    for batch in batches:
        assert batch.schema.equals(decoder.schema, check_metadata=True)
        # Infinities are no dates to pyarrow.
        batch.validate(full="date32" not in str(batch.schema) and "timestamp" not in str(batch.schema))
    return pa.concat_arrays([batch.column(len(read) - 1) for batch in batches])


def choices(of: Column) -> list[pa.DataType]:
    """Every Arrow type that a column can be read as."""
    row = types.pg_type(of)
    spelled = [
        choice.replace("p,s", numbers) for choice in row.alternatives for numbers in ("38,5", "18,2", "12,-2")
    ]
    found = [types.arrow_type(of)]
    for choice in dict.fromkeys([*spelled, "opaque"]):
        if (chosen := types.arrow_type(of, parse_arrow_type(choice))) not in found:
            found.append(chosen)
    return found


def exact_choices(of: Column) -> list[pa.DataType]:
    """Those that keep all of a value, so that it can go back to a column of the same type.

    A number that is not the column's own loses the display scale; bytes of a type with a typmod are refused
    on the way back, because the server would round them to it.
    """
    usual, *others = choices(of)
    return [
        usual,
        *(
            other
            for other in others
            if not (pa.types.is_decimal(other) or pa.types.is_floating(other))
            and not (is_opaque(other) and of.wire_typmod >= 0)
        ),
    ]


def representable(of: Column, type_: pa.DataType, field: bytes) -> bool:
    """Whether Arrow's `type_` holds a value that a server sends."""
    try:
        reference.value(of, type_, field)
    except reference.UnrepresentableError:
        return False
    return True


def check(
    of: Column, chosen: pa.DataType, fields: Sequence[bytes | None], *, every_cut: bool = False
) -> pa.Array | None:
    """Hold the native Decoder to the reference; give the array, None where both find a fault."""
    expected: list[Any] = []
    faults: dict[int, type[Exception]] = {}
    for number, field in enumerate(fields, 1):
        try:
            expected.append(None if field is None else reference.value(of, chosen, field))
        except reference.ImpossibleError:
            faults[number] = DecodeError
        except reference.UnrepresentableError:
            faults[number] = UnrepresentableError
    if faults:
        for read in (ALONE, TOGETHER):
            with pytest.raises((DecodeError, UnrepresentableError)) as caught:
                decode(of, fields, chosen, read=read)
            error = caught.value
            assert error.column == of.name
            assert error.row in faults
            # Of two faults in one field the native decoder tells the one that it meets first.
            if types.kernel(of, chosen) not in NESTED or faults[error.row] is UnrepresentableError:
                assert type(error) is faults[error.row]
        return None
    data = stream([[field] for field in fields])
    ways = [(pieces, ALONE) for pieces in (cuts(data) if every_cut else [[data]])]
    for pieces, read in [*ways, ([data], TOGETHER)]:
        array = decode_pieces(of, pieces, chosen, read=read)
        assert array.type == chosen
        assert array.null_count == list(fields).count(None)
        assert reference.plain(array) == expected
    return array
