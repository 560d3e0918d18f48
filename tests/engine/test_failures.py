"""What goes wrong while rows move: one clear error, the target as it was, no session left on either server."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import copypump
from copypump.errors import ExitCode
from tests.conftest import Pair
from tests.engine.conftest import ROWS, people, wire
from tests.proxy import Fault, Proxy
from tests.servers import role, sql


def failed(pair: Pair, code: ExitCode, **options: Any) -> copypump.CopypumpError:
    """The error of a run that must fail with `code`, and leave the target's `people` as it was."""
    before = wire(pair.dst, "TABLE people")
    with pytest.raises(copypump.CopypumpError) as error:
        copypump.pump(
            pair.src, pair.dst, **{"table": "people", "mode": "truncate", "batch_rows": 100} | options
        )
    assert error.value.exit_code == code, error.value
    assert wire(pair.dst, "TABLE people") == before
    assert "as it was before" in str(error.value.state)
    return error.value


@pytest.fixture
def filled(example: Pair) -> Pair:
    """The example, with a row on the target that must survive."""
    sql(example.dst, "INSERT INTO people VALUES (-1, 'old', 1, 1)")
    return example


def at_row(number: int, change: Callable[[pa.RecordBatch], Any]) -> Callable[[pa.RecordBatch], Any]:
    """`people`, but `change` for the batch that holds the row with this id."""

    def transform(batch: pa.RecordBatch) -> Any:
        done = people(batch)
        return change(done) if number in batch.column("id").to_pylist() else done

    return transform


def changed(
    name: str, value: Any, number: int, type_: pa.DataType
) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
    """A change of one value of the row with this id."""

    def change(batch: pa.RecordBatch) -> pa.RecordBatch:
        at = batch.schema.get_field_index(name)
        values = batch.column(at).cast(type_).to_pylist()
        values[batch.column("id").to_pylist().index(number)] = value
        return batch.set_column(at, name, pa.array(values, type_))

    return change


# The transform ------------------------------------------------------------------------------------------


def test_a_transform_that_raises_in_the_middle_names_batch_and_rows(filled: Pair) -> None:
    def burst(batch: pa.RecordBatch) -> pa.RecordBatch:
        raise ValueError(f"secret {batch.column('name')[0]}")

    error = failed(filled, ExitCode.TRANSFORM, transform=at_row(1234, burst))
    assert "batch 13" in str(error)
    assert "1,201 to 1,300" in str(error)
    assert "ValueError" in str(error)
    assert "secret" not in str(error)


def test_a_transform_that_returns_none_in_the_middle(filled: Pair) -> None:
    error = failed(filled, ExitCode.TRANSFORM, transform=at_row(1234, lambda _: None))
    assert "batch 13" in str(error)


