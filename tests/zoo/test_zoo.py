"""The zoo, pumped whole along every way and through every kind of transform: exact, or the documented error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

import copypump
from tests.zoo.conftest import Ran
from tests.zoo.facts import ZooTable
from tests.zoo.tables import ZOO
from tests.zoo.ways import WAYS, Zoo

# Small, so that most tables take several batches.
BATCH_ROWS = 4
EMPTY = b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\xff\xff"


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
]


@pytest.mark.parametrize("zoo", WAYS, ids=str, indirect=True)
def test_oids_differ(zoo: Zoo) -> None:
    """Else no oid would need to be rewritten, and nothing here could tell."""
    source, target = zoo.own_types(zoo.source), zoo.own_types(zoo.target)
    both = source.keys() & target.keys()
    assert len(both) > 30
    assert [name for name in both if source[name] == target[name]] == []


@pytest.mark.parametrize(("zoo", "table", "kind"), CASES, indirect=["zoo"])
def test_arrives_exactly_or_fails_as_documented(zoo: Zoo, table: ZooTable, kind: str, ran: Ran) -> None:
    fails = table.moved or (table.read if kind in READING else None)
    expected = EMPTY if fails else zoo.yardstick(table)
    zoo.clear(table)
    options: Any = {"table": table.name, "transform": KINDS[kind], "batch_rows": BATCH_ROWS}
    if fails is None:
        copypump.pump(zoo.source, zoo.target, **options)
    else:
        with pytest.raises(copypump.CopypumpError) as caught:
            copypump.pump(zoo.source, zoo.target, **options)
        error = caught.value
        assert (type(error), error.column, error.row) == (fails.error, fails.column, fails.row), error
    assert zoo.landed(table) == expected
    ran.add((str(zoo.way), table.name, kind))


def test_every_table_has_a_way() -> None:
    cases = {(table.name, kind) for case in CASES for _, table, kind in [case.values]}
    assert cases == {(table.name, kind) for table in ZOO for kind in KINDS}
    assert len({table.name for table in ZOO}) == len(ZOO)


def test_every_way_is_taken() -> None:
    assert {way for case in CASES for way, _, _ in [case.values]} == set(WAYS)
