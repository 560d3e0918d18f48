"""The end of a run with a ledger: the phases after its last chunk, each committed with its own row."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import asdict

from copypump.engine.chunks.jobs import Attempts
from copypump.engine.chunks.means import Means
from copypump.engine.loading import Phase, Step
from copypump.engine.report import Tally
from copypump.engine.splits import Chunk
from copypump.postgres.commit import commit
from copypump.postgres.session import Session


class Gone(Exception):  # noqa: N818 - mended by the run itself
    """Chunks that had been committed are not there any more."""

    def __init__(self, chunks: list[Chunk]) -> None:
        super().__init__(f"{len(chunks):,} chunks are gone")
        self.chunks = chunks


class Finish:
    """Does what is left once every chunk is committed; again after an error that time mends."""

    def __init__(self, means: Means, epoch: int, attempts: Attempts) -> None:
        self._means = means
        self._epoch = epoch
        self._attempts = attempts

    def run(self, show: Callable[[str], object]) -> None:
        """Do all phases, each of which `show` is told of, and say in the ledger that the run is done.

        Raises:
            Gone: chunks that were committed have to be moved again, and then all of this be done.
            CopypumpError and what else `jobs.Attempts` raises.

        """
        for phase in self._means.plan.loading.finish:
            show(phase.name)
            self._do(phase)
        self._attempts(self._end, "the end")

    def _do(self, phase: Phase) -> None:
        if not phase.apart:
            self._attempts(lambda: self._step(phase.name, phase.steps), phase.name)
            return
        workers = max(1, min(self._means.plan.options.job_count, len(phase.steps)))
        executor = ThreadPoolExecutor(workers, thread_name_prefix="copypump-worker")
        try:
            named = [(f"{phase.name} {number}", step) for number, step in enumerate(phase.steps, 1)]
            list(
                executor.map(
                    lambda each: self._attempts(lambda: self._step(each[0], (each[1],)), each[0]), named
                )
            )
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def _step(self, name: str, steps: tuple[Step, ...]) -> None:
        """Do steps in one transaction, with their row in the ledger; nothing where it is there already."""
        ledger, run = self._means.ledger, self._means.plan.run
        tally = Tally()
        with self._means.writing() as (session, _):
            if not ledger.claim_step(session, run, self._epoch, name):
                session.rollback()
                session.begin_target()
                tally = Tally(**ledger.steps(session, run)[name])
                session.rollback()
            else:
                self._hold_all(session)
                for step in steps:
                    step.run(session, tally)
                ledger.count_step(session, run, name, asdict(tally))
                commit(session, patience=0.0)
        self._means.report.count(tally)

    def _end(self) -> None:
        with self._means.writing() as (session, _):
            self._hold_all(session)
            self._means.ledger.end(session, self._means.plan.run, "done")
            commit(session, patience=0.0)

    def _hold_all(self, session: Session) -> None:
        """Raise `Gone` unless every chunk is in the ledger, as a step on all of them is about to commit.

        A server that commits with synchronous_commit off forgets its last commits in a crash, and does so in
        one piece: the chunk and its row.
        """
        there = self._means.ledger.chunks(session, self._means.plan.run)
        gone = [chunk for chunk in self._means.plan.split.chunks if chunk.number not in there]
        if gone:
            raise Gone(gone)
