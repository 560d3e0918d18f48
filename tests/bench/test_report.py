"""The tables and charts that follow from a file of results."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from bench import report, results
from bench.measure import ROOT
from bench.report import detail, everything, summary
from bench.results import figures, load, save

START = {"wall": 0.2, "user": 0.1, "system": 0.0, "memory": 20.0}


def cost(wall: float, cpu: float, memory: float = 30.0) -> dict[str, float]:
    return {"wall": wall, "user": cpu, "system": 0.0, "memory": memory}


def way(name: str, **other: Any) -> dict[str, Any]:
    return {
        "name": name, "title": name.title(), "how": "", "ours": name.startswith("copypump"), "transforms": True,
        "version": "1", "rows": 1000, "missing": None, "failed": None, "fault": None, "start": START,
        "costs": [cost(1.0, 0.5), cost(2.0, 0.5)], "samples": [[0.0, 1.0], [0.5, 30.0]],
    } | other  # fmt: skip


MATCH = {
    "name": "W1",
    "title": "people: of all ages; a year older",
    "rows": 1000,
    "bytes": 2_000_000,
    "ways": [
        way("raw", transforms=False),
        way("copypump", costs=[cost(1.1, 0.4, 99.0), cost(2.4, 0.4)]),
        way("slow", rows=100, costs=[cost(1.2, 0.6), None]),
        way("lossy", fault="other values in name", costs=[cost(3.0, 1.0), None]),
        way("absent", missing="slow is not installed", costs=[], samples=[]),
        way("broken", failed="error: no", costs=[], samples=[]),
    ],
}

RESULTS: dict[str, Any] = {
    "made": "2026-01-02T03:04:05+00:00",
    "machine": {"processor": "A machine", "cores": "2", "memory": "24 GB", "system": "Linux 6.1"},
    "load": 0.5,
    "source": {"server_version": "16.1 (x)", "fsync": "off", "way": "Unix socket"},
    "target": {"server_version": "18.1", "fsync": "off", "way": "Unix socket"},
    "embedded": True,
    "environment": {"copypump": "1", "pyarrow": "2", "numpy": "3", "pandas": None},
    "scale": 0.1,
    "turns": {"ours": 2, "peers": 0},
    "matches": [MATCH],
}


def test_ratios_are_taken_turn_by_turn() -> None:
    found = figures(MATCH, MATCH["ways"][1])  # type: ignore[arg-type,index]
    assert found is not None
    assert found.ratios == pytest.approx([1.1, 1.2])
    assert found.cpu_ratios == pytest.approx([0.6, 0.6])
    assert found.memory == 99.0
    assert found.cpu_per_gigabyte == pytest.approx(150.0)


def test_the_yardstick_is_one() -> None:
    found = figures(MATCH, MATCH["ways"][0])  # type: ignore[arg-type,index]
    assert found is not None
    assert found.ratios == found.cpu_ratios == [1.0, 1.0]


def test_a_part_of_the_table_is_told_as_what_the_whole_would_take() -> None:
    found = figures(MATCH, MATCH["ways"][2])  # type: ignore[arg-type,index]
    assert found is not None
    assert found.share == pytest.approx(0.1)
    assert found.walls == pytest.approx([0.2 + 10 * 1.0])
    assert found.cpus == pytest.approx([0.1 + 10 * 0.5])


def test_the_report_leaves_nobody_out() -> None:
    text = everything(RESULTS)
    assert "Missing: Absent (slow is not installed)." in text
    assert "fails: error: no" in text
    assert "other values in name" in text
    assert "PostgreSQL 16.1 and 18.1" in text
    assert "numpy 3, which pyarrow imports" in text


def test_the_summary_has_a_cell_for_everybody() -> None:
    lines = summary(RESULTS).splitlines()
    cells = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in lines[2:]}
    assert cells == {
        "Raw": "1.00", "**Copypump**": "1.15", "Slow": "~10.20", "Lossy": "3.00 (loses values)", "Absent": "missing",
        "Broken": "fails",
    }  # fmt: skip


def test_the_detail_has_the_yardstick_first_and_failures_last() -> None:
    ways = [line.split("|")[1].strip() for line in detail(MATCH).splitlines()[2:]]
    assert ways == ["Raw", "**Copypump**", "Lossy", "Slow", "Broken"]


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    save(RESULTS, tmp_path / "a" / "results.json")
    assert load(tmp_path / "a" / "results.json") == RESULTS


def test_the_readme_has_the_figures_of_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "FOLDER", report.ROOT / "bench" / "no-results")
    with pytest.raises(FileNotFoundError):
        report.renewed(f"a {report.BEGIN} old {report.END} z")
    monkeypatch.setattr(report, "ROOT", tmp_path)
    monkeypatch.setattr(report, "FOLDER", tmp_path / "bench" / "results")
    monkeypatch.setattr(report, "BARS", tmp_path / "bench" / "results" / "bars")
    save(RESULTS, tmp_path / "bench" / "results" / "results.json")
    text = report.renewed(f"a\n{report.BEGIN}old\n{report.END}\nz\n")
    assert text.startswith("a\n<!-- figures -->\n")
    assert text.endswith("<!-- /figures -->\nz\n")
    assert "old" not in text.replace("older", "")
    assert summary(RESULTS) in text
    assert "(bench/results/throughput.png)" in text
    save({**RESULTS, "scale": 1.0}, tmp_path / "bench" / "results" / "bars" / "results.json")
    assert "Scale 1;" in report.renewed(text)


def test_the_readme_is_up_to_date() -> None:
    if not (results.FOLDER / "results.json").exists():
        pytest.skip("no results are there")
    text = (ROOT / "README.md").read_text()
    assert report.renewed(text) == text, "run: python -m bench readme"


def test_charts_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="it comes with the extra bench")
    from bench.charts import draw

    many = copy.deepcopy(RESULTS)
    many["matches"] += [{**copy.deepcopy(MATCH), "name": name} for name in ("W2", "W3")]
    save(many, tmp_path / "results.json")
    point = {"sweep": "", "way": "copypump", "x": 1e5, "rows": 100, "wall": 1.0, "cpu": 0.5, "start_cpu": 0.1}
    point |= {"memory": 50.0, "samples": [[0.0, 1.0], [1.0, 2.0]]}
    points = [
        {**point, "sweep": name, "x": x}
        for name in ("rows", "batches", "columns", "wire")
        for x in (1e5, 1e6)
    ]
    save({**RESULTS, "points": points}, tmp_path / "scaling.json")
    drawn = list(draw(tmp_path))
    assert [path.name for path in drawn] == ["throughput.png", "memory.png", "cpu.png", "scaling.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
