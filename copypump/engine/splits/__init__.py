"""How a source is cut into chunks that several workers read under one snapshot.

`choose_split` makes a `Split` of `Chunk`s, `check_split` holds it against what is there when reading begins,
`chunk_copy` gives the COPY of one chunk. `SPLITS` is the table of the ways to cut. The functions are imported
when they are first used, so that help can read the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from copypump.engine.splits.chunk import SPLITS as SPLITS
from copypump.engine.splits.chunk import Chunk as Chunk
from copypump.engine.splits.chunk import Split as Split

if TYPE_CHECKING:
    from copypump.engine.splits.choose import choose_split as choose_split
    from copypump.engine.splits.choose import explained as explained
    from copypump.engine.splits.partitions import check_split as check_split
    from copypump.engine.splits.reading import chunk_copy as chunk_copy

_HOMES = {
    "choose_split": "choose",
    "explained": "choose",
    "check_split": "partitions",
    "chunk_copy": "reading",
}

__all__ = ["SPLITS", "Chunk", "Split", *_HOMES]


def __getattr__(name: str) -> object:
    """Import what needs psycopg when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
