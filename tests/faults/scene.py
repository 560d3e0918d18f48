"""A run of several chunks between two servers that can be harmed, both behind proxies that can be, too."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from tests.faults.disk import NAME, Disk, tablespace
from tests.faults.forks import Fork
from tests.faults.patience import PATIENCE, PROMPT, Patience, wait_until
from tests.faults.ways import SOURCE, Way
from tests.proxy import Gate, Proxy
from tests.servers import SystemServer, sql

# The steps of a run, as the target's server is told of them: what a chunk and each phase begins and ends with,
# what takes indexes and constraints away and makes them again (in quotes, that is only noted), and a resume.
STEPS = re.compile(
    rb'UPDATE "copypump"\.runs SET epoch|INSERT INTO "copypump"\.(?:chunks|steps)|COPY [^\0]{1,300}? FROM STDIN|COMMIT(?=\0)'
    rb'|(?<!")(?:DROP INDEX|CREATE (?:UNIQUE )?INDEX (?!ON )|ALTER TABLE [^ \0]{1,150} (?:ADD|DROP) CONSTRAINT)',
    re.DOTALL,
)
# What the target has, beside rows: its own indexes and constraints, and foreign keys to it.
DEFINITIONS = """
SELECT pg_get_indexdef(indexrelid), indisvalid, indisclustered, obj_description(indexrelid, 'pg_class')
  FROM pg_index WHERE indrelid = 'people'::regclass
