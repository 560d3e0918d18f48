"""What a run does is what its plan says: statement by statement, as the servers log them."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

import copypump
from copypump.engine import api
from copypump.engine.modes import MODES
from copypump.engine.plan import Plan
from copypump.engine.script import EACH_CHUNK, EACH_WORKER, ITS_CONDITION, THE_SNAPSHOT, script
from copypump.errors import Side
from tests.conftest import Pair
from tests.engine.conftest import people
from tests.servers import Server, sql

# What each mode wants to be told beside the job.
WORDS: dict[str, dict[str, Any]] = {"upsert": {"key": ["id"]}, "update": {"key": ["id"]}}

# One statement in a server's log, to where the next entry begins; those of more lines go on behind a tab.
_ENTRY = re.compile(
    r"^\S+ \S+ \S+ \[(\d+)\] LOG:  (?:statement|execute [^:]*): (.*?)(?=^\S+ \S+ \S+ \[\d+\] |\Z)",
    re.MULTILINE | re.DOTALL,
)
# What a run puts around what may fail, and what it writes into its ledger.
_OUR_OWN = re.compile(
    r"(SAVEPOINT|RELEASE|ROLLBACK TO) (SAVEPOINT )?copypump|(INSERT INTO|UPDATE) \"copypump\"\.(runs|chunks|steps)"
    r"|CREATE (SCHEMA|TABLE) IF NOT EXISTS \"copypump\""
)
# Of the ledger and of the table of rejects alike.
_SCHEMA = 'CREATE SCHEMA IF NOT EXISTS "copypump"'
# Mode insert executes one statement for several rows, of which the plan shows the first.
_ROWS = re.compile(r"(?<=VALUES )(\([^()]*\))(, \([^()]*\))*$")


def logged(text: str, planned: set[str]) -> list[tuple[str, ...]]:
    """The transactions, in the order in which they began; of what only looks something up, what is planned."""
    transactions: list[list[str]] = []
    current: dict[str, list[str]] = {}
    for pid, found in _ENTRY.findall(text):
        statement = "\n".join(line.removeprefix("\t") for line in found.rstrip("\n").split("\n")).strip()
        statement = _ROWS.sub(r"\1, ...", statement)
        parts = statement.split("; ") if statement.startswith("BEGIN ") else [statement]
        if parts[0].startswith("BEGIN "):
            current[pid] = []
            transactions.append(current[pid])
        current[pid] += [
            part for part in parts if part != _SCHEMA and (part in planned or not _looks_up(part))
        ]
    return [tuple(statement for statement, _ in itertools.groupby(each)) for each in transactions]


def _looks_up(statement: str) -> bool:
    return not statement or statement.startswith(("SELECT ", "WITH ")) or bool(_OUR_OWN.match(statement))


def expected(plan: Plan, side: Side) -> list[tuple[str, ...]]:
    """The transactions of the script on one side, each as often as it comes."""
    made = []
    for each in script(plan):
        if each.side is side and each.times != EACH_WORKER:
            statements = tuple(statement for statement in each.statements if statement != _SCHEMA)
            made += [statements] * (len(plan.split.chunks) if each.times == EACH_CHUNK else 1)
    return made


def sorted_apart(plan: Plan, transactions: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Sorted, where they run at once and begin in no order: each phase that says so by itself."""
    result = list(transactions)
    names = [
        each.name.rpartition(" ")[0] if each.name.rpartition(" ")[2].isdigit() else ""
        for each in script(plan)
        if each.side is Side.TARGET
        for _ in range(len(plan.split.chunks) if each.times == EACH_CHUNK else 1)
    ]
    for name in set(names) - {""}:
        at = [i for i, each in enumerate(names) if each == name]
        result[at[0] : at[-1] + 1] = sorted(result[at[0] : at[-1] + 1])
    return result


@pytest.fixture
def ready(pair: Pair) -> Pair:
    """People on the source, some on the target, where they have an index, a trigger and a key."""
    sql(pair.src, "CREATE TABLE people (id int PRIMARY KEY, name text, age int, salary float8)")
    sql(pair.src, "INSERT INTO people SELECT i, 'person ' || i, i % 90, i FROM generate_series(1, 4000) AS i")
    sql(
        pair.dst,
        """CREATE TABLE people (id int PRIMARY KEY, name text, age int, salary_after_tax float8);
           CREATE INDEX ON people (age);
           CREATE TABLE ages AS SELECT i AS age FROM generate_series(0, 99) AS i;
           ALTER TABLE ages ADD PRIMARY KEY (age);
           ALTER TABLE people ADD FOREIGN KEY (age) REFERENCES ages;
           CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
           CREATE TRIGGER quiet AFTER INSERT ON people FOR EACH STATEMENT EXECUTE FUNCTION nothing()""",
    )
    return pair


