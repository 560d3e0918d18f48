"""A small table that moves in several chunks, and a target that can be told to refuse rows of it."""

from __future__ import annotations

from typing import Any

import pytest

import copypump
from copypump.errors import StoppedError
from copypump.postgres.session import Where
from tests.conftest import Pair
from tests.servers import sql

ROWS = 3000
PEOPLE = "CREATE TABLE people (id int PRIMARY KEY, name text, note varchar(20))"
FILL = f"INSERT INTO people SELECT i, repeat('x', i %% 40), 'no ' || i FROM generate_series(1, {ROWS}) AS i"

# Several chunks, by key; they can be resumed.
CHUNKS: dict[str, Any] = {"table": "people", "split": "key", "chunk_bytes": 1 << 15, "run_id": "it"}

# The target fails rows, so often as `faults` says, once so many chunks are committed. A sequence counts also
# what is rolled back.
FAULTS = """
CREATE SEQUENCE failed;
CREATE TABLE faults (state text NOT NULL, times int NOT NULL, after int NOT NULL);
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fault faults;
BEGIN
    SELECT * INTO fault FROM faults
     WHERE after <= (SELECT count(*) FROM copypump.chunks WHERE rows_read IS NOT NULL);
    IF FOUND AND nextval('failed') <= fault.times THEN
        RAISE EXCEPTION 'told to' USING ERRCODE = fault.state;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER fail AFTER INSERT ON people FOR EACH STATEMENT EXECUTE FUNCTION fail();
"""


def make(pair: Pair) -> Pair:
    """Both tables, and what can fail."""
    sql(pair.src, PEOPLE)
    sql(pair.src, FILL.replace("%%", "%"))
    sql(pair.src, "ANALYZE people")
    sql(pair.dst, PEOPLE)
    sql(pair.dst, FAULTS)
    return pair


def fail(pair: Pair, state: str, times: int = 1, after: int = 0) -> None:
    """Let the next `times` chunks fail with this SQLSTATE, once `after` are committed."""
    sql(pair.dst, "SELECT setval('failed', 1, false)")
    sql(pair.dst, "INSERT INTO faults VALUES (%s, %s, %s)", [state, times, after])


def failures(pair: Pair) -> int:
    """How many chunks were asked to fail, the failed ones and those after them."""
    [(last, called)] = sql(pair.dst, "SELECT last_value, is_called FROM failed")
    return int(last) if called else 0


def stop(pair: Pair, after: int = 2, **options: Any) -> None:
    """Begin the run, and let it stop when so many chunks are committed; the cause is gone then."""
    fail(pair, "53100", times=1, after=after)
    with pytest.raises(StoppedError):
        copypump.pump(*pair, **CHUNKS | options)
    sql(pair.dst, "DELETE FROM faults")
    assert copypump.status("it", pair.dst).state.chunks_done == after


def resume(src: Where, dst: Where, **options: Any) -> copypump.Report:
    return copypump.resume("it", src, dst, **options)


def same(pair: Pair) -> None:
    """Every row is there, once."""
    query = "SELECT id, name, note FROM people ORDER BY id"
    found = sql(pair.dst, query)
    assert found == sql(pair.src, query)
    assert len(found) >= ROWS
