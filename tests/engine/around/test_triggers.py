"""`triggers`: none of users' fires while rows land, each is afterwards as it was, and what was not checked is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

import copypump
from copypump.engine import api
from copypump.engine.options import TRIGGERS
from copypump.errors import CopypumpError, RefusedError, TargetError, UsageError
from tests.conftest import Pair
from tests.servers import TEST_APPLICATION, Server, sql

ROWS = 200
MANY: dict[str, Any] = {"jobs": 2, "split": "values", "split_by": "part", "run_id": "r"}
OFF = ["disable-user", "replica"]

TABLE = "CREATE TABLE t (id int PRIMARY KEY, part int, boss int)"
# Each trigger tells that it has fired; one in every state, and one that stands on a statement.
SETUP = f"""
{TABLE};
CREATE TABLE fired (by text);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO fired VALUES (tg_name); RETURN NEW; END$$;
CREATE TRIGGER plain BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER "Off" BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER "user" AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION tell();
CREATE TRIGGER replicas AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER always AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION tell();
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION tell();
ALTER TABLE t DISABLE TRIGGER "Off", ENABLE REPLICA TRIGGER replicas, ENABLE ALWAYS TRIGGER always"""
STATES = "SELECT tgrelid::regclass::text, tgname, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2"


@pytest.fixture
def ready(request: pytest.FixtureRequest, pg15: Server) -> Iterator[Pair]:
    """Rows on the source; on the target, PostgreSQL 18 or what BOTH says, the table with every kind of trigger."""
    server: Server = request.getfixturevalue(f"pg{getattr(request, 'param', 18)}")
    with pg15.fresh_database() as src, server.fresh_database() as dst:
        pair = Pair(pg15.dsn(src), server.dsn(dst))
        sql(pair.src, f"{TABLE}; INSERT INTO t SELECT i, i % 4, i / 2 FROM generate_series(1, {ROWS}) AS i")
        sql(pair.dst, SETUP)
        yield pair


BOTH = pytest.mark.parametrize("ready", [15, 18], indirect=True)


def fired(dsn: str) -> set[str]:
    return {name for (name,) in sql(dsn, "SELECT by FROM fired")}


@contextmanager
def once_it_waits(dsn: str, other: psycopg.Connection, act: Callable[[], object]) -> Iterator[None]:
    """Act, in a thread beside the body, as soon as somebody waits for the other session."""
    pid = other.info.backend_pid
    query = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"

    def watch() -> None:
        while sql(dsn, query, [pid]) == [(0,)]:
            time.sleep(0.05)
        act()

    watching = threading.Thread(target=watch)
    watching.start()
    yield
    watching.join()


def landed(dsn: str) -> int:
    [(count,)] = sql(dsn, "SELECT count(*) FROM t")
    return int(count)


def pump(pair: Pair, triggers: str, **words: Any) -> copypump.Report:
    return copypump.pump(*pair, **{"table": "t", "mode": "append", "triggers": triggers} | words)


MODES: dict[str, dict[str, Any]] = {
    "empty": {"mode": None},
    "append": {},
    "truncate": {"mode": "truncate"},
    "insert": {"mode": "insert"},
    "upsert": {"mode": "upsert", "key": ["id"]},
}


CASES = [(triggers, mode) for triggers in TRIGGERS for mode in MODES if triggers in OFF or mode == "truncate"]


@BOTH
@pytest.mark.parametrize(("triggers", "mode"), CASES)
def test_which_fire_in_one_transaction(ready: Pair, triggers: str, mode: str) -> None:
    before = sql(ready.dst, STATES)
    sql(ready.dst, "CREATE TRIGGER emptied AFTER TRUNCATE ON t EXECUTE FUNCTION tell()")
    report = pump(ready, triggers, **MODES[mode])
    assert landed(ready.dst) == ROWS
    expected = {
        "keep": {"plain", "user", "always", "late"} | ({"emptied"} if mode == "truncate" else set()),
        "disable-user": set(),
        "replica": {"replicas", "always"},
    }
    assert fired(ready.dst) == expected[triggers]
    assert [row for row in sql(ready.dst, STATES) if row[1] != "emptied"] == before
    if triggers == "replica":
        assert any("always" in warning and "replicas" in warning for warning in report.warnings)


@pytest.mark.parametrize("triggers", OFF)
def test_a_merge_at_the_end_of_many_chunks(ready: Pair, triggers: str) -> None:
    before = sql(ready.dst, STATES)
    pump(ready, triggers, **MODES["upsert"], **MANY)
    assert landed(ready.dst) == ROWS
    assert fired(ready.dst) == ({"replicas", "always"} if triggers == "replica" else set())
    assert sql(ready.dst, STATES) == before


def test_the_plan_says_which_fire(ready: Pair) -> None:
    expected = {
        "keep": {"plain", "user", "always", "late"},
        "disable-user": set(),
        "replica": {"replicas", "always"},
    }
    assert set(expected) == set(TRIGGERS)
    for word, names in expected.items():
        shown = api.plan(*ready, table="t", mode="append", triggers=word).as_dict()["target"]["triggers"]
        assert {trigger["name"] for trigger in shown if trigger["enabled"]} == names


def test_many_chunks_by_replica(ready: Pair) -> None:
    pump(ready, "replica", **MANY)
    assert landed(ready.dst) == ROWS
    assert fired(ready.dst) == {"replicas", "always"}


def test_many_chunks_leave_nobody_without_triggers(ready: Pair) -> None:
    with pytest.raises(RefusedError, match="one transaction"):
        pump(ready, "disable-user", **MANY)
    assert landed(ready.dst) == 0


@pytest.mark.parametrize("triggers", OFF)
@pytest.mark.parametrize("words", [{}, {**MODES["upsert"], **MANY}], ids=["one", "merge"])
def test_a_failure_leaves_them_as_they_were(ready: Pair, triggers: str, words: dict[str, Any]) -> None:
    before = sql(ready.dst, STATES)
    sql(ready.dst, f"ALTER TABLE t ADD CHECK (id <> {ROWS - 1})")
    with pytest.raises(TargetError) as error:
        pump(ready, triggers, **words)
    assert error.value.sqlstate == "23514"
    assert (landed(ready.dst), fired(ready.dst), sql(ready.dst, STATES)) == (0, set(), before)
    if words:
        sql(ready.dst, "ALTER TABLE t DROP CONSTRAINT t_id_check")
        copypump.resume("r", *ready)
        assert landed(ready.dst) == ROWS
        assert sql(ready.dst, STATES) == before


@BOTH
def test_partitions_have_states_of_their_own(ready: Pair) -> None:
    sql(
        ready.dst,
        """DROP TABLE t;
        CREATE TABLE t (id int, part int, boss int) PARTITION BY LIST (part);
        CREATE TABLE few PARTITION OF t FOR VALUES IN (0, 1);
        CREATE TABLE many PARTITION OF t DEFAULT;
        CREATE TRIGGER clone AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION tell();
        CREATE TRIGGER whole AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION tell();
        CREATE TRIGGER own BEFORE INSERT ON few FOR EACH ROW EXECUTE FUNCTION tell();
        ALTER TABLE many DISABLE TRIGGER clone; ALTER TABLE few ENABLE ALWAYS TRIGGER own""",
    )
    before = sql(ready.dst, STATES)
    assert len(before) == 5
    pump(ready, "disable-user")
    assert (landed(ready.dst), fired(ready.dst), sql(ready.dst, STATES)) == (ROWS, set(), before)


@pytest.mark.parametrize("triggers", OFF)
def test_a_check_that_is_deferred(ready: Pair, triggers: str) -> None:
    """The foreign key's own trigger has something pending when triggers are to be enabled again."""
    sql(
        ready.dst,
        "ALTER TABLE t ADD CONSTRAINT k FOREIGN KEY (boss) REFERENCES t DEFERRABLE INITIALLY DEFERRED",
    )
    with pytest.raises(TargetError) as error:
        pump(ready, triggers)  # the boss of the first is nobody
    assert (error.value.sqlstate, landed(ready.dst)) == ("23503", 0)
    sql(ready.src, "UPDATE t SET boss = NULL WHERE id = 1")
    pump(ready, triggers)
    assert landed(ready.dst) == ROWS


