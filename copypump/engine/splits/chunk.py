"""The plain data of a split: its chunks, and the one table of the ways to cut. Imports nothing of ours.

A chunk goes into the ledger as JSON, and comes back from there to be read again: it says everything about
its rows by itself, and no chunk shares a row with another one of its split.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict


class Chunk(Struct, frozen=True):
    """Rows that one worker reads with one COPY.

    `number` counts from 1 and is its identity within the split. `label` is for people, and has no row's
    value in it. `relation` is the qualified, quoted name of a partition that is read in its table's place.
    `where` is the text of an SQL condition on the relation's columns, or on the output columns of the query;
    its literals may be values of rows; None: all rows. `bytes` estimates its heap and TOAST, 0 where
    that is unknown.
    """

    number: int
    label: str
    relation: str | None = None
    where: str | None = None
    bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Give what JSON can hold."""
        return asdict(self)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Chunk:
        """Make the chunk again of what `as_dict()` gave (TypeError for anything else)."""
        return cls(**given)


class Choice(Struct, frozen=True):
    """What became of one of SPLITS when a source was cut; `why` is for the plan."""

    name: str
    chosen: bool
    why: str


class Split(Struct, frozen=True):
    """How a source is cut: `name` is one of SPLITS, `chunks` stand in the order of work, largest first.

    `stable`: each chunk means the same rows under a later snapshot too, as far as nobody changed them.
    `reasons` are sentences for the plan on how this split came about. `choices` say of each of SPLITS why it
    is this one or is not. These and the `warnings` are of the plan alone: a split that comes from the ledger
    has none.
    """

    name: str
    chunks: tuple[Chunk, ...]
    stable: bool
    reasons: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, chunks: Iterable[Chunk], stable: bool, reasons: Iterable[str] = ()) -> Split:
        """Make a split of chunks in any order.

        The largest begins first: one that begins last would leave the other workers idle.
        """
        in_order = sorted(chunks, key=lambda chunk: (-chunk.bytes, chunk.number))
        return cls(name, tuple(in_order), stable, tuple(reasons))


class Way(Struct, frozen=True):
    """One way to cut, as help shows it; `stable` as in Split, where no part of it is cut by ctid."""

    name: str
    help: str
    stable: bool


SPLITS: dict[str, Way] = {
    way.name: way
    for way in (
        Way("none", "one chunk, by one worker", stable=True),
        Way(
            "ctid",
            "ranges of a table's blocks, of even size, TOAST counted; PostgreSQL 14 or later",
            stable=False,
        ),
        Way("key", "ranges of a column's values (--split-by, else a unique key), of even size", stable=True),
        Way("values", "one chunk for each value of the column that --split-by names", stable=True),
        Way("partitions", "the partitions as they are, large ones cut by ctid", stable=True),
    )
}
