"""The README's figures are those of the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import readme, results
from bench.measure import ROOT
from bench.report import started, summary
from bench.results import save
from bench.scaling_report import sentences
from tests.bench.example import RESULTS, SCALED, STARTED


def test_the_readme_has_the_figures_of_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bench" / "results"
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    monkeypatch.setattr(readme, "FOLDER", folder)
    monkeypatch.setattr(readme, "BARS", folder / "bars")
    with pytest.raises(FileNotFoundError):
        readme.renewed(f"a {readme.BEGIN} old {readme.END} z")
    save(RESULTS, folder / "results.json")
    text = readme.renewed(f"a\n{readme.BEGIN}old\n{readme.END}\nz\n")
    assert text.startswith("a\n<!-- figures -->\n")
    assert text.endswith("<!-- /figures -->\nz\n")
    assert "old" not in text.replace("older", "")
    assert summary(RESULTS) in text
    assert "Loses values: Lossy (other values in name)." in text
    assert "(bench/results/throughput.png)" in text
    assert "scaling.png" not in text
    save({**RESULTS, "scale": 1.0}, folder / "bars" / "results.json")
    save(SCALED, folder / "scaling.json")
    save(STARTED, folder / "start.json")
    text = readme.renewed(text)
    assert "Scale 1;" in text
    assert started(STARTED) in text
    assert all(sentence in text for sentence in sentences(SCALED))


def test_the_readme_is_up_to_date() -> None:
    if not (results.FOLDER / "results.json").exists():
        pytest.skip("no results are there")
    text = (ROOT / "README.md").read_text()
    assert readme.renewed(text) == text, "run: python -m bench readme"
