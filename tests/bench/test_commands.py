"""The bench's commands, as they are typed, at the smallest sizes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench import jobs
from bench.__main__ import main
from bench.results import load
from tests.conftest import Pair

ROOT = Path(__file__).parents[2]


def bench(*words: str) -> Result:
    """`python -m bench`, in this process."""
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def call(*words: str) -> subprocess.CompletedProcess[str]:
    # A pytest within a worker of pytest's is none.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, env=kept, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_run(pair: Pair, tmp_path: Path) -> None:
    words = ["--src", pair.src, "--dst", pair.dst, "--scale", "0.0002", "--runs", "1", "--workload", "W1"]
    done = bench("run", *words, "--peer", "raw", "--peer", "copypump", "--no-charts", "--out", str(tmp_path))
    results = load(tmp_path / "results.json")
    (match,) = results["matches"]
    assert match["rows"] == 2000
    assert [(way["name"], way["fault"], way["failed"]) for way in match["ways"]] == [
        ("raw", None, None),
        ("copypump", None, None),
    ]
    assert "| **copypump** | yes |" in done.stdout
    assert (tmp_path / "report.md").read_text() in done.stdout


def test_scaling(pair: Pair, tmp_path: Path) -> None:
    words = ["--src", pair.src, "--dst", pair.dst, "--sweep", "rows", "--most-rows", "500", "--runs", "1"]
    bench("scaling", *words, "--no-charts", "--out", str(tmp_path))
    points = load(tmp_path / "scaling.json")["points"]
    assert [(point["way"], point["x"]) for point in points] == [("psql | psql", 500), ("copypump", 500)]
    assert "From 500 to 500 rows" in (tmp_path / "scaling.md").read_text()


def test_start(pair: Pair, tmp_path: Path) -> None:
    words = ["--src", pair.src, "--dst", pair.dst, "--scale", "0.0002", "--runs", "1", "--out", str(tmp_path)]
    done = bench("start", *words)
    measures = load(tmp_path / "start.json")["measures"]
    assert [(each["bar"], len(each["seconds"])) for each in measures] == [
        (0.3, 1),  # help
        *[(1.0, 1), (0.6, 1)] * 2,  # the first row and no rows, through a transform and without one
    ]
    assert all(seconds > 0 for each in measures for seconds in each["seconds"])
    assert "| copypump --help | wall |" in done.stdout


def test_arrow(pair: Pair, tmp_path: Path) -> None:
    words = ["--src", pair.src, "--dst", pair.dst, "--scale", "0.0002", "--runs", "1", "--out", str(tmp_path)]
    done = bench("arrow", *words)
    for each in load(tmp_path / "arrow.json")["streams"]:
        if each["way"] == "copypump":
            assert (each["missing"], each["remark"], len(each["wall"])) == (None, "", 1)
    assert "| W2, write | ADBC |" in done.stdout


def test_jobs(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "RANGES", 2)
    words = ["--src", pair.src, "--dst", pair.dst, "--scale", "0.0002", "--runs", "1", "--out", str(tmp_path)]
    done = bench("jobs", *words, "--workload", "W1", "--workers", "1", "--workers", "4")
    made = load(tmp_path / "jobs.json")
    assert [each["name"] for each in made["jobs"]] == ["W1"]
    assert "| W1 | 2,000 |" in done.stdout
    assert "| 4 workers |" in done.stdout
    del made["jobs"][0]["seconds"]["copypump 1"], made["jobs"][0]["seconds"]["raw 1"]
    del made["jobs"][0]["seconds"][jobs.SMALL]
    (four,) = [line for line in jobs.tables(made) if line.startswith("| W1 |")]  # as without one worker
    assert four.endswith(" |  |  |")


def test_indexes(pair: Pair) -> None:
    sizes = ["--rows", "500", "--there", "0", "--there", "700", "--runs", "1"]
    lines = bench("indexes", "--src", pair.src, "--dst", pair.dst, *sizes).stdout.splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[-2:]]
    assert [(row[0], row[-1]) for row in cells] == [("0", "yes"), ("700", "yes")]


def test_modes(pair: Pair) -> None:
    words = ["--src", pair.src, "--dst", pair.dst, "--rows", "500", "--runs", "1", "--slow"]
    cells = [line.split("|")[1:-1] for line in call("bench.modes", *words).stdout.splitlines()[4:]]
    assert [(row[0].strip(), row[-1].strip()) for row in cells] == [("upsert", "yes")] * 2 + [
        ("update", "yes")
    ] * 2


def test_rejects(pair: Pair) -> None:
    words = ["--src", pair.src, "--dst", pair.dst, "--rows", "1000", "--runs", "1"]
    assert "| reject, 1% bad rows |" in call("bench.rejects", *words).stdout


def test_peers() -> None:
    assert "| copypump-plain |" in call("bench", "peers").stdout


def test_codec() -> None:
    done = call(
        "bench.codec", "--type", "int4", "--type", "W2: lineitem", "--seconds", "0.001", "--turns", "1"
    )
    assert [line.split("|")[1].strip() for line in done.stdout.splitlines()[2:]] == ["int4", "W2: lineitem"]


def test_pytest_bench(pair: Pair) -> None:
    pytest.importorskip("pytest_benchmark", reason="it comes with the extra bench")
    words = ["--src", pair.src, "--dst", pair.dst, "--scale", "0.0002", "--rounds", "1", "--workload", "W3"]
    done = call("pytest", "bench", "-q", "-k", "W3-copypump] or int4]", *words)
    assert " failed" not in done.stdout
    assert "test_pump[W3-copypump]" in done.stdout
    assert "test_decode[int4]" in done.stdout
