"""Plan against run, for options as they come: what the one refuses the other does, and in the same words.

And where the plan refuses nothing, the run's statements on the target are those that the plan shows.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

import copypump
from copypump.engine import api
from copypump.engine.modes import MODES
from copypump.engine.options import SEQUENCES, TRIGGERS
from copypump.engine.planning.plan import Plan
from copypump.engine.planning.script import script
from copypump.engine.splits.chunk import SPLITS
from copypump.errors import Side
from tests.conftest import Pair
from tests.engine.conftest import people
from tests.engine.planning.test_script import logged
from tests.servers import Server, sql

SEEDS = range(60)

SOURCE = """
CREATE TABLE people (id int PRIMARY KEY, name text, age int NOT NULL, salary float8);
INSERT INTO people SELECT i, repeat('x', 60), i % 5, i FROM generate_series(1, 3000) AS i
"""
COLUMNS = "id int, name text, age int, salary_after_tax float8"
# What the target may be, and what may stand against a run there.
TARGETS = {
    "table": f"CREATE TABLE people ({COLUMNS}, PRIMARY KEY (id)); CREATE INDEX ON people (age)",
    "rows": f"CREATE TABLE people ({COLUMNS}, PRIMARY KEY (id)); INSERT INTO people VALUES (9000, 'a', 1, 1)",
    "trigger": f"""CREATE TABLE people ({COLUMNS}, PRIMARY KEY (id));
        CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
        CREATE TRIGGER quiet AFTER INSERT ON people FOR EACH STATEMENT EXECUTE FUNCTION nothing()""",
    "serial": f"CREATE TABLE people ({COLUMNS.replace('id int', 'id serial')}, PRIMARY KEY (id))",
    "partitioned": f"""CREATE TABLE people ({COLUMNS}, PRIMARY KEY (id)) PARTITION BY RANGE (id);
        CREATE TABLE low PARTITION OF people FOR VALUES FROM (MINVALUE) TO (1000);
        CREATE TABLE high PARTITION OF people FOR VALUES FROM (1000) TO (MAXVALUE)""",
    "unlogged": f"CREATE UNLOGGED TABLE people ({COLUMNS}, PRIMARY KEY (id))",
    "view": f"CREATE TABLE below ({COLUMNS}); CREATE VIEW people AS SELECT * FROM below",
    "narrow": "CREATE TABLE people (id int PRIMARY KEY, name uuid, age int)",
    "missing": "SELECT",
}
# Beside the first of each, which asks for nothing, the others are drawn less often than once in two.
CHOICES: dict[str, list[Any]] = {
    "mode": [None, *MODES],
    "key": [None, ["id"], ["nobody"]],
    "dedupe": [None, "last:age"],
    "on_conflict": ["update", "nothing"],
    "create": [False, True],
    "jobs": [1, 2],
    "split": ["auto", *SPLITS],
    "split_by": [None, "id", "age", "nobody"],
    "run_id": [None, "named"],
    "snapshot": [True, False],
    "on_error": ["abort", "reject"],
    "rejects": [None, "own_rejects", "no_such_schema.rejects"],
    "check": [None, "age >= 0", "nobody > 0"],
    "where": [None, "id < 2000", "nobody"],
    "reads": [None, ["age", "salary"], ["nobody"]],
    "types": [{}, {"name": "text"}, {"age": "float"}],
    "triggers": list(TRIGGERS),
    "sequences": list(SEQUENCES),
    "analyze": [False, True],
}


def drawn(seed: int) -> tuple[str, dict[str, Any]]:
    """A target and a job. Every mode is drawn, and mostly with the key that it needs."""
    dice = random.Random(seed)
    job: dict[str, Any] = {"table": "people", "transform": people, "chunk_bytes": 40_000}
    for name, (first, *others) in CHOICES.items():
        if dice.random() < 0.09:
            job[name] = dice.choice(others)
        elif first is not None:
            job[name] = first
    job["mode"] = list(CHOICES["mode"])[seed % len(CHOICES["mode"])]
    if job["mode"] in ("upsert", "update") and dice.random() < 0.8:
        job["key"] = ["id"]
    elif job["mode"] not in ("upsert", "update") and dice.random() < 0.9:
        job.pop("key", None)
        job.pop("dedupe", None)
        job["on_conflict"] = "update"
    return dice.choice([*TARGETS, "table", "trigger", "serial", "partitioned"]), job


def tried(call: Any, src: str, dst: str, job: dict[str, Any]) -> tuple[Any, list[tuple[str, str]]]:
    """What a call gives, or every error that it tells of."""
    try:
        return call(src, dst, **job), []
    except copypump.CopypumpError as error:
        return None, [(type(each).__name__, str(each)) for each in (error, *error.others)]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_plan_refuses_what_the_run_refuses(pair: Pair, pg16: Server, seed: int) -> None:
    kind, job = drawn(seed)
    sql(pair.src, SOURCE)
    sql(pair.dst, TARGETS[kind])
    everything = (
        "SELECT oid, relname FROM pg_class WHERE relnamespace::regnamespace::text !~ '^pg_|^information'"
    )
    before = sorted(sql(pair.dst, everything))
    plan, refused = tried(api.plan, *pair, job)
    assert sorted(sql(pair.dst, everything)) == before
    if plan is not None and plan.many:  # else each would make a name of its own up
        job["run_id"] = "named"
        plan = api.plan(*pair, **job)
    start = len(pg16.log())
    report, said = tried(
        copypump.pump, pair.src, make_conninfo(pair.dst, options="-c log_statement=all"), job
    )
    assert refused == said, (kind, job)
    if plan is None:
        assert sorted(sql(pair.dst, everything)) == before
    else:
        assert report is not None
        compare(plan, pg16.log()[start:])


def test_both_come_out_of_the_dice(pair: Pair) -> None:
    sql(pair.src, SOURCE)
    good = 0
    for kind, job in map(drawn, SEEDS):
        sql(pair.dst, f"DROP SCHEMA public CASCADE; CREATE SCHEMA public; {TARGETS[kind]}")
        good += tried(api.plan, *pair, job)[0] is not None
    assert len(SEEDS) / 5 < good < len(SEEDS) * 4 / 5


def compare(plan: Plan, log: str) -> None:
    """Hold the log against the statements of the plan, those of blocks that are refused aside."""
    planned = {
        statement for each in script(plan) if each.side is Side.TARGET for statement in each.statements
    }
    seen = {each for transaction in logged(log, planned) for each in transaction}
    ends = {"ROLLBACK", "COMMIT", 'CREATE SCHEMA IF NOT EXISTS "copypump"'}
    assert seen - ends == planned - ends