MANY = {"jobs": 2, "chunk_bytes": 40_000, "run_id": "compared"}
JOBS = [
    pytest.param(
        {"mode": name, **words, **WORDS.get(name or "", {})}, id=f"{name}-{'many' if words else 'one'}"
    )
    for name, single in [(None, ""), *((mode.name, mode.single) for mode in MODES.values())]
    for words in ([{}] if single else [{}, MANY])
] + [
    pytest.param({"into": "made", "create": True}, id="create-one"),
    pytest.param({"into": "made", "create": True, **MANY}, id="create-many"),
    pytest.param(
        {"into": "dates", "mode": "append", "types": {"name": "text"}, "transform": None}, id="cast"
    ),
    pytest.param({"mode": "append", "analyze": True}, id="analyze-one"),
    pytest.param({"mode": "append", "analyze": True, **MANY}, id="analyze-many"),
    pytest.param({"mode": "truncate", "triggers": "disable-user"}, id="triggers-one"),
    pytest.param({"mode": "upsert", "key": ["id"], "triggers": "disable-user", **MANY}, id="triggers-merge"),
    pytest.param({"mode": "append", "triggers": "replica"}, id="replica-one"),
    pytest.param({"mode": "append", "triggers": "replica", **MANY}, id="replica-many"),
    pytest.param({"where": "id > 100", "mode": "append", "check": "age > 0"}, id="where"),
    pytest.param({"mode": "append", "on_error": "reject"}, id="reject-one"),
    pytest.param({"mode": "append", "on_error": "reject", **MANY}, id="reject-many"),
]


@pytest.mark.parametrize("words", JOBS)
def test_a_run_does_what_its_plan_says(
    ready: Pair, pg15: Server, pg16: Server, words: dict[str, Any]
) -> None:
    if words.get("into") == "dates":
        sql(ready.src, "ALTER TABLE people DROP salary; UPDATE people SET name = '2020-01-01'")
        sql(ready.dst, "CREATE TABLE dates (id int, name timestamp(0), age int)")
    job: dict[str, Any] = {"table": "people", "transform": people} | words
    plan = api.plan(ready.src, ready.dst, **job)
    logs = len(pg15.log()), len(pg16.log())
    copypump.pump(*(make_conninfo(dsn, options="-c log_statement=all") for dsn in ready), **job)
    planned = {statement for each in script(plan) for statement in each.statements}
    source, target = (
        logged(server.log()[start:], planned) for server, start in zip((pg15, pg16), logs, strict=True)
    )
    if plan.many:
        assert len(plan.split.chunks) > 2
        assert source.pop(0)[-1] == target.pop(0)[-1] == "ROLLBACK"  # of the plan itself
        workers = [each for each in source if each[-2:] != expected(plan, Side.SOURCE)[0][-2:]]
        check_workers(plan, workers)
        source = [each for each in source if each not in workers]
    else:
        assert source.pop(0)[-1] == "ROLLBACK"  # likewise; the target's transaction goes on
        if plan.rejecting:
            assert target.pop(0)[-1] == "ROLLBACK"  # but where something is made beside it
    assert source == expected(plan, Side.SOURCE)
    assert sorted_apart(plan, target) == sorted_apart(plan, expected(plan, Side.TARGET))
    text = plan.describe()
    assert all(statement in text for statement in planned)


def check_workers(plan: Plan, workers: list[tuple[str, ...]]) -> None:
    """Each begins as the script says, and together they copy every chunk, once."""
    (worker,) = (each for each in script(plan) if each.times == EACH_WORKER)
    begins = [
        re.sub(r"(?<=SNAPSHOT )'[^']*'", THE_SNAPSHOT, statement)
        for each in workers
        for statement in each[: len(worker.statements)]
    ]
    assert begins == list(worker.statements) * 2
    copied = [statement for each in workers for statement in each[len(worker.statements) :]]
    assert worker.copies is not None
    wanted = [worker.copies.replace(ITS_CONDITION, chunk.where or "") for chunk in plan.split.chunks]
    assert sorted(copied) == sorted([*wanted, "ROLLBACK", "ROLLBACK"])
