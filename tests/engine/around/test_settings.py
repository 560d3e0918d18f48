"""`lock_timeout` and `synchronous_commit`: what transactions are set to, and what comes of it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

import copypump
from copypump.engine import api
from copypump.errors import CopypumpError, SourceError, TargetError, UsageError
from tests.conftest import Pair
from tests.servers import TEST_APPLICATION, sql

MANY: dict[str, Any] = {"split": "values", "split_by": "part", "run_id": "r", "retries": 0}


@pytest.fixture
def ready(pair: Pair) -> Pair:
    sql(
        pair.src,
        "CREATE TABLE t (id int, part int); INSERT INTO t SELECT i, i % 3 FROM generate_series(1, 90) i",
    )
    sql(
        pair.dst,
        "CREATE TABLE t (id int, part int, waited text DEFAULT current_setting('synchronous_commit'))",
    )
    return pair


@pytest.mark.parametrize("words", [{}, MANY], ids=["one", "ledger"])
@pytest.mark.parametrize("side", ["src", "dst"])
def test_a_lock_that_is_not_had_in_time(ready: Pair, side: str, words: dict[str, Any]) -> None:
    """On the source readers wait for who alters the table, on the target writers for who keeps them out."""
    mode = "ACCESS EXCLUSIVE" if side == "src" else "SHARE"
    held = "t" if side == "dst" else "held"
    sql(ready.src, "CREATE TABLE held AS TABLE t")
    job: dict[str, Any] = {"table": "held", "into": "t", "mode": "append", "lock_timeout": "200ms"} | words
    with psycopg.connect(getattr(ready, side), application_name=TEST_APPLICATION) as other:
        other.execute(f"LOCK TABLE {held} IN {mode} MODE".encode())
        with pytest.raises(CopypumpError) as error:
            copypump.pump(*ready, **job)
    assert error.value.sqlstate == "55P03"
    if not words:
        assert isinstance(error.value, SourceError if side == "src" else TargetError)
    assert sql(ready.dst, "SELECT count(*) FROM t") == [(0,)]
    if copypump.runs(ready.dst):
        copypump.forget("r", ready.dst)
    assert copypump.pump(*ready, **job).rows_written == 90


def test_the_plan_shows_it(ready: Pair) -> None:
    shown = api.plan(*ready, table="t", mode="append", lock_timeout="2 min").as_dict()
    for session in shown["sessions"]:
        assert "SET LOCAL lock_timeout = 120000" in session["begin"]


@pytest.mark.parametrize("given", ["", "5", "five s", "0s", "-1s", "600h", "1 day"])
def test_what_is_no_duration(given: str) -> None:
    with pytest.raises(UsageError, match="duration"):
        copypump.pump("", "", table="t", lock_timeout=given)


@pytest.mark.parametrize("word", ["on", "off", None])
def test_chunks_commit_as_they_are_told(ready: Pair, word: str | None) -> None:
    """And all else waits: the ledger's last word is durable, and with it what came before."""
    report = copypump.pump(*ready, table="t", synchronous_commit=word, **MANY)
    server = sql(ready.dst, "SHOW synchronous_commit")[0][0]
    assert sql(ready.dst, "SELECT DISTINCT waited FROM t") == [(word or server,)]
    assert report.chunks_done == report.chunks > 2


def test_the_end_waits(ready: Pair) -> None:
    sql(
        ready.dst,
        """CREATE TABLE log (what text, waits text);
           CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
               INSERT INTO public.log VALUES (NEW.status, current_setting('synchronous_commit'));
               RETURN NEW; END$$""",
    )
    copypump.pump(*ready, table="t", mode="append", where="false", run_id="makes_the_ledger")
    sql(ready.dst, "CREATE TRIGGER note AFTER UPDATE ON copypump.runs FOR EACH ROW EXECUTE FUNCTION note()")
    copypump.pump(*ready, table="t", synchronous_commit="off", **MANY)
    assert set(sql(ready.dst, "SELECT what, waits FROM log")) == {("running", "on"), ("done", "on")}
    sql(ready.dst, "DROP SCHEMA copypump CASCADE")


def test_one_transaction_is_durable(ready: Pair) -> None:
    report = copypump.pump(*ready, table="t", synchronous_commit="off")
    assert any("synchronous_commit off is for chunks" in warning for warning in report.warnings)
    with pytest.raises(UsageError, match="synchronous_commit is on or off"):
        copypump.pump(*ready, table="t", synchronous_commit="local")
