"""Ctrl-C around COMMIT: what is told is what happened, whenever it comes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import copypump
from copypump.postgres import exchange
from copypump.postgres.session import Session
from tests.conftest import Pair
from tests.engine.test_concurrent import PATIENCE, until, waiting
from tests.servers import TEST_APPLICATION, sql

QUERY = "SELECT i FROM generate_series(1, 3) AS i"
KEY = 4711


def pump(pair: Pair) -> copypump.Report:
    return copypump.pump(*pair, query=QUERY, into="t", mode="append")


@pytest.fixture
def landing(pair: Pair) -> Pair:
    """A table for the query."""
    sql(pair.dst, "CREATE TABLE t (i int)")
    return pair


@pytest.fixture
def slow(landing: Pair) -> Iterator[psycopg.Connection[Any]]:
    """The session whose lock every COMMIT of rows in the table waits for."""
    sql(
        landing.dst,
        f"""CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_advisory_xact_lock({KEY}); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER t AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION wait()""",
    )
    with psycopg.connect(landing.dst, autocommit=True, application_name=TEST_APPLICATION) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", [KEY])
        yield holder


def test_just_after_the_answer(landing: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It came too late, though nobody had looked at the answer yet."""
    honest = exchange.run

    def run(pgconn: Any, query: bytes, *others: Any, **more: Any) -> Any:
        found = honest(pgconn, query, *others, **more)
        if query == b"COMMIT":
            signal.raise_signal(signal.SIGINT)
        return found

    monkeypatch.setattr(exchange, "run", run)
    report = pump(landing)
    assert report.status == "done"
    assert report.warnings[-1] == "interrupted while committing, which was too late: everything is there"
    assert sql(landing.dst, "SELECT count(*) FROM t") == [(3,)]


def test_after_the_commit(landing: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Session.rollback

    def rollback(self: Session, deadline: float | None = None) -> bool:
        if self.committed:
            self.committed = None  # once
            signal.raise_signal(signal.SIGINT)
        return honest(self, deadline)

    monkeypatch.setattr(Session, "rollback", rollback)
    report = pump(landing)
    assert report.status == "done"
    assert report.warnings[-1] == "interrupted after the commit, which was too late: everything is there"
    assert (report.rows_written, sql(landing.dst, "SELECT count(*) FROM t")) == (3, [(3,)])


def test_once_while_the_server_works(landing: Pair, slow: psycopg.Connection[Any]) -> None:
    """The answer is waited for, and counts."""

    def harm() -> None:
        until(waiting(landing.dst, 1))
        os.kill(os.getpid(), signal.SIGINT)
        slow.execute("SELECT pg_advisory_unlock(%s)", [KEY])

    thread = threading.Thread(target=harm)
    thread.start()
    report = pump(landing)
    thread.join()
    assert report.status == "done"
    assert "too late" in report.warnings[-1]
    assert sql(landing.dst, "SELECT count(*) FROM t") == [(3,)]


@pytest.mark.parametrize("holds", [True, False])
def test_twice_while_the_server_works(
    landing: Pair, slow: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, holds: bool
) -> None:
    """The second stops waiting for the answer; another session then finds out what became of it."""
    sent, noticed = threading.Event(), threading.Event()
    honest = exchange.results

    def results(*given: Any, **more: Any) -> Any:
        if sent.is_set():
            noticed.set()
        return honest(*given, **more)

    monkeypatch.setattr(exchange, "results", results)

    def harm() -> None:
        until(waiting(landing.dst, 1))
        sent.set()
        os.kill(os.getpid(), signal.SIGINT)
        assert noticed.wait(PATIENCE)
        os.kill(os.getpid(), signal.SIGINT)
        if holds:
            slow.execute("SELECT pg_advisory_unlock(%s)", [KEY])

    thread = threading.Thread(target=harm)
    thread.start()
    if holds:
        report = pump(landing)
        assert report.status == "done"
        assert "too late" in report.warnings[-1]
    else:
        with pytest.raises(KeyboardInterrupt, match="nothing was committed"):
            pump(landing)
    thread.join()
    assert sql(landing.dst, "SELECT count(*) FROM t") == [(3 if holds else 0,)]
