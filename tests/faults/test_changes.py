"""Others write to the source, and want it for themselves, while it is read: the copy equals the snapshot."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from tests.faults.patience import wait_until
from tests.faults.scene import Moment, Process, Scene
from tests.faults.schedule import Servers
from tests.faults.ways import WAYS
from tests.servers import TEST_APPLICATION, sql

# Rows come, go, and move from the chunk that has them to others, by key and by block.
WRITES = (
    "INSERT INTO people SELECT i, 'new', 1, 'n' FROM generate_series(1000000, 1005000) AS i",
    "UPDATE people SET id = id + 500000, name = 'moved' WHERE id % 3 = 0",
    "UPDATE people SET age = -1 WHERE id % 3 = 1",
    "DELETE FROM people WHERE id % 5 = 0",
    "VACUUM people",
)
# These want the table for themselves.
ALONE = ("TRUNCATE people", "ALTER TABLE people ADD more text DEFAULT 'more', DROP region")

MIDDLE = Moment(step=13)


class Waiting:
    """Statements in sessions of their own, that wait for the run's locks."""

    def __init__(self, dsn: str, statements: tuple[str, ...]) -> None:
        self._dsn = dsn
        self._errors: list[Exception] = []
        self.threads = [threading.Thread(target=self._run, args=(each,)) for each in statements]

    def _run(self, statement: str) -> None:
        try:
            sql(self._dsn, statement)
        except psycopg.Error as error:
            self._errors.append(error)

    def start(self) -> None:
        for thread in self.threads:
            thread.start()
        query = """SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                    WHERE NOT granted AND relation = 'people'::regclass AND application_name = %s"""
        everyone = [(len(self.threads),)]
        wait_until(
            lambda: sql(self._dsn, query, [TEST_APPLICATION]) == everyone, f"not all wait: {self._errors}"
        )

    def end(self) -> None:
        """They have come through."""
        wait_until(lambda: not any(thread.is_alive() for thread in self.threads), "they still wait")
        assert not self._errors


@contextlib.contextmanager
def changed(scene: Scene) -> Iterator[None]:
    """The source is written to; TRUNCATE and ALTER wait until the body is left."""
    source = scene.dsns["source"]
    for statement in WRITES:
        sql(source, statement)
    waiting = Waiting(source, ALONE)
    waiting.start()
    yield
    waiting.end()
    assert sql(source, "SELECT count(*) FROM people") == [(0,)]


def end_backend(scene: Scene, what: str, process: Process) -> None:
    """End the keeper, or the reader of the connection that is held, or any."""
    [pid, *_] = scene.met("source", what, process)
    assert sql(scene.dsns["source"], "SELECT pg_terminate_backend(%s, 10000)", [pid]) == [(True,)]


@pytest.mark.parametrize(
    ("way", "dies"),
    [
        ("empty-ctid", ""),
        ("empty-ctid", "lasting workers"),
        ("empty-key", "workers"),
        ("replace-ctid", "lasting"),
        ("processes-key", "workers"),
        ("processes-key", "lasting workers"),
    ],
)
def test_the_copy_equals_the_snapshot(servers: Servers, way: str, dies: str) -> None:
    """Who dies does so while others wait for the table; those that are left go on, and hold the snapshot."""
    with Scene(*servers, WAYS[way]) as scene:
        scene.hold(MIDDLE)
        process = scene.start()
        assert scene.wait_for(process)
        with changed(scene):
            for what in dies.split():
                end_backend(scene, what, process)
            scene.let_go()
            code, said = process.ended()
            assert code == scene.way.done, said
        scene.check()


@pytest.mark.parametrize("way", ["empty-ctid", "empty-key"])
def test_a_reader_that_was_reopened(servers: Servers, way: str) -> None:
    """The keeper and a reader die before others want the table: the other reader exports the snapshot anew."""
    slow = replace(WAYS[way], tuning=("--chunk-bytes", "160kB", "--batch-rows", "50"))
    with Scene(*servers, slow) as scene:
        scene.hold(Moment(step=7))
        process = scene.start()
        assert scene.wait_for(process)
        sql(scene.dsns["source"], "UPDATE people SET age = 0, name = NULL")
        before = scene.backends("source", "workers")
        end_backend(scene, "lasting", process)
        end_backend(scene, "workers", process)
        scene.let_go()

        def reopened() -> bool:
            now = scene.backends("source", "workers")
            return len(now) == 2 and now != before

        wait_until(reopened, "no reader is opened anew")
        scene.hold(Moment(step=1))
        assert scene.wait_for(process)
        with changed(scene):
            scene.let_go()
            code, said = process.ended()
            assert code == scene.way.done, said
        scene.check()
