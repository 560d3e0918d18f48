"""Every mode, whatever happens: the target's content is exactly what the mode promises, as a multiset."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
import pyarrow as pa
import pytest

import copypump
from copypump.engine.loading import LOADINGS
from copypump.engine.modes import MODES
from copypump.errors import CopypumpError, ExitCode
from tests.conftest import Pair
from tests.servers import TEST_APPLICATION, sql

Row = tuple[int, int, str]
Content = Counter[Row]

PARTS = 4  # chunks of a run that has them
SOURCE = [(i, i % PARTS, f"new {i}") for i in range(1, 81)]
BEFORE = [(i, i % PARTS, f"{'old' if i % 3 else 'new'} {i}") for i in range(41, 121)]
FATAL = 58  # the id at which things go wrong: on both sides, in the middle, and changed
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
CASES = [
    (mode, way) for mode, way in itertools.product(MODES, WAYS) if not (MODES[mode].single and way == "many")
]

Transform = Callable[[pa.RecordBatch], pa.RecordBatch]


def test_every_mode_is_there() -> None:
    assert set(MODES) | {""} == set(LOADINGS)
    assert set(PROMISES) == set(MODES)
    assert len(CASES) >= 2 * len(MODES) - 1


@pytest.fixture(params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest, pair: Pair) -> Case:
    return Case(pair, *request.param)


class Case:
    """A filled pair, and a mode and a way in which rows shall land."""

    def __init__(self, pair: Pair, mode: str, way: str) -> None:
        self.pair, self.mode, self.way = pair, mode, way
        for dsn, rows in zip(pair, (SOURCE, BEFORE), strict=True):
            key = " PRIMARY KEY" if MODES[mode].keyed else ""
            with psycopg.connect(dsn, application_name=TEST_APPLICATION) as connection:
                connection.execute(f"CREATE TABLE t (id int{key}, part int, v text)".encode())
                connection.cursor().executemany("INSERT INTO t VALUES (%s, %s, %s)", rows)

    def run(self, **options: Any) -> copypump.Report:
        key = {"key": ["id"]} if MODES[self.mode].keyed else {}
        return copypump.pump(
            *self.pair, **{"table": "t", "mode": self.mode, "batch_rows": 5} | key | WAYS[self.way] | options
        )

    def content(self) -> Content:
        return Counter(sql(self.pair.dst, "TABLE t"))

    def is_whole(self, content: Content) -> bool:
        """Whether it is what was there before, with whole chunks at most where those land one by one."""
        added = content - Counter(BEFORE)
        if not added or self.mode not in BY_CHUNKS or self.way == "one":
            return content == Counter(BEFORE)
        parts = {part for _, part, _ in added}
        return content == Counter(BEFORE + [row for row in SOURCE if row[1] in parts]) and len(parts) < PARTS

    def fails(self, *codes: ExitCode, **options: Any) -> CopypumpError:
        with pytest.raises(CopypumpError) as error:
            self.run(**options)
        assert error.value.exit_code in codes, error.value
        assert self.is_whole(self.content())
        return error.value

    def resume(self) -> None:
        """What is left lands, once what stood against it is gone; a run without a ledger begins anew."""
        if self.way == "many":
            copypump.resume("r", *self.pair, new_snapshot=True)
        else:
            self.run()
        assert self.content() == PROMISES[self.mode]


def at_the_fatal_row(act: Callable[[], object]) -> Transform:
    """A transform that does something, once, when it meets the row."""
    left = [act]

    def transform(batch: pa.RecordBatch) -> pa.RecordBatch:
        if FATAL in batch.column("id").to_pylist() and left:
            left.pop()()
        return batch

    return transform


@pytest.mark.parametrize("version", [15, 16, 18])
@pytest.mark.parametrize(("mode", "way"), CASES)
def test_success(request: pytest.FixtureRequest, mode: str, way: str, version: int) -> None:
    source, target = request.getfixturevalue("pg15"), request.getfixturevalue(f"pg{version}")
    with source.fresh_database() as src, target.fresh_database() as dst:
        case = Case(Pair(source.dsn(src), target.dsn(dst)), mode, way)
        report = case.run()
        assert case.content() == PROMISES[mode]
        assert report.rows_read == report.rows_written == len(SOURCE)


def test_a_transform_that_fails(case: Case) -> None:
    def burst() -> None:
        raise ValueError

    case.fails(ExitCode.TRANSFORM, transform=at_the_fatal_row(burst))


def test_a_row_that_the_target_refuses(case: Case) -> None:
    sql(case.pair.dst, f"ALTER TABLE t ADD CONSTRAINT c CHECK (v <> 'new {FATAL}')")
    assert case.fails(ExitCode.TARGET).sqlstate == "23514"
    sql(case.pair.src, f"UPDATE t SET v = 'new {FATAL}' WHERE id = {FATAL}")
    sql(case.pair.dst, "ALTER TABLE t DROP CONSTRAINT c")
    if case.mode == "replace" and case.way == "many":  # its new table has the constraint
        copypump.forget("r", case.pair.dst)
        case.way = "one"
    case.resume()


def test_a_backend_that_is_killed_while_rows_move(case: Case) -> None:
    """In a run of chunks, another attempt lands the chunk."""

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

    transform = at_the_fatal_row(kill)
    if case.way == "one":
        case.fails(ExitCode.TARGET, transform=transform)
        return
    assert case.run(transform=transform).retries
    assert case.content() == PROMISES[case.mode]


@pytest.mark.parametrize(("mode", "way"), [each for each in CASES if each[0] != "replace"])
def test_a_backend_that_is_killed_while_rows_land(pair: Pair, mode: str, way: str) -> None:
    """In the merge, where there is one."""
    case = Case(pair, mode, way)
    sql(pair.dst, f"""CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        IF NEW.v = 'new {FATAL}' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW; END$$;
        CREATE TRIGGER f BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()""")  # fmt: skip
    case.fails(ExitCode.RESUMABLE if way == "many" else ExitCode.TARGET, retries=0)
    sql(pair.dst, "DROP FUNCTION f CASCADE")
    case.resume()


def test_an_interrupt(case: Case) -> None:
    with pytest.raises(KeyboardInterrupt):
        case.run(
            transform=at_the_fatal_row(
                lambda: os.kill(os.getpid(), signal.SIGINT) or threading.Event().wait(0.5)
            )
        )
    assert case.is_whole(case.content())


def test_a_reader_beside_it(case: Case) -> None:
    """It sees what was there, or whole chunks, or waits: for the mode that locks everybody out."""
    seen: list[Content] = []

    def look() -> None:
        with psycopg.connect(
            case.pair.dst, autocommit=True, application_name=TEST_APPLICATION, options="-c lock_timeout=200"
        ) as reader:
            try:
                seen.append(Counter(reader.execute("TABLE t").fetchall()))
            except psycopg.errors.LockNotAvailable:
                assert case.mode == "truncate"
                seen.append(Counter(BEFORE))

    case.run(transform=at_the_fatal_row(look))
    assert len(seen) == 1
    assert case.is_whole(seen[0])
    assert case.content() == PROMISES[case.mode]