def test_a_schema_that_changes_in_the_middle(filled: Pair) -> None:
    def renamed(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.rename_columns(["id", "name", "age", "salary_after_tex"])

    def retyped(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.set_column(2, "age", batch.column("age").cast(pa.string()))

    error = failed(filled, ExitCode.TRANSFORM, transform=at_row(1234, renamed))
    assert "salary_after_tex" in str(error)
    error = failed(filled, ExitCode.TRANSFORM, transform=at_row(1234, retyped))
    assert error.column == "age"
    assert "batch 13" in str(error)


def test_types_may_vary_where_nothing_is_lost(example: Pair) -> None:
    def narrow(batch: pa.RecordBatch) -> pa.RecordBatch:
        batch = batch.set_column(2, "age", batch.column("age").cast(pa.int8()))
        return batch.set_column(1, "name", batch.column("name").dictionary_encode())

    def nothing(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.set_column(1, "name", pa.nulls(batch.num_rows))

    both = at_row(7, nothing)
    copypump.pump(
        example.src,
        example.dst,
        table="people",
        batch_rows=100,
        transform=lambda batch: (
            narrow(people(batch)) if batch.num_rows and 777 in batch[0].to_pylist() else both(batch)
        ),
    )
    assert sql(example.dst, "SELECT count(*), count(name) FROM people") == [(ROWS, ROWS - 100)]


@pytest.mark.parametrize(
    ("name", "value", "type_", "says"),
    [
        ("age", 1 << 31, pa.int64(), "int32"),
        ("age", -(1 << 40), pa.int64(), "int32"),
        ("name", "nul\0byte", pa.string(), "NUL"),
        ("id", None, pa.int64(), "NULL"),
    ],
)
def test_a_value_that_does_not_fit_names_column_and_row(
    filled: Pair, name: str, value: Any, type_: pa.DataType, says: str
) -> None:
    error = failed(filled, ExitCode.TRANSFORM, transform=at_row(1234, changed(name, value, 1234, type_)))
    assert (error.column, error.row) == (name, 1234)
    assert says in str(error)
    assert str(value) == "None" or str(value) not in str(error)


def test_text_and_numeric_beyond_the_targets_typmod(filled: Pair) -> None:
    sql(
        filled.dst, "ALTER TABLE people ALTER name TYPE varchar(11), ALTER salary_after_tax TYPE numeric(6,2)"
    )

    def as_decimal(value: str) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
        def transform(batch: pa.RecordBatch) -> pa.RecordBatch:
            batch = people(batch)
            wanted = pc.if_else(pc.equal(batch.column("id"), 1234), value, "1.50")
            return batch.set_column(3, "salary_after_tax", wanted.cast(pa.decimal128(12, 4)))

        return transform

    for value in ("10000.00", "1.0001"):
        error = failed(filled, ExitCode.TRANSFORM, transform=as_decimal(value))
        assert (error.column, error.row) == ("salary_after_tax", 1234)
    sql(filled.dst, "ALTER TABLE people ALTER name TYPE varchar(10)")
    error = failed(filled, ExitCode.TRANSFORM, transform=as_decimal("1.5000"))
    assert (error.column, error.row) == ("name", 1000)


def test_a_value_that_arrow_cannot_hold(filled: Pair) -> None:
    sql(filled.src, "ALTER TABLE people ALTER salary TYPE numeric(10,2)")
    sql(filled.src, "UPDATE people SET salary = 'NaN' WHERE id = 1234")
    row = sql(
        filled.src, "SELECT n FROM (SELECT id, row_number() OVER () AS n FROM people) AS p WHERE id = 1234"
    )
    error = failed(filled, ExitCode.TRANSFORM, transform=lambda batch: people(batch), types={})
    assert (error.column, error.row) == ("salary", row[0][0])
    assert "--type salary=utf8" in str(error.hint)


def test_a_transform_that_loses_the_row_column(example: Pair) -> None:
    @copypump.reads("age")
    def loses(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.select(["age"])

    with pytest.raises(copypump.RefusedError, match="__copypump_row"):
        copypump.pump(example.src, example.dst, table="people", transform=loses)


@pytest.mark.parametrize("row", [-1, 1000, None])
def test_a_transform_that_names_rows_that_are_not_there(pair: Pair, row: int | None) -> None:
    for dsn in pair:
        sql(dsn, "CREATE TABLE people (id bigint, doc text)")
    sql(pair.src, "INSERT INTO people SELECT i, i FROM generate_series(1, 10) AS i")

    @copypump.reads("id")
    def lies(batch: pa.RecordBatch) -> pa.RecordBatch:
        if not batch.num_rows:
            return batch
        return batch.set_column(1, "__copypump_row", pa.array([row] * batch.num_rows, pa.int32()))

    failed(pair, ExitCode.TRANSFORM, transform=lies)


def test_a_transform_that_keeps_rows_for_a_later_batch(pair: Pair) -> None:
    """What it does not read is gone by then: the bytes of other rows stand in the same places."""
    for dsn in pair:
        sql(dsn, "CREATE TABLE people (id bigint, doc text)")
    sql(pair.src, "INSERT INTO people SELECT i, i FROM generate_series(1, 10) AS i")
    kept: list[pa.RecordBatch] = []

    @copypump.reads("id")
    def late(batch: pa.RecordBatch) -> pa.RecordBatch:
        if not batch.num_rows:
            return batch
        kept.append(batch)
        return kept[max(0, len(kept) - 2)]

    error = failed(pair, ExitCode.TRANSFORM, transform=late, batch_rows=5)
    assert "the call that they came with" in str(error.hint)


# The servers ---------------------------------------------------------------------------------------------


def test_a_row_that_the_target_refuses_in_the_middle(filled: Pair) -> None:
    sql(filled.dst, "CREATE UNIQUE INDEX once ON people (id)")
    error = failed(filled, ExitCode.TARGET, transform=at_row(1234, changed("id", 1000, 1234, pa.int64())))
    assert error.sqlstate == "23505"
    assert "once" in f"{error}{error.hint}"
    assert error.row == 1234
    assert "1000" not in str(error)


def test_a_refused_row_is_noticed_early(pair: Pair) -> None:
    """A unique violation in the second row ends the run long before the source's 200 MB are sent."""
    sql(pair.dst, "CREATE TABLE people (id bigint PRIMARY KEY, doc text)")
    query = "SELECT least(i, 1) AS id, repeat('x', 1000) AS doc FROM generate_series(0, 200000) AS i"
    error = failed(
        pair, ExitCode.TARGET, table=None, query=query, into="people", mode="append", batch_rows=65536
    )
    assert error.sqlstate == "23505"
    report = error.report
    assert isinstance(report, copypump.Report)
    assert report.status == "failed"
    assert report.rows_written == 0
    assert report.bytes_written < 64_000_000


@pytest.mark.parametrize(("declared", "way"), [("bit(5)", "bit(7)"), ("varbit(5)", "varbit(7)")])
def test_plain_bytes_that_a_typmod_does_not_hold(pair: Pair, declared: str, way: str) -> None:
    """Bytes that were stripped of their type say nothing of their length."""
    sql(pair.src, f"CREATE TABLE people (b {way}); INSERT INTO people VALUES (b'1010101')")
    sql(pair.dst, f"CREATE TABLE people (b {declared}); INSERT INTO people VALUES (b'10101')")

    def bare(batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([batch.column(0).storage], names=["b"])

    assert failed(pair, ExitCode.REFUSED, transform=bare, types={"b": "opaque"}).column == "b"


def test_a_trigger_that_drops_rows_is_a_difference(filled: Pair) -> None:
    sql(
        filled.dst,
        "CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF new.id = 1234 THEN RETURN NULL;"
        " END IF; RETURN new; END'; CREATE TRIGGER skip BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION skip()",
    )
    error = failed(filled, ExitCode.TARGET, transform=people)
    assert "5,000" in str(error)
    assert "4,999" in str(error)


def test_a_deferred_constraint_that_fails_at_commit(filled: Pair) -> None:
    sql(filled.dst, "ALTER TABLE people ADD UNIQUE (id) DEFERRABLE INITIALLY DEFERRED")
    error = failed(filled, ExitCode.TARGET, transform=at_row(1234, changed("id", 1000, 1234, pa.int64())))
    assert error.sqlstate == "23505"


def test_no_permission(filled: Pair, pg15: Any) -> None:
    name = sql(filled.src, "SELECT current_database()")[0][0]
    role(pg15, name, "reader")
    stranger = Pair(pg15.dsn(name, user="reader"), filled.dst)
    error = failed(stranger, ExitCode.SOURCE, transform=people)
    assert error.sqlstate == "42501"


def test_no_permission_on_the_target(same_server_pair: Pair, pg15: Any) -> None:
    for dsn in same_server_pair:
        sql(dsn, "CREATE TABLE people (id bigint)")
    sql(same_server_pair.dst, "INSERT INTO people VALUES (1)")
    name = sql(same_server_pair.dst, "SELECT current_database()")[0][0]
    role(pg15, name, "writer", "GRANT SELECT ON people TO writer")
    with pytest.raises(copypump.TargetError) as error:
        copypump.pump(same_server_pair.src, pg15.dsn(name, user="writer"), table="people", mode="append")
    assert error.value.sqlstate == "42501"
    assert sql(same_server_pair.dst, "SELECT count(*) FROM people") == [(1,)]


def test_a_role_that_may_insert_only(same_server_pair: Pair, pg15: Any) -> None:
    for dsn in same_server_pair:
        sql(dsn, "CREATE TABLE people (id bigint)")
    sql(same_server_pair.src, "INSERT INTO people VALUES (1), (2)")
    name = sql(same_server_pair.dst, "SELECT current_database()")[0][0]
    role(pg15, name, "inserter", "GRANT INSERT ON people TO inserter")
    dst = pg15.dsn(name, user="inserter")
    with pytest.raises(copypump.RefusedError, match="may not look") as error:
        copypump.pump(same_server_pair.src, dst, table="people")
    assert "--mode append" in str(error.value.hint)
    report = copypump.pump(same_server_pair.src, dst, table="people", mode="append")
    assert report.rows_written == 2


def test_a_server_that_is_not_there(filled: Pair) -> None:
    gone = "host=127.0.0.1 port=1 password=geheim"
    failed(Pair(gone, filled.dst), ExitCode.SOURCE, transform=people)
    with pytest.raises(copypump.TargetError) as error:
        copypump.pump(filled.src, gone, table="people", transform=people)
    assert "geheim" not in str(error.value)


def slow(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The example's transform, so slow that there is time to do harm: 50 batches, some seconds."""
    time.sleep(0.05)
    return people(batch)


def while_copying(pair: Pair, harm: Callable[[], object], after: float = 0.6) -> threading.Thread:
    """Do harm once both servers are in their COPY."""

    def wait() -> None:
        for dsn in pair:
            while not sql(
                dsn, "SELECT 1 FROM pg_stat_activity WHERE application_name = 'copypump' AND query ~ '^COPY'"
            ):
                time.sleep(0.02)
        time.sleep(after)
        harm()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'copypump' AND datname = current_database()"
)


@pytest.mark.parametrize("side", ["src", "dst"])
def test_a_killed_backend(filled: Pair, side: str) -> None:
    sql(
        filled.src,
        "INSERT INTO people SELECT i, repeat('x', 20000), 1, 1 FROM generate_series(6000, 9000) AS i",
    )
    thread = while_copying(filled, lambda: sql(getattr(filled, side), TERMINATE))
    code = ExitCode.SOURCE if side == "src" else ExitCode.TARGET
    error = failed(filled, code, transform=slow)
    thread.join()
    assert error.sqlstate in ("57P01", None)


@pytest.fixture
def proxied(filled: Pair, pg15: Any) -> Iterator[tuple[Pair, Proxy]]:
    """The example with a proxy in front of the source."""
    with Proxy(pg15.address()) as proxy:
        yield Pair(proxy.dsn(filled.src), filled.dst), proxy


@pytest.mark.parametrize("action", ["rst", "fin"])
@pytest.mark.parametrize("seed", range(4))
def test_a_source_cut_at_a_random_byte(proxied: tuple[Pair, Proxy], action: Any, seed: int) -> None:
    pair, proxy = proxied
    # Behind the megabyte that grows libpq's buffer, anywhere in the 220 kB of the table.
    proxy.fault = Fault("down", action=action, at=1_070_000 + random.Random(seed).randrange(200_000))
    failed(pair, ExitCode.SOURCE, transform=people)
    assert proxy.fault.fired


@pytest.mark.parametrize("seed", range(4))
def test_a_target_cut_at_a_random_byte(same_server_pair: Pair, pg15: Any, seed: int) -> None:
    for dsn in same_server_pair:
        sql(dsn, "CREATE TABLE people (id bigint, name text)")
    sql(
        same_server_pair.src,
        "INSERT INTO people SELECT i, 'person ' || i FROM generate_series(1, 20000) AS i",
    )
    with Proxy(pg15.address()) as proxy:
        proxy.fault = Fault("up", action="rst", at=10_000 + random.Random(seed).randrange(500_000))
        pair = Pair(same_server_pair.src, proxy.dsn(same_server_pair.dst))
        before = wire(same_server_pair.dst, "TABLE people")
        with pytest.raises(copypump.TargetError):
            copypump.pump(*pair, table="people", batch_rows=500)
        assert proxy.fault.fired
    assert wire(same_server_pair.dst, "TABLE people") == before


@pytest.mark.parametrize("side", ["src", "dst"])
def test_a_given_connection_that_is_lost(filled: Pair, side: str) -> None:
    sql(
        filled.src,
        "INSERT INTO people SELECT i, repeat('x', 20000), 1, 1 FROM generate_series(6000, 9000) AS i",
    )
    with psycopg.connect(filled.src) as source, psycopg.connect(filled.dst) as target:
        given = {"src": source, "dst": target}
        pid = given[side].info.backend_pid

        def kill_once(_progress: copypump.Progress) -> None:
            sql(getattr(filled, side), "SELECT pg_terminate_backend(%s)", [pid])

        with pytest.raises(copypump.CopypumpError) as error:
            copypump.pump(
                source, target, table="people", mode="truncate", batch_rows=100, transform=slow,
                on_progress=kill_once, progress_interval=0.05,
            )  # fmt: skip
        assert given[side].closed
        assert error.value.closed == ("source" if side == "src" else "target",)
        other = given["dst" if side == "src" else "src"]
        assert other.execute("SELECT count(*) FROM people").fetchone() is not None
    assert error.value.state == "nothing was committed: the target is as it was before"
    assert isinstance(error.value.report, copypump.Report)
    assert "was closed" in error.value.report.warnings[0]
    assert sql(filled.dst, "SELECT id FROM people") == [(-1,)]


def test_a_given_connection_that_is_lost_with_the_answer_to_commit(same_server_pair: Pair, pg15: Any) -> None:
    """Everything is there, and that the connection is not is said where success is."""
    for dsn in same_server_pair:
        sql(dsn, "CREATE TABLE people (id bigint)")
    sql(same_server_pair.src, "INSERT INTO people VALUES (1)")
    with Proxy(pg15.address()) as proxy:
        proxy.fault = Fault("up", "lose answer", seeing=b"COMMIT\0")
        with psycopg.connect(proxy.dsn(same_server_pair.dst)) as target:
            report = copypump.pump(same_server_pair.src, target, table="people")
            assert target.closed
    assert proxy.fault.fired
    assert report.status == "done"
    assert report.warnings == [
        "the given connection to the target could not come back to idle, and was closed"
    ]
    assert sql(same_server_pair.dst, "TABLE people") == [(1,)]


# Interrupts ----------------------------------------------------------------------------------------------

SLOW = """
import time
from tests.engine.conftest import people

def clean(batch):
    time.sleep(0.05)
    return people(batch)
"""

HUNG = """
import time

def stop(batch):
    time.sleep(60 if batch.num_rows else 0)
    return batch
"""


@pytest.fixture
def started(filled: Pair, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`started(*options)`: copypump run of the example, slowly, in a process of its own."""
    (tmp_path / "slow_etl.py").write_text(SLOW)
    processes: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "copypump", "run", "--src", filled.src, "--dst", filled.dst]
        command += ["--table", "people", "--transform", "slow_etl:clean", "--pythonpath", str(tmp_path)]
        command += ["--mode", "truncate", "--batch-rows", "50", *options]
        root = Path(__file__).parents[2]
        environment = os.environ | {"PYTHONPATH": str(root)}
        process = subprocess.Popen(
            command, cwd=root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], number: int) -> tuple[int, str]:
    """Send the signal; exit code and stderr, within the promised 10 seconds."""
    process.send_signal(number)
    _, stderr = process.communicate(timeout=10)
    return process.returncode, stderr


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, ExitCode.SIGINT), (signal.SIGTERM, ExitCode.SIGTERM)]
)
def test_interrupted_while_copying(
    filled: Pair, started: Callable[..., subprocess.Popen[str]], number: int, code: ExitCode
) -> None:
    process = started()
    while_copying(filled, lambda: None).join()
    returned, stderr = ended(process, number)
    assert returned == code, stderr
    assert "Traceback" not in stderr
    assert sql(filled.dst, "SELECT id FROM people") == [(-1,)]


@pytest.mark.parametrize("side", ["src", "dst"])
def test_interrupted_while_waiting_for_a_lock(
    filled: Pair, started: Callable[..., subprocess.Popen[str]], side: str
) -> None:
    dsn = getattr(filled, side)
    with psycopg.connect(dsn) as locker:
        locker.execute("LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
        process = started()
        waiting = (
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'copypump' AND wait_event_type = 'Lock'"
        )
        while not sql(dsn, waiting):
            assert process.poll() is None
            time.sleep(0.05)
        returned, stderr = ended(process, signal.SIGINT)
        assert returned == ExitCode.SIGINT, stderr
        assert not sql(dsn, waiting)
    assert sql(filled.dst, "SELECT id FROM people") == [(-1,)]


def test_interrupted_while_the_transform_hangs(
    filled: Pair, started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    (tmp_path / "hung_etl.py").write_text(HUNG)
    process = started("--transform", "hung_etl:stop")
    while_copying(filled, lambda: None).join()
    returned, stderr = ended(process, signal.SIGINT)
    assert returned == ExitCode.SIGINT, stderr
    assert "left behind" in stderr
    assert sql(filled.dst, "SELECT id FROM people") == [(-1,)]


def test_exit_codes_of_the_command(filled: Pair, started: Callable[..., subprocess.Popen[str]]) -> None:
    process = started("--into", "nowhere")
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == ExitCode.REFUSED, stderr
    assert stdout == ""
    assert "nowhere" in stderr


# Versions ------------------------------------------------------------------------------------------------


def test_infinite_intervals_do_not_turn_finite_on_an_older_server(pg18: Any, pg16: Any) -> None:
    """Wherever they stand, and whether or not anybody reads them."""
    values = {
        "v": ("interval", "%s"),
        "many": ("interval[]", "{1 day,NULL,%s}"),
        "held": ("holder", '(x,"[1 day,%s)")'),
    }
    with pg18.fresh_database() as source, pg16.fresh_database() as target:
        pair = Pair(pg18.dsn(source), pg16.dsn(target))
        sql(pair.dst, "CREATE TYPE other AS ENUM ('x')")  # the oids are to be rewritten, too
        for dsn in pair:
            sql(dsn, "CREATE TYPE mood AS ENUM ('x'); CREATE TYPE span AS RANGE (subtype = interval)")
            sql(dsn, "CREATE TYPE holder AS (m mood, s span)")
            body = ", ".join(f"{name} {declared}" for name, (declared, _) in values.items())
            sql(dsn, f"CREATE TABLE people (id bigint, {body})")
        finite = {name: value.replace("%s", "2 days") for name, (_, value) in values.items()}
        names, marks = ", ".join(finite), ", ".join(["%s"] * len(finite))
        fill = f"INSERT INTO people SELECT i, {marks} FROM generate_series(1, 300) AS i"
        sql(pair.src, fill, list(finite.values()))
        copypump.pump(*pair, table="people")
        assert wire(pair.dst, "SELECT id, v, many FROM people") == wire(
            pair.src, "SELECT id, v, many FROM people"
        )
        assert sql(pair.dst, f"SELECT DISTINCT ROW({names})::text FROM people") == sql(
            pair.src, f"SELECT DISTINCT ROW({names})::text FROM people"
        )

        @copypump.reads("id")
        def handed_on(batch: pa.RecordBatch) -> pa.RecordBatch:
            return batch

        sql(pair.dst, "TRUNCATE people")
        for name, endless in ((name, sign + "infinity") for name in values for sign in ("", "-")):
            if name == "held" and endless == "-infinity":
                continue  # no range begins after its end
            sql(pair.src, "DELETE FROM people WHERE id = 300")
            unfit = values[name][1].replace("%s", endless)
            sql(pair.src, f"INSERT INTO people (id, {name}) VALUES (300, %s)", [unfit])
            for transform, types in (
                (None, {}),
                (handed_on, {}),
                (lambda batch: batch.select(["id"]), {}),
                (lambda batch: batch, dict.fromkeys((name,), "opaque")),
            ):
                error = failed(
                    pair, ExitCode.TRANSFORM, columns=["id", name], transform=transform, types=types
                )
                assert (error.column, error.row) == (name, 300)
