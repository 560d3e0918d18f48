"""A run of several chunks between two servers that can be harmed, both behind proxies that can be, too."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from tests.proxy import Proxy
from tests.servers import TEST_APPLICATION, SystemServer, sql

ROOT = Path(__file__).parents[2]
ROWS = 24_000
CHUNKS = 8  # at least
PATIENCE = 60.0

TABLE = "CREATE TABLE people (id int PRIMARY KEY, name text, age int, region text)"
FILL = f"""INSERT INTO people SELECT i, repeat('x', i % 40), i % 90, (ARRAY['n', 's', 'e', 'w', NULL])[1 + i % 5]
           FROM generate_series(1, {ROWS}) AS i"""
AS_IT_LANDS = "SELECT id, name, age + 1 AS age, region FROM people"

# The ways in which a run goes: how the source is cut, and how rows land.
WAYS: dict[str, tuple[str, ...]] = {
    "empty-ctid": ("--split", "ctid"),
    "empty-key": ("--split", "key"),
    "append-key": ("--split", "key", "--mode", "append"),
    "append-values": ("--split", "values", "--split-by", "region", "--mode", "append"),
    "upsert-ctid": ("--split", "ctid", "--mode", "upsert", "--key", "id"),
    "replace-ctid": ("--split", "ctid", "--mode", "replace"),
}


class Scene:
    """One source and one target database, and the processes that copy between them."""

    def __init__(self, source: SystemServer, target: SystemServer, way: str) -> None:
        self.servers = {"source": source, "target": target}
        self.way = way
        self._stack = contextlib.ExitStack()
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Scene:
        enter = self._stack.enter_context
        self.names = {side: enter(server.fresh_database()) for side, server in self.servers.items()}
        self.dsns = {side: server.dsn(self.names[side]) for side, server in self.servers.items()}
        self.proxies = {side: enter(Proxy(server.address())) for side, server in self.servers.items()}
        self.through = {side: self.proxies[side].dsn(self.dsns[side]) for side in self.servers}
        for dsn in self.dsns.values():
            sql(dsn, TABLE)
        sql(self.dsns["source"], FILL)
        sql(self.dsns["source"], "ANALYZE people")
        if "append" in self.way:
            sql(self.dsns["target"], "INSERT INTO people VALUES (-1, 'was there', 1, NULL)")
        if "upsert" in self.way or "replace" in self.way:
            sql(self.dsns["target"], "INSERT INTO people VALUES (1, 'was there', 1, NULL)")
        return self

    def __exit__(self, *error: Any) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.communicate()
        self.wait_for_servers()
        self._stack.close()

    # Processes

    def start(self) -> subprocess.Popen[str]:
        """Begin the run, called `it`."""
        words = ["run", "--table", "people", "--transform", "tests.faults.etl:older", "--run-id", "it"]
        tuning = ["--jobs", "2", "--chunk-bytes", "160kB", "--batch-rows", "500", "--retries", "6"]
        return self._copypump(*words, *tuning, *WAYS[self.way])

    def resume(self) -> subprocess.Popen[str]:
        """Go on with it; nobody changes the source meanwhile."""
        return self._copypump("resume", "it", "--new-snapshot")

    def _copypump(self, *words: str) -> subprocess.Popen[str]:
        ends = ("--src", self.through["source"], "--dst", self.through["target"], "--no-progress")
        process = subprocess.Popen(
            [sys.executable, "-m", "copypump", *words, *ends],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"},
        )  # fmt: skip
        self._processes.append(process)
        return process

    # What can be seen

    def committed(self) -> int:
        """How many chunks and steps are committed; 0 where there is no ledger, or no server."""
        query = """SELECT (SELECT count(*) FROM copypump.chunks) + (SELECT count(*) FROM copypump.steps)"""
        with contextlib.suppress(psycopg.Error):
            return int(sql(self.dsns["target"], query)[0][0])
        return 0

    def wait_for(self, process: subprocess.Popen[str], step: int) -> bool:
        """Wait until so much is committed; False where the process ended before."""
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None:
            if self.committed() >= step:
                return True
            assert time.monotonic() < deadline, "the run does not get on"
            time.sleep(0.01)
        return False

    def backends(self, side: str, what: str) -> list[int]:
        """The server processes of a run: those of its workers, or the one that lasts (keeper, guard)."""
        name = "copypump it" if what == "workers" else "copypump"
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND datname = %s"
        with contextlib.suppress(psycopg.Error):
            return [pid for (pid,) in sql(self.servers[side].dsn(), query, [name, self.names[side]])]
        return []

    def met(self, side: str, what: str, process: subprocess.Popen[str]) -> list[int]:
        """The same, as soon as there is one: between two chunks a worker is called nothing."""
        while not (found := self.backends(side, what)) and process.poll() is None:
            time.sleep(0.002)
        return found

    def end_backends(self) -> None:
        """As an administrator ends what a network that was cut off has left behind."""
        for side in self.servers:
            for pid in self.backends(side, "workers") + self.backends(side, "lasting"):
                with contextlib.suppress(psycopg.Error):
                    sql(self.servers[side].dsn(), "SELECT pg_terminate_backend(%s)", [pid])

    def wait_for_servers(self) -> None:
        """A server whose backend was killed starts again by itself, all of it."""
        deadline = time.monotonic() + PATIENCE
        for server in self.servers.values():
            while True:
                with contextlib.suppress(psycopg.Error):
                    sql(server.dsn(), "SELECT 1")
                    break
                assert time.monotonic() < deadline, "a server does not come back"
                time.sleep(0.05)

    # How it must end

    def check(self) -> None:
        """Both tables are what they must be, as multisets, and no session is left."""
        self.wait_for_servers()
        with (
            psycopg.connect(self.dsns["source"], application_name=TEST_APPLICATION) as source,
            psycopg.connect(self.dsns["target"], application_name=TEST_APPLICATION) as target,
        ):
            expected = sorted(map(repr, source.execute(AS_IT_LANDS).fetchall()))
            if "append" in self.way:
                expected = sorted([*expected, repr((-1, "was there", 1, None))])
            found = sorted(map(repr, target.execute("SELECT id, name, age, region FROM people").fetchall()))
        assert len(expected) >= ROWS
        if found != expected:
            lost, more = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
            raise AssertionError(
                f"{len(found)} rows instead of {len(expected)}: {lost.total()} lost, {more.total()} too many"
            )
        for side, server in self.servers.items():
            server.check_leaks(self.names[side])


def ended(process: subprocess.Popen[str], seconds: float = PATIENCE) -> tuple[int, str]:
    """Wait for a process; its exit code, and what it said."""
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # it then says where each of its threads stands
        said, _ = process.communicate()
        raise AssertionError(f"it hangs, and said: {said}") from None
    return process.returncode, said


@contextlib.contextmanager
def two_servers() -> Iterator[tuple[SystemServer, SystemServer]]:
    """A source and a target of their own: they are stopped and started."""
    source = SystemServer()
    try:
        target = SystemServer()
        try:
            yield source, target
        finally:
            target.stop()
    finally:
        source.stop()
