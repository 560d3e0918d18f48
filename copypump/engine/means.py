"""What a run with a ledger has at hand on the target, before its chunks, with them and after them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from copypump.engine.ledger import Ledger
from copypump.engine.plan import Plan
from copypump.engine.report import Report
from copypump.engine.sessions import Interrupts, Writers
from copypump.postgres.commit import make_durable
from copypump.postgres.label import label
from copypump.postgres.session import Session


@dataclass(frozen=True, slots=True)
class Means:
    """A run's plan, its ledger, and the sessions that write; `report` is told what they did."""

    plan: Plan
    ledger: Ledger
    writers: Writers
    interrupts: Interrupts
    report: Report

    @contextlib.contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction on the target; it is for the body to commit it."""
        with self.interrupts.one() as interrupt, self.writers.one(interrupt) as session:
            session.begin_target()
            label(session, self.plan.run)
            make_durable(session)  # what follows builds on it
            yield session

    def count_rejects(self) -> int:
        """How many rows the run's committed chunks have rejected, where rows may be."""
        if self.plan.rejecting is None:
            return 0
        with self.writing() as session:
            self.plan.rejecting.table.make(session)
            rejected = self.plan.rejecting.table.count(session, self.plan.run)
            session.rollback()
        return rejected
