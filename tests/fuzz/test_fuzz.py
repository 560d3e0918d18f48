"""A short run of the fuzzer, the same each time; the long ones are `python -m tests.fuzz` and `.sanitize`."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from copypump.codec import types
from copypump.codec.types import FAMILIES, TYPES
from tests.codec import golden
from tests.fuzz import decoding, fuzzer
from tests.fuzz.seeds import golden_seeds, random_seed, spoiled_stream


def test_seeds_cover_the_table() -> None:
    rows = {types.pg_type(seed.column).name for seed in golden_seeds()}
    assert {row.name for row in (*TYPES, *FAMILIES)} - rows == golden.UNSENT


def test_a_run_finds_nothing() -> None:
    run = fuzzer.Fuzzer(seed=1)
    steps = 6 * len(golden_seeds())
    for _ in range(steps):
        run.step()
    assert run.counts == {"decode": steps, "rewrite": steps, "encode": steps}


def test_seeds_tell_a_run() -> None:
    def draw() -> list[object]:
        rng = Random(7)
        seeds = [random_seed(rng) for _ in range(20)]
        return [(seed, spoiled_stream(rng, list(seed.fields))) for seed in seeds]

    assert draw() == draw()


def test_a_finding_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "expected", lambda *_: ["not this"])
    with pytest.raises(decoding.Finding, match="expected"):
        fuzzer.Fuzzer(seed=1).step()


def test_a_recorded_step_is_taken_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "step"
    fuzzer.Fuzzer(seed=1, record=record).step()
    fuzzer.replay(record)
    assert capsys.readouterr().out.startswith("encode: bool as bool")
