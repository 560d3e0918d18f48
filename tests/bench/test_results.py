"""What the files of results keep of a run."""

from __future__ import annotations

import pytest

from bench.results import MOST_SAMPLES, thinned


@pytest.mark.parametrize("count", [0, 1, MOST_SAMPLES, MOST_SAMPLES + 1, 7 * MOST_SAMPLES + 3])
def test_samples_are_thinned_to_the_largest_of_each_stretch(count: int) -> None:
    samples = [(at / 20, float(at * 7919 % 1009)) for at in range(count)]
    kept = thinned(samples)
    assert min(count, MOST_SAMPLES) / 2 <= len(kept) <= MOST_SAMPLES
    assert set(kept) <= set(samples)
    assert [at for at, _ in kept] == sorted(at for at, _ in kept)
    assert max(kept, key=lambda seen: seen[1], default=None) == max(
        samples, key=lambda seen: seen[1], default=None
    )
    if count <= MOST_SAMPLES:
        assert kept == samples
