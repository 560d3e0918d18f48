"""Charts follow from files of results."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from bench.results import save
from tests.bench.example import MATCH, RESULTS, SCALED


def test_charts_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="it comes with the extra bench")
    from bench.charts import draw

    many = copy.deepcopy(RESULTS)
    many["matches"] += [{**copy.deepcopy(MATCH), "name": name} for name in ("W2", "W3")]
    save(many, tmp_path / "results.json")
    save(SCALED, tmp_path / "scaling.json")
    drawn = list(draw(tmp_path))
    assert [path.name for path in drawn] == ["throughput.png", "memory.png", "cpu.png", "scaling.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