def test_triggers_that_changed_since_the_plan(ready: Pair) -> None:
    """Whoever has the table locked is waited for, and then seen."""
    with psycopg.connect(ready.dst, application_name=TEST_APPLICATION) as other:
        other.execute("ALTER TABLE t DISABLE TRIGGER plain")
        with (
            once_it_waits(ready.dst, other, other.commit),
            pytest.raises(RefusedError, match="changed after"),
        ):
            pump(ready, "disable-user")
    assert landed(ready.dst) == 0


def test_a_role_that_may_not(ready: Pair) -> None:
    sql(ready.dst, "GRANT SELECT, INSERT ON t TO pg_monitor")
    asking = Pair(ready.src, f"{ready.dst} options='-c role=pg_monitor'")
    with pytest.raises(TargetError, match="does not own") as error:
        pump(asking, "disable-user")
    assert error.value.sqlstate == "42501"
    with pytest.raises(TargetError, match="session_replication_role") as error:
        pump(asking, "replica")
    assert "GRANT SET ON PARAMETER" in str(error.value.hint)
    sql(ready.dst, "GRANT SET ON PARAMETER session_replication_role TO pg_monitor")
    sql(ready.dst, "GRANT INSERT ON fired TO pg_monitor")
    try:
        pump(asking, "replica")
    finally:
        sql(ready.dst, "REVOKE SET ON PARAMETER session_replication_role FROM pg_monitor")
    assert landed(ready.dst) == ROWS


