"""The zoo, pumped whole along every way and through every kind of transform: exact, or the documented error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import pyarrow as pa
import pytest

import copypump
from tests.zoo.facts import ZooTable
from tests.zoo.pumped import NOTE, Pumped, held, summary
from tests.zoo.tables import ZOO
from tests.zoo.ways import WAYS, WITHIN_WHEEL, Zoo

# Small, so that most tables take several batches.
BATCH_ROWS = 4


@copypump.reads()
def _reads_nothing(batch: pa.RecordBatch) -> pa.RecordBatch:
    assert batch.schema.names == ["__copypump_row"]
    return batch


def _hands_on(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


def _rebuilds(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.take(pa.array(range(batch.num_rows), pa.int64()))


def _slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Arrays that begin within their buffers, and lists within their children."""
    yield batch.slice(0, 1)
    yield batch.slice(1)


KINDS: dict[str, Callable[[pa.RecordBatch], Any] | None] = {
    "none": None,
    "reads nothing": _reads_nothing,
    "hands on": _hands_on,
    "rebuilds": _rebuilds,
    "slices": _slices,
}
READING = frozenset(KINDS) - {"none", "reads nothing"}

CASES = [
    pytest.param(way, table, kind, id=f"{way}-{table}-{kind}")
    for way in WAYS
    for table in ZOO
    if way.takes(table)
    for kind in KINDS
    # What slices meet is our side alone, the same for all servers: once is enough.
    if kind != "slices" or way == WITHIN_WHEEL
]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_oids_differ(zoo: Zoo) -> None:
    """Else no oid would need to be rewritten, and nothing here could tell."""
    source, target = zoo.own_types(zoo.source), zoo.own_types(zoo.target)
    both = source.keys() & target.keys()
    assert len(both) > 30
    assert [name for name in both if source[name] == target[name]] == []


@pytest.mark.parametrize(("way", "table", "kind"), CASES)
def test_arrives_exactly_or_fails_as_documented(zoo: Zoo, table: ZooTable, kind: str, pumped: Pumped) -> None:
    fails = table.moved or (table.read if kind in READING else None)
    expected = None if fails else zoo.yardstick(table)
    zoo.clear(table)
    pumped(zoo, table, kind)
    options: Any = {"table": table.name, "transform": KINDS[kind], "batch_rows": BATCH_ROWS}
    if fails is None:
        copypump.pump(zoo.source, zoo.target, **options)
        assert zoo.landed(table) == expected
    else:
        with pytest.raises(copypump.CopypumpError) as caught:
            copypump.pump(zoo.source, zoo.target, **options)
        error = caught.value
        assert (type(error), error.column, error.row) == (fails.error, fails.column, fails.row), error
        assert zoo.is_empty(table)


def test_every_table_has_a_way() -> None:
    cases = [case.values for case in CASES]
    assert {(table, kind) for _, table, kind in cases} >= {
        (table, kind) for table in ZOO for kind in KINDS if kind != "slices"
    }
    assert {way for way, _, _ in cases} == set(WAYS)
    assert len({table.name for table in ZOO}) == len(ZOO)


def outcome(
    outcome: Literal["passed", "skipped"], when: Literal["setup", "call"], *noted: str
) -> pytest.TestReport:
    notes = [(NOTE, noted)] if noted else []
    return pytest.TestReport("a test", ("", None, ""), {}, outcome, None, when, user_properties=notes)


def test_a_case_that_pumps_nothing_fails() -> None:
    """An outcome that was never held against anything must not look like one that was."""
    assert held(outcome("passed", "call")).failed
    assert held(outcome("skipped", "call")).failed
    assert held(outcome("skipped", "setup")).failed
    assert held(outcome("passed", "setup")).passed
    assert held(outcome("passed", "call", "16-18", "16 to 18", "t_int4", "none")).passed


def test_what_was_pumped_is_told() -> None:
    ran = [outcome("passed", "call", str(way), "1 to 2", ZOO[0].name, kind) for way in WAYS for kind in KINDS]
    *ways, whole = summary([*ran, outcome("passed", "call"), outcome("passed", "setup")])
    counts = ", ".join(f"{kind} 1" for kind in sorted(KINDS))
    assert ways == [f"{way} (PostgreSQL 1 to 2): 1 tables; {counts}" for way in sorted(map(str, WAYS))]
    assert whole == f"1 of {len(ZOO)} tables were pumped; {len(ZOO) - 1} were not"
    assert summary([]) == []
