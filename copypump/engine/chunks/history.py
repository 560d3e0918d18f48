"""What the ledger tells of runs, and how one is taken out of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct
from psycopg import sql

from copypump.engine.chunks.ledger import Committed, Ledger, Record, RunState, hold_run
from copypump.engine.options import DEFAULT_LEDGER, LEAVE, REBUILD
from copypump.errors import Side, UsageError
from copypump.postgres.commit import commit
from copypump.postgres.session import Session, Where

# Under this name a run keeps, in its notes, the tables that are its own: a list of names as SQL writes them.
TABLES = "tables"


class RunStatus(Struct, frozen=True):
    """How one run stands, with what it was asked to do, and what is committed."""

    state: RunState
    options: dict[str, Any]
    split: str
    snapshots: list[str]
    committed: list[Committed]
    steps: dict[str, dict[str, Any]]


@contextmanager
def _opened(dst: Where) -> Iterator[Session]:
    with Session(dst, Side.TARGET) as session:
        session.begin_target()
        yield session


def runs(dst: Where, ledger_schema: str = DEFAULT_LEDGER) -> list[RunState]:
    """The runs in a target's ledger, oldest first; none where there is no ledger."""
    with _opened(dst) as session:
        return Ledger(ledger_schema).runs(session)


def status(run: str, dst: Where, ledger_schema: str = DEFAULT_LEDGER) -> RunStatus:
    """How one run stands.

    Raises:
        RefusedError: there is none of this name.

    """
    ledger = Ledger(ledger_schema)
    with _opened(dst) as session:
        record = ledger.read(session, run)
        [state] = ledger.runs(session, run)
        committed = sorted(ledger.chunks(session, run).values(), key=lambda done: done.chunk)
        steps = ledger.steps(session, run)
    return RunStatus(state, record.options, record.split["name"], record.snapshots, committed, steps)


def recorded(run: str, dst: Where, ledger_schema: str = DEFAULT_LEDGER) -> Record:
    """A run's row in the ledger (RefusedError where there is none)."""
    with _opened(dst) as session:
        return Ledger(ledger_schema).read(session, run)


def forget(
    run: str, dst: Where, ledger_schema: str = DEFAULT_LEDGER, *, indexes: str | None = None
) -> tuple[str, ...]:
    """Take a run out of the ledger, with the tables that are its own; what it landed stays.

    With `indexes`, a run that has dropped its target's and did not come to make them again is forgotten, too:
    "rebuild" makes them, in the same transaction; "leave" leaves them out, and returns the statements that
    would make them.

    Raises:
        RefusedError: there is none of this name, a process is at work on it, or it owes indexes.
        TargetError: rows do not let them be made.

    """
    if indexes not in (None, REBUILD, LEAVE):
        raise UsageError(f"indexes is {REBUILD} or {LEAVE}, not {indexes!r}")
    ledger, left = Ledger(ledger_schema), tuple[str, ...]()
    with _opened(dst) as session:
        ledger.read(session, run)
        hold_run(session, run)
        record = ledger.read(session, run)
        if record.status != "done" and record.notes:
            from copypump.engine.around.rebuilding import owed  # not before: few runs owe anything

            debt = owed(session, run, record.notes)
            if debt is not None and indexes is None:
                raise debt.refusal()
            if debt is not None and indexes == REBUILD:
                debt.rebuild(session)
            elif debt is not None:
                left = debt.statements
        for table in record.notes.get(TABLES, []):
            session.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.SQL(table)))
        ledger.forget(session, run)
        commit(session)
    return left
