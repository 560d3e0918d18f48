"""Every mode x every event x every server, by one chunk and by many in turn: the target's content is exactly what the mode promises, as a multiset.

Whatever happens, it is what was there before, with whole chunks at most where these land one by one; and once
the run is resumed, or where it has no ledger run anew, it is the mode's own result.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import copypump
from copypump.engine.chunks import jobs
from copypump.engine.loading import LOADINGS
from copypump.engine.modes import MODES
from copypump.errors import CopypumpError, ExitCode
from tests.conftest import Pair
from tests.engine.loading import acts
from tests.engine.loading.acts import FATAL
from tests.servers import TEST_APPLICATION, sql

Row = tuple[int, int, str]
Content = Counter[Row]

PARTS = 4  # chunks of a run that has them
SOURCE = [(i, i % PARTS, f"new {i}") for i in range(1, 81)]
BEFORE = [(i, i % PARTS, f"{'old' if i % 3 else 'new'} {i}") for i in range(41, 121)]
# The row at which things go wrong: on both sides, in the middle, and changed.
assert FATAL % 3
assert (FATAL, FATAL % PARTS, f"new {FATAL}") in SOURCE

_new, _old = ({row[0]: row for row in rows} for rows in (SOURCE, BEFORE))
PROMISES: dict[str, Content] = {
    "append": Counter(BEFORE + SOURCE),
    "insert": Counter(BEFORE + SOURCE),
    "truncate": Counter(SOURCE),
    "replace": Counter(SOURCE),
    "upsert": Counter((_old | _new).values()),
    "update": Counter((_old | {id_: row for id_, row in _new.items() if id_ in _old}).values()),
}

# Of these, each committed chunk is there at once; of the others nothing is before the end.
BY_CHUNKS = ("append", "insert")

WAYS: dict[str, dict[str, Any]] = {
    "one": {},
    "many": {"jobs": 2, "split": "values", "split_by": "part", "run_id": "r"},
}
VERSIONS = (15, 16, 18)


class Case:
    """A filled pair, and a mode and a way in which rows shall land."""

    def __init__(self, pair: Pair, mode: str, way: str) -> None:
        self.pair, self.mode, self.way = pair, mode, way
        self.many = way == "many"
        key = " PRIMARY KEY" if MODES[mode].keyed else ""
        for dsn, rows in zip(pair, (SOURCE, BEFORE), strict=True):
            with psycopg.connect(dsn, application_name=TEST_APPLICATION) as connection:
                connection.execute(f"CREATE TABLE t (id int{key}, part int, v text)".encode())
                connection.cursor().executemany("INSERT INTO t VALUES (%s, %s, %s)", rows)

    @property
    def words(self) -> dict[str, Any]:
        key = {"key": ["id"]} if MODES[self.mode].keyed else {}
        job = {"table": "t", "mode": self.mode, "batch_rows": 5, "transform": acts.NAME}
        return job | key | WAYS[self.way]

    def run(self, act: Callable[[], object] | None = None, **options: Any) -> copypump.Report:
        """Run, and do something at the fatal row: it must be met."""
        acts.pending[:] = [act] if act else []
        try:
            return copypump.pump(*self.pair, **self.words | options)
        finally:
            assert not acts.pending, "the row was not met"

    def fails(
        self, *codes: ExitCode, act: Callable[[], object] | None = None, **options: Any
    ) -> CopypumpError:
        with pytest.raises(CopypumpError) as error:
            self.run(act, **options)
        assert error.value.exit_code in codes, error.value
        assert self.is_whole(self.content())
        return error.value

    def content(self) -> Content:
        return Counter(sql(self.pair.dst, "TABLE t"))

    def is_whole(self, content: Content) -> bool:
        """Whether it is what was there before, with whole chunks at most where those land one by one."""
        added = content - Counter(BEFORE)
        if not added or self.mode not in BY_CHUNKS or not self.many:
            return content == Counter(BEFORE)
        parts = {part for _, part, _ in added}
        return content == Counter(BEFORE + [row for row in SOURCE if row[1] in parts]) and len(parts) < PARTS

    def is_done(self) -> bool:
        return self.content() == PROMISES[self.mode]

    def resume(self) -> None:
        """What is left lands; a run without a ledger left nothing, and begins anew."""
        if self.many:
            copypump.resume("r", *self.pair, new_snapshot=True)
        else:
            self.run()
        assert self.is_done()


# What happens; each shows that it did ---------------------------------------------------------------------


def success(case: Case) -> None:
    report = case.run()
    assert report.rows_read == report.rows_written == len(SOURCE)
    assert case.is_done()


def transform_fails(case: Case) -> None:
    def burst() -> None:
        raise ValueError

    case.fails(ExitCode.TRANSFORM, act=burst)
    case.resume()


def target_refuses_a_row(case: Case) -> None:
    """The new table of a run that replaces has the constraint, too: there it is not for resume to mend."""
    sql(case.pair.dst, f"ALTER TABLE t ADD CONSTRAINT c CHECK (v <> 'new {FATAL}')")
    assert case.fails(ExitCode.TARGET).sqlstate == "23514"
    sql(case.pair.dst, "ALTER TABLE t DROP CONSTRAINT c")
    if case.mode == "replace" and case.many:
        copypump.forget("r", case.pair.dst)
        case.many = False
    case.resume()


def target_is_killed_while_rows_move(case: Case) -> None:
    """In a run with a ledger, another attempt lands the chunk."""

    def kill() -> None:
        killed = sql(
            case.pair.dst,
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l LEFT JOIN pg_class c ON c.oid = l.relation"
            " WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND l.mode IN ('RowExclusiveLock', 'AccessExclusiveLock') AND l.pid <> pg_backend_pid()"
            # A table that a transaction makes is not to be seen yet.
            " AND coalesce(c.relkind, 'r') = 'r' AND coalesce(c.relname, '') NOT IN ('runs', 'chunks', 'steps')",
        )
        assert killed

    if case.many:
        assert case.run(kill).retries
        assert case.is_done()
    else:
        case.fails(ExitCode.TARGET, act=kill)
        case.resume()


# Kills its own server process: by a deferred trigger, in the COMMIT; by an event trigger, in the swap, where
# the new table has no trigger before. No rollback takes back what a sequence has given.
_KILL = (
    "BEGIN PERFORM nextval('public.hits'), pg_terminate_backend(pg_backend_pid()), pg_sleep(10); RETURN; END"
)
_DEFERRED = f"""
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ {_KILL.replace("RETURN;", "RETURN NULL;")} $$;
CREATE CONSTRAINT TRIGGER f AFTER INSERT OR UPDATE ON t DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.v = 'new {FATAL}') EXECUTE FUNCTION f()"""
_SWAP = f"""
CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS $$ {_KILL} $$;
CREATE EVENT TRIGGER f ON ddl_command_end WHEN tag IN ('DROP TABLE') EXECUTE FUNCTION f()"""


def target_is_killed_before_the_commit(case: Case) -> None:
    sql(case.pair.dst, "CREATE SEQUENCE hits")
    sql(case.pair.dst, _SWAP if case.mode == "replace" else _DEFERRED)
    case.fails(ExitCode.RESUMABLE if case.many else ExitCode.TARGET, retries=0)
    assert sql(case.pair.dst, "SELECT is_called FROM hits") == [(True,)]
    sql(case.pair.dst, "DROP FUNCTION f CASCADE")
    case.resume()


def copypump_is_killed(case: Case) -> None:
    words = {name: value for name, value in case.words.items() if name != "key"}
    flags = [word for name, value in words.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    key = ["--key", "id"] if MODES[case.mode].keyed else []
    done = subprocess.run(
        [sys.executable, "-m", "copypump", "run", "--src", case.pair.src, "--dst", case.pair.dst, *flags, *key],
        cwd=Path(__file__).parents[3], env=os.environ | {acts.KILL: "1"}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert case.is_whole(case.content())
    case.resume()


def ctrl_c(case: Case) -> None:
    with pytest.raises(KeyboardInterrupt):
        case.run(lambda: os.kill(os.getpid(), signal.SIGINT) or threading.Event().wait(0.2))
    assert case.is_whole(case.content())
    case.resume()


def others_read(case: Case) -> None:
    """They see what was there, or whole chunks, or all; or they wait: for the mode that locks everybody out."""
    seen: list[Content | None] = []  # None: waited in vain
    stop, patience = threading.Event(), 100 if case.mode == "truncate" else 0

    def read() -> None:
        with psycopg.connect(
            case.pair.dst,
            autocommit=True,
            application_name=TEST_APPLICATION,
            options=f"-c lock_timeout={patience}",
        ) as reader:
            while not stop.is_set():
                try:
                    seen.append(Counter(reader.execute("TABLE t").fetchall()))
                except psycopg.errors.LockNotAvailable:
                    seen.append(None)

    def let_them_look() -> None:
        enough, until = len(seen) + 2, time.monotonic() + 20  # the second has begun since
        while len(seen) < enough:
            assert thread.is_alive()
            assert time.monotonic() < until, "they are kept out"
            stop.wait(0.005)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        let_them_look()
        case.run(let_them_look)
        assert case.is_done()
        let_them_look()
    finally:
        stop.set()
        thread.join()
    assert seen[0] == Counter(BEFORE)
    assert seen[-1] == PROMISES[case.mode]
    assert (None in seen) == (case.mode == "truncate")
    assert all(each in (None, PROMISES[case.mode]) or case.is_whole(each) for each in seen)


EVENTS: tuple[Callable[[Case], None], ...] = (
    success,
    transform_fails,
    target_refuses_a_row,
    target_is_killed_while_rows_move,
    target_is_killed_before_the_commit,
    copypump_is_killed,
    ctrl_c,
    others_read,
)


def cases() -> Iterator[tuple[str, str, Callable[[Case], None], int]]:
    """Every mode and every event on every server; the ways take turns, so that each is gone in every case."""
    for (place, mode), (number, event) in itertools.product(enumerate(MODES), enumerate(EVENTS)):
        for turn, version in enumerate(VERSIONS, place + number):
            way = "one" if MODES[mode].single else list(WAYS)[turn % len(WAYS)]
            yield mode, way, event, version


CASES = list(cases())


def test_every_mode_is_there() -> None:
    assert set(MODES) | {""} == set(LOADINGS)
    assert set(PROMISES) == set(MODES)
    ways = [(mode, way) for mode in MODES for way in WAYS if not (MODES[mode].single and way == "many")]
    assert {(mode, way, event) for mode, way, event, _ in CASES} == {
        (*each, event) for each in ways for event in EVENTS
    }
    assert {(way, version) for _, way, _, version in CASES} == set(itertools.product(WAYS, VERSIONS))


@pytest.fixture
def servers(request: pytest.FixtureRequest, version: int) -> Iterator[Pair]:
    source, target = request.getfixturevalue("pg15"), request.getfixturevalue(f"pg{version}")
    with source.fresh_database() as src, target.fresh_database() as dst:
        yield Pair(source.dsn(src), target.dsn(dst))


@pytest.mark.parametrize(
    ("mode", "way", "event", "version"),
    CASES,
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_the_promise_holds(
    servers: Pair, mode: str, way: str, event: Callable[[Case], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_FIRST_PAUSE", 0.01)
    event(Case(servers, mode, way))
