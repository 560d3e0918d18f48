"""The tables and charts that follow from a file of results."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from bench.report import arrow, detail, everything, remarks, started, summary
from bench.results import figures, load, save
from tests.bench.example import MATCH, RESULTS, STARTED, STREAMS


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


def test_what_is_everywhere_the_same_is_said_once() -> None:
    other = {**copy.deepcopy(MATCH), "name": "W2"}
    other["ways"][3]["fault"] = None
    assert remarks({**RESULTS, "matches": [MATCH, other]}) == [
        "Missing: Absent (slow is not installed).",
        "Fails: Broken (error: no).",
        "Loses values: Lossy in W1 (other values in name).",
    ]


def test_starts_stand_beside_what_they_shall_stay_within() -> None:
    assert started(STARTED).splitlines()[2] == "| copypump --help | wall | 0.20 (0.10 - 0.30) | 0.3 |"


def test_streams_have_a_row_each() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in arrow(STREAMS).splitlines()[2:]]
    assert [row[:2] for row in rows] == [
        ["W1, read", "copypump"],
        ["W1, read", "ADBC"],
        ["W1, write", "ADBC"],
    ]
    assert [row[5] for row in rows] == ["1.00", "3.50", ""]
    assert [row[6] for row in rows] == ["", "as text: price", "missing: no driver"]
