"""How many chunks, and cuts that leave nothing out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copypump.engine.splits.cutting import LEAST_BYTES, PER_WORKER, Cell, count, cut

MB = 1 << 20


@pytest.mark.parametrize(
    ("total", "jobs", "chunk_bytes", "number"),
    [
        (0, 4, 256 * MB, 1),
        (LEAST_BYTES, 4, 256 * MB, 1),
        (LEAST_BYTES + 1, 4, 256 * MB, 4),  # none works alone at the end
        (1024 * MB, 4, 256 * MB, 4 * PER_WORKER),
        (1024 * MB, 1, 256 * MB, PER_WORKER),
        (100_000 * MB, 2, 256 * MB, 392),
        (10 * MB, 2, 1 * MB, 10),
        (100 * MB, 2, 1 * MB, 100),
    ],
)
def test_count(total: int, jobs: int, chunk_bytes: int, number: int) -> None:
    assert count(total, jobs, chunk_bytes) == number


@st.composite
def cells(draw: st.DrawFn) -> list[Cell]:
    """Stretches of blocks, and rows of single blocks, without a gap."""
    found = []
    block = 0
    for blocks in draw(st.lists(st.integers(0, 9), min_size=1, max_size=30)):
        if blocks:
            found.append(Cell((block, 0), blocks, draw(st.floats(1, 1e6))))
        else:
            rows = draw(st.lists(st.integers(2, 200), max_size=5, unique=True).map(sorted))
            found += [Cell((block, row), 0, draw(st.floats(1, 1e9))) for row in [0, *rows]]
        block += max(blocks, 1)
    return found


@given(cells(), st.integers(1, 40))
def test_cuts_leave_nothing_out_and_are_as_even_as_can_be(cells: list[Cell], number: int) -> None:
    stretches = cut(cells, number)
    assert 1 <= len(stretches) <= number
    assert stretches[0].start == (0, 0)
    assert [stretch.end for stretch in stretches] == [*(stretch.start for stretch in stretches[1:]), None]
    assert all(stretch.end is None or stretch.start < stretch.end for stretch in stretches)
    total = sum(cell.weight for cell in cells)
    assert sum(stretch.weight for stretch in stretches) == pytest.approx(total)
    indivisible = max(cell.weight / max(cell.blocks, 1) for cell in cells)
    assert max(stretch.weight for stretch in stretches) <= (total / number + indivisible) * 1.001


def test_a_row_that_is_more_than_a_chunk_has_one_alone() -> None:
    heavy = [Cell((0, row), 0, 1000.0 if row == 7 else 1.0) for row in range(20)]
    starts = [stretch.start for stretch in cut(heavy, 8)]
    assert starts == [(0, 0), (0, 7), (0, 8)]
