"""Decoding and encoding alone, without a server: each type, and rows like W1's and W2's.

    python -m bench.codec                  all of them
    python -m bench.codec --type int4 --type "numeric(15,2)" --rows 50000

The yardstick of a stream is one of text columns whose fields are as long as its own on the wire; "/ text" is its ns
a byte over the text's. "/ pgpq" is our encoder's time over that of pgpq's, for the same Arrow batch, where that is
installed and takes it; "other bytes" says that what pgpq makes is not what the server would send. Medians of runs
taken in turn.
"""

from __future__ import annotations

import argparse
import struct
import time
from collections.abc import Callable, Sequence
from statistics import median

import pyarrow as pa

from bench.codec_cases import ALONE, SHAPES, TEXT, Field, Shape
from bench.report import table
from copypump.codec.casts import cast, encoded_type
from copypump.codec.column import Column
from copypump.codec.decoder import Decoder
from copypump.codec.encoder import EncodedColumn, Encoder
from copypump.codec.framing import HEADER, TRAILER, Block, Framer

ROWS = 20_000


class Stream:
    """Rows, framed, and what decodes and encodes them."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[Sequence[Field]]) -> None:
        self.columns = columns
        self.wire = b"".join(_row(row) for row in rows)
        framer = Framer(len(columns), positions=True, batch_rows=len(rows))
        self.block: Block = framer.feed(HEADER + self.wire + TRAILER)[0]
        self.rows = len(rows)
        self.values = len(rows) * len(columns)
        self.bytes = sum(len(field or b"") for row in rows for field in row)
        self.decoder = Decoder(columns)
        self.batch = self.decoder.decode(self.block)
        self._to = [self._encoded_type(at) for at in range(len(columns))]
        pairs = zip(columns, self._to, strict=True)
        self.encoder = Encoder([EncodedColumn(column, type_) for column, type_ in pairs])

    @classmethod
    def of(cls, shape: Shape, rows: int) -> Stream:
        """A shape's rows."""
        return cls(shape.columns(), shape.rows(rows))

    @classmethod
    def of_text(cls, shape: Shape, rows: int) -> Stream:
        """Text of the same lengths."""
        columns = [Column(column.name, TEXT, -1, "text") for column in shape.columns()]
        made = shape.rows(rows)
        return cls(columns, [[None if field is None else b"x" * len(field) for field in row] for row in made])

    def _encoded_type(self, at: int) -> pa.DataType:
        to = encoded_type(self.columns[at], self.batch.column(at).type)
        if to is None:
            raise ValueError(f"no way back to {self.columns[at].declared}")
        return to

    def decode(self) -> pa.RecordBatch:
        """Wire to Arrow."""
        return self.decoder.decode(self.block)

    def encode(self) -> bytearray:
        """Arrow to wire, casts included."""
        arrays = [
            array if array.type == to else cast(array, to, column.name, 0)
            for array, to, column in zip(self.batch.columns, self._to, self.columns, strict=True)
        ]
        return self.encoder.encode(arrays, self.rows, first_row=0)


def _row(fields: Sequence[Field]) -> bytes:
    parts = [struct.pack(">h", len(fields))]
    for field in fields:
        parts.append(struct.pack(">i", -1 if field is None else len(field)))
        parts.append(field or b"")
    return b"".join(parts)


def pgpq_encode(batch: pa.RecordBatch) -> Callable[[], tuple[bytes, ...]] | None:
    """What makes a whole stream of a batch with pgpq, in pieces; None where that is not installed or does not take these types."""
    try:
        import pgpq
    except ImportError:
        return None

    def encode() -> tuple[bytes, ...]:
        encoder = pgpq.ArrowToPostgresBinaryEncoder(batch.schema)
        return encoder.write_header(), encoder.write_batch(batch), encoder.finish()

    try:
        encode()
    except BaseException:  # its panics are no Exceptions
        return None
    return encode


def seconds(work: Callable[[], object], most: float) -> float:
    """How long one call takes: the least over as many as fit, because whatever else runs only adds."""
    best, end = float("inf"), time.perf_counter() + most
    while True:
        start = time.perf_counter()
        work()
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:
            return best


def measure(shape: Shape, rows: int, turns: int, patience: float) -> list[str]:
    """One row of the table: both directions, in turn with text of the same size, and with pgpq."""
    stream, text = Stream.of(shape, rows), Stream.of_text(shape, rows)
    other = pgpq_encode(stream.batch)
    cells = [shape.declared, f"{stream.bytes / stream.values:.1f}"]
    times: dict[str, list[float]] = {}
    for _ in range(turns):
        for name, one in (("", stream), ("text ", text)):
            for way in ("decode", "encode"):
                times.setdefault(name + way, []).append(seconds(getattr(one, way), patience))
        if other is not None:
            times.setdefault("pgpq", []).append(seconds(other, patience))
    for way in ("decode", "encode"):
        mine = median(times[way])
        ratio = median(own / yard for own, yard in zip(times[way], times[f"text {way}"], strict=True))
        cells += [f"{mine / stream.values * 1e9:.1f}", f"{stream.bytes / mine / 1e6:,.0f}", f"{ratio:.2f}"]
    if other is None:
        cells.append("")
    else:
        ratio = median(own / theirs for own, theirs in zip(times["encode"], times["pgpq"], strict=True))
        same = b"".join(other()) == HEADER + stream.wire + TRAILER
        cells.append(f"{ratio:.2f}" + ("" if same else ", other bytes"))
    return cells


HEAD = ("type", "bytes a value", "decode ns", "MB/s", "/ text", "encode ns", "MB/s", "/ text", "/ pgpq")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--type", action="append", help="only this one; repeatable")
    parser.add_argument("--rows", type=int, default=ROWS, help="of a block (default: 20000)")
    parser.add_argument("--turns", type=int, default=5, help="pairs of measurements (default: 5)")
    parser.add_argument("--seconds", type=float, default=0.05, help="of each measurement (default: 0.05)")
    args = parser.parse_args()
    known = {shape.declared: shape for shape in (*SHAPES, *ALONE)}
    wanted = args.type or list(known)
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"no such type: {', '.join(unknown)}; there are {', '.join(known)}")
    print(table(HEAD, [measure(known[name], args.rows, args.turns, args.seconds) for name in wanted]))


if __name__ == "__main__":
    main()