UNION ALL
SELECT format('%s: %I: %s', conrelid::regclass, conname, pg_get_constraintdef(oid)), convalidated, NULL,
       obj_description(oid, 'pg_constraint')
  FROM pg_constraint WHERE 'people'::regclass IN (conrelid, confrelid)"""
TABLES = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND oid >= 16384"

LEDGER = {(f"copypump.{name}",) for name in ("runs", "chunks", "steps", "rejects")}


class Moment(NamedTuple):
    """When a fault comes: at a step, by its number from 1; or once so many bytes have come or gone."""

    step: int | None = None
    source_bytes: int = 0
    target_bytes: int = 0

    def __str__(self) -> str:
        if self.step is not None:
            return f"step {self.step}"
        if self.source_bytes:
            return f"byte {self.source_bytes:,} of the source"
        return f"byte {self.target_bytes:,} for the target"

    @property
    def side(self) -> str:
        return "source" if self.source_bytes else "target"

    def gate(self) -> Gate:
        """What holds the connection on which it comes."""
        if self.step is not None:
            return Gate("up", seeing=STEPS, number=self.step)
        if self.source_bytes:
            return Gate("down", more=self.source_bytes)
        return Gate("up", more=self.target_bytes)


class Process:
    """One process of copypump's, and those that it starts."""

    def __init__(self, *words: str) -> None:
        self._said = tempfile.TemporaryFile("a+")  # noqa: SIM115 - it is gone with the process
        self._fork = Fork(words, self._said)
        self.pid = self._fork.pid

    @property
    def alive(self) -> bool:
        return self.code is None

    @property
    def code(self) -> int | None:
        return self._fork.wait(0)

    def signal(self, number: int) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def family(self) -> dict[int, str]:
        """The processes that it has started and that are there, each with its command line."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ProcessLookupError):
                # After the name, which is in parentheses: state, parent, group, session.
                state, _, _, session, *_ = (path / "stat").read_text().rpartition(")")[2].split()
                pid = int(path.name)
                if int(session) == self.pid and pid != self.pid and state != "Z":
                    found[pid] = (path / "cmdline").read_text().replace("\0", " ")
        return found

    def workers(self) -> list[int]:
        """Its worker processes."""
        return [pid for pid, command in self.family().items() if "spawn_main" in command]

    def ended(self, seconds: float = PATIENCE) -> tuple[int, str]:
        """Wait for it and all of its family; its exit code, and what it said."""
        patience = Patience(seconds)
        while (code := self._fork.wait(0.2)) is None:
            if patience.over():
                self.signal(signal.SIGABRT)  # it then says where each of its threads stands
                self._end()
                self._fork.wait()
                raise AssertionError(f"it has not ended after {seconds} s, and said: {self._what_it_said()}")
        patience = Patience(PROMPT)
        while left := self.family():
            if patience.over():
                self._end()
                raise AssertionError(f"processes are left: {left}")
            time.sleep(0.02)
        return code, self._what_it_said()

    def _what_it_said(self) -> str:
        self._said.seek(0)
        return self._said.read()

    def _end(self) -> None:
        for pid in self.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """Leave nothing of it, whatever it does."""
        self.signal(signal.SIGKILL)
        self._end()
        self._fork.wait()
        self._said.close()


class Scene:
    """One source and one target database, and the processes that copy between them.

    With `tight`, the target's lies on a small disk. `expected` are the rows that the target is to hold in the
    end, and `rejected` the ids of those that it is to refuse: as the source is now. Its `definitions` and
    `tables` are to be what they were before.
    """

    def __init__(self, source: SystemServer, target: SystemServer, way: Way, *, tight: bool = False) -> None:
        self.servers = {"source": source, "target": target}
        self.way = way
        self.disk: Disk | None = None
        self.gate: Gate | None = None
        self._tight = tight
        self._stack = contextlib.ExitStack()
        self._processes: list[Process] = []

    def __enter__(self) -> Scene:
        with contextlib.ExitStack() as stack:
            enter, options = stack.enter_context, ""
            if self._tight:
                self.disk, options = enter(tablespace(self.servers["target"])), f"TABLESPACE {NAME}"
            self.names = {
                "source": enter(self.servers["source"].fresh_database()),
                "target": enter(self.servers["target"].fresh_database(options)),
            }
            self.dsns = {side: server.dsn(self.names[side]) for side, server in self.servers.items()}
            self.proxies = {side: enter(Proxy(server.address())) for side, server in self.servers.items()}
            self.through = {side: self.proxies[side].dsn(self.dsns[side]) for side in self.servers}
            stack.callback(self._clear_up)
            sql(self.dsns["source"], SOURCE)
            sql(self.dsns["source"], self.way.fill)
            sql(self.dsns["source"], "ANALYZE people")
            self.expected = sql(self.dsns["source"], self.way.lands)
            self.rejected = sql(self.dsns["source"], self.way.rejected) if self.way.rejected else []
            assert self.expected
            sql(self.dsns["target"], SOURCE)
            if self.way.before:
                sql(self.dsns["target"], self.way.before)
            self.definitions = sql(self.dsns["target"], DEFINITIONS)
            self.tables = sql(self.dsns["target"], TABLES)
            for server in self.servers.values():
                server.execute("CHECKPOINT")  # no crash takes along what stands here before a run begins
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def _clear_up(self) -> None:
        self.let_go()
        for process in self._processes:
            process.kill()
        if self.disk is not None:
            self.disk.relieve()
        self.wait_for_servers()

    # Processes

    def start(self) -> Process:
        """Begin the run, called `it`."""
        words = ["run", "--table", "people", "--transform", "tests.faults.etl:older", "--run-id", "it"]
        return self._copypump(*words, "--jobs", "2", "--retries", "6", *self.way.tuning, *self.way.options)

    def resume(self) -> Process:
        """Go on with it; nobody changes the source meanwhile."""
        return self._copypump("resume", "it", "--new-snapshot")

    def _copypump(self, *words: str) -> Process:
        ends = ("--src", self.through["source"], "--dst", self.through["target"], "--no-progress")
        process = Process(*words, *ends)
        self._processes.append(process)
        return process

    # Moments

    def hold(self, moment: Moment) -> Gate:
        """Let the connection on which the moment comes be held there, for the next process."""
        self.let_go()
        self.gate = moment.gate()
        for side, proxy in self.proxies.items():
            proxy.gate = self.gate if side == moment.side else None
        return self.gate

    def let_go(self) -> None:
        """Let what is held go on."""
        if self.gate is not None:
            self.gate.let_go()

    def wait_for(self, process: Process) -> bool:
        """Wait until the moment has come; False where the process ended before."""
        gate = self.gate
        assert gate is not None
        wait_until(lambda: gate.held.is_set() or not process.alive, "the run does not get on")
        return process.alive

    # What can be seen

    def committed(self) -> int:
        """How many chunks and steps are committed; 0 where there is no ledger, or no server."""
        query = """SELECT (SELECT count(*) FROM copypump.chunks) + (SELECT count(*) FROM copypump.steps)"""
        with contextlib.suppress(psycopg.Error):
            return int(sql(self.dsns["target"], query)[0][0])
        return 0

    def done(self) -> bool:
        """Whether the ledger says that the run is done."""
        self.wait_for_servers()
        with contextlib.suppress(psycopg.errors.UndefinedTable):
            return bool(sql(self.dsns["target"], "SELECT 1 FROM copypump.runs WHERE status = 'done'"))
        return False

    def backends(self, side: str, what: str) -> list[int]:
        """The server processes of a run: its workers', the held one first; or those that last (keeper, guard)."""
        name = "copypump it" if what == "workers" else "copypump"
        port = self.gate.port if self.gate is not None else None
        query = """SELECT pid FROM pg_stat_activity WHERE application_name = %s AND datname = %s
                    ORDER BY client_port IS DISTINCT FROM %s, pid"""
        with contextlib.suppress(psycopg.Error):
            return [pid for (pid,) in sql(self.servers[side].dsn(), query, [name, self.names[side], port])]
        return []

    def met(self, side: str, what: str, process: Process) -> list[int]:
        """The same, as soon as there is one; where none is at the moment that is held, the run goes on."""
        while not (found := self.backends(side, what)) and process.alive:
            self.let_go()
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
        for server in self.servers.values():
            wait_until(server.answers, "a server does not come back", pause=0.05)

    def check_sessions(self) -> None:
        """No session of a run is left on either server."""
        self.wait_for_servers()
        for side, server in self.servers.items():
            name = self.names[side]
            wait_until(lambda: not server.sessions(name), f"sessions are left on the {side}", PROMPT)  # noqa: B023

    def check(self) -> None:
        """The tables are what they must be, as multisets, and so are the rejects; nothing of the run is left."""
        self.check_sessions()
        target = self.dsns["target"]
        _compare("rows", self.expected, sql(target, self.way.found))
        if self.way.rejected:
            found = sql(target, "SELECT (row ->> 'id')::int FROM copypump.rejects WHERE run = 'it'")
            _compare("rejects", self.rejected, found)
        found = sql(target, DEFINITIONS)
        assert Counter(found) == Counter(self.definitions), f"{found} instead of {self.definitions}"
        left = set(sql(target, TABLES)) - set(self.tables) - LEDGER
        assert not left, f"tables of the run are left: {left}"


def _compare(what: str, expected: list[tuple[Any, ...]], found: list[tuple[Any, ...]]) -> None:
    lost, more = Counter(expected), Counter(found)
    lost, more = lost - more, more - lost
    assert not lost + more, (
        f"{len(found)} {what} instead of {len(expected)}: {lost.total()} lost, {more.total()} too many"
    )


@contextlib.contextmanager
def two_servers() -> Iterator[tuple[SystemServer, SystemServer]]:
    """A source and a target of their own: they are stopped and started."""
    source = SystemServer()
    try:
        target = SystemServer()
        try:
            # With synchronous_commit off, a crash then takes along whatever was not made durable on purpose.
            target.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
            target.execute("SELECT pg_reload_conf()")
            yield source, target
        finally:
            target.stop()
    finally:
        source.stop()
