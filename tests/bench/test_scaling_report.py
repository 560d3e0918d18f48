"""What is said of the sweeps."""

from __future__ import annotations

from bench.scaling import beside
from bench.scaling_report import everything, sentences
from tests.bench.example import SCALED


def test_every_sweep_is_said_in_a_sentence() -> None:
    rows, batches, columns, wire = sentences(SCALED)
    assert rows.startswith("From 100,000 to 1,000,000 rows")
    assert "from 4.00 to 0.40 \u00b5s a row" in rows
    assert "2 MB takes the least client CPU" in batches
    assert "the default, 4 MB, takes 1.25 times that" in batches
    assert columns.startswith("From 1 to 1,024 columns")
    assert "for psql | psql from 1.00 to 2.00 s and copypump from 1.00 to 2.00 s" in wire


def test_the_default_that_the_sweep_shows_is_told_so() -> None:
    smaller = [each for each in SCALED["points"] if each["x"] in (64 * 1024, 4096 * 1024)]
    (sentence,) = sentences({**SCALED, "points": smaller})
    assert sentence.endswith("at most: it is the default.")


def test_what_is_within_the_noise_of_starts_is_not_told_as_a_result() -> None:
    points = [{**each, "cpu": 0.1} for each in SCALED["points"] if each["sweep"] == "batches"]
    (sentence,) = sentences({**SCALED, "points": points})
    assert "too few rows" in sentence


def test_the_report_has_a_table_for_each_sweep() -> None:
    text = everything(SCALED)
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## Rows", "## Batch size", "## Columns", "## Wire",
    ]  # fmt: skip
    assert "| 2 MB | copypump | 100 |" in text
    assert text.count("psql \\| psql") == 6


def test_other_sweeps_stay_where_the_same_machine_measured_them() -> None:
    columns = [each for each in SCALED["points"] if each["sweep"] == "columns"]
    made = {**SCALED, "points": columns}
    joined = beside(SCALED, made)["points"]
    assert sorted(map(str, joined)) == sorted(map(str, SCALED["points"]))
    assert beside({**SCALED, "machine": "another"}, made)["points"] == columns
