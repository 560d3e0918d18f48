"""How many chunks, and where the cuts lie: arithmetic on estimated bytes, no server.

A source is described as `Cell`s, in the order of its rows: stretches of blocks, or single rows where one
block holds too much. Between two cells there can be a cut, and within one at any of its blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

# Chunks per worker, at least: whichever worker is last then has an eighth of its work too much or too little,
# also where an estimate is off by half, and the bar is 1.3 of the mean.
PER_WORKER = 8

# Where every chunk costs a pass over the whole source (no index, a query, a foreign table).
PASSES_PER_WORKER = 2

# No chunk is made smaller for the sake of PER_WORKER: its commit and its ledger row would show.
LEAST_BYTES = 16 << 20

# A block and the row in it, counted as ctid does: from block 0 and row 1; row 0 is the block's beginning.
Place = tuple[int, int]


class Cell(Struct, frozen=True):
    """Rows from `start` on: `blocks` whole blocks, or with 0 of them, one row; `weight` in bytes."""

    start: Place
    blocks: int
    weight: float


class Stretch(Struct, frozen=True):
    """Rows from `start` to before `end` (None: to whatever comes last)."""

    start: Place
    end: Place | None
    weight: float


def count(total: float, jobs: int, chunk_bytes: int) -> int:
    """How many chunks `total` bytes make: many more than workers, none too large, none too small."""
    least = min(LEAST_BYTES, chunk_bytes)
    size = min(chunk_bytes, max(total / (PER_WORKER * jobs), least))
    number = max(1, math.ceil(total / size))
    # As many for each worker, else the last ones would work alone.
    return number if number == 1 else math.ceil(number / jobs) * jobs


def cut(cells: Sequence[Cell], number: int) -> list[Stretch]:
    """Cut into up to `number` stretches of even weight, which together are everything, and more later.

    The first begins at (0, 0), the last has no end.
    """
    total = sum(cell.weight for cell in cells)
    cuts: list[tuple[Place, float]] = [((0, 0), 0.0)]
    passed, wanted = 0.0, 1
    for at, cell in enumerate(cells):
        end = cells[at + 1].start if at + 1 < len(cells) else None
        while wanted < number and total * wanted / number < passed + cell.weight:
            share = (total * wanted / number - passed) / cell.weight
            wanted += 1
            parts = max(cell.blocks, 1)
            ahead = round(share * parts)
            if ahead == 0:
                place: Place | None = cell.start
            else:
                place = end if ahead == parts else (cell.start[0] + ahead, 0)
            if place is not None and place > cuts[-1][0]:
                cuts.append((place, passed + cell.weight * ahead / parts))
        passed += cell.weight
    starts = [place for place, _ in cuts]
    borders = [*(before for _, before in cuts), total]
    return [
        Stretch(start, end, upto - before)
        for start, end, (before, upto) in zip(starts, [*starts[1:], None], pairwise(borders), strict=True)
    ]