def test_what_has_no_triggers_to_switch(ready: Pair) -> None:
    sql(ready.dst, "CREATE VIEW v AS SELECT * FROM t")
    with pytest.raises(RefusedError, match="view"):
        pump(ready, "disable-user", into="v", mode="insert")
    with pytest.raises(UsageError, match="triggers is one of"):
        pump(ready, "none")
    report = pump(ready, "disable-user", mode="replace")
    assert any("do not fire anyway" in warning for warning in report.warnings)
    pump(ready, "replica", into="made", create=True)
    assert (landed(ready.dst), fired(ready.dst)) == (ROWS, set())


# Foreign keys ---------------------------------------------------------------------------------------------

PARTS = "CREATE TABLE parts (part int PRIMARY KEY); INSERT INTO parts VALUES (0), (1), (2)"
KEY = "ALTER TABLE t ADD CONSTRAINT in_part FOREIGN KEY (part) REFERENCES parts"


@pytest.fixture
def keyed(ready: Pair) -> Pair:
    """Rows whose part is 3 refer to none."""
    sql(ready.dst, f"DROP TABLE t; {TABLE}; {PARTS}; {KEY}")
    return ready


@pytest.mark.parametrize(
    "words", [{}, {**MODES["upsert"]}, {**MODES["upsert"], **MANY}], ids=["one", "upsert", "merge"]
)
def test_a_foreign_key_that_does_not_hold(keyed: Pair, words: dict[str, Any]) -> None:
    plan = api.plan(*keyed, table="t", triggers="replica", **{"mode": "append"} | words)
    assert any(
        "foreign keys are switched off" in warning and "in_part" in warning for warning in plan.warnings
    )
    with pytest.raises(TargetError, match="in_part") as error:
        pump(keyed, "replica", **words)
    assert error.value.sqlstate == "23503"
    assert f"{ROWS // 4} rows" in str(error.value)
    assert landed(keyed.dst) == 0
    sql(keyed.dst, "INSERT INTO parts VALUES (3)")
    if "run_id" in words:
        copypump.resume("r", *keyed)
    else:
        pump(keyed, "replica", **words)
    assert landed(keyed.dst) == ROWS


def test_many_chunks_tell_behind_the_last(keyed: Pair) -> None:
    with pytest.raises(TargetError, match="in_part") as error:
        pump(keyed, "replica", **MANY)
    assert error.value.sqlstate == "23503"
    assert "6 of 6 chunks are committed" in str(error.value.state)
    sql(keyed.dst, "INSERT INTO parts VALUES (3)")
    copypump.resume("r", *keyed)
    assert landed(keyed.dst) == ROWS


