"""What a run with a ledger has at hand on the target, before its chunks, with them and after them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from msgspec import Struct

from copypump.engine.chunks.ledger import Ledger
from copypump.engine.chunks.sessions import Interrupts, Writers
from copypump.engine.planning.plan import Plan
from copypump.engine.report import Report
from copypump.postgres.commit import DURABLE
from copypump.postgres.label import labelling
from copypump.postgres.session import Rows, Session, Statement


class Means(Struct, frozen=True):
    """A run's plan, its ledger, and the sessions that write; `report` is told what they did."""

    plan: Plan
    ledger: Ledger
    writers: Writers
    interrupts: Interrupts
    report: Report

    @contextlib.contextmanager
    def writing(self, *first: Statement) -> Iterator[tuple[Session, list[Rows]]]:
        """A transaction on the target, and the rows of its first statements; it is for the body to commit it.

        That is durable then, as what follows builds on it.
        """
        with self.interrupts.one() as interrupt, self.writers.one(interrupt) as session:
            _, _, *found = session.begin_target(labelling(self.plan.run), DURABLE, *first)
            yield session, found

    def count_rejects(self) -> int:
        """How many rows the run's committed chunks have rejected, where rows may be."""
        if self.plan.rejecting is None:
            return 0
        with self.writing() as (session, _):
            self.plan.rejecting.table.make(session)
            rejected = self.plan.rejecting.table.count(session, self.plan.run)
            session.rollback()
        return rejected
