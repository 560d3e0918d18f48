"""Which locks a plan's statements take on user tables, for how long, and what others can do meanwhile.

From PostgreSQL's documentation, "Explicit Locking"; by the words that a statement begins with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from copypump.engine.chunks.ledger import Ledger
from copypump.engine.planning.plan import Plan
from copypump.engine.planning.script import EACH_CHUNK, EACH_WORKER, Transaction
from copypump.errors import Side

# From the weakest to the strongest, with what other sessions can still do.
MODES = {
    "ACCESS SHARE": "read and write, but not alter, truncate or drop it",
    "ROW SHARE": "read and write",
    "ROW EXCLUSIVE": "read and write",
    "SHARE UPDATE EXCLUSIVE": "read and write",
    "SHARE": "read",
    "SHARE ROW EXCLUSIVE": "read",
    "EXCLUSIVE": "read",
    "ACCESS EXCLUSIVE": "neither read nor write",
}

_NAME = r'((?:"(?:[^"]|"")+"|[\w$]+)(?:\.(?:"(?:[^"]|"")+"|[\w$]+))*)'
# In statements of ours names are quoted, and what comes behind FROM without quotes is no table.
_QUOTED = r'("(?:[^"]|"")+"(?:\."(?:[^"]|"")+")*)'
_OURS = re.compile(r'(^|[."])copypump_')
_SAVEPOINT = "SAVEPOINT copypump_block; "
_LINES = re.compile(r"\n +")  # within statements of pg_dump's
_EXPLICIT = re.compile(rf"LOCK TABLE (?:ONLY )?{_NAME} IN ([A-Z ]+?) MODE")
# The first that matches tells of the table that a statement is about.
_IMPLICIT = tuple(
    (re.compile(pattern.replace("NAME", _NAME)), mode)
    for pattern, mode in (
        (r"COPY NAME \(.*\) FROM", "ROW EXCLUSIVE"),
        (r"(?:INSERT INTO|DELETE FROM(?: ONLY)?|UPDATE(?: ONLY)?) NAME", "ROW EXCLUSIVE"),
        (r"TRUNCATE TABLE (?:ONLY )?NAME", "ACCESS EXCLUSIVE"),
        (r"ALTER SEQUENCE NAME CACHE", "SHARE ROW EXCLUSIVE"),
        (
            r"ALTER TABLE (?:ONLY )?NAME (?:DISABLE|ENABLE|ENABLE ALWAYS|ENABLE REPLICA) TRIGGER",
            "SHARE ROW EXCLUSIVE",
        ),
        (r"ALTER TABLE (?:ONLY )?NAME ADD CONSTRAINT .* FOREIGN KEY", "SHARE ROW EXCLUSIVE"),
        (r"ALTER TABLE (?:ONLY )?NAME VALIDATE CONSTRAINT", "SHARE UPDATE EXCLUSIVE"),
        (r"(?:ALTER|DROP) TABLE (?:IF EXISTS )?(?:ONLY )?NAME", "ACCESS EXCLUSIVE"),
        (r"CREATE (?:UNIQUE )?INDEX (?:.*? )?ON (?:ONLY )?NAME", "SHARE"),
        (r"CREATE (?:CONSTRAINT )?TRIGGER .*? ON NAME", "SHARE ROW EXCLUSIVE"),
        (r"(?:ANALYZE|VACUUM) NAME", "SHARE UPDATE EXCLUSIVE"),
    )
)
_REFERS = re.compile(rf"ALTER TABLE {_NAME} ADD CONSTRAINT .* REFERENCES {_NAME}")
_OLD = re.compile(r'DROP TABLE (?:.*\.)?"copypump_\w+_old_')
_PART = re.compile(r'"(?:[^"]|"")+"|[^."]+')
_MADE = re.compile(rf"CREATE TABLE (?:IF NOT EXISTS )?{_NAME}")
# Other tables that it names.
_ASIDE = tuple(
    (re.compile(pattern.replace("@NAME", _NAME).replace("NAME", _QUOTED)), mode)
    for pattern, mode in (
        (r"^ALTER TABLE .* ADD CONSTRAINT .* REFERENCES @NAME", "SHARE ROW EXCLUSIVE"),
        (r"^WITH .*?\(UPDATE (?:ONLY )?NAME", "ROW EXCLUSIVE"),
        (r"^CREATE TABLE .* \(LIKE NAME", "ACCESS SHARE"),
        (r"^(?:SELECT|INSERT|UPDATE|CREATE TABLE) .*? (?:FROM|JOIN) (?:ONLY )?NAME", "ACCESS SHARE"),
    )
)


class Lock(Struct, frozen=True):
    """The strongest lock of one transaction on one table; `others` can do that meanwhile."""

    side: Side
    table: str
    mode: str
    others: str
    until: str


def locks(plan: Plan, transactions: Sequence[Transaction]) -> Iterator[Lock]:
    """List the locks, in order of time; those that are repeated for each chunk or worker once.

    Those on tables that only this run knows are left out, and those that the server's own checks of foreign
    keys take while rows land (ROW SHARE on the tables that the target refers to).
    """
    seen: set[Lock] = set()
    own = {*plan.loading.tables, Ledger(plan.options.ledger_schema).incoming(plan.run).as_string()}
    referred = _referred(plan)
    for transaction in transactions:
        dropping = any(_OLD.match(statement) for statement in transaction.statements)
        made = {
            _quoted(match[1]) for statement in transaction.statements if (match := _MADE.match(statement))
        }
        found = at_once(transaction, plan)
        for statement in (*transaction.statements, *transaction.refused):
            for table, mode in _taken(_LINES.sub(" ", statement.removeprefix(_SAVEPOINT))):
                strength = list(MODES)
                if strength.index(mode) >= strength.index(found.get(table, strength[0])):
                    found[table] = mode
        if dropping:
            found |= dict.fromkeys(referred, "ACCESS EXCLUSIVE")
        if any(" DROP CONSTRAINT " in statement for statement in transaction.statements):
            found |= {other.qualified.as_string(): "ACCESS EXCLUSIVE" for other in plan.loading.locked}
        for table, mode in found.items():
            lock = Lock(transaction.side, table, mode, MODES[mode], _until(transaction, plan))
            if not _OURS.search(table) and table not in own | made and lock not in seen:
                seen.add(lock)
                yield lock


def _referred(plan: Plan) -> list[str]:
    """The tables that a new table refers to; with the old one goes a trigger of each of them."""
    return [
        _quoted(match[2])
        for statement in plan.loading.after
        if (match := _REFERS.match(statement)) and _OURS.search(match[1]) and not _OURS.search(match[2])
    ]


def _quoted(name: str) -> str:
    """A name with each of its parts in quotes."""
    return ".".join(part if part.startswith('"') else f'"{part}"' for part in _PART.findall(name))


def at_once(transaction: Transaction, plan: Plan) -> dict[str, str]:
    """The lock by which the target is held as it is, before anything else is done (`locking_to_insert`)."""
    table = plan.destination.table
    if table is None or table.kind not in "rp" or transaction.side is not Side.TARGET:
        return {}
    begins = transaction.name == ("prepare" if plan.many else "load") and not plan.loading.locks
    return {table.qualified.as_string(): "ROW EXCLUSIVE"} if begins or transaction.times == EACH_CHUNK else {}


def _taken(statement: str) -> Iterator[tuple[str, str]]:
    explicit = _EXPLICIT.match(statement)
    if explicit is not None:
        yield _quoted(explicit[1]), explicit[2]
        return
    for pattern, mode in _IMPLICIT:
        match = pattern.match(statement)
        if match is not None:
            yield _quoted(match[1]), mode
            break
    for pattern, mode in _ASIDE:
        for match in pattern.finditer(statement):
            yield _quoted(match[1]), mode


def _until(transaction: Transaction, plan: Plan) -> str:
    if transaction.side is Side.SOURCE:
        return "all rows are read"
    if not plan.many and transaction.name == "load":
        return "the COMMIT at the end"
    each = {EACH_CHUNK: "each chunk's COMMIT", EACH_WORKER: "each worker's end"}
    return each.get(transaction.times, f"the {transaction.statements[-1]} of {transaction.name}")