@BOTH
def test_keys_of_partitions_and_to_partitions(keyed: Pair) -> None:
    """One key on the partitioned table, one on a partition alone; the referenced table is partitioned too."""
    sql(
        keyed.dst,
        """DROP TABLE t, parts;
        CREATE TABLE parts (part int PRIMARY KEY) PARTITION BY LIST (part);
        CREATE TABLE part PARTITION OF parts DEFAULT; INSERT INTO parts VALUES (0), (1), (2), (3);
        CREATE TABLE bosses (id int PRIMARY KEY); INSERT INTO bosses SELECT generate_series(0, 90);
        CREATE TABLE t (id int, part int, boss int) PARTITION BY LIST (part);
        CREATE TABLE few PARTITION OF t FOR VALUES IN (0, 1);
        CREATE TABLE many PARTITION OF t DEFAULT;
        ALTER TABLE t ADD CONSTRAINT in_part FOREIGN KEY (part) REFERENCES parts;
        ALTER TABLE few ADD CONSTRAINT has_boss FOREIGN KEY (boss) REFERENCES bosses""",
    )
    plan = api.plan(*keyed, table="t", triggers="replica", mode="append")
    statements = "\n".join(plan.statements)
    assert statements.count("NOT EXISTS") == 2
    assert statements.index('LOCK TABLE ONLY "public"."bosses"') < statements.index(
        'LOCK TABLE "public"."parts"'
    )
    with pytest.raises(TargetError, match="has_boss"):
        pump(keyed, "replica")
    sql(keyed.dst, "INSERT INTO bosses SELECT generate_series(91, 200)")
    pump(keyed, "replica")
    # By the name of one partition, its clone of the key is checked.
    sql(keyed.dst, "TRUNCATE t; DELETE FROM parts WHERE part = 0")
    with pytest.raises(TargetError, match="in_part"):
        pump(keyed, "replica", into="few", where="part = 0")


def test_a_key_that_is_updated_away(keyed: Pair) -> None:
    """Others refer to a column that is not the key of the merge: replica would let it go."""
    sql(
        keyed.dst,
        """ALTER TABLE t DROP CONSTRAINT in_part, ADD UNIQUE (boss);
        INSERT INTO t VALUES (1, 1, 77);
        CREATE TABLE fans (of int CONSTRAINT of_boss REFERENCES t (boss)); INSERT INTO fans VALUES (77)""",
    )
    words: dict[str, Any] = {"where": "id = 1", **MODES["upsert"]}
    with pytest.raises(TargetError, match="of_boss") as error:
        pump(keyed, "replica", **words)
    assert error.value.sqlstate == "23503"
    assert sql(keyed.dst, "SELECT boss FROM t") == [(77,)]
    plan = api.plan(*keyed, table="t", triggers="replica", mode="append")
    assert not any("of_boss" in warning for warning in plan.warnings)  # a new row breaks no reference


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("ALTER TABLE t DROP CONSTRAINT in_part", None),
        (f"ALTER TABLE t DROP CONSTRAINT in_part; {KEY} NOT VALID", "NOT VALID"),
        ("ALTER TABLE t ADD CONSTRAINT once UNIQUE (part) DEFERRABLE", "once"),
        ("GRANT INSERT, SELECT ON t TO pg_monitor", "SELECT on public.parts"),
        ("GRANT SELECT ON t, parts TO pg_monitor; GRANT INSERT ON t TO pg_monitor", "hold writers off"),
    ],
    ids=["none", "not valid", "deferrable", "no select", "no lock"],
)
def test_what_could_not_be_checked_afterwards(keyed: Pair, given: str, match: str | None) -> None:
    sql(keyed.dst, given)
    dst = keyed.dst
    if "pg_monitor" in given:
        dst = f"{dst} options='-c role=pg_monitor'"
        sql(keyed.dst, "GRANT SET ON PARAMETER session_replication_role TO pg_monitor")
    try:
        if match is None:
            assert not any("foreign keys" in each for each in pump(keyed, "replica").warnings)
            return
        with pytest.raises(CopypumpError, match=match) as error:
            pump(Pair(keyed.src, dst), "replica")
        assert isinstance(error.value, TargetError if "pg_monitor" in given else RefusedError)
        assert landed(keyed.dst) == 0
    finally:
        if "pg_monitor" in given:
            sql(keyed.dst, "REVOKE SET ON PARAMETER session_replication_role FROM pg_monitor")


def test_who_deletes_what_is_referred_to_is_held_off(keyed: Pair) -> None:
    """The check holds the referenced table: a row that goes between it and the COMMIT would leave orphans."""
    sql(keyed.dst, "INSERT INTO parts VALUES (3)")
    lines = api.plan(*keyed, table="t", triggers="replica", mode="append").as_dict()["locks"]
    assert {lock["table"]: lock["mode"] for lock in lines}['"public"."parts"'] == "SHARE"
    with psycopg.connect(keyed.dst, application_name=TEST_APPLICATION) as other:
        other.execute("DELETE FROM parts WHERE part = 3")
        with once_it_waits(keyed.dst, other, other.commit), pytest.raises(TargetError) as error:
            pump(keyed, "replica")
    assert error.value.sqlstate == "23503"
    assert landed(keyed.dst) == 0
