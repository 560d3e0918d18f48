"""`copypump types` says what the table of types says."""

from __future__ import annotations

import json

from copypump.codec.types import FAMILIES, TYPES, facts
from tests.cli.conftest import Cli


def test_every_type_is_told_once(copypump: Cli) -> None:
    done = copypump("types", "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert told == [row._asdict() for row in facts()]
    names = [name for row in told for name in row["postgresql"].split(", ")]
    assert names.count("every other type") == 1
    assert sorted(names) == sorted([*(row.name for row in (*TYPES, *FAMILIES)), "every other type"])


def test_people_can_read_it(copypump: Cli) -> None:
    done = copypump("types")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["PostgreSQL", "Arrow"]
    assert "timestamp[us, tz=UTC]" in done.stdout
    assert max(map(len, lines)) <= 160
