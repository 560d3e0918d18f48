"""Runs that are taken up: what is skipped, what is refused with its difference, what starts over."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import copypump
from copypump.engine.chunks.ledger import holding
from copypump.errors import CopypumpError, RefusedError
from tests.conftest import Pair
from tests.engine.many import CHUNKS, fail, make, resume, same, stop
from tests.servers import sql

ETL = """
def clean(batch):
    return batch
"""


@pytest.fixture
def pair(same_server_pair: Pair) -> Pair:
    return make(same_server_pair)


@pytest.fixture
def etl(tmp_path: Path) -> Iterator[Path]:
    """The file of a transform, which can be written anew."""
    path = tmp_path / "etl_of_resume.py"
    path.write_text(ETL)
    yield path
    sys.modules.pop(path.stem, None)


def test_what_is_committed_is_skipped(pair: Pair) -> None:
    stop(pair, after=2)
    before = copypump.status("it", pair.dst)
    report = resume(*pair, new_snapshot=True)
    after = copypump.status("it", pair.dst)
    assert (report.status, after.state.status, after.state.error) == ("done", "done", None)
    assert report.chunks_done == report.chunks == after.state.chunks > 3
    assert (report.rows_read, report.rows_written) == (3000, 3000)
    assert [chunk for chunk in after.committed if chunk.snapshot == 1] == before.committed
    assert after.snapshots == report.snapshots
    assert len(set(report.snapshots)) == 2
    same(pair)


def test_a_new_snapshot_is_asked_for(pair: Pair) -> None:
    stop(pair)
    with pytest.raises(
        RefusedError, match="2 chunks are committed that were read under an earlier"
    ) as raised:
        resume(*pair)
    assert raised.value.hint == "--new-snapshot reads the rest as the source is now"
    assert raised.value.state == "the run is as it was before"
    assert copypump.status("it", pair.dst).state.status == "stopped"
    resume(*pair, new_snapshot=True)
    same(pair)


def test_one_of_which_nothing_is_committed_needs_no_such_word(pair: Pair) -> None:
    stop(pair, after=0)
    resume(*pair)
    same(pair)


def test_one_of_which_all_is_committed_but_its_end_needs_none_either(pair: Pair) -> None:
    copypump.pump(*pair, **CHUNKS)
    sql(pair.dst, "UPDATE copypump.runs SET status = 'running'")
    sql(pair.src, "UPDATE people SET name = 'another'")
    report = resume(*pair)
    assert report.chunks_done == report.chunks
    assert sql(pair.dst, "SELECT count(*) FROM people WHERE name = 'another'") == [(0,)]


def test_resumed_and_stopped_again(pair: Pair) -> None:
    stop(pair, after=1)
    fail(pair, "57014", after=3)
    with pytest.raises(copypump.StoppedError) as raised:
        resume(*pair, new_snapshot=True)
    assert raised.value.state is not None
    assert raised.value.state.startswith("3 of ")
    sql(pair.dst, "DELETE FROM faults")
    report = resume(*pair, new_snapshot=True, jobs=2)
    assert (report.jobs, len(report.snapshots)) == (2, 3)
    same(pair)


# Refused


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all values of a document that are no mappings."""
    if isinstance(value, dict) and value:
        for name, below in value.items():
            yield from leaves(below, (*path, name))
    else:
        yield path


def test_each_part_of_the_fingerprint_is_held_against_what_is_found(pair: Pair, etl: Path) -> None:
    stop(pair, after=0, transform="etl_of_resume:clean", pythonpath=[str(etl.parent)])
    [(text,)] = sql(pair.dst, "SELECT fingerprint::text FROM copypump.runs")
    recorded = json.loads(text)
    assert set(recorded) == {"source", "target", "transform", "options"}
    paths = list(leaves(recorded))
    assert len(paths) > 20
    for path in paths:
        changed = json.loads(text)
        place = changed
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = "another"
        sql(pair.dst, "UPDATE copypump.runs SET fingerprint = %s", [json.dumps(changed)])
        with pytest.raises(RefusedError, match=f"it is not what it was: {' '.join(path)}: was another, is "):
            resume(*pair)
    sql(pair.dst, "UPDATE copypump.runs SET fingerprint = %s", [text])
    resume(*pair)
    same(pair)


