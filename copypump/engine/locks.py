"""Which locks a plan's statements take on user tables, for how long, and what others can do meanwhile.

From PostgreSQL's documentation, "Explicit Locking"; by the words that a statement begins with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from copypump.engine.plan import Plan
from copypump.engine.script import EACH_CHUNK, EACH_WORKER, Transaction
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
_OURS = re.compile(r'(^|[."])copypump_')
_EXPLICIT = re.compile(rf"LOCK TABLE (?:ONLY )?{_NAME} IN ([A-Z ]+?) MODE")
_IMPLICIT = tuple(
    (re.compile(pattern.replace("NAME", _NAME)), mode)
    for pattern, mode in (
        (r"COPY NAME \(.*\) FROM", "ROW EXCLUSIVE"),
        (r"(?:INSERT INTO|DELETE FROM(?: ONLY)?|UPDATE(?: ONLY)?) NAME", "ROW EXCLUSIVE"),
        (r"TRUNCATE TABLE (?:ONLY )?NAME", "ACCESS EXCLUSIVE"),
        (r"ALTER TABLE ONLY NAME (?:DISABLE|ENABLE(?: REPLICA| ALWAYS)?) TRIGGER", "SHARE ROW EXCLUSIVE"),
        (r"ALTER SEQUENCE NAME CACHE", "SHARE ROW EXCLUSIVE"),
        (r"(?:ALTER|DROP) TABLE (?:IF EXISTS )?(?:ONLY )?NAME", "ACCESS EXCLUSIVE"),
        (r"CREATE (?:UNIQUE )?INDEX (?:.*? )?ON (?:ONLY )?NAME", "SHARE"),
        (r"CREATE (?:CONSTRAINT )?TRIGGER .*? ON NAME", "SHARE ROW EXCLUSIVE"),
        (r"(?:ANALYZE|VACUUM) NAME", "SHARE UPDATE EXCLUSIVE"),
    )
)


@dataclass(frozen=True, slots=True)
class Lock:
    """The strongest lock of one transaction on one table; `others` can do that meanwhile."""

    side: Side
    table: str
    mode: str
    others: str
    until: str


def locks(plan: Plan, transactions: Sequence[Transaction]) -> Iterator[Lock]:
    """List the locks, in order of time; those that are repeated for each chunk or worker once.

    Those on tables that only this run knows are left out.
    """
    seen: set[Lock] = set()
    for transaction in transactions:
        found: dict[str, str] = {}
        for statement in transaction.statements:
            for table, mode in _taken(statement):
                strength = list(MODES)
                if strength.index(mode) >= strength.index(found.get(table, strength[0])):
                    found[table] = mode
        for table, mode in found.items():
            lock = Lock(transaction.side, table, mode, MODES[mode], _until(transaction, plan))
            if not _OURS.search(table) and lock not in seen:
                seen.add(lock)
                yield lock


def _taken(statement: str) -> Iterator[tuple[str, str]]:
    explicit = _EXPLICIT.match(statement)
    if explicit is not None:
        yield explicit[1], explicit[2]
        return
    for pattern, mode in _IMPLICIT:
        match = pattern.match(statement)
        if match is not None:
            yield match[1], mode
            return


def _until(transaction: Transaction, plan: Plan) -> str:
    if transaction.side is Side.SOURCE:
        return "all rows are read"
    if not plan.many:
        return "the COMMIT at the end"
    each = {EACH_CHUNK: "each chunk's COMMIT", EACH_WORKER: "each worker's end"}
    return each.get(transaction.times, f"the COMMIT of {transaction.name}")