@pytest.mark.parametrize(
    ("side", "statement", "difference"),
    [
        (
            "src",
            "ALTER TABLE people ALTER note TYPE varchar(19)",
            "source columns note: was character varying",
        ),
        ("src", "ALTER TABLE people ALTER note SET NOT NULL", r"source columns note: .*, is .* not null"),
        ("src", "ALTER TABLE people ADD more int", "source columns more: was not there, is integer"),
        (
            "dst",
            "ALTER TABLE people ALTER note TYPE varchar(21)",
            "target columns note: was character varying",
        ),
        (
            "dst",
            "ALTER TABLE people ADD more int DEFAULT 1",
            "target columns more: was not there, is integer",
        ),
    ],
)
def test_a_table_that_was_altered(pair: Pair, side: str, statement: str, difference: str) -> None:
    stop(pair)
    sql(getattr(pair, side), statement)
    with pytest.raises(RefusedError, match=f"the run it is not what it was: {difference}") as raised:
        resume(*pair, new_snapshot=True)
    assert raised.value.state == "the run is as it was before"
    assert copypump.status("it", pair.dst).state.chunks_done == 2


def test_a_transform_that_was_written_anew(pair: Pair, etl: Path) -> None:
    stop(pair, after=0, transform="etl_of_resume:clean", pythonpath=[str(etl.parent)])
    etl.write_text(ETL + "# not the same\n")
    sys.modules.pop(etl.stem)
    with pytest.raises(RefusedError, match=r"transform etl_of_resume:clean sha256: was [0-9a-f]{64}, is"):
        resume(*pair)


def test_a_closure_cannot_be_found_again(pair: Pair) -> None:
    stop(pair, after=0, transform=lambda batch: batch)
    with pytest.raises(RefusedError, match="a function of it cannot be imported"):
        resume(*pair)


def test_runs_that_are_done_or_unknown(pair: Pair) -> None:
    with pytest.raises(RefusedError, match="there is no run it in the ledger"):
        resume(*pair)
    copypump.pump(*pair, **CHUNKS)
    with pytest.raises(RefusedError, match="the run it is done"):
        resume(*pair)
    with pytest.raises(RefusedError, match="there is a run it already, which is done") as raised:
        copypump.pump(*pair, **CHUNKS | {"mode": "append"})
    assert raised.value.hint == "forget it: copypump forget it"
    same(pair)


def test_a_target_that_is_gone(pair: Pair) -> None:
    stop(pair)
    sql(pair.dst, "DROP TABLE people")
    with pytest.raises(CopypumpError, match="there is no such table") as raised:
        resume(*pair, new_snapshot=True)
    assert raised.value.state == "the run is as it was before"


def test_a_run_that_somebody_else_holds(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "_PATIENCE", 0.2)
    stop(pair)
    with psycopg.connect(pair.dst) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended('it', 0))")
        with pytest.raises(RefusedError, match=f"the run it is active: .* {other.info.backend_pid}$"):
            resume(*pair, new_snapshot=True)
        assert copypump.status("it", pair.dst).state.status == "stopped"
    resume(*pair, new_snapshot=True)
    same(pair)


# Started over

CTID = {"split": "ctid"}


def test_chunks_by_place_start_over(pair: Pair) -> None:
    stop(pair, after=2, **CTID)
    sql(pair.src, "DELETE FROM people WHERE id <= 10")  # nothing under the first snapshot may stay
    sql(pair.src, "INSERT INTO people SELECT i, 'new' FROM generate_series(4001, 4020) AS i")
    report = resume(*pair)
    assert any("the load starts over" in warning for warning in report.warnings)
    assert {chunk.snapshot for chunk in copypump.status("it", pair.dst).committed} == {2}
    same(pair)


def test_rows_of_others_are_not_taken_away(pair: Pair) -> None:
    stop(pair, after=2, **CTID)
    sql(pair.dst, "ALTER TABLE people DISABLE TRIGGER fail; INSERT INTO people VALUES (-1, 'of others')")
    with pytest.raises(RefusedError, match="the load has to start over, but the target holds"):
        resume(*pair)
    assert sql(pair.dst, "SELECT name FROM people WHERE id = -1") == [("of others",)]
    assert copypump.status("it", pair.dst).state.chunks_done == 2


def test_forgotten(pair: Pair) -> None:
    stop(pair)
    copypump.forget("it", pair.dst)
    assert copypump.runs(pair.dst) == []
    assert sql(pair.dst, "SELECT count(*) FROM copypump.chunks") == [(0,)]
    assert sql(pair.dst, "SELECT count(*) > 0 FROM people") == [(True,)]
    with pytest.raises(RefusedError, match="there is no run it"):
        copypump.forget("it", pair.dst)
